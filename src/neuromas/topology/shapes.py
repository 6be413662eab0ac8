"""Shapes of networks as short text: a base, then modifiers in the order in which they act.

    2-2-1           layer widths, dense between neighbours (``Topology.parse``)
    chain:5         a line of 5 nodes, the last is the output
    tree:2,3        a complete binary tree with 3 layers of edges: 8 leaves, the root is the output
    parallel:4      4 nodes that read nothing but the question, and an output that reads them
    +skip           every node also reads every earlier layer (as DenseNet's layers, arXiv:1608.06993)
    +residual       the output also reads every layer
    +sparse:0.5,7   every edge so far stays with probability 0.5, by seed 7 (0 if not given)

So ``4-4-1+sparse:0.5,7+residual`` thins a dense network and then lets its output read everything.
Modifiers leave the layers as they are. The same text gives the same network in every process.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

from neuromas.core.errors import TopologyError, shown, unknown
from neuromas.core.seeds import derive
from neuromas.topology.graph import Topology
from neuromas.topology.links import MAX_NODES

FORMS = "widths such as 2-2-1, chain:N, tree:K,H or parallel:N, then any of +skip +residual +sparse:P[,SEED]"
_MOST = 8  # modifiers in one text
_BASES = ("chain", "tree", "parallel")
_MODIFIERS = ("skip", "residual", "sparse")
_SHAPE = re.compile(rf"\s*(?:[0-9]|[A-Za-z]{{2,}}\s*:|[^+/\\.]*\+|(?:{'|'.join(_BASES)})\s*$)", re.DOTALL)
_COUNT = re.compile(r"[1-9][0-9]{0,5}")
_CHANCE = re.compile(r"0?\.[0-9]{1,15}|1(?:\.0{1,15})?")
_SEED = re.compile(r"[0-9]{1,15}")
Link = tuple[int, int]


def is_shape(text: str) -> bool:
    """Whether the text is meant as a shape, well formed or not, rather than as the name of a file."""
    return _SHAPE.match(text) is not None


def build_shape(text: str, question: str = "all") -> Topology:
    """The network of a shape text (see the module's). ``question`` is a mode of ``Topology.build``.

    Nodes are named ``layer.index``. Raises TopologyError, one line that names text, value and valid forms.
    """
    base, *modifiers = (part.strip() for part in text.split("+"))
    if re.match("[0-9]", base) and not modifiers:
        return Topology.parse(base, question)
    try:
        if len(modifiers) > _MOST:
            raise TopologyError(f"{len(modifiers)} modifiers, at most {_MOST}")
        draft = _base(base)
        for place, modifier in enumerate(modifiers):
            draft = _modify(draft, modifier, place)
    except TopologyError as error:
        raise TopologyError(f"topology {shown(text, 200)}: {error}; a shape is {FORMS}") from None
    names = [f"{layer}.{i}" for layer, width in enumerate(draft.widths, start=1) for i in range(1, width + 1)]
    return Topology.build(names, [(names[s], names[t]) for s, t in sorted(draft.links)], question)


@dataclass(frozen=True, slots=True)
class _Draft:
    """Rows numbered layer by layer. Every node above layer 1 reads the layer below, every hidden is heard."""

    widths: tuple[int, ...]
    links: frozenset[Link]

    @property
    def layer(self) -> list[int]:
        """Layer of every row, from 0."""
        return [layer for layer, width in enumerate(self.widths) for _ in range(width)]


def _base(text: str) -> _Draft:
    """The draft of a base without modifiers."""
    if re.match("[0-9]", text):
        topology = Topology.parse(text)
        return _dense(tuple(len(layer) for layer in topology.layers()))
    name, values = _call(text, _BASES, "base")
    wanted = "K,H" if name == "tree" else "N"
    if len(values) != len(wanted.split(",")):
        raise TopologyError(f"{shown(text)} is not {name}:{wanted}")
    for value in values:
        if not _COUNT.fullmatch(value):
            raise TopologyError(f"{shown(value)} in {shown(text)} is not a whole number from 1 to 999999")
    numbers = [int(value) for value in values]
    if name == "tree":
        return _tree(*numbers)
    if name == "parallel":
        _limit(numbers[0] + 1)
        return _dense((numbers[0], 1))
    _limit(numbers[0])
    return _dense((1,) * numbers[0])


def _call(text: str, names: tuple[str, ...], kind: str) -> tuple[str, list[str]]:
    """``name`` or ``name:value,value`` as name and values."""
    name, colon, rest = text.partition(":")
    if name.strip() not in names:
        raise TopologyError(unknown(kind, name.strip(), names))
    return name.strip(), [value.strip() for value in rest.split(",")] if colon else []


def _limit(nodes: int, more: str = "") -> None:
    if nodes > MAX_NODES:
        raise TopologyError(f"{more}{nodes} nodes, the limit is {MAX_NODES}")


def _dense(widths: tuple[int, ...]) -> _Draft:
    """Every node reads all of the layer below."""
    starts = [sum(widths[:layer]) for layer in range(len(widths))]
    spans = [range(start, start + width) for start, width in zip(starts, widths, strict=True)]
    return _Draft(widths, frozenset((s, t) for low, high in pairwise(spans) for s in low for t in high))


def _tree(children: int, height: int) -> _Draft:
    """Node j of a layer (from 0) reads nodes j K to j K + K - 1 of the layer below."""
    widths = [1]
    for _ in range(height):  # the limit ends this long before a width grows large
        widths.insert(0, widths[0] * children)
        _limit(sum(widths), "at least ")
    links: set[Link] = set()
    start = 0
    for low in widths[:-1]:
        links |= {(start + j, start + low + j // children) for j in range(low)}
        start += low
    return _Draft(tuple(widths), frozenset(links))


def _modify(draft: _Draft, text: str, place: int) -> _Draft:
    """The draft after one modifier, the ``place``-th of its shape."""
    name, values = _call(text, _MODIFIERS, "modifier")
    if name == "sparse":
        return _sparse(draft, *_chance(text, values), place)
    if values:
        raise TopologyError(f"{name!r} takes no value, {shown(text)} gives one")
    layer, last = draft.layer, sum(draft.widths) - 1
    readers = range(last + 1) if name == "skip" else [last]
    added = {(s, t) for t in readers for s in range(t) if layer[s] < layer[t]}
    return _Draft(draft.widths, draft.links | added)


def _chance(text: str, values: list[str]) -> tuple[float, int]:
    """Probability and seed of ``sparse``."""
    if len(values) not in (1, 2) or not _CHANCE.fullmatch(values[0]) or float(values[0]) == 0.0:
        raise TopologyError(f"{shown(text)} is not sparse:P or sparse:P,SEED with P above 0 and at most 1")
    if len(values) == 2 and not _SEED.fullmatch(values[1]):
        raise TopologyError(
            f"seed {shown(values[1])} in {shown(text)} is not a whole number of up to 15 digits"
        )
    return float(values[0]), int(values[1]) if len(values) == 2 else 0


def _sparse(draft: _Draft, chance: float, seed: int, place: int) -> _Draft:
    """Keep a link if its own draw lies below ``chance``; then mend, with as few links as that takes.

    A node without a source left in the layer below gets back the one of smallest draw, and then a hidden
    node that nobody reads its reader of smallest draw. Those links are the first to come with a larger
    ``chance``, so for one seed the network of a smaller chance lies within that of a larger one.
    """
    # 53 bits: exact in a float, and below 1
    draws = {link: (derive("sparse", seed, place, *link) >> 10) / 2**53 for link in sorted(draft.links)}
    kept = {link for link, draw in draws.items() if draw < chance}
    layer, rows = draft.layer, range(sum(draft.widths))
    for row in rows[draft.widths[0] :]:
        below = [link for link in draws if link[1] == row and layer[link[0]] == layer[row] - 1]
        if kept.isdisjoint(below):
            kept.add(min(below, key=draws.__getitem__))
    heard = {source for source, _ in kept}
    kept |= {
        min((link for link in draws if link[0] == row), key=draws.__getitem__)
        for row in rows[:-1]
        if row not in heard
    }
    return _Draft(draft.widths, frozenset(kept))
