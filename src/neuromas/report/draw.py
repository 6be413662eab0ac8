"""Pictures of a topology: ``as_text`` for the terminal, ``as_svg`` for pages."""

from __future__ import annotations

import textwrap
from itertools import groupby
from typing import TYPE_CHECKING

from neuromas.report.layout import BOX_HEIGHT, QUESTION, Hop, Layout, arrange, readers
from neuromas.report.terminal import markup, visible
from neuromas.topology.graph import Topology

if TYPE_CHECKING:
    from neuromas.report.influence import Drawn  # with statistics, which a drawing does without

MAX_DRAWN = 24  # nodes; above this the terminal gets a summary
_MAX_NAMED = 6  # names listed in one summary line
_MAX_LINES = 12  # lines of summary for one layer, and layers at each end
_LETTER, _LINE = 5.6, 15.0  # of small text: mean width of a character, distance of lines
_CROWDED = 150  # edges; above this they are drawn thin and without arrowheads

_STYLE = """
.nmas-ground{fill:#ffffff} .nmas text{fill:#1f2933;font:14px ui-sans-serif,system-ui,sans-serif}
.nmas .small{font-size:11px;fill:#52606d} .nmas .edge{fill:none;stroke:#5b6b8c;stroke-width:1.6}
.nmas .ask{stroke:#b86e00;stroke-dasharray:5 3} .nmas .thin{stroke-width:.8;stroke-opacity:.45}
.nmas .head{fill:#5b6b8c} .nmas .askhead{fill:#b86e00} .nmas .plate{fill:#ffffff;fill-opacity:.9}
.nmas .node{fill:#eef2ff;stroke:#4c5fd5;stroke-width:1.5}
.nmas .question{fill:#fff4e0;stroke:#b86e00;stroke-width:1.5}
.nmas .answer{fill:#e7f7ec;stroke:#2b8a4b;stroke-width:1.5} .nmas .drop{fill:#a8271d}
@media (prefers-color-scheme:dark){
.nmas-ground{fill:#14181f} .nmas text{fill:#e6e9ef} .nmas .small{fill:#a9b4c4}
.nmas .edge{stroke:#9fb0d0} .nmas .ask{stroke:#f0b255} .nmas .plate{fill:#14181f}
.nmas .head{fill:#9fb0d0} .nmas .askhead{fill:#f0b255}
.nmas .node{fill:#222b45;stroke:#8ea2ff} .nmas .question{fill:#3a2c12;stroke:#f0b255}
.nmas .answer{fill:#16331f;stroke:#63c98a} .nmas .drop{fill:#ff9a8f}}
"""


def as_text(topology: Topology) -> str:
    """The graph for a terminal, a few lines ending without a newline.

    Each node writes onto its own rail, which runs down to those that read it; numbers on a mark are the
    edge's token budget or the share of the question. Above 24 nodes, equal nodes are summarised.
    """
    body = _rails(topology) if len(topology.nodes) <= MAX_DRAWN else _summary(topology)
    return "\n".join(map(visible, [headline(topology), "", *body]))


def as_svg(topology: Topology, note: str = "", measured: Drawn | None = None) -> str:
    """The graph as a self-contained SVG document, legible on light and dark ground.

    Layers are columns from left to right, the question stands before the first. Questions are dashed,
    messages solid; a number on a curve is its token budget or the share of the question. ``note`` is written
    below, such as what the prompts are; ``measured`` are drops of accuracy over the boxes, with a legend.
    """
    layout = arrange(topology)
    right = layout.columns[-1][1] + 156.0
    lines = [note] if note else []
    if measured is not None:
        lines += textwrap.wrap(measured.legend, int(right / _LETTER))
    top, bottom = layout.top - 40.0, layout.bottom + 20.0 + (9.0 + _LINE * len(lines) if lines else 0.0)
    width, height = right + 20.0, bottom - top
    frame = f'x="-20" y="{top:g}" width="{right + 20.0:g}" height="{height:g}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="nmas" role="img" width="{width:g}" '
        f'height="{height:g}" viewBox="-20 {top:g} {width:g} {height:g}">',
        f"<title>{markup(headline(topology))}</title>",
        f"<style>{_STYLE}</style>",
        _marker("nmas-head", "head") + _marker("nmas-askhead", "askhead"),
        f'<rect class="nmas-ground" {frame}/>',
    ]
    crowded = len(layout.hops) > _CROWDED
    parts += [_curve(hop, crowded) for hop in layout.hops]
    parts += [_label(hop) for hop in layout.hops if hop.label]
    parts += _boxes(topology, layout)
    if measured is not None:
        parts += _drops(topology, layout, measured)
    for place, line in enumerate(reversed(lines)):
        parts.append(f'<text class="small" x="0" y="{bottom - 12 - _LINE * place:g}">{markup(line)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def headline(topology: Topology) -> str:
    """One line: the shape, how much there is of everything, and who sees the question."""
    nodes, layers, edges = len(topology.nodes), topology.depth, len(topology.edges)
    seeing = sum(node.question not in ("none", "stem") for node in topology.nodes)
    shares = any("/" in node.question for node in topology.nodes)
    if seeing == nodes:
        who = "every node reads" if nodes > 1 else "the node reads"
    else:
        who = f"{seeing} of {nodes} nodes {'reads' if seeing == 1 else 'read'}"
    what = "the question or a share of it" if shares else "the question"
    sizes = [str(len(layer)) for layer in topology.layers()]
    if len(sizes) > 2 * _MAX_LINES:
        sizes[_MAX_LINES:-_MAX_LINES] = ["…"]
    widths = "-".join(sizes)
    return f"{widths}: {_n(nodes, 'node')} in {_n(layers, 'layer')}, {_n(edges, 'edge')}; {who} {what}"


def _n(count: int, thing: str) -> str:
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def _rails(topology: Topology) -> list[str]:
    """One line for each node, one vertical rail for each source."""
    reads = _marks(topology)
    sources = [QUESTION, *range(len(topology.nodes) - 1)]
    last = {source: max(row for row, marks in reads.items() if source in marks) for source in sources}
    cell = 2 + max(len(mark) for marks in reads.values() for mark in marks.values())
    name_width = max(len("question"), *(len(node.name) for node in topology.nodes))
    indent = " " * (len("layer ") + len(str(topology.depth)) + 2)

    def wire(row: int) -> str:
        """The row's own wire: it reads at marks, crosses living rails, and turns onto its own."""
        text = ""
        for source in sources:
            if source == row:
                return text + "─╮"
            passing = "┼" if row <= last[source] else "─"
            text += "─" + reads[row].get(source, passing).ljust(cell - 1, "─")
        return text + "─▶ answer"

    def rails(row: int) -> str:
        """The line above a row: only the rails that reach it."""
        living = ("│" if source < row <= last[source] else " " for source in sources)
        return "".join(" " + rail.ljust(cell - 1) for rail in living).rstrip()

    lines = [indent + "question".ljust(name_width) + " " + wire(QUESTION)]
    for layer in topology.layers():
        lines.append(indent + " " * (name_width + 1) + rails(layer[0]))
        for place, row in enumerate(layer):
            node = topology.nodes[row]
            heading = f"layer {node.layer}".ljust(len(indent)) if place == 0 else indent
            lines.append(heading + (node.name + " ").ljust(name_width + 1, "─") + wire(row))
    return [*lines, "", "● reads   ┼ passes by   ╮ writes   a number: token budget or share of the question"]


def _marks(topology: Topology) -> dict[int, dict[int, str]]:
    """For each row the sources it reads, each with its mark; the question's row reads nothing."""
    marks: dict[int, dict[int, str]] = {row: {} for row in range(QUESTION, len(topology.nodes))}
    for source, targets in readers(topology).items():
        for row, label in targets:
            marks[row][source] = "●" + label
    return marks


def _summary(topology: Topology) -> list[str]:
    """Neighbours that read the same as one line."""
    layers = topology.layers()
    lines: list[str] = []
    for depth, layer in enumerate(layers, start=1):
        hidden = len(layers) - 2 * _MAX_LINES
        if hidden > 0 and _MAX_LINES < depth <= _MAX_LINES + hidden:
            if depth == _MAX_LINES + 1:
                lines.append(f"… {_n(hidden, 'more layer')} …")
            continue
        groups = [(what, list(rows)) for what, rows in groupby(layer, lambda row: _reads(topology, row))]
        lines.append(
            f"layer {depth}  {_n(len(layer), 'node')}" + (" → answer" if depth == len(layers) else "")
        )
        for what, rows in groups[:_MAX_LINES]:
            names = [topology.nodes[row].name for row in (rows[0], rows[-1])]
            who = names[0] if len(rows) == 1 else f"{names[0]} … {names[1]} ({len(rows)})"
            lines.append(f"    {who}  reads {what}")
        if len(groups) > _MAX_LINES:
            rest = sum(len(rows) for _, rows in groups[_MAX_LINES:])
            lines.append(f"    … and {_n(rest, 'more node')}")
    return lines


def _reads(topology: Topology, row: int) -> str:
    """What a node reads in words; whole layers are named as such."""
    question = topology.nodes[row].question
    words = {"all": ["the question"], "none": [], "stem": ["the question's stem"]}.get(
        question, [f"one share of {question.partition('/')[2]} of the question"]
    )
    incoming = topology.incoming(row)
    layers = topology.layers()
    for depth in sorted({topology.nodes[edge.source].layer for edge in incoming}):
        edges = [edge for edge in incoming if topology.nodes[edge.source].layer == depth]
        budgets = {edge.budget for edge in edges}
        note = "" if budgets == {None} else f" ({_budgets(budgets)})"
        if len(edges) == len(layers[depth - 1]):
            words.append(f"layer {depth}{note}")
            continue
        names = [topology.nodes[edge.source].name for edge in edges[:_MAX_NAMED]]
        more = f", … ({len(edges)} of layer {depth})" if len(edges) > _MAX_NAMED else ""
        words.append(", ".join(names) + more + note)
    return ", ".join(words)


def _budgets(budgets: set[int | None]) -> str:
    """``32 tokens``, or ``8 to 32 tokens``; the default budget is named as such."""
    given = sorted(budget for budget in budgets if budget is not None)
    span = _n(given[0], "token") if len(given) == 1 else f"{given[0]} to {given[-1]} tokens"
    return span + (" or the default" if None in budgets else "")


def _marker(name: str, kind: str) -> str:
    """An arrowhead."""
    return (
        f'<marker id="{name}" viewBox="0 0 8 8" refX="7.5" refY="4" markerWidth="8" markerHeight="8" '
        f'markerUnits="userSpaceOnUse" orient="auto"><path class="{kind}" d="M0 0.8 8 4 0 7.2z"/></marker>'
    )


def _curve(hop: Hop, crowded: bool) -> str:
    """One edge, level at both ends."""
    (x0, y0), (x1, y1) = hop.start, hop.end
    middle = (x0 + x1) / 2
    asks = hop.source == QUESTION
    kind = "edge" + (" ask" if asks else "") + (" thin" if crowded else "")
    head = "" if crowded or hop.target is None else f' marker-end="url(#nmas-{"ask" if asks else ""}head)"'
    path = f"M{x0:g} {y0:g}C{middle:g} {y0:g} {middle:g} {y1:g} {x1:g} {y1:g}"
    return f'<path class="{kind}" d="{path}"{head}/>'


def _label(hop: Hop) -> str:
    """The budget or share, on the curve where it has parted from its neighbours.

    Many messages cross half-way, so theirs stand nearer the source; the question only fans out.
    """
    (x0, y0), (x1, y1) = hop.start, hop.end
    t = 0.6 if hop.source == QUESTION else 0.3
    x = x0 + (x1 - x0) * (1.5 * t * (1 - t) + t**3)  # the cubic of _curve at t
    y = y0 + (y1 - y0) * (3 * t**2 - 2 * t**3)
    width = 7.0 * len(hop.label) + 4.0
    return (
        f'<rect class="plate" x="{x - width / 2:g}" y="{y - 7:g}" width="{width:g}" height="14" rx="3"/>'
        f'<text class="small" x="{x:g}" y="{y + 4:g}" text-anchor="middle">{markup(hop.label)}</text>'
    )


def _boxes(topology: Topology, layout: Layout) -> list[str]:
    """Question, nodes, the answer behind the sink, and the headings of the layers."""
    parts = [_box("question", "question", layout.columns[0], 0.0)]
    for layer, column in zip(topology.layers(), layout.columns[1:], strict=True):
        depth = topology.nodes[layer[0]].layer
        parts.append(
            f'<text class="small" x="{sum(column) / 2:g}" y="{layout.top - 16:g}" '
            f'text-anchor="middle">layer {depth}</text>'
        )
        parts += [_box(topology.nodes[row].name, "node", column, layout.centre[row]) for row in layer]
    end = layout.columns[-1][1]
    parts.append(_curve(Hop(topology.sink, (end, 0.0), (end + 56.0, 0.0), topology.sink), False))
    parts.append(_box("answer", "answer", (end + 56.0, end + 136.0), 0.0))
    return parts


def _drops(topology: Topology, layout: Layout, measured: Drawn) -> list[str]:
    """Over every measured node its drop in words, and at its box's top a bar as long as the drop."""
    parts = []
    for row, drop in measured.drops.items():
        left, right = layout.columns[topology.nodes[row].layer]
        top = layout.centre[row] - BOX_HEIGHT / 2
        width = (right - left) * max(drop, 0.0)
        parts.append(
            f'<rect class="drop" x="{left:g}" y="{top:g}" width="{width:.1f}" height="4"/>'
            f'<text class="small" x="{(left + right) / 2:g}" y="{top - 5:g}" text-anchor="middle">'
            f"{markup(measured.texts[row])}</text>"
        )
    return parts


def _box(name: str, kind: str, column: tuple[float, float], y: float) -> str:
    """A labelled box; question and answer are rounder than nodes."""
    left, right = column
    radius = 8 if kind == "node" else BOX_HEIGHT / 2
    return (
        f'<rect class="{kind}" x="{left:g}" y="{y - BOX_HEIGHT / 2:g}" width="{right - left:g}" '
        f'height="{BOX_HEIGHT:g}" rx="{radius:g}"/>'
        f'<text x="{(left + right) / 2:g}" y="{y + 5:g}" text-anchor="middle">{markup(name)}</text>'
    )
