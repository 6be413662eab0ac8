"""Accuracy over the stages of grown networks: of runs, or of an experiment's arms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from neuromas.core.errors import RunError
from neuromas.report.charts.frame import Chart, Size, as_tabled, finished, inline, named, plain, unchecked
from neuromas.report.charts.key import ROW, Key
from neuromas.report.charts.series import Told
from neuromas.report.reading import read_evaluation, readable

Row = Mapping[str, Any]
_WIDTH, _HEIGHT = 420, 240
_START = "before"


def growth(runs: Sequence[Told], size: Size | None = None) -> Chart:
    """Test accuracy before training and after every stage, of each network on its stage's questions.

    Raises RunError where no run has more than one stage, or an evaluation is damaged.
    """
    rows = [row for one in runs for row in _of_run(one)]
    if not any(row["stage"] > 1 for row in rows):
        raise RunError(f"{runs[0].run.path} was tested after one stage alone, so there is no growth to show")
    lines = list(dict.fromkeys(row["line"] for row in rows))
    means = [row for line in lines for row in _means([row for row in rows if row["line"] == line])]
    caption = f"Test accuracy of {', '.join(lines)} after every stage"
    return _chart([("", [*means, *rows])], caption, lines, size)


def growth_of(found: Row, name: str = "experiment", size: Size | None = None) -> Chart:
    """The same of an experiment's arms with several stages; a panel a task.

    Raises RunError where no such arm is tested.
    """
    listed, left = as_tabled(found)
    points = [point for point in listed if not point["votes"] and not point.get("asked")]
    points = [point for point in points if point["accuracy"] is not None]
    staged = {(point["task"], point["arm"]) for point in points if point["stage"] > 1}
    mine = [point for point in points if (point["task"], point["arm"]) in staged]
    if not mine:
        raise RunError(f"{plain(name)} has no tested arm with several stages, so there is no growth to show")
    shown = named([point["arm"] for point in mine])
    panels: dict[str, list[dict[str, Any]]] = {}
    for point in mine:
        head = {"line": shown[point["arm"]], "network": plain(point["shape"], 24)}
        rows = panels.setdefault(plain(point["task"], 60), [])
        interval = point["interval"] or {}
        if point["stage"] == 1:
            untrained = [seed["untrained"] for seed in point["seeds"] if seed["untrained"] is not None]
            start = {"accuracy": sum(untrained) / len(untrained)} if untrained else None
            rows += [{**head, "of": "mean", "stage": 0, **start, "low": None, "high": None}] if start else []
        ends = {"low": interval.get("low"), "high": interval.get("high")}
        rows.append({**head, "of": "mean", "stage": point["stage"], "accuracy": point["accuracy"], **ends})
        rows += [
            {**head, "of": f"seed {seed['seed']}", "stage": point["stage"], "accuracy": seed["accuracy"]}
            | {"low": None, "high": None}
            for seed in point["seeds"]
            if seed["accuracy"] is not None
        ]
    caption = f"{plain(name)}: test accuracy after every stage{left}"
    return _chart(list(panels.items()), caption, list(shown.values()), size)


def _of_run(one: Told) -> list[dict[str, Any]]:
    """Accuracy before training and after every stage that was tested, with the network of then."""
    run, grown = one.run, [row for row in one.rows("growth.jsonl") if row["step"]]
    there = {path.stem for path in (run.path / "evaluations").glob("*.json")}
    names = ["test-before", *(f"stage-{number}" for number in range(1, len(grown) + 1)), "test-after"]
    with readable(f"run {str(run.path)!r}"):
        shapes = [str(run.read("config.json")["network"]["topology"])] * 2 + [str(row["to"]) for row in grown]
    rows = []
    for stage, (name, shape) in enumerate(zip(names, shapes, strict=True)):
        if name not in there:
            continue
        summary, _ = read_evaluation(run, name)
        if summary["accuracy"] is None:
            continue
        ends = summary["interval"] or {}
        rows.append(
            {"line": one.line, "of": f"seed {one.seed}", "network": plain(shape, 24), "stage": stage}
            | {"accuracy": summary["accuracy"], "low": ends.get("low"), "high": ends.get("high")}
        )
    return rows


def _means(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Means over seeds by stage; of one seed, itself with its interval."""
    found = []
    for stage in sorted({row["stage"] for row in rows}):
        here = [row for row in rows if row["stage"] == stage]
        mean = sum(row["accuracy"] for row in here) / len(here)
        alone = here[0] if len(here) == 1 else {"low": None, "high": None}
        ends = {"low": alone["low"], "high": alone["high"]}
        found.append({**here[0], "of": "mean", "accuracy": mean, **ends})
    return found


@unchecked
def _chart(
    panels: Sequence[tuple[str, Sequence[Row]]], caption: str, lines: Sequence[str], size: Size | None
) -> Chart:
    """A panel a task, with one key each."""
    import altair as alt

    key = Key(lines)
    shown = [_panel(title, rows, key, size or Size()) for title, rows in panels]
    kept = [{"panel": title, **row} for title, rows in panels for row in rows]
    return finished(alt.vconcat(*shown, spacing=26), "growth", caption, kept)


def _panel(title: str, rows: Sequence[Row], key: Key, size: Size) -> Any:
    """Lines over stages; under a stage stands the network, where all lines have the same."""
    import altair as alt

    names = [name for name in key.names if any(row["line"] == name for row in rows)]
    chosen = size.filled(_WIDTH, max(_HEIGHT, ROW * len(names)))
    last = max(row["stage"] for row in rows)
    shift = {name: 0.3 * ((i + 0.5) / len(names) - 0.5) for i, name in enumerate(names)}
    data = [{**row, "at": row["stage"] + shift[row["line"]], "said": _said(row)} for row in rows]
    means = [row for row in data if row["of"] == "mean"]
    words = [_place(rows, stage) for stage in range(last + 1)]
    label = " : ".join(f"datum.value == {stage} ? {text!r}" for stage, text in enumerate(words)) + " : ''"
    axis = alt.Axis(values=list(range(last + 1)), labelExpr=label, grid=False, labelOverlap=False)
    x = alt.X(
        "at:Q", title="stage", axis=axis, scale=alt.Scale(domain=[-0.3, last + 0.3], nice=False, zero=False)
    )
    most = max(max(row["accuracy"], row["high"] or 0.0) for row in rows)
    scale = alt.Scale(domain=[0, min(1.0, max(0.05, most))], nice=True)

    def base(some: Sequence[Row], field: str = "accuracy") -> Any:
        y = alt.Y(f"{field}:Q", title="accuracy", axis=alt.Axis(format=".0%", tickCount=5), scale=scale)
        return alt.Chart(inline(some)).encode(
            x=x, y=y, color=key.colour(), description=alt.Description("said:N")
        )

    layers = [
        base(means).mark_line(strokeWidth=2, strokeJoin="round").encode(strokeDash=key.dash()),
        base([row for row in means if row["low"] is not None], "low")
        .mark_rule(strokeWidth=1.2, opacity=0.6)
        .encode(y2=alt.Y2("high:Q")),
        base([row for row in data if row["of"] != "mean"]).mark_point(
            size=14, filled=True, opacity=0.5, shape="circle"
        ),
        base(means).mark_point(size=60, filled=True, opacity=1).encode(shape=key.shape()),
    ]
    head = {"title": title} if title else {}
    panel = alt.layer(*layers, width=chosen.width, height=chosen.height, **head)
    return key.beside(panel, names, {}) if len(key.names) > 1 else panel


def _place(rows: Sequence[Row], stage: int) -> str:
    """What stands under a stage: its number, and the network where all have the same."""
    if stage == 0:
        return _START
    networks = {row["network"] for row in rows if row["stage"] == stage}
    only = next(iter(networks)) if len(networks) == 1 else ""
    text = "".join(char for char in only if char.isalnum() or char in "-. ,")
    return f"{stage} ({text})" if text else str(stage)


def _said(row: Row) -> str:
    ends = "" if row["low"] is None else f" [{100 * row['low']:.1f}, {100 * row['high']:.1f}]"
    when = f"after stage {row['stage']} ({row['network']})" if row["stage"] else "before training"
    return f"{row['line']}, {row['of']}: {100 * row['accuracy']:.1f} %{ends} {when}"
