"""The prompts of a network from its configuration, into its folder, and back out of it.

A prompt file is copied into the run and into every checkpoint, worked examples lie in the manifest: a network
outlives both its file and its data. Reading a network opens its own copy, never the path it was trained with.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from neuromas.config import Config, NetworkConfig
from neuromas.core.errors import ConfigError, NeuromasError, PromptError, RunError, one_line, shown
from neuromas.core.files import is_file, read_bytes
from neuromas.core.task import Problem, Task
from neuromas.prompts.examples import draw_examples, from_list, to_list
from neuromas.prompts.reading import MOST_BYTES, ROLES, load_template, of_roles, read_template
from neuromas.prompts.template import Template, built_in, check_nodes, check_reached, file_name
from neuromas.storage import MANIFEST, write_atomic
from neuromas.system.network import Network
from neuromas.topology.files import load_topology
from neuromas.topology.graph import Topology

PROMPT = "prompt.toml"  # a prompt file's copy in a run or a checkpoint


def choose_prompts(
    config: Config, task: Task, topology: Topology, template: Template | None = None
) -> tuple[Template, tuple[Problem, ...]]:
    """Texts and worked examples of a new network. Raises PromptError, ConfigError or TaskError."""
    if template is None:
        stages = [load_topology(shape, config.network.question) for shape, _ in config.growth.stages]
        template = choose_template(config, [topology, *stages])
    return template, shown_examples(config, task, 1)


def shown_examples(config: Config, task: Task, view: int) -> tuple[Problem, ...]:
    """The worked examples under the first (0) or the last (1) view; those of a view without are none.

    Raises TaskError.
    """
    if not _shown_count(config, view):
        return ()
    asked = {"validation": config.evaluate.validation, "test": config.evaluate.test}
    return draw_examples(task, config.network.examples, config.seed, asked)  # type: ignore[arg-type]


def _shown_count(config: Config, view: int) -> int:
    """How many worked examples the first (0) or the last (1) view shows."""
    without = config.lift.view and not config.lift.examples[view]
    return 0 if without else config.network.examples


def choose_template(config: Config, goals: Sequence[Topology], run: Path | None = None) -> Template:
    """The texts of a new network, checked against all ``goals``, its own topology and those of its stages.

    ``run`` is a run that goes on before its first checkpoint: its copy of the file counts. Raises
    PromptError or ConfigError with one line.
    """
    network = config.network
    if network.prompt and run is not None and (run / PROMPT).is_file():
        template = _read_copy(run, network.prompt, network.style)
    else:
        template = configured_template(network)
    check_nodes(template, list(goals))
    if network.examples and not config.stages:  # of stages each is asked by itself
        check_shown(template, goals, network.examples)
    return template


def configured_template(network: NetworkConfig) -> Template:
    """The texts that a configuration names: a file's, those with its roles, or the built-in ones.

    Raises PromptError.
    """
    if network.prompt:
        return load_template(network.prompt, network.style)
    return of_roles(network.roles, network.style) if network.roles else built_in()


def check_shown(template: Template, topologies: Sequence[Topology], examples: int) -> None:
    """Raises ConfigError where worked examples would be shown to nobody in one of the stages."""
    for topology in topologies:
        rows = range(len(topology.nodes))
        if not any(
            template.shows_examples(topology, row) and topology.nodes[row].question != "none" for row in rows
        ):
            raise ConfigError(
                f"network.examples = {examples}, but of {topology} no node that reads the question is shown "
                f"any: a prompt file's examples = {shown(list(template.shown))} says to whom (valid: 'sink', "
                "'leaves', 'all', a position such as '2/1', a node's name)"
            )


def check_codec(network: Network, backbone: str) -> None:
    """Raises PromptError where this tokenizer can never fulfil a stop rule."""
    try:
        check_reached(network.template, network.topology, network.style, network.engine.codec)
    except PromptError as error:
        raise PromptError(f"{error} (backbone {shown(backbone)})") from None


def save_prompts(folder: Path, network: Network) -> tuple[dict[str, Any], dict[str, str]]:
    """What the manifest says of a network's prompts, and the hash of the copy of their file, written now."""
    about: dict[str, Any] = {"template": network.template.digest}
    if network.examples:
        about["examples"] = to_list(network.examples)
    if network.template.mark:
        about["prompts"] = network.template.mark
    if not network.template.source:
        return about, {}
    keep_copy(folder, network.template)
    return about, {PROMPT: hashlib.sha256(network.template.source).hexdigest()}


def keep_copy(folder: Path, template: Template) -> None:
    """The prompt file into a run or a checkpoint; nothing for the built-in texts."""
    if template.source:
        write_atomic(folder / PROMPT, template.source.decode("utf-8"))


def kept_prompts(
    folder: Path, manifest: Mapping[str, Any], saved: Config
) -> tuple[Template, tuple[Problem, ...]]:
    """Texts and worked examples of a saved network. Raises RunError if it was trained with others."""
    try:
        examples = from_list(manifest.get("examples", []))
        identity = manifest["template"]
    except (KeyError, ValueError) as error:
        raise RunError(f"{folder / MANIFEST} is damaged: {one_line(error)}") from error
    if PROMPT in manifest["files"]:
        template = _read_copy(
            folder, saved.network.prompt or (ROLES if saved.network.roles else PROMPT), saved.network.style
        )
    else:
        template = built_in()
    if identity != template.digest:
        raise RunError(
            f"{folder}: trained with prompt template {identity}, this version has {template.digest}; "
            "its nodes would read prompts they never saw"
        )
    return template, examples


def check_same_prompts(folder: Path, saved: Config, config: Config, template: Template) -> None:
    """A configuration that goes on with a network has its prompts. Raises RunError or PromptError."""
    was, now = saved.network, config.network
    knows, first = _shown_count(saved, 1), _shown_count(config, 0)
    if knows != first:
        raise RunError(f"{folder}: its nodes were trained with network.examples = {knows}, not {first}")
    same_file = now.prompt == was.prompt and now.roles == was.roles
    if same_file and not is_file(now.prompt):
        return  # the network outlives the file
    own = configured_template(now)
    if own.digest != template.digest and (was.roles or now.roles):
        raise RunError(
            f"{folder}: its nodes were trained with network.roles = {shown(was.roles)}, "
            f"not {shown(now.roles)}"
        )
    if own.digest != template.digest:
        copy = f"network.prompt = {shown(str(folder / PROMPT))}" if template.source else "no network.prompt"
        raise RunError(
            f"{folder}: its nodes were trained with other prompts ({template.digest}) than network.prompt = "
            f"{shown(now.prompt)} has now ({own.digest}); go on with {copy}"
        )


def prompt_facts(network: Network, path: str) -> dict[str, Any]:
    """What a run notes of its prompts; empty for the built-in texts without examples."""
    template = network.template
    facts: dict[str, Any] = {"examples": len(network.examples)} if network.examples else {}
    if template.source:
        digest = hashlib.sha256(template.source).hexdigest()
        facts |= {"mark": template.mark, "roles": template.roles, "file": path, "sha256": digest}
    return {"prompt": facts} if facts else {}


def check_prompt_unchanged(run: Path, facts: Mapping[str, Any]) -> None:
    """Raises RunError if a run's prompt file, where it is still there, or the run's copy was changed."""
    noted = facts.get("prompt")
    if not isinstance(noted, dict) or "file" not in noted:
        return
    for path in (Path(str(noted["file"])), run / PROMPT):
        if is_file(path) and hashlib.sha256(_bytes(path)).hexdigest() != noted.get("sha256"):
            raise RunError(
                f"{shown(str(path))} was changed since {run} began; put it back as it was, or train anew in "
                "another directory"
            )


def _bytes(path: Path) -> bytes:
    """A prompt file's bytes. Raises RunError where it cannot be one."""
    try:
        return read_bytes(path, MOST_BYTES)
    except OSError as error:
        raise RunError(f"{path}: {error.strerror or one_line(error)}") from None


def _read_copy(folder: Path, name: str, style: str) -> Template:
    """The template in a run or checkpoint. Raises RunError: a copy that is not a prompt file is damaged."""
    try:
        return read_template(_bytes(folder / PROMPT), file_name(name), style)
    except NeuromasError as error:
        raise RunError(f"{folder / PROMPT} is damaged: {one_line(error)}") from None
