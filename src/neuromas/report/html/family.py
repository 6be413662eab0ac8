"""The lineage of a grown network as a family tree: generations, growths, and where each node came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from neuromas.report.asked import asked_of, asked_words
from neuromas.report.html.kept import Kept, Row, below, graph, number, rows, text
from neuromas.report.html.parts import Family, Generation, Note, Part
from neuromas.report.html.picture import drawing
from neuromas.report.lineage import growth_line, sharing_lines
from neuromas.topology.graph import Topology

_MOST = 60  # generations
_DEEP = 4  # networks grafted into networks that were grafted in
_WIDE = 24  # nodes of a generation that is drawn


def family_parts(run: Kept) -> list[Part]:
    """All generations of the network handed on; nothing for one that never grew."""
    lineage = rows(run.manifest.get("lineage"))
    if not lineage:
        return []
    found = [*_generations(run.manifest, 0)]
    here = _generation(
        {**run.manifest, "asked": asked_of(run.manifest)}, f"{run.label}, handed on", growth=""
    )
    last = lineage[-1]
    generations = (*found, _grown(here, last, run.manifest))
    parts: list[Part] = [Family(tuple(generations[-_MOST:]))]
    if len(generations) > _MOST:
        parts.insert(0, Note(f"{len(generations) - _MOST} older generations are left out"))
    shared = sharing_lines(run.manifest)
    return [*parts, *(Note(line, "info") for line in shared)]


def _generations(past: Row, deep: int) -> Sequence[Generation]:
    """The ancestors, oldest first; each says how it came from the one before it."""
    found: list[Generation] = []
    before: Row | None = None
    for entry in rows(past.get("lineage")):
        where = f"{text(entry.get('run')) or 'this run'}, step {number(entry.get('step')) or 0:.0f}"
        one = _generation(entry, where, growth="")
        if before is not None:
            one = _grown(one, before, entry)
        module = below(entry, "module")
        if module and deep < _DEEP:
            grafted = (
                *_generations(module, deep + 1),
                _generation(module, text(module.get("run")), growth=""),
            )
            one = Generation(one.name, one.where, one.cost, one.growth, one.nodes, grafted, one.drawing)
        found.append(one)
        before = entry
    return found


def _generation(entry: Row, where: str, growth: str) -> Generation:
    """One network with its cost until then."""
    topology = graph(entry.get("topology"))
    name = "a network that cannot be read" if topology is None else str(topology)
    shown = topology if topology is not None and len(topology.nodes) <= _WIDE else None
    told = asked_words(entry.get("asked"))
    where = f"{where[:200]} · {told}" if told else where[:200]
    return Generation(
        name, where, _cost(below(entry, "spent")), growth, (), (), drawing(shown) if shown else None
    )


def _grown(one: Generation, growth: Row, after: Row) -> Generation:
    """The generation with how it came about and where the adapters of its nodes came from."""
    topology = graph(after.get("topology"))
    nodes = () if topology is None else tuple(_nodes(topology, growth))
    return Generation(one.name, one.where, one.cost, growth_line(growth), nodes, one.branch, one.drawing)


def _nodes(topology: Topology, growth: Row) -> Sequence[tuple[str, str]]:
    """Every node's past in words."""
    origin, copies, new = below(growth, "origin"), below(growth, "copies"), rows(growth.get("new"))
    found = []
    for node in topology.nodes:
        found.append((node.name, _past(node.name, origin, copies, new)))
    return found


def _past(
    name: str, origin: Mapping[str, object], copies: Mapping[str, object], new: Sequence[object]
) -> str:
    if name in new and name in copies:
        return f"new, adapter copied from {copies[name]}"
    if name in origin:
        return "continued" if origin[name] == name else f"was {origin[name]}"
    return "new" if name in new else "–"


def _cost(spent: Mapping[str, object]) -> str:
    if not spent:
        return ""
    numbers = [
        number(spent.get(key)) or 0.0 for key in ("steps", "calls", "prompt_tokens", "new_tokens", "seconds")
    ]
    return (
        f"until then {numbers[0]:,.0f} steps, {numbers[1]:,.0f} calls, {numbers[2]:,.0f} tokens read, "
        f"{numbers[3]:,.0f} written, {numbers[4]:,.0f} s"
    )
