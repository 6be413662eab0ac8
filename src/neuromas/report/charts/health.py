"""Training health over steps: whatever of its measures a run has logged, with its alarms."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from neuromas.core.errors import RunError
from neuromas.report.charts import lines
from neuromas.report.charts.curves import rows_of, stages_of
from neuromas.report.charts.frame import Chart, Size, finished, plain, unchecked
from neuromas.report.charts.series import Told, finite, line, thinned, width
from neuromas.report.reading import readable

Row = Mapping[str, Any]
_WIDTH, _HEIGHT = 520, 80


def _largest(name: str) -> Callable[[Row], float | None]:
    """The largest value of a measure that nodes, or adapters, have each."""

    def read(row: Row) -> float | None:
        found = row.get(name)
        values = (
            found.values() if isinstance(found, Mapping) else found if isinstance(found, list) else [found]
        )
        return max((value for value in map(finite, values) if value is not None), default=None)

    return read


def _least(name: str) -> Callable[[Row], float | None]:
    """The smallest value of a measure that nodes have each."""

    def read(row: Row) -> float | None:
        values = row.get(name)
        known = [finite(value) for value in values] if isinstance(values, list) else []
        return min((value for value in known if value is not None), default=None)

    return read


def _favourite(row: Row) -> float | None:
    found = row.get("favourite")
    return finite(found.get("share")) if isinstance(found, Mapping) else None


_MEASURES: dict[str, tuple[str, Callable[[Row], float | None]]] = {
    "kl": ("KL of an update, largest of the nodes (nats a token)", _largest("kl")),
    "gradient": ("gradient norm before clipping, largest of the nodes", _largest("gradient_norm")),
    "entropy": ("entropy, mean (nats a token)", _largest("entropy")),
    "least entropy": ("entropy of the node that varies least (nats a token)", _least("node_entropy")),
    "silent": ("problems without signal, share", _largest("silent_groups")),
    "favourite": ("most frequent answer, share", _favourite),
    "unread": ("answers that could not be read, share", _largest("parse_failures")),
    "truncated": ("messages cut at their limit, share at the worst node", _largest("truncated")),
    "drift": ("sampler against learner, largest difference", _largest("sampler_drift")),
    "critic": ("explained variance of the critic", _largest("explained_variance")),
}


@unchecked
def health(runs: Sequence[Told], size: Size | None = None) -> Chart:
    """A panel for every measure that was logged; seeds and means as in learning curves.

    Dashed rules are ends of stages, full ones alarms with their names, each when it first rang in a run.
    Raises RunError where none was logged.
    """
    names = list(dict.fromkeys(one.line for one in runs))
    rows: list[dict[str, Any]] = []
    titles: dict[str, str] = {}
    with readable("a run's log"):
        logs = {one: one.rows("metrics.jsonl") for one in runs}
        for what, (title, read) in _MEASURES.items():
            known = {one: line(log, read, after=1) for one, log in logs.items()}
            steps = width(known.values())
            found = rows_of(what, {one: thinned(pairs, steps) for one, pairs in known.items()}, names)
            if found and what == "least entropy" and _alike(found, rows, "entropy"):
                continue  # of one node
            if found:
                titles[what] = f"{title}, mean of {steps} steps" if steps > 1 else title
                rows += found
    if not rows:
        raise RunError(f"{runs[0].run.path}: no measure of training health was logged yet")
    marks = [*stages_of(runs), *_alarms(runs)]
    chosen = (size or Size()).filled(_WIDTH, _HEIGHT)
    last = list(titles)[-1]
    panels = [
        lines.panel(rows, marks, what, lines.Look(title, "~g", names, chosen, what == last, words=not number))
        for number, (what, title) in enumerate(titles.items())
    ]
    caption = f"Training health of {', '.join(names)}"
    return finished(lines.below(panels), "health", caption, [*rows, *marks])


def _alike(found: Sequence[Row], rows: Sequence[Row], what: str) -> bool:
    """Whether a measure has the values of another one."""
    return [row["value"] for row in found] == [row["value"] for row in rows if row["what"] == what]


def _alarms(runs: Sequence[Told]) -> list[dict[str, Any]]:
    """The first time that each alarm rang in a run."""
    found: dict[tuple[str, str, int], float] = {}
    for one in runs:
        for row in one.rows("events.jsonl"):
            if row.get("event") == "alarm":
                key = (one.line, plain(row.get("name", "alarm"), 16), one.seed)
                found.setdefault(key, float(row["step"]))
    return [
        {"what": "alarm", "line": name, "of": f"{alarm}", "step": step}
        for (name, alarm, _), step in found.items()
    ]
