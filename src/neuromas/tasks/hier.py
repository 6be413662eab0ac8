"""``hier(k, H, kind, m)``: a complete k-ary tree of secret local functions (docs/method.md, "the toy").

The n = k**H leaves carry symbols; every inner node v applies its own function f_v to its k children.
Only the leaves are shown, "((3 1)(0 2)) = ?", and the value of the root is asked for. Nodes are named
by (height, position): height 1 reads the leaves, height H is the root, positions count from the left.

Kinds: ``latin`` (fixing all arguments but one leaves a permutation: an error is never masked),
``random`` (a uniform table: an error is masked with probability about 1/m), ``max`` (the largest
argument: strong masking, nothing secret), ``cont`` (numbers in [0, 1], a triangle wave whose slope in
every argument is ``lam`` in absolute value: per-argument Lipschitz constant exactly ``lam``).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from random import Random

from neuromas.core.errors import TaskError
from neuromas.core.seeds import derive
from neuromas.core.task import Problem, Score
from neuromas.tasks.checking import exact_number
from neuromas.tasks.compositional import letters

KINDS = ("latin", "random", "max", "cont")
_MAX_LEAVES = 256
_MAX_LISTED = 4096  # up to here all problems are listed, so that held-out splits have a size
_MAX_TABLE = 100_000  # entries of one secret table


@dataclass(frozen=True)
class Tree:
    """The secret tree. Equal fields give equal functions, in every process."""

    k: int
    height: int
    kind: str
    m: int
    table_seed: int = 0
    lam: float = 0.5

    @property
    def leaves(self) -> int:
        """Number of leaves, k**H."""
        return int(self.k**self.height)

    def node(self, height: int, position: int, arguments: Sequence[float]) -> float:
        """f_v of the node at (``height`` 1..H, ``position`` 0..k**(H-height)-1) on k arguments.

        Symbols are whole numbers in [0, m); for ``cont`` numbers in [0, 1], computed without rounding.
        """
        if self.kind == "max":
            return max(arguments)
        seed = derive("hier", self.kind, self.table_seed, self.k, self.m, height, position)
        if self.kind == "cont":
            return triangle(self.lam * sum(arguments) + 2 * Random(seed).random())
        symbols = tuple(int(argument) for argument in arguments)
        if self.kind == "latin":
            inner, outer = _permutations(seed, self.k, self.m)
            return outer[sum(p[s] for p, s in zip(inner, symbols, strict=True)) % self.m]
        return _table(seed, self.k, self.m)[symbols]

    def values(self, leaves: Sequence[float]) -> tuple[tuple[float, ...], ...]:
        """All values by height: the leaves first (height 0), the root alone last (height H)."""
        levels: list[tuple[float, ...]] = [tuple(leaves)]
        for height in range(1, self.height + 1):
            below = levels[-1]
            groups = [below[i : i + self.k] for i in range(0, len(below), self.k)]
            levels.append(tuple(self.node(height, i, group) for i, group in enumerate(groups)))
        return tuple(levels)


def triangle(x: float) -> float:
    """Triangle wave of period 2 onto [0, 1] with slope +1 or -1: 0 -> 0, 1 -> 1, 2 -> 0."""
    return 1.0 - abs(x % 2.0 - 1.0)


@lru_cache(maxsize=1024)
def _permutations(seed: int, k: int, m: int) -> tuple[tuple[tuple[int, ...], ...], tuple[int, ...]]:
    """One permutation per argument and one of the result: an isotope of addition modulo m."""
    rng = Random(seed)
    drawn = tuple(tuple(rng.sample(range(m), m)) for _ in range(k + 1))
    return drawn[:k], drawn[k]


@lru_cache(maxsize=256)
def _table(seed: int, k: int, m: int) -> dict[tuple[int, ...], int]:
    """A uniform table over all m**k argument tuples."""
    rng = Random(seed)
    return {symbols: rng.randrange(m) for symbols in itertools.product(range(m), repeat=k)}


@dataclass(frozen=True)
class Hier:
    """Problems over one tree. Parts are the lowest inner nodes, named by letters in the stem.

    With ``asking`` every part is a question of its own, "(3 1) = ?", and every reader's is "(A B) = ?".
    ``cont`` answers have two decimals and count as right within ``tolerance``.
    """

    tree: Tree
    tolerance: float = 0.0
    asking: bool = False

    def __post_init__(self) -> None:
        tree = self.tree
        if tree.leaves > _MAX_LEAVES:
            raise TaskError(f"task 'hier': k**H = {tree.leaves} leaves, at most {_MAX_LEAVES} are allowed")
        if tree.kind == "random" and tree.m**tree.k > _MAX_TABLE:
            raise TaskError(f"task 'hier': m**k = {tree.m**tree.k} table entries, at most {_MAX_TABLE}")

    def draw(self, seed: int) -> Problem:
        """A problem; ``meta["values"]`` holds all values by height, as ``Tree.values`` gives them."""
        rng, tree = Random(seed), self.tree
        if tree.kind == "cont":
            return self.ask([rng.randrange(101) / 100 for _ in range(tree.leaves)])
        return self.ask([rng.randrange(tree.m) for _ in range(tree.leaves)])

    def everything(self) -> tuple[Problem, ...] | None:
        """All m**n problems if they are few; ``None`` if not."""
        tree = self.tree
        # compared by logarithm: m**n itself may have hundreds of digits
        if tree.kind == "cont" or tree.leaves * math.log(tree.m) > math.log(_MAX_LISTED) + 1e-9:
            return None
        return tuple(self.ask(leaves) for leaves in itertools.product(range(tree.m), repeat=tree.leaves))

    def ask(self, leaves: Sequence[float]) -> Problem:
        """The problem with these ``n`` leaves, e.g. for replacing one leaf in an experiment."""
        tree = self.tree
        cont = tree.kind == "cont"
        values = tree.values(leaves)
        shown = [f"{leaf:.2f}" if cont else str(leaf) for leaf in leaves]
        lowest = _grouped(shown, tree.k)
        names = letters(len(lowest))
        local = tuple(tuple(f"{v:.2f}" if cont else str(int(v)) for v in row) for row in values[1:])
        told = tuple(f"{name} = {text}" for name, text in zip(names, lowest, strict=True))
        asked = f"{_folded(list(letters(tree.k)), tree.k)} = ?"
        return Problem(
            id="",
            question=f"{_folded(lowest, tree.k)} = ?",
            answer=local[-1][0],
            kind="number",
            parts=tuple(f"{text} = ?" for text in lowest) if self.asking else told,
            stem=f"{_folded(list(names), tree.k)} = ?",
            meta={"values": values, "local": local},
            alone=self.asking,
            stems=tuple((asked,) * len(row) for row in local[1:]) if self.asking else (),
        )

    def score(self, problem: Problem, text: str) -> Score:
        """1 if the whole text is the number (within ``tolerance``), else 0."""
        return exact_number(problem.answer, text, self.tolerance)


def _grouped(texts: list[str], k: int) -> list[str]:
    """Every k neighbours in one pair of brackets; brackets touch, plain symbols get a space."""
    joint = "" if texts[0].startswith("(") else " "
    return [f"({joint.join(texts[i : i + k])})" for i in range(0, len(texts), k)]


def _folded(texts: list[str], k: int) -> str:
    """Grouped until one text is left."""
    while len(texts) > 1:
        texts = _grouped(texts, k)
    return texts[0]
