"""From a configuration or a saved bundle to a network that runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neuromas.config import Config, make_config
from neuromas.errors import ConfigError, PromptError, RunError, TopologyError, one_line
from neuromas.graphs import load_topology
from neuromas.models.adapters import LoraSpec
from neuromas.models.backbone import Backbone, load_backbone
from neuromas.models.bundle import load_adapters, read_manifest, save_adapters, write_manifest
from neuromas.models.resident import ResidentPolicy
from neuromas.network import Network, assign
from neuromas.prompts import build_prompt, check_fits, question_for, template_version
from neuromas.store import MANIFEST, Run, reading
from neuromas.task import Problem, Task
from neuromas.tasks import make_task
from neuromas.topology import Topology


@dataclass(frozen=True, slots=True)
class Assembly:
    """A network with its policy and its task, and the configuration they were made from."""

    config: Config
    network: Network
    policy: ResidentPolicy
    task: Task


def assemble(
    config: Config,
    topology: Topology | None = None,
    backbone: Backbone | None = None,
    assignment: tuple[int, ...] | None = None,
    ranks: tuple[int, ...] = (),
) -> Assembly:
    """Build everything a run needs. Raises NeuromasError with one line on anything impossible.

    ``topology``, ``assignment`` and ``ranks`` override the configured ones (a grown network has its own).
    """
    task = make_task(config.task.name, config.task.options)
    graph = topology or load_topology(config.network.topology, config.network.question)
    check_task(graph, task)
    assignment = assignment or assign(graph, config.network.share)
    ranks = ranks or _ranks(config, max(assignment) + 1)
    spec = LoraSpec(config.model.rank, config.model.alpha, tuple(config.model.targets), ranks)
    base = backbone or load_backbone(config.model.backbone, config.model.dtype, config.model.device)
    policy = ResidentPolicy(base, spec, max(assignment) + 1, config.seed)
    network = Network(
        topology=graph,
        policy=policy,
        assignment=assignment,
        style=config.network.style,
        message_tokens=config.network.message_tokens,
        answer_tokens=config.network.answer_tokens,
    )
    return Assembly(config, network, policy, task)


def _ranks(config: Config, adapters: int) -> tuple[int, ...]:
    """One rank for each adapter, where the configuration lists them. Raises ConfigError."""
    ranks = config.model.ranks
    if ranks and len(ranks) != adapters:
        raise ConfigError(
            f"model.ranks lists {len(ranks)} ranks, but network {config.network.topology} with "
            f"network.share = {config.network.share!r} has {adapters} adapters"
        )
    return ranks


def check_task(topology: Topology, task: Task) -> None:
    """The task's first problem must have as many parts as the topology hands out.

    Raises ConfigError naming task and topology.
    """
    problem = task.problem("train", 0)
    try:
        for node in range(len(topology.nodes)):
            question_for(topology, node, problem)
    except PromptError as error:
        raise ConfigError(f"task {task.name!r} does not fit topology {topology}: {error}") from error


def check_prompts(network: Network, task: Task, problems: Sequence[Problem]) -> None:
    """Raises PromptError if no problem's prompts fit, even with nothing but empty messages to read."""
    failure: PromptError | None = None
    for problem in problems:
        try:
            for node in range(len(network.topology.nodes)):
                _check_prompt(network, task, problem, node)
            return
        except PromptError as error:
            failure = error
    if failure is not None:
        raise failure


def _check_prompt(network: Network, task: Task, problem: Problem, node: int) -> None:
    topology, codec = network.topology, network.policy.codec
    empty = [""] * len(topology.incoming(node))
    style, form = network.style, task.answer_format
    prompt = build_prompt(topology, node, problem, empty, codec, style=style, answer_format=form)
    check_fits(topology, node, prompt, network.budget(node), network.policy.context)


def save_bundle(folder: Path, assembly: Assembly, more: Mapping[str, Any], files: Mapping[str, str]) -> None:
    """Write the network: PEFT folders and the manifest. ``files`` are hashes of files already there."""
    network, policy = assembly.network, assembly.policy
    written = save_adapters(folder, policy.bank, policy.backbone.name)
    about = {
        "topology": network.topology.to_dict(),
        "topology_digest": network.topology.digest,
        "assignment": list(network.assignment),
        "versions": list(policy.bank.versions),
        "ranks": list(policy.bank.ranks),
        "template": template_version(),
        "backbone": {"name": policy.backbone.name, "digest": policy.backbone.digest},
        "config": assembly.config.model_dump(mode="json"),
        **more,
    }
    write_manifest(folder, about, {**files, **written})


def load_bundle(
    path: Path, device: str | None = None, backbone: Backbone | None = None, config: Config | None = None
) -> Assembly:
    """A saved network, ready to answer. ``path`` is a run (its best checkpoint) or a checkpoint.

    ``config`` takes the place of the saved configuration: a run that goes on from the network has its own.
    Raises RunError if the bundle is damaged or belongs to another backbone or prompt template.
    """
    with reading(path):  # training may go on beside us, and remove old checkpoints
        return _load_bundle(bundle_folder(path), device, backbone, config)


def _load_bundle(
    folder: Path, device: str | None, backbone: Backbone | None, config: Config | None
) -> Assembly:
    """The network in a folder."""
    manifest = read_manifest(folder)
    try:
        saved = make_config(manifest["config"])
        topology = Topology.from_dict(manifest["topology"])
        assignment = _assigned(manifest["assignment"], len(topology.nodes), len(manifest["versions"]))
        ranks = _saved_ranks(manifest.get("ranks"), len(manifest["versions"]), saved.model.rank)
        identity = {key: str(manifest["backbone"][key]) for key in ("name", "digest")}
        template = manifest["template"]
    except (KeyError, TypeError, ValueError, ConfigError, TopologyError) as error:
        raise RunError(f"{folder / MANIFEST} is damaged: {one_line(error)}") from error
    config = _same_adapters(folder, saved, config) if config else saved
    if template != template_version():
        raise RunError(
            f"{folder}: trained with prompt template {template}, this version has {template_version()}; "
            "its nodes would read prompts they never saw"
        )
    if device is not None:
        config = make_config({**dict(config), "model": {**dict(config.model), "device": device}})
    assembly = assemble(config, topology, backbone, assignment, ranks)
    found = assembly.policy.backbone.digest
    if found != identity["digest"]:
        raise RunError(
            f"{folder}: trained over backbone {identity['name']!r} ({identity['digest']}), "
            f"but {config.model.backbone!r} is now {found}"
        )
    load_adapters(folder, assembly.policy.bank, manifest["versions"])
    return assembly


def _same_adapters(folder: Path, saved: Config, config: Config) -> Config:
    """The configuration that takes over, if its adapters are those that were saved. Raises RunError."""
    for key in ("rank", "ranks", "alpha", "targets"):
        was, now = getattr(saved.model, key), getattr(config.model, key)
        if was != now:
            raise RunError(f"{folder}: its adapters have model.{key} = {was!r}, not the configured {now!r}")
    return config


def _assigned(data: Any, nodes: int, adapters: int) -> tuple[int, ...]:
    """The adapter row of every node, each row used. Raises ValueError."""
    rows = tuple(data)
    if len(rows) != nodes or set(rows) != set(range(adapters)) or any(type(row) is not int for row in rows):
        raise ValueError(f"assignment {list(rows)[:20]} does not give {adapters} adapters to {nodes} nodes")
    return rows


def _saved_ranks(data: Any, adapters: int, usual: int) -> tuple[int, ...]:
    """The rank of every adapter; of a network saved before ranks could differ, the usual one. ValueError."""
    ranks = (usual,) * adapters if data is None else tuple(data)
    if len(ranks) != adapters or any(type(rank) is not int or not 1 <= rank <= 512 for rank in ranks):
        raise ValueError(f"ranks {list(ranks)[:20]} are not those of {adapters} adapters")
    return ranks


def bundle_folder(path: Path) -> Path:
    """The folder with the manifest: ``path`` itself, or the best or newest checkpoint of a run."""
    if (path / MANIFEST).is_file():
        return path
    run = Run.open(path)
    checkpoints = run.checkpoints()
    if not checkpoints:
        raise RunError(f"run {str(path)!r} has no checkpoint yet")
    best = run.read("status.json").get("best") if (path / "status.json").is_file() else None
    chosen = run.checkpoint(best) if isinstance(best, int) else checkpoints[-1]
    return chosen if (chosen / MANIFEST).is_file() else checkpoints[-1]
