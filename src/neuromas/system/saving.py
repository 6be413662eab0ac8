"""A network on disk: written as a bundle, read back, and what one from elsewhere may choose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neuromas.config import Config, make_config
from neuromas.core.errors import (
    ConfigError,
    ContractError,
    RunError,
    TaskError,
    TopologyError,
    one_line,
)
from neuromas.core.task import Problem, Task
from neuromas.models.backbone import Backbone
from neuromas.models.bundle import load_adapters, read_manifest, save_adapters, write_manifest
from neuromas.models.precision import AUTO, plain_name
from neuromas.prompts.template import Template
from neuromas.storage import MANIFEST, Run, read_json, reading
from neuromas.system import trust
from neuromas.system.assemble import Assembly, around, configured_task
from neuromas.system.fitting import other_adapters
from neuromas.system.prompting import (
    check_same_prompts,
    kept_prompts,
    save_prompts,
)
from neuromas.system.provenance import trained_in
from neuromas.system.saved_state import check_state
from neuromas.tasks.own import GIVEN, missing, probe
from neuromas.tasks.rewards import is_foreign
from neuromas.tasks.saved import SavedTask
from neuromas.topology.graph import Topology


def save_bundle(folder: Path, assembly: Assembly, more: Mapping[str, Any], files: Mapping[str, str]) -> None:
    """Write the network: PEFT folders and the manifest. ``files`` are hashes of files already there."""
    network, model = assembly.network, assembly.model
    written = save_adapters(folder, model.bank, model.backbone.name)
    prompts, copied = save_prompts(folder, network)
    about = {
        "topology": network.topology.to_dict(),
        "topology_digest": network.topology.digest,
        "assignment": list(network.assignment),
        "versions": list(model.bank.versions),
        "ranks": list(model.bank.ranks),
        **prompts,
        "answer_format": assembly.task.answer_format,
        "backbone": {
            "name": model.backbone.name,
            "digest": model.backbone.digest,
            "precision": plain_name(model.backbone.dtype),
        },
        "config": assembly.config.model_dump(mode="json"),
        **more,
    }
    write_manifest(folder, about, {**files, **copied, **written})


def load_bundle(
    path: Path,
    device: str | None = None,
    backbone: Backbone | None = None,
    config: Config | None = None,
    model: str | None = None,
    *,
    task: Task | None = None,
    as_trained: bool = False,
) -> Assembly:
    """A saved network, ready to answer. ``path`` is a run (its best checkpoint) or a checkpoint.

    ``model`` is where its backbone lies now, if not under the name that was saved.
    ``task`` is the object it was trained on, if that was one and is wanted again.
    With ``as_trained`` it computes in the precision it was trained in, also where its configuration leaves
    that open and this machine would take another.
    ``config`` takes the place of the saved configuration: a run that goes on from the network has its own.
    The task's data are opened when they are first asked for. Raises RunError if the bundle is damaged,
    belongs to another backbone or prompt template, or names a model that this user never named.
    """
    with reading(path):  # training may go on beside us, and remove old checkpoints
        given = _Given(device, backbone, model, task, as_trained)
        return _load_bundle(bundle_folder(path), given, config)


@dataclass(frozen=True, slots=True)
class _Given:
    """What whoever loads a network has at hand instead of what it names."""

    device: str | None
    backbone: Backbone | None
    model: str | None
    task: Task | None
    as_trained: bool


@dataclass(frozen=True, slots=True)
class SavedNetwork:
    """A saved network without its weights; the task's data are opened when they are first asked for."""

    config: Config
    topology: Topology
    task: Task
    template: Template
    examples: tuple[Problem, ...]


def read_saved(path: Path, named: bool = False) -> SavedNetwork:
    """What a run or checkpoint says of its network; nothing is loaded.

    ``named`` says that the user names its backbone. Raises RunError as ``load_bundle`` does.
    """
    with reading(path):
        folder = bundle_folder(path)
        manifest = read_manifest(folder)
        saved, topology = _read(folder, manifest)
        trust.check(saved, folder, (trust.BACKBONE,), [trust.BACKBONE] if named else [])
        try:
            form = _answer_format(manifest)
        except ValueError as error:
            raise RunError(f"{folder / MANIFEST} is damaged: {one_line(error)}") from error
        return SavedNetwork(
            saved,
            topology,
            _saved_task(folder, saved, form, None, len(topology.nodes)),
            *kept_prompts(folder, manifest, saved),
        )


def _load_bundle(folder: Path, given: _Given, config: Config | None) -> Assembly:
    """The network in a folder."""
    manifest = read_manifest(folder)
    saved, topology = _read(folder, manifest)
    adapters = len(manifest["versions"])
    try:
        assignment = _assigned(manifest["assignment"], len(topology.nodes), adapters)
        ranks = saved_ranks(manifest.get("ranks"), adapters, saved.model.rank)
        identity = {key: str(manifest["backbone"][key]) for key in ("name", "digest")}
        form = _answer_format(manifest)
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(f"{folder / MANIFEST} is damaged: {one_line(error)}") from error
    prompts = kept_prompts(folder, manifest, saved)
    if config is None:
        task: Task = _saved_task(folder, saved, form, given.task, len(topology.nodes))
        config = saved if given.model is None else _changed(saved, backbone=given.model)
        named = [trust.BACKBONE] if given.model else []
        trust.check(config, folder, (trust.BACKBONE, trust.ENGINE, trust.TOOLS), named)
    else:
        config = _same_adapters(folder, saved, config)
        check_same_prompts(folder, saved, config, prompts[0])
        trust.note_if_possible(config)
        task = configured_task(config, given.task)
    config = config if given.device is None else _changed(config, device=given.device)
    rows = (assignment, ranks)
    dtype = trained_in(manifest) if given.as_trained else AUTO
    assembly = around(config, task, topology, prompts, rows=rows, backbone=given.backbone, dtype=dtype)
    if not assembly.model.backbone.is_the_one(identity["digest"]):
        raise RunError(
            f"{folder}: trained over backbone {identity['name']!r} ({identity['digest']}), "
            f"but {config.model.backbone!r} is now {assembly.model.backbone.digest}"
        )
    load_adapters(folder, assembly.model.bank, manifest["versions"])
    if any(manifest["versions"]) and not assembly.network.engine.capabilities.adapters:
        raise ConfigError(
            f"engine.name = {config.engine.name!r} writes with a model of its own, so {folder}, whose "
            "adapters are trained, cannot answer through it"
        )
    assembly.publish()
    return assembly


def _changed(config: Config, **model: str) -> Config:
    """The configuration with other keys of its model. Raises ConfigError."""
    return make_config({**dict(config), "model": {**dict(config.model), **model}})


def _read(folder: Path, manifest: Mapping[str, Any]) -> tuple[Config, Topology]:
    """Configuration and topology of a manifest, and that its training state fits them. Raises RunError."""
    try:
        saved = make_config(manifest["config"])
        plan = saved_plan(manifest)
        topology = Topology.from_dict(manifest["topology"])
        if manifest["topology_digest"] != topology.digest:
            raise ValueError(f"topology_digest {manifest['topology_digest']!r} is not that of its topology")
    except (KeyError, TypeError, ValueError, ConfigError, TopologyError) as error:
        raise RunError(f"{folder / MANIFEST} is damaged: {one_line(error)}") from error
    if "state" in manifest:
        try:
            check_state(manifest["state"], plan.shapes, len(manifest["versions"]), len(topology.nodes))
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
        files = _configurations(read_json(path / MANIFEST))
    else:
        run = Run.open(path)
        saved = (read_json(folder / MANIFEST) for folder in run.checkpoints())
        files = [run.read("config.json"), *(data for one in saved for data in _configurations(one))]
    try:
        return [make_config(data) for data in files]
    except ConfigError as error:
        raise RunError(f"{path} is damaged: {one_line(error)}") from error


def _configurations(manifest: Mapping[str, Any]) -> list[Any]:
    """The configuration of the network and, where it is one stage of a run, that of the run."""
    return [manifest.get("config", {}), *([manifest["plan"]] if "plan" in manifest else [])]


def saved_plan(manifest: Mapping[str, Any]) -> Config:
    """The whole configuration of the run that saved the manifest. Raises ConfigError or KeyError."""
    return make_config(manifest.get("plan", manifest["config"]))


def _same_adapters(folder: Path, saved: Config, config: Config) -> Config:
    """The configuration that takes over, if its adapters are those that were saved. Raises RunError."""
    if found := other_adapters(saved.model, config.model):
        key, was, now = found
        raise RunError(f"{folder}: its adapters have {key} = {was}, not the configured {now}")
    return config


def _assigned(data: Any, nodes: int, adapters: int) -> tuple[int, ...]:
    """The adapter row of every node, each row used. Raises ValueError."""
    rows = tuple(data)
    if len(rows) != nodes or set(rows) != set(range(adapters)) or any(type(row) is not int for row in rows):
        raise ValueError(f"assignment {list(rows)[:20]} does not give {adapters} adapters to {nodes} nodes")
    return rows


def saved_ranks(data: Any, adapters: int, usual: int) -> tuple[int, ...]:
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
