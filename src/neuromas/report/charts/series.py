"""What run directories say step by step, for charts of one run, of seeds and of arms side by side."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neuromas.core.errors import RunError
from neuromas.report.charts.frame import named
from neuromas.report.reading import readable
from neuromas.storage import Run

Row = Mapping[str, Any]
MOST = 240  # points of a line; longer ones are drawn as means of so many steps that these are left
_SEED = re.compile(r"seed-\d+")


@dataclass(frozen=True, slots=True)
class Told:
    """A run as charts read it. ``line`` is what it is called, ``seed`` is its own."""

    line: str
    seed: int
    run: Run

    def rows(self, name: str) -> list[dict[str, Any]]:
        """The lines of a log that say at which step they were written, in the order of steps."""
        rows = [row for row in self.run.lines(name) if _whole(row.get("step"))]
        return sorted(rows, key=lambda row: int(row["step"]))

    def stages(self) -> list[tuple[int, str]]:
        """Steps after which the network was another, and which it was then; from the log of growths."""
        return [
            (int(row["step"]), str(row.get("to", ""))) for row in self.rows("growth.jsonl") if row["step"]
        ]


def told(paths: Sequence[Path]) -> list[Told]:
    """Runs, those of one configuration with other seeds under one name. Raises RunError."""
    found: dict[str, list[tuple[int, Path, Run]]] = {}
    for path in paths:
        run = Run.open(path)
        config = run.read("config.json")
        seed = config.get("seed")
        if not isinstance(seed, int):
            raise RunError(f"{run.path}/config.json is damaged: it has no whole seed")
        rest = {key: value for key, value in config.items() if key not in ("seed", "run")}
        with readable(f"run {str(path)!r}"):
            found.setdefault(_same(rest), []).append((seed, path, run))
    names = _distinct([_called([path for _, path, _ in group]) for group in found.values()])
    shown = named(names)
    return [
        Told(shown[name], seed, run)
        for name, group in zip(names, found.values(), strict=True)
        for seed, _, run in sorted(group, key=lambda one: (one[0], str(one[1])))
    ]


def _same(config: Mapping[str, Any]) -> str:
    """What is equal for runs that differ in their seed alone: a parent is the parent of the same seed."""
    return re.sub(r"seed-\d+", "seed", repr(config))


def _called(paths: Sequence[Path]) -> str:
    """The name of a group of runs: the folder of its seeds, or what their names begin with."""
    places = [path.resolve() for path in paths]
    if all(_SEED.fullmatch(place.name) for place in places):
        return places[0].parent.name
    name = places[0].name
    for place in places[1:]:
        name = name[
            : next((i for i, (a, b) in enumerate(zip(name, place.name, strict=False)) if a != b), None)
        ]
    name = name.rstrip("-_. ") if len(places) > 1 else name
    return name or places[0].name


def _distinct(names: Sequence[str]) -> list[str]:
    """The names, numbered where one comes again."""
    found: list[str] = []
    for name in names:
        number, text = 1, name
        while text in found:
            number += 1
            text = f"{name} ({number})"
        found.append(text)
    return found


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def finite(value: object) -> float | None:
    """A number that a chart can show; None where there is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def line(rows: Iterable[Row], read: Callable[[Row], object], after: int = 0) -> list[tuple[float, float]]:
    """Step (plus ``after``) and value of every row that has one."""
    pairs = ((row["step"] + after, finite(read(row))) for row in rows)
    return [(float(step), value) for step, value in pairs if value is not None]


def width(lines: Iterable[Sequence[tuple[float, float]]]) -> int:
    """How many steps a point stands for, so that no line has more than ``MOST`` points."""
    return max((math.ceil(len(one) / MOST) for one in lines), default=1) or 1


def thinned(pairs: Sequence[tuple[float, float]], steps: int) -> list[tuple[float, float]]:
    """Means of so many consecutive steps, each at its last one; the same steps for every line."""
    if steps == 1:
        return list(pairs)
    found: dict[int, list[float]] = {}
    for step, value in pairs:
        found.setdefault(math.ceil(step / steps) * steps, []).append(value)
    return [(float(step), sum(values) / len(values)) for step, values in found.items()]


def mean(lines: Sequence[Sequence[tuple[float, float]]]) -> list[tuple[float, float]]:
    """The mean of lines at the steps that all of them have: elsewhere it would be one of other seeds."""
    known = [dict(one) for one in lines]
    shared = [step for step in (known[0] if known else {}) if all(step in one for one in known)]
    return [(step, sum(one[step] for one in known) / len(known)) for step in shared]
