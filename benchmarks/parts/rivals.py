"""Parts of docs/rivals.md, from results/rivals.json and results/public.json."""

from __future__ import annotations

from typing import Any

from . import short_tables
from .cells import said, share, table
from .experiments import there

HEADLINE = {
    "network-3": "3 nodes",
    "single": "one",
    "malt-any": "MALT at threshold 0",
    "collm-cc": "CoLLM-CC",
    "direct": "untrained",
}


def headline(data: dict[str, Any]) -> str:
    """The headline arms of the rivals, of every task one after another."""
    by_task = costs(data)
    told = []
    for arm, who in HEADLINE.items():
        mine = [{one["arm"]: one for one in found}.get(arm) for found in by_task.values()]
        told.append(f"{who} {' / '.join('–' if one is None else share(one['accuracy']) for one in mine)}")
    asked = " / ".join(f"`{task}`" for task in by_task)
    about = f"- Rivals, equal training, {asked}, percent: {', '.join(told)}"
    return f"{about} ([seeds, all arms](docs/rivals.md))"


def costs(data: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The points of every task with a seed at least, for the figures of the rivals."""
    found: dict[str, list[dict[str, Any]]] = {}
    for point in data["points"]:
        if point["seeds"]:
            found.setdefault(point["task"], []).append(point)
    return found


def rivals(data: dict[str, Any]) -> str:
    """What is there of the rivals, a figure for every task, tables and comparisons."""
    lines = [there(data)]
    lines += [f"Failed: {name}: {cause}." for name, cause in data["failed"].items()]
    lines += ["", short_tables.rivals(data)]
    for task in costs(data):
        lines += ["", f"![{task}: accuracy over FLOPs a question](rivals-{task}.svg)"]
    return "\n".join([*lines, "", short_tables.compared(data)])


def public(data: dict[str, Any]) -> str:
    """Where the model stands on public sets, beside the best constant answer."""
    by_set: dict[str, list[dict[str, Any]]] = {}
    for one in data["rows"]:
        by_set.setdefault(one["set"], []).append(one)
    counts = sorted({one["examples"] for one in data["rows"]})
    rows = []
    for name, standings in by_set.items():
        at = {one["examples"]: one for one in standings}
        right = [f"{100 * at[n]['greedy']:.0f} (at least {100 * at[n]['low']:.0f})" for n in counts]
        best = f"{100 * standings[0]['constant']:.0f} ({said(standings[0]['constant_text'])})"
        rows.append((name, standings[0]["items"], *right, best))
    heads = ("set", "questions", *(f"{count} worked examples" for count in counts), "best constant answer")
    refused = (f"Not read: {name}, {said(why, 200)}." for name, why in data["refused"].items())
    return "\n".join([*table(heads, rows), "", *refused])


def written(data: dict[str, Any]) -> str:
    """The share of empty messages of every arm, in the order they are written, a column a task."""
    tasks = list(costs(data))
    arms: dict[str, dict[str, str]] = {}
    for one in data["written"]:
        shares = ", ".join(f"{100 * value:.0f}" for value in one["empty"])
        arms.setdefault(one["arm"], {})[one["task"]] = shares
    rows = [(f"`{arm}`", *(of.get(task, "–") for task in tasks)) for arm, of in arms.items()]
    return "\n".join(table(("arm", *tasks), rows))
