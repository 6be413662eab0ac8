"""Nested expressions over small whole numbers: ``(3 + 4) * (2 + 1)``."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from random import Random

from neuromas.core.errors import TaskError
from neuromas.core.task import Problem
from neuromas.tasks.compositional import ExactSource, letters
from neuromas.tasks.trees import Tree, answers, check_parts, inside, level, named, steps

_OPERATORS = {"+": int.__add__, "-": int.__sub__, "*": int.__mul__}
CUTS = ("joints", "shifted")
REDUCED = ("root", "all")
_FEW = 200  # trees of which all are listed


@dataclass(frozen=True)
class Arithmetic(ExactSource):
    """A complete binary tree of operations; parts are its ``parts`` subtrees.

    The stem carries the upper operations with letters for the parts ("What is A * B?"), so stem and
    parts say all. A part reads "A = 3 + 4", or with ``ask`` is a question of its own, "What is 3 + 4?",
    as a small language model has met it before; then only nodes that read the stem know the letters.
    ``levels`` has an operator a level, lowest first, the last one going on, in place of drawn ``operators``.
    Optimum: every part passes on its value, the reader combines them.

    ``modulo`` is the root's, or with ``reduced = "all"`` every operation's: the answer is the same, and a
    step is as hard at every depth, where plain sums grow.

    With ``cut = "shifted"`` the parts are cut one number behind the joints, "(3 + 4) * (2" and "+ 1)": a
    control. They still say all, and readers are asked as at the joints, but a part has no right answer.
    """

    depth: int
    operators: str
    max_operand: int
    modulo: int
    parts: int
    ask: bool = False
    levels: str = ""
    cut: str = "joints"
    reduced: str = "root"

    def __post_init__(self) -> None:
        for key, chosen in (("operators", self.operators), ("levels", self.levels)):
            if set(chosen) - set(_OPERATORS) or not (chosen or key == "levels"):
                raise TaskError(
                    f"task 'arithmetic': {key} = {chosen!r} must be some of {''.join(_OPERATORS)!r}"
                )
        if self.reduced == "all" and not self.modulo:
            raise TaskError("task 'arithmetic': reduced = 'all' needs a modulo, not modulo = 0")
        check_parts("arithmetic", self.parts, self.depth)
        if self.cut == "shifted" and not 2 <= self.parts < 2**self.depth:
            raise TaskError(
                f"task 'arithmetic': cut = 'shifted' needs parts of two numbers or more: parts from 2 to "
                f"2**(depth - 1) = {2 ** (self.depth - 1)}, not {self.parts}"
            )

    def draw(self, seed: int) -> Problem:
        """A problem; its ``meta["values"]`` holds what every subtree is, by its own question."""
        return self._problem(self._tree(Random(seed), self.depth))

    def everything(self) -> tuple[Problem, ...] | None:
        """All problems where they are too few to draw held-out ones; None where there are more."""
        operators = len(set(self.operators)) if not self.levels else 1
        inner = 2**self.depth - 1
        if 2**inner > _FEW or self.max_operand ** (inner + 1) * operators**inner > _FEW:
            return None
        return tuple(self._problem(tree) for tree in self._trees(self.depth))

    def _problem(self, tree: Tree) -> Problem:
        cut = self.parts.bit_length() - 1  # level of the parts: 0 is the root
        names = letters(self.parts)
        answer = str(_value(tree) % self.modulo if self.modulo else _value(tree))
        question = f"What is {self._expression(tree, True)}?"
        if self.cut == "joints":
            pieces = [self._expression(sub, False) for sub in level(tree, cut)]
        else:
            pieces = _shifted(_render(tree, self.modulo > 0), self.parts)
        asked = [f"What is {piece}?" for piece in pieces] if self.parts > 1 else [question]
        told = [f"{name} = {piece}" for name, piece in zip(names, pieces, strict=True)]
        local = (*answers(tree, cut, self._worth)[:-1], (answer,))
        return Problem(
            id="",
            question=question,
            answer=answer,
            kind="number",
            parts=tuple(asked if self.ask else told),
            stem=f"What is {self._expression(named(tree, cut, iter(names)), True)}?",
            meta={
                "values": tuple(self._worth(sub) for sub in level(tree, cut)),
                "local": local if self.cut == "joints" else local[-1:],
                "inside": inside(tree, cut, self._worth) if self.cut == "joints" else (),
            },
            alone=self.ask,
            stems=self._stems(tree, cut) if self.ask else (),
        )

    def _stems(self, tree: Tree, cut: int) -> tuple[tuple[str, ...], ...]:
        """What readers are asked, level by level, the root last."""
        rows = steps(tree, cut)
        roots = (at == len(rows) - 1 for at in range(len(rows)))
        return tuple(
            tuple(f"What is {self._expression(step, root)}?" for step in row)
            for row, root in zip(rows, roots, strict=True)
        )

    def _expression(self, tree: Tree, root: bool) -> str:
        """The text of a subtree with the modulo that is its own."""
        reduced = self.modulo > 0 and (root or self.reduced == "all")
        return _render(tree, reduced) + (f" modulo {self.modulo}" if reduced else "")

    def _worth(self, tree: Tree) -> int:
        """What a subtree below the root is."""
        return _value(tree) % self.modulo if self.reduced == "all" else _value(tree)

    def _trees(self, depth: int) -> list[Tree]:
        """Every tree of this depth."""
        if depth == 0:
            return list(range(1, self.max_operand + 1))
        own = [self._of_level(depth)] if self.levels else list(dict.fromkeys(self.operators))
        below = self._trees(depth - 1)
        return list(itertools.product(below, own, below))

    def _of_level(self, depth: int) -> str:
        return self.levels[min(depth, len(self.levels)) - 1]

    def _tree(self, rng: Random, depth: int) -> Tree:
        if depth == 0:
            return rng.randint(1, self.max_operand)
        left = self._tree(rng, depth - 1)
        own = self._of_level(depth) if self.levels else rng.choice(self.operators)
        return (left, own, self._tree(rng, depth - 1))


def _value(tree: Tree) -> int:
    """The value of an expression: a number, or (left, operator, right)."""
    if not isinstance(tree, tuple):
        return int(tree)
    return int(_OPERATORS[tree[1]](_value(tree[0]), _value(tree[2])))


def _render(tree: Tree, bracket: bool = False) -> str:
    """The expression as text, every inner operation in brackets."""
    if not isinstance(tree, tuple):
        return str(tree)
    text = f"{_render(tree[0], True)} {tree[1]} {_render(tree[2], True)}"
    return f"({text})" if bracket else text


def _shifted(expression: str, parts: int) -> list[str]:
    """The text in ``parts`` pieces, every cut one number behind the joint of two subtrees."""
    ends = [match.end() for match in re.finditer(r"[0-9]+", expression)]
    each = len(ends) // parts
    cuts = [0, *(ends[each * i] for i in range(1, parts)), len(expression)]
    return [expression[a:b].strip() for a, b in itertools.pairwise(cuts)]
