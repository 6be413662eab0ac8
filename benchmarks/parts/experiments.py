"""Parts of any experiment's results: its networks and comparisons, the terminal's page, how much is there."""

from __future__ import annotations

from typing import Any

from neuromas.report.blocks import percent
from neuromas.report.experiment import NOT_KEPT, chance, experiment_text, points

from .cells import table


def networks(data: dict[str, Any]) -> str:
    """The networks an experiment compares, one line each, and its comparisons over seeds."""
    compared = {tuple(pair[side]) for pair in data["comparisons"] for side in ("first", "second")}
    rows = []
    for point in data["points"]:
        if (point["arm"], point["stage"]) in compared:
            each = ", ".join(
                "–" if one["accuracy"] is None else f"{100 * one['accuracy']:.0f}" for one in point["seeds"]
            )
            what = f"{point['votes']} votes of {point['shape']}" if point["votes"] else point["shape"]
            mean = percent(point["accuracy"], point["interval"] if "items" in data else None)
            calls = f"{point['spent']['calls']:.0f}"
            rows.append((f"{point['arm']}:{point['stage']}", what, calls, mean, each))
    heads = ("way:stage", "network", "calls in training", "accuracy, mean of seeds", "each seed")
    lines = [*table(heads, rows), "", *map(_comparison, data["comparisons"])]
    if "items" not in data:
        lines += ["", f"Points by seed; {NOT_KEPT}."]
    return "\n".join(lines)


def _comparison(pair: dict[str, Any]) -> str:
    """One comparison: mean and interval by question and seed where scores were kept, and every seed."""
    (one, at), (other, later), found = pair["first"], pair["second"], pair.get("trainings")
    seeds = pair["seeds"]
    if not seeds["differences"]:
        return f"- {one}:{at} → {other}:{later} ({pair['why']}): no seed has both."
    mean = points(found["mean"], found["interval"]) if found else points(seeds["mean"], None)
    test = f", {chance(found)}" if found else ""
    each = ", ".join(f"{100 * value:+.0f}" for value in seeds["differences"])
    return f"- {one}:{at} → {other}:{later} ({pair['why']}): {mean}{test} (by seed {each})."


def report(data: dict[str, Any]) -> str:
    """The tables and comparisons of an experiment, as the command printed them."""
    return "```\n" + experiment_text(data).rstrip() + "\n```"


def there(data: dict[str, Any]) -> str:
    """How many cells of an experiment are there, and where to read which are not."""
    finished = data["cells"] - len(data["missing"])
    if not data["missing"]:
        return f"All {finished} cells are there."
    return (
        f"{finished} of {data['cells']} cells are there. How many seeds stand behind an accuracy is said "
        "beside it; arms without any stand below the tables, and every cell in `missing` of the result file."
    )
