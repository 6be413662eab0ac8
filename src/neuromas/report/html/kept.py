"""A run directory as far as it can be read, and what of it cannot: nothing here raises for damage inside."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from neuromas.core.errors import NeuromasError, one_line
from neuromas.report.terminal import visible
from neuromas.storage import MANIFEST, Run, read_json
from neuromas.topology.graph import Topology

Row = Mapping[str, Any]
LOGS = ("metrics.jsonl", "validation.jsonl", "growth.jsonl", "events.jsonl", "episodes.jsonl")
_BROKEN = (
    *(KeyError, TypeError, ValueError, AttributeError, IndexError, ArithmeticError, RecursionError),
    *(OSError, NeuromasError),
)


@dataclass(frozen=True, slots=True)
class Evaluated:
    """An evaluation: its summary, its items by id, what nodes read, and how many lines are damaged."""

    name: str
    summary: Row
    items: Mapping[str, Row]
    prompts: Mapping[str, Sequence[str]]
    damaged: int = 0


@dataclass(frozen=True, slots=True)
class Kept:
    """A run. ``lines`` are its logs by file name; ``missing`` says in words what is not there or damaged."""

    run: Run
    label: str
    config: Row
    facts: Row
    status: Row
    manifest: Row
    lines: Mapping[str, tuple[Row, ...]]
    evaluations: Mapping[str, Evaluated]
    busy: bool = False
    missing: tuple[str, ...] = field(default_factory=tuple)
    checkpoint: str = ""  # of the network that is handed on; none yet where empty

    @property
    def key(self) -> str:
        """A name for ids of the page: letters and digits alone, another for every path."""
        return hashlib.sha256(str(self.run.path).encode("utf-8", "replace")).hexdigest()[:8]

    @property
    def finished(self) -> bool:
        """Trained to its end and tested."""
        return self.status.get("finished") is True

    @property
    def topology(self) -> Topology | None:
        """The network that is handed on; None where none was kept or it cannot be read."""
        return graph(self.manifest.get("topology"))


def read_kept(path: Path, label: str) -> Kept:
    """The run at ``path``. Raises RunError if there is none."""
    run = Run.open(path)
    missing: list[str] = []
    config, facts = (_json(run, name, missing, needed=True) for name in ("config.json", "run.json"))
    status = _json(run, "status.json", missing, needed=False)
    manifest: Row = {}
    checkpoint = ""
    try:
        if run.checkpoints():
            manifest, checkpoint = read_json(run.handed_on / MANIFEST), run.handed_on.name
        else:
            missing.append("no checkpoint yet, so the network that is handed on is not known")
    except _BROKEN as error:
        missing.append(f"the network's manifest cannot be read: {one_line(error)}")
    lines = {name: _lines(run, name, missing) for name in LOGS}
    evaluations = _evaluations(run, missing)
    busy = False
    try:
        busy = run.busy
    except _BROKEN:  # a folder that may not be locked
        busy = False
    missing += _version(facts, manifest)
    return Kept(
        *(run, label, config, facts, status, manifest, lines, evaluations, busy, tuple(missing)),
        checkpoint=checkpoint,
    )


@contextmanager
def bearing(found: list[str], what: str) -> Iterator[None]:
    """What is damaged in the block becomes one line in ``found``; the rest of a page goes on."""
    try:
        yield
    except _BROKEN as error:
        said = f"it has no {error}" if isinstance(error, KeyError) else one_line(error)
        found.append(f"{what} cannot be shown: {said}")


def graph(data: Any) -> Topology | None:
    """A topology from plain data; None where it is none."""
    try:
        return Topology.from_dict(data)
    except _BROKEN:
        return None


def number(value: Any) -> float | None:
    """A finite number, else None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def text(value: Any) -> str:
    """A string, else nothing."""
    return value if isinstance(value, str) else ""


def below(data: Any, *keys: str) -> Row:
    """A mapping inside mappings; an empty one where it is not there."""
    for key in keys:
        data = data.get(key) if isinstance(data, Mapping) else None
    return data if isinstance(data, Mapping) else {}


def rows(value: Any) -> list[Any]:
    """A list, else an empty one."""
    return value if isinstance(value, list) else []


def interval(summary: Row) -> dict[str, Any] | None:
    """The interval of an accuracy, where it has two numbers."""
    found = below(summary, "interval")
    low, high = number(found.get("low")), number(found.get("high"))
    return None if low is None or high is None else {"low": low, "high": high}


def scored(items: Mapping[str, Row]) -> list[Row]:
    """Items with a score that is a number in [0, 1] or None, as tests want them."""
    return [
        {"id": key, "question": one["question"], "score": number(one.get("score"))}
        for key, one in items.items()
    ]


def _json(run: Run, name: str, missing: list[str], *, needed: bool) -> Row:
    if not needed and not (run.path / name).is_file():
        return {}
    try:
        return run.read(name)
    except _BROKEN as error:
        missing.append(f"{name} cannot be read: {one_line(error)}")
        return {}


def _lines(run: Run, name: str, missing: list[str]) -> tuple[Row, ...]:
    try:
        torn = run.damaged_lines(name)
        if torn:
            missing.append(f"{name}: {torn} damaged line(s) left out")
        return tuple(run.lines(name))
    except _BROKEN as error:
        missing.append(f"{name} cannot be read: {one_line(error)}")
        return ()


def _evaluations(run: Run, missing: list[str]) -> dict[str, Evaluated]:
    found: dict[str, Evaluated] = {}
    try:
        names = sorted(path.stem for path in (run.path / "evaluations").glob("[!.]*.json"))
    except OSError as error:
        missing.append(f"evaluations cannot be read: {one_line(error)}")
        return found
    for name in names:
        with bearing(missing, f"evaluation {visible(name)}"):
            found[name] = _evaluated(run, name, missing)
    return found


def _evaluated(run: Run, name: str, missing: list[str]) -> Evaluated:
    summary = run.read(f"evaluations/{name}.json")
    damaged, items = run.damaged_lines(f"evaluations/{name}.jsonl"), {}
    for row in run.lines(f"evaluations/{name}.jsonl"):
        if isinstance(row.get("id"), str) and isinstance(row.get("question"), str):
            items[row["id"]] = row
        else:
            damaged += 1
    if damaged:
        missing.append(f"evaluation {visible(name)}: {damaged} damaged item(s) left out")
    prompts = {key: read for key, read in run.prompts(name).items() if isinstance(read, list)}
    return Evaluated(name, summary, items, prompts, damaged)


def _version(facts: Row, manifest: Row) -> list[str]:
    """Whether a later version wrote the run than reads it."""
    wrote = text(below(facts, "versions").get("neuromas"))
    mine = own_version()
    later = _numbers(wrote) > _numbers(mine)
    form = number(manifest.get("format"))
    if later or (form is not None and form > 1):
        by = f"neuromas {visible(wrote[:40])}" if wrote else "a later version"
        return [f"written by {by}, read by {mine}: what this version does not know is left out"]
    return []


def own_version() -> str:
    """The version that reads, as it is installed."""
    try:
        return version("neuromas")
    except PackageNotFoundError:
        return "unknown"


def _numbers(said: str) -> tuple[int, ...]:
    found = re.match(r"\d{1,6}(\.\d{1,6}){0,3}", said)
    return tuple(map(int, found[0].split("."))) if found else ()
