"""What a saved network may choose by itself, and what only this user may.

A network comes with its configuration, and a stranger's may name any path, any model to download, any
tracker and any module to import. What lies inside this package (the embedded and the tiny model, generated
problems, built-in estimators) is free. All else must have been named by this user: what a configuration of
the user's own names is noted in one small file of the user's, so that runs trained here go on as ever; for
what came from elsewhere ``--trust`` notes it too, after the refusal has said what it is.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable
from pathlib import Path

from neuromas.config import RENAMED, Config, at_stage
from neuromas.core.errors import RunError, one_line
from neuromas.core.parts import ALGORITHMS, ENGINES, ESTIMATORS
from neuromas.core.registry import origin
from neuromas.models.dims import EMBEDDED, TINY_NAME
from neuromas.tasks.files import DATA_TASKS
from neuromas.tasks.own import GIVEN
from neuromas.tasks.rewards import CORRECT
from neuromas.tasks.tables import FIELD_OPTIONS, FILE_OPTIONS
from neuromas.topology.files import SUFFIXES

BACKBONE, ENGINE, TASK = "model.backbone", "engine", "task"
TOOLS = "network.tools"  # programs that models write are run, if in a sandbox
REWARDS, CODE = f"{TASK}.rewards", f"{TASK}.code"
_TASKS = ("max", "lookup", "recall", "arithmetic", "pick", "hier")  # generated, as all gym/


def outside(config: Config) -> list[tuple[str, str]]:
    """What the configuration and its stages name that is not inside this package: key and text."""
    stages = [at_stage(config, index) for index in range(len(config.stages))]
    return list(dict.fromkeys(pair for one in (config, *stages) for pair in _outside(one).items()))


def _outside(config: Config) -> dict[str, str]:
    """The same of one stage, by key."""
    found: dict[str, str] = {}
    if config.model.backbone not in (EMBEDDED, TINY_NAME):
        found[BACKBONE] = config.model.backbone
    if not ENGINES.is_builtin(config.engine.name):
        found[f"{ENGINE}.name"] = config.engine.name
    found |= {f"{ENGINE}.options.{key}": str(value) for key, value in config.engine.options.items()}
    code = [one for one in (config.task.reward, *config.task.rewards) if one not in ("", CORRECT)]
    found |= {f"{REWARDS}.{one}": one for one in code}
    if config.task.name not in _TASKS and not config.task.name.startswith(("gym/", GIVEN)):
        fields = {option.name for option in (*FIELD_OPTIONS, *FILE_OPTIONS)}
        sources = {key: value for key, value in config.task.options.items() if key not in fields}
        found |= {f"{TASK}.options.{key}": str(value) for key, value in sources.items()}
        if config.task.name not in DATA_TASKS:
            found[f"{TASK}.name"] = config.task.name
            code.append(config.task.name)
    # what a name stands for depends on the folder one is in: a stranger's may hold a module of the same name
    files = {one: origin(one) for one in code}
    found |= {f"{CODE}.{one}": file for one, file in files.items() if file}
    if not ESTIMATORS.is_builtin(config.train.baseline):
        found["train.baseline"] = config.train.baseline
    if not ALGORITHMS.is_builtin(config.train.algorithm):
        found["train.algorithm"] = config.train.algorithm
    shapes = [shape for shape, _ in config.shapes]
    if config.network.tools:
        found[TOOLS] = ", ".join(config.network.tools)
    if config.network.prompt:
        found["network.prompt"] = config.network.prompt
    graphs = [shape for shape in shapes if Path(shape).suffix in SUFFIXES]
    if graphs:
        found["network.topology"] = ", ".join(graphs)
    if config.growth.parent:
        found["growth.parent"] = config.growth.parent
    if config.growth.module:
        found["growth.module"] = config.growth.module
    if config.run.trackers:
        found["run.trackers"] = ", ".join(config.run.trackers)
    return found


def note_file() -> Path:
    """Below ``$NEUROMAS_STATE``, else ``$XDG_STATE_HOME/neuromas``, else ``~/.local/state/neuromas``."""
    if own := os.environ.get("NEUROMAS_STATE"):
        return Path(own) / "named.jsonl"
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "neuromas" / "named.jsonl"


def note(config: Config) -> None:
    """Note what the configuration names: this user has chosen it. Raises RunError if it cannot be written."""
    new = set(outside(config)) - _noted()
    if not new:
        return
    path = note_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as stream:  # in one write, so that processes do not mix
            stream.write("".join(json.dumps(pair) + "\n" for pair in sorted(new)))
    except OSError as error:
        reason = error.strerror or one_line(error)
        raise RunError(f"cannot write {path} ({reason}); set NEUROMAS_STATE to another folder") from error


def note_if_possible(config: Config) -> None:
    """The same where nothing depends on it yet."""
    try:
        note(config)
    except (RunError, RuntimeError):  # RuntimeError: a user without a home
        return


def check(
    config: Config, where: Path, keys: Collection[str] | None = None, named: Iterable[str] = ()
) -> None:
    """Raises RunError if the configuration that was found at ``where`` names what this user never named.

    ``keys`` limits the question to what is about to be used (None: all), by key or section; ``named`` are
    keys that were given on the command line.
    """
    found = outside(config)
    known = _noted() if found else set()
    strange = [
        (key, value)
        for key, value in found
        if (keys is None or any(key == one or key.startswith(f"{one}.") for one in keys))
        and (key, value) not in known
        and not any(key == one or key.startswith(f"{one}.") for one in named)
    ]
    if strange:
        said = ", ".join(f"{key} = {value[:200]!r}" for key, value in strange)
        raise RunError(
            f"{where} names what you have not: {said}; if you want that, say so with --trust "
            "(noted, so that it is asked once)"
        )


def _noted() -> set[tuple[str, str]]:
    """All that was noted; lines that cannot be read count for nothing."""
    try:
        lines = note_file().read_text("utf-8", errors="replace").splitlines()
    except (OSError, RuntimeError):
        return set()
    found = set()
    for line in lines:
        try:
            key, value = json.loads(line)
            found.add((RENAMED.get(str(key), str(key)), str(value)))
        except (ValueError, TypeError):
            continue
    return found
