"""Data of the trace viewer: questions with what every node read and wrote, before and after training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from neuromas.report.html.kept import Evaluated, Kept, Row, bearing, below, graph, number, rows, text
from neuromas.report.html.network import measured
from neuromas.report.html.parts import Lead, Note, Part, Viewer
from neuromas.report.html.picture import drawing
from neuromas.report.html.render import inlined
from neuromas.report.reading import origins
from neuromas.topology.files import load_topology
from neuromas.topology.graph import Topology

ITEMS = 200  # questions of a page, by default
MOST = 3_000_000  # characters of what viewers embed; fewer questions where these are long
LONGEST = 20_000  # characters of one text
OUTCOMES = (
    "won",
    "lost",
    "tied right",
    "tied wrong",
    "right",
    "wrong",
    "partly right",
    "failed",
    "not asked",
)
FIRST, LAST = "test-before", "test-after"
_EPISODES = 120
_SIDES = 10  # evaluations of the same questions


@dataclass(frozen=True, slots=True)
class Side:
    """One evaluation as a side of the viewer, with its network where that is known."""

    found: Evaluated
    topology: Topology | None


def viewer(runs: Sequence[Kept], items: int) -> list[Part]:
    """The viewer of all runs, or a note where there is nothing to look at."""
    notes: list[Part] = []
    data: list[dict[str, Any]] = []
    drawings, names, facts = [], [], []
    share = MOST // max(len(runs), 1)
    for run in runs:
        missing: list[str] = []
        with bearing(missing, f"traces of {run.label}"):
            found, topology = _of_run(run, items, share)
            if not found["items"] and not found["episodes"]:
                notes.append(Note(f"{run.label}: no questions and no training episodes were kept yet"))
                continue
            data.append(found)
            drawings.append(None if topology is None else drawing(topology, measured(run, topology)))
            names.append(run.label)
            facts.append(_said(found))
        notes += [Note(line) for line in missing]
    if not data:
        return notes or [Note("no run has traces")]
    quotes = _plain(data[0])
    return [Lead(facts[0]), Viewer({"runs": data}, tuple(drawings), tuple(names), tuple(quotes)), *notes]


def network_of(run: Kept) -> Topology | None:
    """The network that is handed on; else what the configuration names, where that is no file."""
    if run.topology is not None:
        return run.topology
    stages = rows(run.config.get("stages"))
    last = stages[-1] if stages and isinstance(stages[-1], Mapping) else {}
    shape = text(last.get("shape")) or text(below(run.config, "network").get("topology"))
    found: list[str] = []
    with bearing(found, "the network"):
        if shape and not shape.endswith((".toml", ".json", ".graphml")):  # a file may be another by now
            return load_topology(shape)
    return None


def topology_of(run: Kept, evaluation: Evaluated) -> Topology | None:
    """The network that an evaluation is of: before a growth, at a stage's end, or the one handed on."""
    growths, name = run.lines["growth.jsonl"], evaluation.name
    own = [one for one in growths if not one.get("run")]
    found = network_of(run)
    if name == FIRST and growths:
        found = graph(growths[0].get("topology"))
    elif name.startswith("stage-") and name[6:].isdecimal() and 0 < int(name[6:]) <= len(own):
        found = graph(own[int(name[6:]) - 1].get("topology"))
    spoken = max((len(rows(item.get("messages"))) for item in evaluation.items.values()), default=0)
    return found if found is not None and len(found.nodes) == spoken else None


def outcome(before: Row | None, after: Row | None) -> str:
    """What became of a question between two evaluations, or in the one there is."""
    last = after if after is not None else before
    if last is None:
        return "not asked"
    score = number(last.get("score"))
    if last.get("failure"):
        return "failed"
    if score is None:
        return "not asked"
    was = None if before is None or after is None else number(before.get("score"))
    if was is None:
        return "right" if score == 1 else "wrong" if score == 0 else "partly right"
    if was != score:
        return "won" if score > was else "lost"
    return "tied right" if score == 1 else "tied wrong"


def chosen(outcomes: Mapping[str, str], most: int) -> list[str]:
    """Up to ``most`` ids, evenly by outcome, in the order in which they were asked."""
    piles: dict[str, list[str]] = {}
    for key, kind in outcomes.items():
        piles.setdefault(kind, []).append(key)
    taken: set[str] = set()
    place = 0
    while len(taken) < min(most, len(outcomes)):
        taken.update([pile[place] for pile in piles.values() if place < len(pile)][: most - len(taken)])
        place += 1
    return [key for key in outcomes if key in taken]


def _of_run(run: Kept, most: int, budget: int) -> tuple[dict[str, Any], Topology | None]:
    """Everything the viewer has of a run, within ``budget`` characters."""
    topology = network_of(run)
    sides = _sides(run)
    before, after = (run.evaluations.get(name) for name in (FIRST, LAST))
    base = after or before or (sides[-1].found if sides else None)
    asked = {} if base is None else base.items
    outcomes = {
        key: outcome(*(one.items.get(key) if one else None for one in (before, after)))
        if before or after
        else outcome(None, item)
        for key, item in asked.items()
    }
    episodes = _episodes(run, budget // 3)
    budget -= len(inlined({"episodes": episodes}))
    items = _within(budget, {key: outcomes[key] for key in chosen(outcomes, most)}, asked, sides)
    data = {
        "name": run.label,
        **_nodes(topology, items, episodes),
        "sides": [_side(run, side, topology) for side in sides],
        "items": items,
        "total": len(asked),
        "episodes": episodes,
        "episodesTotal": len(run.lines["episodes.jsonl"]),
    }
    return data, topology


def _within(
    budget: int, outcomes: Mapping[str, str], asked: Mapping[str, Row], sides: Sequence[Side]
) -> list[dict[str, Any]]:
    """Items as the page has them, evenly fewer until they fit into ``budget`` characters; at least one."""
    items = {key: _item(key, asked[key], kind, sides) for key, kind in outcomes.items()}
    sizes = {key: len(inlined(item)) for key, item in items.items()}
    keys = list(items)
    while len(keys) > 1 and sum(sizes[key] for key in keys) > budget:
        keys = chosen(outcomes, len(keys) - 1 - len(keys) // 10)
    return [items[key] for key in keys]


def _sides(run: Kept) -> list[Side]:
    """Evaluations of the questions that the last one asked; before training first, after training last."""
    base = run.evaluations.get(LAST) or run.evaluations.get(FIRST)
    kept = []
    for name, one in run.evaluations.items():
        same = base is None or any(
            key in base.items and base.items[key]["question"] == item["question"]
            for key, item in list(one.items.items())[:5]
        )
        if same and one.items and not name.startswith(("method-", "vote-")):
            kept.append(one)
    order = {FIRST: -1, LAST: 1}

    def place(one: Evaluated) -> tuple[int, str]:
        """Many single nodes altered must not push out the controls of all messages."""
        other = 3 if one.summary.get("altered") else 2 if one.name.startswith(("asked", LAST)) else 0
        return order.get(one.name, other), one.name

    kept.sort(key=place)
    ends = [one for one in kept if one.name in order]
    others = [one for one in kept if one.name not in order][: _SIDES - len(ends)]
    return [Side(one, topology_of(run, one)) for one in kept if one in ends or one in others]


def _nodes(topology: Topology | None, items: Sequence[Row], episodes: Sequence[Row]) -> dict[str, Any]:
    """Names and layers of the network; where it is not known, one node after another."""
    if topology is not None:
        names = [node.name for node in topology.nodes]
        reads = [
            [topology.nodes[edge.source].name for edge in topology.incoming(row)] for row in range(len(names))
        ]
        return {"nodes": names, "reads": reads, "layers": [list(rows) for rows in topology.layers()]}
    spoken = [len(side["m"]) for item in items for side in item["s"].values()]
    count = max([*spoken, *(len(one["m"]) for one in episodes)], default=0)
    names = [f"node {row + 1}" if row < count - 1 else "output" for row in range(count)]
    return {"nodes": names, "reads": [[] for _ in names], "layers": [[row] for row in range(count)]}


def _side(run: Kept, side: Side, topology: Topology | None) -> dict[str, Any]:
    """How an evaluation is called, and which of its nodes each node of the network handed on was."""
    name = side.found.name
    words = {FIRST: "before training", LAST: "after training"}.get(name)
    changed = text(side.found.summary.get("intervention"))
    shape = "" if side.topology is None else str(side.topology)
    return {
        "name": name,
        "title": words or name.replace("-", " "),
        "shape": shape,
        "altered": "" if changed in ("", "none") else changed,
        "prompts": bool(side.found.prompts),
        **_past(run, side, topology),
    }


def _past(run: Kept, side: Side, topology: Topology | None) -> dict[str, Any]:
    """For every node of the network the row it had on this side (None: not there), and why not."""
    if topology is None:
        return {"rows": None, "why": []}
    names = [node.name for node in topology.nodes]
    was: Mapping[int, int] | None = None
    if side.topology is not None:
        there = {node.name: row for row, node in enumerate(side.topology.nodes)}
        if side.found.name == FIRST and run.lines["growth.jsonl"]:
            missing: list[str] = []
            with bearing(missing, "origins"):
                was = origins(run.run)
        was = (
            was if was is not None else {row: there[name] for row, name in enumerate(names) if name in there}
        )
    copies = _copies(run)
    why = [
        "" if was is None or row in was else f"new: {copies[name]}" if name in copies else "a new node"
        for row, name in enumerate(names)
    ]
    return {"rows": None if was is None else [was.get(row) for row in range(len(names))], "why": why}


def _copies(run: Kept) -> dict[str, str]:
    """Which node a new one began as a copy of."""
    found: dict[str, str] = {}
    for growth in run.lines["growth.jsonl"]:
        new = rows(growth.get("new"))
        found |= {
            name: f"began as a copy of {old}"
            for name, old in below(growth, "copies").items()
            if name in new and isinstance(old, str)
        }
    return found


def _item(key: str, item: Row, kind: str, sides: Sequence[Side]) -> dict[str, Any]:
    """A question with what was said of it on every side."""
    return {
        "id": cut(key, 200),
        "q": cut(item["question"]),
        "g": cut(text(item.get("gold")), 2_000),
        "o": kind,
        "s": {
            str(place): _said_of(side.found.items[key], rows(side.found.prompts.get(key)))
            for place, side in enumerate(sides)
            if key in side.found.items
        },
    }


def _said_of(item: Row, prompts: Sequence[Any]) -> dict[str, Any]:
    """One side of a question: score, answer, failure, and node by node message, tokens, prompt, output."""
    return {
        "c": number(item.get("score")),
        "a": None if item.get("parsed") is None else cut(text(item.get("parsed")), 2_000),
        "f": cut(text(item.get("failure")), 2_000),
        "r": number(item.get("reward")),
        "m": [cut(text(message)) for message in rows(item.get("messages"))],
        "t": [number(count) for count in rows(item.get("message_tokens"))],
        "x": [bool(one) for one in rows(item.get("truncated"))],
        "p": [cut(text(prompt)) for prompt in prompts],
        "u": [cut(one) if isinstance(one, str) else None for one in rows(item.get("outputs"))],
    }


def _episode(row: Row) -> dict[str, Any]:
    """A sampled episode of training, with reward and advantage where they were kept."""
    return {
        "step": number(row.get("step")),
        "id": cut(text(row.get("id")), 200),
        "q": cut(text(row.get("question"))),
        "g": cut(text(row.get("gold")), 2_000),
        "c": number(row.get("score")),
        "f": cut(text(row.get("failure")), 2_000),
        "m": [cut(text(message)) for message in rows(row.get("messages"))],
        "u": [cut(one) if isinstance(one, str) else None for one in rows(row.get("outputs"))],
        "v": [number(one) for one in rows(row.get("advantages"))],
        "w": [number(one) for one in rows(row.get("rewards"))],
    }


def _episodes(run: Kept, budget: int) -> list[dict[str, Any]]:
    """Sampled episodes, evenly over training, as many as fit into ``budget`` characters."""
    count = _EPISODES
    while True:
        episodes = [_episode(row) for row in _spread(run.lines["episodes.jsonl"], count)]
        if len(episodes) <= 1 or len(inlined({"episodes": episodes})) <= budget:
            return episodes
        count = len(episodes) // 2


def _spread(lines: Sequence[Row], most: int) -> list[Row]:
    """Up to ``most`` lines, evenly over all, the last one among them."""
    if len(lines) <= most:
        return list(lines)
    if most < 2:
        return list(lines[-1:])
    return [lines[round(place * (len(lines) - 1) / (most - 1))] for place in range(most)]


def _said(data: Row) -> str:
    """How much of what there is the page holds."""
    shown, total = len(data["items"]), data["total"]
    which = f"all {total} questions" if shown == total else f"{shown} of {total} questions, evenly by outcome"
    episodes = f"{len(data['episodes'])} of {data['episodesTotal']} kept training episodes"
    return f"This page holds {which}, and {episodes}."


def _plain(data: Row) -> list[str]:
    """A few questions for readers without scripts."""
    lines = []
    for item in data["items"][:3]:
        lines.append(f"{item['q']}  (gold {item['g']}, {item['o']})")
        for place, side in enumerate(data["sides"]):
            if side["name"] in (FIRST, LAST) and str(place) in item["s"]:
                said = " → ".join(message.strip() for message in item["s"][str(place)]["m"])
                lines.append(f"    {side['title']}: {said}")
    return lines


def cut(said: str, most: int = LONGEST) -> str:
    """The text, or its beginning and how long it is."""
    return said if len(said) <= most else f"{said[:most]}… ({len(said):,} characters)"
