"""How much the messages of single nodes are needed: evaluations with these altered, beside one without.

Read from the summaries and items that ``neuromas evaluate RUN --messages blank --node NAME`` keeps. What such
a figure means, and what not, is in docs/numbers.md.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from neuromas.core.errors import RunError
from neuromas.report.blocks import Cell, Shown, Table, difference, points, share
from neuromas.report.reading import read_evaluation
from neuromas.report.tables import Items, paired
from neuromas.report.terminal import visible
from neuromas.statistics import Interval, PairedTest, holm
from neuromas.storage import Run
from neuromas.topology.graph import Topology
from neuromas.topology.places import speakers

Row = Mapping[str, Any]
WAYS = {"blank": "blanked", "shuffle": "taken from another question"}
LEVEL = 0.05  # of a test after Holm's correction; a star on drawings
MEANS = (
    "A drop says how much the answer needs this message under the prompts as trained; it is no share of "
    "credit, and nodes that say the same may each show 0."
)


@dataclass(frozen=True, slots=True)
class Need:
    """One node: the evaluation with its message altered, and what it lost against the unaltered one.

    ``test`` is unaltered minus altered on the ``count`` items that both have scores for: a win is an item
    lost without the message. ``adjusted`` is its p after Holm's correction over the nodes of the table.
    ``heard`` counts the items in which the message could reach the output, None where it was not kept.
    """

    node: str
    summary: Row
    test: PairedTest
    interval: Interval | None
    count: int
    adjusted: float
    heard: int | None


@dataclass(frozen=True, slots=True)
class Influence:
    """All nodes measured by one alteration of their messages on the same questions.

    ``baseline`` is the unaltered evaluation's summary, ``name`` its name.
    """

    messages: str
    name: str
    baseline: Row
    needs: tuple[Need, ...]


def influence(
    messages: str, name: str, baseline: tuple[Row, Items], altered: Mapping[str, tuple[Row, Items]]
) -> Influence:
    """Nodes in the order of ``altered``, each tested against the baseline, Holm over all of them.

    Both are summaries with items that have ``id``, ``question`` and ``score``. Raises RunError where two
    share no item.
    """
    tests = {node: paired(items, baseline[1]) for node, (_, items) in altered.items()}
    adjusted = holm([test.p_value for test, _, _ in tests.values()])
    needs = tuple(
        Need(node, altered[node][0], *found, p, _heard(altered[node][0]))
        for (node, found), p in zip(tests.items(), adjusted, strict=True)
    )
    return Influence(messages, name, baseline[0], needs)


def table(found: Influence) -> Table:
    """A row a node, between the network as it is and the best constant answer."""
    summary = found.baseline
    constant = summary.get("majority")
    best = constant.get("accuracy") if isinstance(constant, Mapping) else None
    empty: tuple[Cell, ...] = (None,) * 6
    body: list[tuple[Cell, ...]] = [("no message altered", _share(summary), *empty)]
    for one in found.needs:
        test, ends = one.test, one.interval
        body.append(
            (
                *(one.node, _share(one.summary), difference(test.difference, ends)),
                *(f"{test.wins}, {test.losses}, {test.ties}", Shown(f"{test.p_value:.2g}", test.p_value)),
                *(Shown(f"{one.adjusted:.2g}", one.adjusted), one.count, one.heard),
            )
        )
    body.append(("constant answer", share(best if _is_share(best) else None), *empty))
    way = WAYS[found.messages]
    columns = (
        *("node", "accuracy", "drop", "lost, gained, tied", "p"),
        *("p, Holm", "items", "heard"),
    )
    return Table(
        columns, tuple(body), f"influence of single nodes against {visible(found.name)}: message {way}"
    )


def plain(found: Influence) -> list[dict[str, Any]]:
    """The table as plain values: a drop is in [-1, 1], positive where accuracy is lost."""
    return [
        {
            **{"node": one.node, "accuracy": one.summary.get("accuracy")},
            **{"interval": one.summary.get("interval"), "drop": one.test.difference},
            "drop_interval": None if one.interval is None else asdict(one.interval),
            **{"p_value": one.test.p_value, "p_holm": one.adjusted, "method": one.test.method},
            **{"lost": one.test.wins, "gained": one.test.losses, "tied": one.test.ties},
            **{"items": one.count, "heard": one.heard},
        }
        for one in found.needs
    ]


@dataclass(frozen=True, slots=True)
class Drawn:
    """What a drawing shows of nodes, by row: the drop, and its text; and the legend of both."""

    drops: Mapping[int, float]
    texts: Mapping[int, str]
    legend: str


def drawn(found: Influence, topology: Topology) -> Drawn:
    """The drops of one table for a drawing of this network; nodes that it does not have are left out."""
    places = {node.name: row for row, node in enumerate(topology.nodes)}
    rows = {places[one.node]: one for one in found.needs if one.node in places}
    texts = {
        row: f"drop {100 * one.test.difference:.1f}{' *' if one.adjusted <= LEVEL else ''}"
        for row, one in rows.items()
    }
    counts = sorted({one.count for one in found.needs})
    nodes = f"{len(found.needs)} node{'' if len(found.needs) == 1 else 's'}"
    items = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    legend = (
        f"Drop: points of accuracy lost on {items} questions when the node's message is "
        f"{WAYS[found.messages]}; the bar at a box's top is the same, a full one 100 points. "
        f"*: p ≤ {LEVEL:g} by paired test with Holm's correction over {nodes}. {MEANS}"
    )
    return Drawn({row: one.test.difference for row, one in rows.items()}, texts, legend)


@dataclass(frozen=True, slots=True)
class Kept:
    """What a run has kept of its evaluations: ``checkpoint`` is the one it hands on, ``items`` by name."""

    summaries: Mapping[str, Row]
    items: Callable[[str], Items]
    checkpoint: str


def influences(kept: Kept, topology: Topology) -> tuple[list[Influence], list[str]]:
    """What was measured of single nodes of the network handed on, and in words what could not be used.

    A table has the nodes of one alteration of the same questions: blanked before shuffled, test questions
    first, then those with most nodes. Raises RunError where items are damaged.
    """
    groups: dict[tuple[str, str, str], dict[str, str]] = {}
    left: list[str] = []
    stale = 0
    for name, summary in kept.summaries.items():
        node = _altered_node(summary, topology)
        if node is None:
            continue
        if summary.get("checkpoint") != kept.checkpoint:
            stale += 1
            continue
        key = (str(summary["intervention"]), str(summary.get("split")), _digest(summary))
        groups.setdefault(key, {}).setdefault(node, name)
    if stale:
        left.append(f"{stale} evaluation(s) with single nodes altered are of another checkpoint")
    found = []
    for (messages, split, _), names in groups.items():
        base = baseline_of(kept, kept.summaries[next(iter(names.values()))])
        if base is None:
            left.append(
                f"{visible(', '.join(names.values()))[:200]}: no evaluation of the same questions without "
                f"altered messages is kept (--messages none, --split {visible(split)[:40]})"
            )
            continue
        order = [node for node in speakers(topology) if node in names]
        altered = {node: (kept.summaries[names[node]], kept.items(names[node])) for node in order}
        found.append(influence(messages, base, (kept.summaries[base], kept.items(base)), altered))
    found.sort(key=lambda one: (one.messages, one.baseline.get("split") != "test", -len(one.needs)))
    return found, left


def of_run(run: Run, topology: Topology) -> list[Influence]:
    """``influences`` of a run that is to be drawn. Raises RunError naming the evaluation that is damaged."""
    return influences(kept_in(run), topology)[0]


def kept_in(run: Run) -> Kept:
    """The evaluations of a run; a summary that cannot be read says of nothing that it was altered."""
    summaries: dict[str, Row] = {}
    for name in sorted(path.stem for path in (run.path / "evaluations").glob("[!.]*.json")):
        with suppress(RunError):
            summaries[name] = run.read(f"evaluations/{name}.json")
    checkpoint = run.handed_on.name if run.checkpoints() else ""
    return Kept(summaries, lambda name: read_evaluation(run, name)[1], checkpoint)


def drop_line(run: Run, summary: Row, items: Items) -> str:
    """What an altered evaluation lost against the unaltered one of the same run, where that is kept."""
    kept = kept_in(run)
    base = baseline_of(kept, summary)
    if base is None:
        return "not known: no evaluation of the same questions without altered messages is kept"
    test, ends, count = paired(items, kept.items(base))
    return (
        f"{points(test.difference, None if ends is None else asdict(ends))} on {count} items against {base}, "
        f"p = {test.p_value:.2g} ({test.method}; lost {test.wins}, gained {test.losses}, tied {test.ties})"
    )


def command(path: str) -> str:
    """With what the influence of every node is measured."""
    return f"neuromas evaluate {shlex.quote(visible(path))} --messages blank --node each"


def _altered_node(summary: Row, topology: Topology) -> str | None:
    """The one node whose message was altered, of an evaluation of this network as it is otherwise."""
    names = summary.get("altered")
    if not isinstance(names, list) or len(names) != 1 or names[0] not in speakers(topology):
        return None
    if summary.get("intervention") not in tuple(WAYS) or not _is_share(summary.get("accuracy")):
        return None
    return None if _told(summary, "") != ("own", "last") else str(names[0])


def baseline_of(kept: Kept, altered: Row) -> str | None:
    """The evaluation of the same questions and network with nothing altered; training's own comes last."""
    for name, summary in sorted(kept.summaries.items(), key=lambda item: item[0] == "test-after"):
        if summary.get("intervention") != "none" or summary.get("method") or summary.get("altered"):
            continue
        same = _digest(summary) == _digest(altered) != "" and summary.get("split") == altered.get("split")
        checkpoint = summary.get("checkpoint", kept.checkpoint if name == "test-after" else None)
        whole = _told(summary, name) == ("own", "last") and _is_share(summary.get("accuracy"))
        if same and whole and checkpoint == altered.get("checkpoint"):
            return name
    return None


def _told(summary: Row, name: str) -> tuple[object, object]:
    """Positions and view of an evaluation; before views were noted, the name alone had them."""
    view = "first" if "first-view" in name else "last"
    return summary.get("positions", "own"), summary.get("view", view)


def _digest(summary: Row) -> str:
    data = summary.get("data")
    found = data.get("digest") if isinstance(data, Mapping) else None
    return found if isinstance(found, str) else ""


def _heard(summary: Row) -> int | None:
    found = summary.get("heard")
    return found if type(found) is int and found >= 0 else None


def _share(summary: Row) -> Shown:
    """Accuracy with its interval, where both are there."""
    value, ends = summary.get("accuracy"), summary.get("interval")
    known = isinstance(ends, Mapping) and all(_is_share(ends.get(key)) for key in ("low", "high"))
    return share(value if _is_share(value) else None, ends if known else None)


def _is_share(value: object) -> bool:
    """A number in [0, 1], which leaves out what is not finite."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1
