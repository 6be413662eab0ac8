"""How a run was trained: learning curves, health step by step, alarms, and what it cost."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from neuromas.report.blocks import Cell, Shown, Table
from neuromas.report.html import charts
from neuromas.report.html.kept import Kept, Row, below, number, rows, text
from neuromas.report.html.parts import Fold, Lead, Note, Part
from neuromas.report.stages import stages_table

if TYPE_CHECKING:
    from neuromas.report.charts.frame import Size

_EVENTS = 200  # lines of a log that are shown
_OPEN = 4  # of them without a click
_MOST_HEADER = 1 << 20
_WINDOW = 10
_ASKED = 60  # evaluations whose cost is listed
_WIDE, _NARROW = 760, 600  # pixels of a panel
_HEALTH = (
    ("reward", "reward", 3),
    ("silent_groups", "problems without signal", 3),
    ("entropy", "entropy, nats a token", 3),
    ("sampler_drift", "sampler against learner", 4),
    ("parse_failures", "parse failures", 3),
    ("failed_episodes", "failed episodes", 1),
    ("clip_share", "clipped share", 3),
    ("loss", "loss", 4),
)


def curve_parts(groups: Sequence[Sequence[Kept]]) -> list[Part]:
    """Learning curves of all runs, and every validation as a table."""
    from neuromas.report.charts.curves import curves

    runs = [run for group in groups for run in group]
    told = [run for run in runs if run.lines["metrics.jsonl"] or run.lines["validation.jsonl"]]
    if not told:
        return [Note("no step was made yet, so there is no learning curve")]
    parts: list[Part] = []
    if len(groups) < len(runs):
        sizes = ", ".join(f"{len(group)} seeds" if len(group) > 1 else "one run" for group in groups)
        parts.append(
            Lead(f"Runs whose configurations differ in the seed alone are one line with its seeds: {sizes}.")
        )
    parts += charts.drawn(lambda: curves([run.run.path for run in told], _size(told)))
    if any(number(row.get("step")) for run in told for row in run.lines["growth.jsonl"]):
        parts.append(Lead("Vertical rules: after this step the network, or what it sees, was another."))
    return [
        *parts,
        *(Note(f"{run.label}: no step was made yet") for run in runs if run not in told),
        *_checks(told),
    ]


def stage_parts(run: Kept) -> list[Part]:
    """A row for every stage of a run that has some."""
    table = stages_table(run.config, run.lines, run.status) if run.config else None
    return [] if table is None else [table]


def health_parts(run: Kept) -> list[Part]:
    """Alarms and notes in the order of steps, then numbers of the first, middle and last steps."""
    events, metrics = run.lines["events.jsonl"], run.lines["metrics.jsonl"]
    parts: list[Part] = []
    lines: list[Part] = []
    for row in events[:_EVENTS]:
        step = number(row.get("step"))
        at = "" if step is None else f"step {step:.0f}: "
        lines.append(
            Note(f"{at}{text(row.get('text'))[:1000]}", "warn" if row.get("event") == "alarm" else "info")
        )
    if len(events) > _EVENTS:
        lines.append(Note(f"and {len(events) - _EVENTS} more in events.jsonl"))
    parts += lines[:_OPEN]
    if len(lines) > _OPEN:
        rest = tuple(lines[_OPEN:])
        parts.append(Fold(f"fold-events-{run.key}", f"{len(rest)} more alarms and notes", rest))
    if not events:
        parts.append(Lead("No alarm went off."))
    if not metrics:
        return [*parts, Note("metrics.jsonl has no step yet")]
    return [*parts, *_health_chart(run), _phases(metrics)]


def cost_parts(run: Kept) -> list[Part]:
    """What training and one question cost."""
    spent = below(run.manifest, "spent")
    metrics = run.lines["metrics.jsonl"]
    mine = {
        key: sum(number(row.get(key)) or 0.0 for row in metrics)
        for key in ("calls", "prompt_tokens", "new_tokens")
    }
    seconds = sum(sum(number(one) or 0.0 for one in below(row, "seconds").values()) for row in metrics)
    body: list[tuple[Cell, ...]] = [
        (
            "this run",
            len(metrics),
            *(mine[key] for key in ("calls", "prompt_tokens", "new_tokens")),
            _whole(seconds),
        )
    ]
    if spent:
        keys = ("steps", "calls", "prompt_tokens", "new_tokens", "seconds")
        body.append(
            ("network handed on, with its ancestors", *(_whole(number(spent.get(key))) for key in keys))
        )
    body = [
        (row[0], *(_whole(number(cell)) if isinstance(cell, int | float) else cell for cell in row[1:]))
        for row in body
    ]
    parts: list[Part] = [
        Table(
            ("training", "steps", "calls", "tokens read", "tokens written", "seconds"),
            tuple(body),
            "training",
        )
    ]
    asked = _questions(run)
    if asked.rows:
        parts.append(asked)
    trained = parameters(run)
    if trained:
        parts.append(Lead(f"Trainable parameters: {trained:,} in {len(_adapters(run))} adapters."))
    else:
        parts.append(Note("trainable parameters are not known: no checkpoint was kept"))
    return parts


def parameters(run: Kept) -> int:
    """Numbers in all adapters of the network handed on, from the heads of their files; 0 if not known."""
    total = 0
    for name in _adapters(run):
        path = run.run.handed_on / name
        if not path.is_file() or not path.resolve().is_relative_to(run.run.path.resolve()):
            return 0
        with path.open("rb") as stream:
            size = int.from_bytes(stream.read(8), "little")
            head = json.loads(stream.read(size)) if size <= _MOST_HEADER else {}
        for key, one in head.items():
            if key != "__metadata__":
                count = 1
                for length in one["shape"]:
                    count *= int(length)
                total += count
    return total


def _adapters(run: Kept) -> list[str]:
    return [name for name in below(run.manifest, "files") if name.endswith("adapter_model.safetensors")]


def _checks(runs: Sequence[Kept]) -> list[Part]:
    """Validations, folded away: a row a step, a column a run."""
    found: dict[float, dict[str, float]] = {}
    for run in runs:
        for row in run.lines["validation.jsonl"]:
            step, value = number(row.get("step")), number(row.get("accuracy"))
            if step is not None and value is not None:
                found.setdefault(step, {})[run.label] = value
    if not found:
        return [Note("no validation yet")]
    names = [run.label for run in runs]
    body = tuple((int(step), *(_share(found[step].get(name)) for name in names)) for step in sorted(found))
    return [
        Fold(
            "fold-validations",
            "Validations as a table",
            (Table(("step", *names), body, "validation accuracy"),),
        )
    ]


def _size(runs: Sequence[Kept]) -> Size:
    """Wide where there is no key beside the panels."""
    from neuromas.report.charts.frame import Size

    return Size(_WIDE if len(runs) == 1 else _NARROW)


def _health_chart(run: Kept) -> list[Part]:
    """Health over steps, drawn."""
    from neuromas.report.charts.health import health
    from neuromas.report.charts.series import told as series

    return charts.drawn(lambda: health(series([run.run.path]), _size([run])))


def _phases(metrics: Sequence[Row]) -> Table:
    """Means over the first, middle and last steps."""
    middle = max(0, len(metrics) // 2 - _WINDOW // 2)
    parts = (metrics[:_WINDOW], metrics[middle : middle + _WINDOW], metrics[-_WINDOW:])
    body: list[tuple[Cell, ...]] = []
    for key, words, digits in _HEALTH:
        values = [_mean(number(row.get(key)) for row in part) for part in parts]
        if any(value is not None for value in values):
            body.append(
                (words, *(None if one is None else Shown(f"{one:.{digits}f}", one) for one in values))
            )
    for key, words in (("kl", "largest KL of a node"), ("gradient_norm", "largest gradient norm of a node")):
        values = [_mean(_largest(row.get(key)) for row in part) for part in parts]
        if any(value is not None for value in values):
            body.append((words, *(None if one is None else Shown(f"{one:.4f}", one) for one in values)))
    names = (f"first {len(parts[0])} steps", "middle", f"last {len(parts[2])} steps")
    return Table(("mean of", *names), tuple(body), "training health")


def _questions(run: Kept) -> Table:
    """What a question cost in every evaluation."""
    body: list[tuple[Cell, ...]] = []
    for name, one in list(run.evaluations.items())[:_ASKED]:
        values = [number(one.summary.get(key)) for key in ("calls", "prompt_tokens", "new_tokens", "flops")]
        flops = values[3]
        body.append(
            (
                name,
                *(None if value is None else Shown(f"{value:.1f}", value) for value in values[:3]),
                None if flops is None else Shown(f"{flops:.3g}", flops),
            )
        )
    columns = ("evaluation", "calls", "tokens read", "tokens written", "FLOPs")
    known = any(row[4] is not None for row in body)
    return Table(
        columns if known else columns[:4], tuple(row if known else row[:4] for row in body), "a question"
    )


def _largest(value: object) -> float | None:
    """The largest number of a list or mapping by node."""
    listed = list(value.values()) if isinstance(value, dict) else rows(value)
    found = [one for one in map(number, listed) if one is not None]
    return max(found, default=None)


def _mean(values: object) -> float | None:
    found = [one for one in values if one is not None]  # type: ignore[attr-defined]
    return sum(found) / len(found) if found else None


def _share(value: float | None) -> Shown | None:
    return None if value is None else Shown(f"{100 * value:.1f} %", value)


def _whole(value: float | None) -> Shown | None:
    return None if value is None else Shown(f"{value:,.0f}", value)
