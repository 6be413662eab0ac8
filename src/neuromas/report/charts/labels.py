"""Which answers a network gives beside those that are right: shares of items by label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from neuromas.core.errors import RunError
from neuromas.report.charts.frame import Chart, Size, finished, inline, named, unchecked
from neuromas.report.charts.palette import COLOURS, SOFT
from neuromas.report.charts.series import Told
from neuromas.report.reading import readable

_WIDTH, _HEIGHT = 620, 200
_MOST = 24  # labels with bars of their own
_LETTERS = 16
_OTHER, _NONE = "all others", "no answer"
_SIDES = {"gold": SOFT, "before training": COLOURS[1], "after training": COLOURS[0]}
_EVALUATIONS = {"before training": "test-before", "after training": "test-after"}


@unchecked
def labels(runs: Sequence[Told], size: Size | None = None) -> Chart:
    """Shares of gold answers and of answers before and after training, label by label.

    Labels are in the order of numbers where all are numbers, else the most frequent first; those beyond
    the most frequent are counted together. Several seeds are one panel with their items pooled, several
    lines have a panel each. Raises RunError where no run has a test evaluation.
    """
    import altair as alt

    rows: list[dict[str, Any]] = []
    for name in dict.fromkeys(one.line for one in runs):
        rows += _of_line(name, [one for one in runs if one.line == name])
    if not rows:
        raise RunError(f"{runs[0].run.path} has no evaluation on test questions, so there are no answers")
    chosen = (size or Size()).filled(_WIDTH, _HEIGHT)
    lines = list(dict.fromkeys(row["line"] for row in rows))
    panels = [_panel([row for row in rows if row["line"] == line], chosen, len(lines) > 1) for line in lines]
    caption = f"Answers of {', '.join(lines)} beside the right ones, as shares of the items"
    return finished(alt.vconcat(*panels, spacing=20), "labels", caption, rows)


def _of_line(name: str, runs: Sequence[Told]) -> list[dict[str, Any]]:
    """Shares by side and label, of all items of a line's seeds."""
    counts: dict[str, Counter[str]] = {}
    for one in runs:
        for side, evaluation in _EVALUATIONS.items():
            if not (one.run.path / "evaluations" / f"{evaluation}.json").is_file():
                continue
            _, items = one.run.evaluation(evaluation)
            with readable(f"{one.run.path}/evaluations/{evaluation}.jsonl"):
                counts.setdefault(side, Counter()).update(_answer(item) for item in items)
                golds = counts.setdefault("gold", Counter())
                if not golds or side == "after training":
                    golds.update(str(item["gold"]) for item in items)
    total: Counter[str] = sum(counts.values(), Counter())
    return [
        {"line": name, "side": side, "label": label, "share": share, "items": counts[side].total()}
        for side in _SIDES
        if counts.get(side)
        for label, share in _shares(counts[side], _order(total)).items()
    ]


def _answer(item: Mapping[str, Any]) -> str:
    parsed = item.get("parsed")
    return _NONE if parsed is None else str(parsed)


def _order(total: Counter[str]) -> list[str]:
    """The labels with bars of their own, in the order in which they stand."""
    kept = [label for label, _ in total.most_common() if label != _NONE][:_MOST]
    try:
        return sorted(kept, key=float)
    except ValueError:
        return kept


def _shares(counts: Counter[str], order: Sequence[str]) -> dict[str, float]:
    """The share of each label, of all others and of items without an answer."""
    shown, whole = named(order, _LETTERS), counts.total()
    found = {shown[label]: counts[label] / whole for label in order}
    rest = whole - sum(counts[label] for label in order) - counts[_NONE]
    return {**found, _OTHER: rest / whole, _NONE: counts[_NONE] / whole}


def _panel(rows: Sequence[Mapping[str, Any]], size: Size, headed: bool) -> Any:
    """Bars side by side for every label; those that nobody has have no place."""
    import altair as alt

    some = [label for label in dict.fromkeys(row["label"] for row in rows) if _any(rows, label)]
    sides = [side for side in _SIDES if any(row["side"] == side for row in rows)]
    data = [{**row, "said": _said(row)} for row in rows if row["label"] in some]
    colour = alt.Scale(domain=sides, range=[_SIDES[side] for side in sides])
    chart = (
        alt.Chart(inline(data))
        .mark_bar()
        .encode(
            x=alt.X("label:N", sort=some, title="answer", axis=alt.Axis(labelAngle=-40, labelOverlap=False)),
            xOffset=alt.XOffset("side:N", sort=sides),
            y=alt.Y("share:Q", title="share of items", axis=alt.Axis(format=".0%", tickCount=4)),
            color=alt.Color("side:N", scale=colour, legend=alt.Legend(title=None, orient="top")),
            description=alt.Description("said:N"),
        )
    )
    title = {"title": rows[0]["line"]} if headed else {}
    return chart.properties(width=size.width, height=size.height, **title)


def _any(rows: Sequence[Mapping[str, Any]], label: str) -> bool:
    return any(row["share"] > 0 for row in rows if row["label"] == label)


def _said(row: Mapping[str, Any]) -> str:
    return f"{row['label']}, {row['side']}: {100 * row['share']:.1f} % of {row['items']} items"
