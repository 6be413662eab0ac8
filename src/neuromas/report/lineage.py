"""The history of a grown network as text and as a drawing. Reads a manifest's plain data only."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from neuromas.report.asked import asked_of, asked_words
from neuromas.report.draw import as_svg
from neuromas.report.terminal import markup, visible
from neuromas.topology.graph import Topology

_CAPTION = 34.0
_SIZE = re.compile(r'width="([0-9.]+)" height="([0-9.]+)"')


def growth_line(entry: Mapping[str, Any]) -> str:
    """One growth in one line."""
    what = ", ".join(entry["operators"]) or "trained on"
    line = f"{entry['to']} ({what}"
    if entry.get("copies"):
        line += f"; exact copies; every node is told its own position; optimisers {entry['optimiser']}"
    elif entry["new"]:
        numbers = "keep their position numbers" if entry["positions"] == "keep" else "are renumbered"
        line += f"; init {entry['init']}; old nodes {numbers}; their optimisers {entry['optimiser']}"
    if "same_answers" not in entry:
        return line + ")"
    same = (
        f"{100 * entry['same_answers']:.0f} % of {entry['answers']} validation answers unchanged"
        if entry["same_answers"] is not None
        else "the network before could not be asked this stage's questions"
    )
    before, after = (
        "–" if entry[key] is None else f"{100 * entry[key]:.0f} %"
        for key in ("accuracy_before", "accuracy_after")
    )
    return f"{line}): {same}, accuracy {before} -> {after}"


def copies_lines(copies: Mapping[str, str]) -> list[str]:
    """Which nodes copy which, a line for every trained one."""
    found: dict[str, list[str]] = {}
    for name, copied in copies.items():
        found.setdefault(copied, []).append(name)
    return [f"{' '.join(names)} = copy of {copied}" for copied, names in found.items()]


def sharing_lines(manifest: Mapping[str, Any]) -> list[str]:
    """Which nodes share an adapter, a line for each that is shared; none where every node has its own.

    Also none where a manifest does not say: it may be a stranger's.
    """
    names = [node["name"] for node in manifest["topology"]["nodes"]]
    nodes: dict[int, list[str]] = {}
    for name, row in zip(names, manifest.get("assignment", ()), strict=False):
        nodes.setdefault(row, []).append(name)
    return [f"{' '.join(group)} share adapter {row}" for row, group in nodes.items() if len(group) > 1]


def lineage_text(manifest: Mapping[str, Any]) -> str:
    """Every ancestor with its cost so far, the growth that followed, and the network itself."""
    lines, topology, mark = _ancestors(manifest), Topology.from_dict(manifest["topology"]), _mark(manifest)
    lines += [mark] if mark else []
    lines.append(f"{topology}  {_cost(manifest['spent'])}{_told(asked_of(manifest))}")
    return "\n".join(map(visible, [*lines, *(f"    {line}" for line in sharing_lines(manifest))]))


def _ancestors(past: Mapping[str, Any]) -> list[str]:
    """The ancestors of a network; those of one that was grafted in stand further in, before the graft."""
    lines = []
    for entry in past["lineage"]:
        parent = Topology.from_dict(entry["topology"])
        where = entry["run"] or "this run"
        lines.append(
            f"{parent}  {where}, step {entry['step']}: {_cost(entry['spent'])}{_told(entry.get('asked'))}"
        )
        if module := entry.get("module"):
            lines += [f"    {line}" for line in _ancestors(module)]
            graph = Topology.from_dict(module["topology"])
            cost = f"{_cost(module['spent'])}{_told(module.get('asked'))}"
            lines.append(f"    {graph}  {module['run']}, grafted in: {cost}")
        lines.append(f"  └ {growth_line(entry)}")
        lines += [f"    {line}" for line in copies_lines(entry.get("copies", {}))]
    return lines


def generations(past: Mapping[str, Any]) -> list[Generation]:
    """Every ancestor, oldest first; of modules, too."""
    found: list[Generation] = []
    for entry in past["lineage"]:
        if module := entry.get("module"):
            found += [*generations(module), Generation.of(module, "grafted into the next")]
        found.append(Generation.of(entry, ", ".join(entry["operators"])))
    return found


@dataclass(frozen=True, slots=True)
class Generation:
    """A network of a lineage: its topology and cost as plain data, what it was asked, what was done then."""

    topology: Any
    spent: Any
    asked: str
    then: str

    @classmethod
    def of(cls, entry: Mapping[str, Any], then: str) -> Generation:
        """An ancestor."""
        return cls(entry["topology"], entry["spent"], asked_words(entry.get("asked")), then)

    @classmethod
    def last(cls, manifest: Mapping[str, Any]) -> Generation:
        """The network itself."""
        return cls(manifest["topology"], manifest["spent"], asked_words(asked_of(manifest)), "")


def lineage_svg(manifest: Mapping[str, Any]) -> str:
    """All generations below one another, oldest first, each with its cost."""
    top, widest, parts = 0.0, 0.0, []
    for one in [*generations(manifest), Generation.last(manifest)]:
        topology = Topology.from_dict(one.topology)
        drawing = as_svg(topology, _mark(manifest))  # a network has its prompts from its first ancestor on
        size = _SIZE.search(drawing)
        width, height = (float(size[1]), float(size[2])) if size else (400.0, 200.0)
        caption = f"{topology}: {_cost(one.spent)}" + (f" — then {one.then}" if one.then else "")
        parts.append(f'<text x="12" y="{top + 22:g}">{markup(caption)}</text>')
        parts.append(drawing.replace("<svg ", f'<svg y="{top + _CAPTION:g}" ', 1))
        top += height + _CAPTION
        widest = max(widest, width, 7.6 * len(caption) + 24)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{widest:g}" height="{top:g}" '
        f'viewBox="0 0 {widest:g} {top:g}" font-family="sans-serif" font-size="14" fill="gray">'
    )
    return "\n".join([head, "<title>lineage</title>", *parts, "</svg>"]) + "\n"


def _mark(manifest: Mapping[str, Any]) -> str:
    """What must not be overlooked of a network's prompts."""
    mark = manifest.get("prompts")
    return f"prompts: {mark[:120]}" if isinstance(mark, str) and mark else ""


def _told(asked: Any) -> str:
    words = asked_words(asked)
    return f"; {words}" if words else ""


def _cost(spent: Mapping[str, Any]) -> str:
    return (
        f"{spent['steps']} steps, {spent['calls']:,} calls, {spent['prompt_tokens']:,} tokens read and "
        f"{spent['new_tokens']:,} written, {spent['seconds']:.0f} s"
    )
