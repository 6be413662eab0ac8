"""From a configuration or a saved bundle to a network that runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neuromas.config import Config, make_config
from neuromas.core.errors import (
    ConfigError,
    ContractError,
    ModelError,
    PromptError,
    RunError,
    TaskError,
    TopologyError,
    one_line,
)
from neuromas.core.parts import ENGINES
from neuromas.core.task import Problem, Task
from neuromas.engines.build import make_engine
from neuromas.models.adapters import LoraSpec
from neuromas.models.backbone import Backbone, load_backbone
from neuromas.models.bundle import load_adapters, read_manifest, save_adapters, write_manifest
from neuromas.models.resident import ResidentModel
from neuromas.prompts.build import question_for, template_version
from neuromas.storage import MANIFEST, Run, read_json, reading
from neuromas.system import trust
from neuromas.system.network import Network, assign
from neuromas.system.rollout import check_prompt
from neuromas.system.saved_state import check_state
from neuromas.tasks import make_task
from neuromas.tasks.own import GIVEN, given_name, missing, own, probe
from neuromas.tasks.rewards import is_foreign, paid
from neuromas.tasks.saved import SavedTask
from neuromas.topology.files import load_topology
from neuromas.topology.graph import Topology


@dataclass(frozen=True, slots=True, repr=False)
class Assembly:
    """A network, the model that learns, the task, and the configuration they were made from."""

    config: Config
    network: Network
    model: ResidentModel
    task: Task

    def __repr__(self) -> str:
        about = self.config
        return (
            f"Assembly({about.task.name}, {self.network.topology}, {about.model.backbone}, seed {about.seed})"
        )

    def publish(self) -> None:
        """Let the engine write with the model's adapters as they are now."""
        self.network.engine.publish(self.model.bank)


def assemble(
    config: Config,
    topology: Topology | None = None,
    backbone: Backbone | None = None,
    assignment: tuple[int, ...] | None = None,
    ranks: tuple[int, ...] = (),
    *,
    task: Task | None = None,
) -> Assembly:
    """Build everything a run needs. Raises NeuromasError with one line on anything impossible.

    ``topology``, ``assignment`` and ``ranks`` override the configured ones (a grown network has its own).
    ``task`` is an object of the user's, which the configuration cannot name.
    The configuration is the user's own: what it names is noted as theirs (see ``trust``).
    """
    trust.note_if_possible(config)
    task = configured_task(config, task)
    graph = topology or load_topology(config.network.topology, config.network.question)
    check_task(graph, task)
    assignment = assignment or assign(graph, config.network.share)
    ranks = ranks or _ranks(config, max(assignment) + 1)
    assembly = _around(config, task, graph, assignment=assignment, ranks=ranks, backbone=backbone)
    assembly.publish()
    return assembly


def configured_task(config: Config, given: Task | None = None) -> Task:
    """The task that a configuration names, or an object in its place, paid as the configuration says.

    Raises TaskError, ConfigError or ContractError in one line.
    """
    task = make_task(config.task.name, config.task.options) if given is None else own(given)
    return paid(task, config.task.reward, config.task.rewards)


def own_config(config: Config, task: Task) -> Config:
    """The configuration of a run on a task that was handed over as an object."""
    named = {"name": given_name(own(task)), "options": {}}
    return make_config({**dict(config), "task": {**dict(config.task), **named}})


def _around(
    config: Config,
    task: Task,
    topology: Topology,
    *,
    assignment: tuple[int, ...],
    ranks: tuple[int, ...],
    backbone: Backbone | None,
) -> Assembly:
    """The network with new adapters around the backbone. Raises ModelError where that cannot be."""
    ENGINES.check(config.engine.name)  # before the backbone is loaded
    base = backbone or load_backbone(config.model.backbone, config.model.dtype, config.model.device)
    _check_style(config, base)
    spec = LoraSpec(config.model.rank, config.model.alpha, tuple(config.model.targets), ranks)
    model = ResidentModel.around(base, spec, max(assignment) + 1, config.seed)
    network = Network(
        topology=topology,
        engine=make_engine(config, model),
        assignment=assignment,
        style=config.network.style,
        message_tokens=config.network.message_tokens,
        answer_tokens=config.network.answer_tokens,
    )
    return Assembly(config, network, model, task)


def _check_style(config: Config, backbone: Backbone) -> None:
    """Raises ModelError if the prompts' style is one that the backbone's tokenizer cannot write."""
    if config.network.style != "chat":
        return
    try:
        backbone.codec.chat("You are a node.")
    except Exception as error:  # a template is foreign code: whatever it raises, it cannot be used
        raise ModelError(
            f"network.style = 'chat': the tokenizer of backbone {config.model.backbone!r} has no chat "
            f"template that can be used ({one_line(error)[:120]}); valid here: 'plain'"
        ) from error


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
    """The task's first problem has as many parts as the topology hands out; one's own keeps its contract.

    Raises ConfigError naming task and topology, ContractError.
    """
    if is_foreign(task):
        probe(task, len(topology.nodes))
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
                check_prompt(network, task, problem, node)
            return
        except PromptError as error:
            failure = error
    if failure is not None:
        raise failure


def save_bundle(folder: Path, assembly: Assembly, more: Mapping[str, Any], files: Mapping[str, str]) -> None:
    """Write the network: PEFT folders and the manifest. ``files`` are hashes of files already there."""
    network, model = assembly.network, assembly.model
    written = save_adapters(folder, model.bank, model.backbone.name)
    about = {
        "topology": network.topology.to_dict(),
        "topology_digest": network.topology.digest,
        "assignment": list(network.assignment),
        "versions": list(model.bank.versions),
        "ranks": list(model.bank.ranks),
        "template": template_version(),
        "answer_format": assembly.task.answer_format,
        "backbone": {"name": model.backbone.name, "digest": model.backbone.digest},
        "config": assembly.config.model_dump(mode="json"),
        **more,
    }
    write_manifest(folder, about, {**files, **written})


def load_bundle(
    path: Path,
    device: str | None = None,
    backbone: Backbone | None = None,
    config: Config | None = None,
    model: str | None = None,
    *,
    task: Task | None = None,
) -> Assembly:
    """A saved network, ready to answer. ``path`` is a run (its best checkpoint) or a checkpoint.

    ``model`` is where its backbone lies now, if not under the name that was saved.
    ``task`` is the object it was trained on, if that was one and is wanted again.
    ``config`` takes the place of the saved configuration: a run that goes on from the network has its own.
    The task's data are opened when they are first asked for. Raises RunError if the bundle is damaged,
    belongs to another backbone or prompt template, or names a model that this user never named.
    """
    with reading(path):  # training may go on beside us, and remove old checkpoints
        given = _Given(device, backbone, model, task)
        return _load_bundle(bundle_folder(path), given, config)


@dataclass(frozen=True, slots=True)
class _Given:
    """What whoever loads a network has at hand instead of what it names."""

    device: str | None
    backbone: Backbone | None
    model: str | None
    task: Task | None


def _load_bundle(folder: Path, given: _Given, config: Config | None) -> Assembly:
    """The network in a folder."""
    manifest = read_manifest(folder)
    saved, topology = _read(folder, manifest)
    adapters = len(manifest["versions"])
    try:
        assignment = _assigned(manifest["assignment"], len(topology.nodes), adapters)
        ranks = _saved_ranks(manifest.get("ranks"), adapters, saved.model.rank)
        identity = {key: str(manifest["backbone"][key]) for key in ("name", "digest")}
        template, form = manifest["template"], _answer_format(manifest)
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(f"{folder / MANIFEST} is damaged: {one_line(error)}") from error
    if template != template_version():
        raise RunError(
            f"{folder}: trained with prompt template {template}, this version has {template_version()}; "
            "its nodes would read prompts they never saw"
        )
    if config is None:
        task: Task = _saved_task(folder, saved, form, given.task, len(topology.nodes))
        config = saved if given.model is None else _changed(saved, backbone=given.model)
        named = [trust.BACKBONE] if given.model else []
        trust.check(config, folder, (trust.BACKBONE, trust.ENGINE), named)
    else:
        config = _same_adapters(folder, saved, config)
        trust.note_if_possible(config)
        task = configured_task(config, given.task)
        check_task(topology, task)
    config = config if given.device is None else _changed(config, device=given.device)
    assembly = _around(config, task, topology, assignment=assignment, ranks=ranks, backbone=given.backbone)
    if not assembly.model.backbone.is_the_one(identity["digest"]):
        raise RunError(
            f"{folder}: trained over backbone {identity['name']!r} ({identity['digest']}), "
            f"but {config.model.backbone!r} is now {assembly.model.backbone.digest}"
        )
    load_adapters(folder, assembly.model.bank, manifest["versions"])
    assembly.publish()
    return assembly


def _changed(config: Config, **model: str) -> Config:
    """The configuration with other keys of its model. Raises ConfigError."""
    return make_config({**dict(config), "model": {**dict(config.model), **model}})


def _read(folder: Path, manifest: Mapping[str, Any]) -> tuple[Config, Topology]:
    """Configuration and topology of a manifest, and that its training state fits them. Raises RunError."""
    try:
        saved = make_config(manifest["config"])
        topology = Topology.from_dict(manifest["topology"])
        if manifest["topology_digest"] != topology.digest:
            raise ValueError(f"topology_digest {manifest['topology_digest']!r} is not that of its topology")
    except (KeyError, TypeError, ValueError, ConfigError, TopologyError) as error:
        raise RunError(f"{folder / MANIFEST} is damaged: {one_line(error)}") from error
    if "state" in manifest:
        stages = list(saved.growth.stages) or [(saved.network.topology, saved.train.steps)]
        try:
            check_state(manifest["state"], stages, len(manifest["versions"]), len(topology.nodes))
        except (RunError, TopologyError) as error:
            said = one_line(error)
            raise RunError(f"{folder} holds a network but no training state to go on from: {said}") from error
    return saved, topology


def _answer_format(manifest: Mapping[str, Any]) -> str | None:
    """What the output node was told of the answer's form; None in networks of 0.1.0. Raises ValueError."""
    form = manifest.get("answer_format")
    if form is not None and not (isinstance(form, str) and len(form) <= 1000):
        raise ValueError(f"answer_format = {str(form)[:60]!r} is not a text of at most 1000 characters")
    return form


def _saved_task(
    folder: Path, config: Config, answer_format: str | None, given: Task | None, nodes: int
) -> SavedTask:
    """The task the network was trained on; its data and code are this user's choice, not the bundle's."""

    def make() -> Task:
        if given is None and config.task.name.startswith(GIVEN):
            raise missing(config.task.name)
        trust.check(config, folder, (trust.REWARDS, trust.CODE) if given else (trust.TASK,))
        try:
            task = configured_task(config, given)
        except ContractError:
            raise
        except TaskError as error:
            raise TaskError(
                f"{error}: the network answers without its data, to evaluate it they are needed; put them "
                "back (a relative path begins where you stand), or name others with --task"
            ) from error
        if is_foreign(task):
            probe(task, nodes)
        return task

    return SavedTask(config.task.name, answer_format, make)


def trust_run(path: Path) -> None:
    """Note all that a run or checkpoint names as this user's choice, whoever made it. Raises RunError."""
    for config in _configs(path):
        trust.note(config)


def check_run(path: Path, own: Config | None = None) -> None:
    """Raises RunError if a run that is to go on names what this user, also now by ``own``, never named."""
    if own is not None:
        trust.note_if_possible(own)
    for config in _configs(path):
        trust.check(config, path)


def _configs(path: Path) -> list[Config]:
    """The configurations of a run and of all its checkpoints, or that of a checkpoint. Raises RunError."""
    if (path / MANIFEST).is_file():
        files = [read_json(path / MANIFEST).get("config", {})]
    else:
        run = Run.open(path)
        saved = (read_json(folder / MANIFEST).get("config", {}) for folder in run.checkpoints())
        files = [run.read("config.json"), *saved]
    try:
        return [make_config(data) for data in files]
    except ConfigError as error:
        raise RunError(f"{path} is damaged: {one_line(error)}") from error


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
    """The folder with the manifest: ``path`` itself, or the checkpoint that a run hands on."""
    if (path / MANIFEST).is_file():
        return path
    return Run.open(path).handed_on
