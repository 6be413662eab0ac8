"""The law of products: accuracy over the product of local accuracies, a mark a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from neuromas.core.errors import RunError
from neuromas.core.shares import product
from neuromas.report.charts.frame import Chart, Size, finished, inline, named, plain, unchecked
from neuromas.report.charts.key import ROW, Key
from neuromas.report.charts.palette import SOFT
from neuromas.report.reading import readable
from neuromas.storage import read_json

Row = Mapping[str, Any]
_SIDE = 420
_TELL = "neuromas show RUN --local --json > FILE.json writes them"


@unchecked
def law(points: Sequence[Row], name: str = "law", size: Size | None = None) -> Chart:
    """On the dashed diagonal lies what follows the law.

    A point has ``group`` (one mark each), ``predicted`` and ``accuracy`` in [0, 1], and optionally ``low``
    and ``high`` of the accuracy and ``name``, which is its title.
    """
    import altair as alt

    shown = named([str(point["group"]) for point in points])
    counts = [sum(str(point["group"]) == group for point in points) for group in shown]
    notes = {
        text: f" ({count})" if count > 1 else "" for text, count in zip(shown.values(), counts, strict=True)
    }
    key = Key(list(shown.values()))
    chosen = (size or Size()).filled(_SIDE, max(_SIDE, ROW * len(shown)))
    data = [
        {
            "line": shown[str(point["group"])],
            "said": plain(f"{point.get('name') or point['group']}"),
            **_place(point),
        }
        for point in points
    ]

    def base(some: Sequence[Row], field: str = "accuracy") -> Any:
        x, y = (
            _share("predicted", "product of local accuracies, given right inputs"),
            _share(field, "accuracy"),
        )
        return alt.Chart(inline(some)).encode(x=x, y=y, color=key.colour())

    ends = [{"predicted": end, "accuracy": end} for end in (0.0, 1.0)]
    layers = [
        base(ends)
        .mark_line(strokeDash=[4, 4], strokeWidth=1.2, color=SOFT)
        .encode(color=alt.ColorValue(SOFT)),
        base([row for row in data if row["low"] is not None], "low")
        .mark_rule(strokeWidth=1.2, opacity=0.6)
        .encode(y2=alt.Y2("high:Q")),
        base(data)
        .mark_point(size=50, filled=True, opacity=0.9)
        .encode(shape=key.shape(), description=alt.Description("said:N")),
    ]
    panel = alt.layer(*layers, width=chosen.width, height=chosen.height)
    beside = key.beside(panel, key.names, notes, "mark")
    caption = f"{plain(name)}: accuracy over the product of local accuracies"
    rows = [{**{key: row[key] for key in row if key != "said"}, "name": row["said"]} for row in data]
    return finished(beside, "law", caption, rows)


def points_of(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """The points of experiments whose results tell the law, or of files of local answers.

    Raises RunError where a file has neither.
    """
    found: list[dict[str, Any]] = []
    for path in paths:
        file = path / "results.json" if path.is_dir() else path
        if not file.is_file():
            raise RunError(f"{path} tells no local answers; {_TELL}")
        data = read_json(file)
        with readable(str(file)):
            found += of_results(data) if "points" in data else [_of_answers(data, path.stem)]
    if not found:
        raise RunError(f"{paths[0]} tells no local answers; {_TELL}")
    return found


def of_results(found: Row) -> list[dict[str, Any]]:
    """The networks in results that were beside the law.

    Their intervals are of the distance from the law, so a bar that leaves the diagonal refutes it.
    """
    rows = []
    for one in found.get("law", {}).get("cells", ()):
        task, arm, seed = str(one["cell"]).split("/")
        ends = {end: min(1.0, max(0.0, one["predicted"] + one[end])) for end in ("low", "high")}
        rows.append({**one, "group": f"{task}, {arm}", "name": f"{arm}, {seed}", **ends})
    return rows


def _of_answers(found: Row, name: str) -> dict[str, Any]:
    """One network from what ``neuromas show --local`` tells."""
    shares = [one["given"]["share"] for one in found["nodes"]]
    predicted = product(shares)
    if predicted is None:
        raise RunError(f"{name}: not every node was asked with right inputs, so the product is not known")
    own = found["accuracy"]
    return {"group": name, "name": name, "predicted": predicted, "accuracy": own["share"]} | {
        "low": own["low"],
        "high": own["high"],
    }


def _place(point: Row) -> dict[str, Any]:
    ends = {name: point.get(name) for name in ("low", "high")}
    return {"predicted": float(point["predicted"]), "accuracy": float(point["accuracy"]), **ends}


def _share(field: str, title: str) -> Any:
    """An axis from 0 to 1 in percent."""
    import altair as alt

    kind = alt.X if field == "predicted" else alt.Y
    axis = alt.Axis(format=".0%", tickCount=5, labelFlush=False)
    return kind(f"{field}:Q", title=title, axis=axis, scale=alt.Scale(domain=[0, 1]))
