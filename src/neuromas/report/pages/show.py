"""The items of a run: which were won and lost, and of one the whole exchange before and after."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neuromas.core.errors import ConfigError, RunError, shown
from neuromas.report.blocks import Block, Cell, Quote, Table, Text
from neuromas.report.pages import Page, one_path
from neuromas.report.reading import marked, prompt_mark, read_evaluation, readable
from neuromas.report.terminal import quoted
from neuromas.storage import MANIFEST, Run, read_json
from neuromas.topology.graph import Topology

Item = Mapping[str, Any]
LIMIT = 30  # items of an overview
_ITEM = ("id", "question", "gold", "score", "messages")
_CHANGES = ("won", "lost", "tied wrong", "tied right", "")


@dataclass(frozen=True, slots=True)
class _Side:
    """One evaluation: its name, the items by id, what their nodes read, and the network if it is known."""

    name: str
    items: Mapping[str, Item]
    prompts: Mapping[str, Sequence[str]]
    topology: Topology | None


def overview(run: Run, name: str = "", limit: int = LIMIT) -> list[Block]:
    """Counts, then the items: won ones first, then lost, then those where nothing changed."""
    sides = _sides(run, name)
    last = sides[-1].items
    rows = sorted(((_change(sides, key), key) for key in last), key=lambda row: _CHANGES.index(row[0]))
    counts = [f"{sum(change == one for change, _ in rows)} {one}" for one in _CHANGES if one]
    names = " -> ".join(side.name for side in sides)
    head = f"{names}: {len(last)} items" + (f" ({', '.join(counts)})" if len(sides) > 1 else "")
    columns = ("item", "change", *(side.name for side in sides), "gold", "question")
    cells: list[tuple[Cell, ...]] = [
        (
            *(key, change, *(_score(side.items.get(key)) for side in sides)),
            *(quoted(last[key]["gold"], 20), quoted(last[key]["question"], 60)),
        )
        for change, key in rows[:limit]
    ]
    more = len(rows) - len(cells)
    ways = [f"one item whole: neuromas show {run.path} --item ID"]
    return [
        Text((marked(head, prompt_mark(run)),)),
        Table(columns, tuple(cells)),
        Text(tuple([f"and {more} more (--limit {len(rows)} shows all)", *ways] if more else ways)),
    ]


def whole_item(run: Run, item: str, name: str = "") -> list[Block]:
    """Everything that was read and written for one item, before and after."""
    sides = _sides(run, name)
    known = list(sides[-1].items)
    if item not in sides[-1].items:
        near = difflib.get_close_matches(item[:100], known, n=1, cutoff=0.4)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise RunError(
            f"no item {shown(item)} in {sides[-1].name} of {run.path}{hint} "
            f"({len(known)} items, such as {shown(known[0]) if known else 'none'})"
        )
    found = sides[-1].items[item]
    change = _change(sides, item)
    title = f"item {quoted(item, 200)}" + (f" ({change})" if change else "")
    blocks: list[Block] = [
        Text((marked(title, prompt_mark(run)),)),
        Quote(found["question"], "question"),
        Quote(found["gold"], "expected"),
    ]
    if not all(item in side.prompts for side in sides if item in side.items):
        again = f"neuromas evaluate {run.path} --items {len(known)} --name again"
        line = f"what nodes read was not kept with this evaluation; {again} keeps it, for --evaluation again"
        blocks.append(Text((line,)))
    for side in sides:
        blocks += _exchange(side, item)
    return blocks


def _exchange(side: _Side, item: str) -> Iterator[Block]:
    """All nodes of one evaluation in order: what each read, what it wrote; then what it earned."""
    found = side.items.get(item)
    if found is None:
        yield Text((f"== {side.name}: has no such item",))
        return
    network = "" if side.topology is None else f", network {side.topology}"
    yield Text((f"== {side.name}{network}",))
    read, messages = side.prompts.get(item, ()), found["messages"]
    for node, message in enumerate(messages):
        who = _who(side.topology, node, len(messages))
        if node < len(read):
            yield Quote(read[node], f"{who} reads")
        yield Quote(message, f"{who} writes{_ending(found, node)}")
        printed = (found.get("outputs") or ())[node : node + 1]
        if isinstance(printed, list) and isinstance(printed[0] if printed else None, str):
            yield Quote(printed[0], f"the program of {who} prints")
    parsed = found.get("parsed")
    answer = "nothing that could be understood" if parsed is None else quoted(parsed, 200)
    failed = f"; failed: {quoted(found['failure'], 200)}" if found.get("failure") else ""
    yield Text((f"answer {answer}, score {_score(found)}{failed}",))


def _who(topology: Topology | None, row: int, spoken: int) -> str:
    """A node by its name and place; by its number where the network is not known."""
    if topology is None or row >= len(topology.nodes):
        return "output" if row == spoken - 1 else f"node {row + 1}"
    node = topology.nodes[row]
    return f"{node.name} (layer {node.layer}, node {node.index} of {node.width})"


def _ending(item: Item, node: int) -> str:
    """How many tokens, and whether the budget ended the message."""
    tokens, cut = item.get("message_tokens") or (), item.get("truncated") or ()
    count = f" {tokens[node]} tokens" if node < len(tokens) else ""
    return count + (", cut off by its token budget" if node < len(cut) and cut[node] else "")


def _score(item: Item | None) -> str:
    """``1``, ``0.5``; a dash without one."""
    return "–" if item is None or item["score"] is None else f"{item['score']:g}"


def _change(sides: Sequence[_Side], key: str) -> str:
    """What became of an item between two evaluations."""
    if len(sides) < 2:
        return ""
    before, after = (side.items.get(key, {}).get("score") for side in sides)
    if before is None or after is None:
        return ""
    if before != after:
        return "won" if after > before else "lost"
    return "tied right" if after == 1 else "tied wrong"


def _sides(run: Run, name: str) -> list[_Side]:
    """The named evaluation, or those before and after training that there are."""
    kept = [one for one in ("test-before", "test-after") if _has(run, one)]
    names = [name] if name else kept or ["test-after"]  # the last raises with the names there are
    return [_side(run, one) for one in names]


def _has(run: Run, name: str) -> bool:
    return (run.path / "evaluations" / f"{name}.json").is_file()


def _side(run: Run, name: str) -> _Side:
    """Raises RunError if a message or a prompt is no text."""
    _, items = read_evaluation(run, name, (), _ITEM)
    prompts = run.prompts(name)
    for texts in (*(item["messages"] for item in items), *prompts.values()):
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise RunError(f"evaluation {name} of {run.path} is damaged: a message or a prompt is no text")
    most = max((len(item["messages"]) for item in items), default=0)
    return _Side(name, {item["id"]: item for item in items}, prompts, _topology(run, name, most))


def _topology(run: Run, name: str, nodes: int) -> Topology | None:
    """The network of an evaluation: the first one before training, else the one handed on."""
    growths = list(run.lines("growth.jsonl"))
    if name == "test-before" and growths:
        found = Topology.from_dict(growths[0]["topology"])
    elif run.checkpoints():
        found = Topology.from_dict(read_json(run.handed_on / MANIFEST)["topology"])
    else:
        return None
    return found if len(found.nodes) == nodes else None  # a stage's own network is kept nowhere


def _build(paths: Sequence[Path], options: Mapping[str, str]) -> Sequence[Block]:
    run = Run.open(one_path("show", paths))
    limit = options.get("limit", str(LIMIT))
    if not limit.isdecimal():
        raise ConfigError(f"limit {shown(limit)} is no whole number")
    with readable(f"run {str(run.path)!r}"):
        if "item" in options:
            return whole_item(run, options["item"], options.get("evaluation", ""))
        return overview(run, options.get("evaluation", ""), int(limit))


PAGE = Page(
    "show",
    "a run",
    _build,
    {
        "item": "one item, whole",
        "evaluation": "another evaluation than those before and after training",
        "limit": f"items of the overview (default {LIMIT})",
    },
)
