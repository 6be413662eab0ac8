"""Learning curves: reward by step and validations, every seed a thin line and their mean a thick one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from neuromas.core.errors import RunError
from neuromas.report.charts import lines
from neuromas.report.charts.frame import Chart, Size, finished, plain, unchecked
from neuromas.report.charts.series import Told, line, mean, thinned, told, width
from neuromas.report.reading import readable

_WIDTH, _HEIGHT = 520, 170


@unchecked
def curves(paths: Sequence[Path], size: Size | None = None) -> Chart:
    """The chart of one run, of several seeds of one configuration, or of several configurations.

    Runs whose configurations differ in the seed alone are one line's seeds. A mean is drawn where all of a
    line's seeds have a value. Vertical rules are ends of stages, with the network that went on from there.
    Raises RunError with one line where a folder is no run, or no run made a step.
    """
    runs = told(paths)
    with readable("a run's log"):
        rewards = {one: line(one.rows("metrics.jsonl"), lambda row: row["reward"], after=1) for one in runs}
        checks = {one: line(one.rows("validation.jsonl"), lambda row: row.get("accuracy")) for one in runs}
    if not any(rewards.values()) and not any(checks.values()):
        raise RunError(f"{paths[0]}: no step was made yet, so there is no learning curve")
    steps = width(rewards.values())
    names = list(dict.fromkeys(one.line for one in runs))
    rows = [
        *rows_of("reward", {one: thinned(pairs, steps) for one, pairs in rewards.items()}, names),
        *rows_of("validation", checks, names),
    ]
    marks = stages_of(runs)
    each = f"reward, mean of {steps} steps" if steps > 1 else "reward of a step"
    titles = (("reward", each, ".2~f"), ("validation", "accuracy on validation", ".0%"))
    shown = [one for one in titles if any(row["what"] == one[0] for row in rows)]
    panels = [
        lines.panel(
            rows,
            marks,
            what,
            lines.Look(text, form, names, _size(size), what == shown[-1][0], dots=what == "validation"),
        )
        for what, text, form in shown
    ]
    seeds = {one.seed for one in runs}
    about = f"{len(runs)} runs" if len(runs) > 1 else f"seed {runs[0].seed}"
    caption = f"Learning curves of {', '.join(names)} ({about})"
    if len(seeds) > 1:
        caption += ": every run a thin line, the mean over seeds a thick one"
    return finished(lines.below(panels), "curves", caption, [*rows, *marks])


def _size(size: Size | None) -> Size:
    return (size or Size()).filled(_WIDTH, _HEIGHT)


def rows_of(
    what: str, known: dict[Told, list[tuple[float, float]]], names: Sequence[str]
) -> list[dict[str, Any]]:
    """Seeds, and the mean of every line that has several, in long form."""
    rows: list[dict[str, Any]] = []
    for name in names:
        mine = {one: pairs for one, pairs in known.items() if one.line == name and pairs}
        for number, (one, pairs) in enumerate(mine.items()):
            said = (
                f"seed {one.seed}" if list(x.seed for x in mine).count(one.seed) == 1 else f"run {number + 1}"
            )
            rows += [
                {"what": what, "line": name, "of": said, "step": step, "value": value}
                for step, value in pairs
            ]
        if len(mine) > 1:
            rows += [
                {"what": what, "line": name, "of": "mean", "step": step, "value": value}
                for step, value in mean(list(mine.values()))
            ]
    return rows


def stages_of(runs: Sequence[Told]) -> list[dict[str, Any]]:
    """Ends of stages, each once a line."""
    found = {(one.line, step, plain(to, 24)): 0 for one in runs for step, to in one.stages()}
    return [{"what": "stage", "line": name, "of": to, "step": float(step)} for name, step, to in found]
