"""Trees of choices between two: the larger of the smaller of 3 and 8 and the smaller of 5 and 1."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from neuromas.core.errors import TaskError, unknown
from neuromas.core.task import Problem
from neuromas.tasks.compositional import NOUNS, ExactSource, letters
from neuromas.tasks.trees import Tree, answers, check_parts, inside, level, named, steps

_WORDS = ("later", "earlier")  # in the alphabet
_RULES: dict[str, Callable[[Any, Any], Any]] = {"larger": max, "smaller": min, "later": max, "earlier": min}


@dataclass(frozen=True)
class Pick(ExactSource):
    """A complete binary tree of choices over different numbers, or words; parts are its ``parts`` subtrees.

    ``rules`` has a rule a level, lowest first, the last one going on: ``smaller,larger`` is the larger of
    two smaller ones; of ``larger/smaller`` every step of the level draws one. Optimum: every part passes on
    what it chose, the reader chooses between them. Where all rules are one, the whole is no deeper than a
    list; where they alternate, no part can be left out.
    """

    depth: int
    rules: str
    highest: int
    parts: int
    ask: bool

    def __post_init__(self) -> None:
        every = [rule for drawn in self._rules for rule in drawn]
        for rule in every:
            if rule not in _RULES:
                raise TaskError("task 'pick': " + unknown("rule", rule, _RULES))
        if len({rule in _WORDS for rule in every}) > 1:
            raise TaskError(f"task 'pick': rules = {self.rules!r} chooses among numbers and among words")
        check_parts("pick", self.parts, self.depth)
        room = len(NOUNS) if self.of_words else self.highest
        if 2**self.depth > room:
            what = f"there are only {room} words" if self.of_words else f"highest = {room} allows only {room}"
            raise TaskError(f"task 'pick': depth = {self.depth} needs {2**self.depth} different; {what}")

    @property
    def _rules(self) -> tuple[tuple[str, ...], ...]:
        """Of every level those that a step may have."""
        return tuple(tuple(map(str.strip, drawn.split("/"))) for drawn in self.rules.split(","))

    @property
    def of_words(self) -> bool:
        """Whether it chooses among words."""
        return self._rules[0][0] in _WORDS

    @property
    def form(self) -> str:
        """What the output node is told of the form of its answer."""
        return "one word" if self.of_words else "one number"

    def draw(self, seed: int) -> Problem:
        """A problem; ``meta["local"]`` holds what every part and every step chooses."""
        rng = Random(seed)
        count = 2**self.depth
        row: list[Tree] = list(
            rng.sample(NOUNS, count) if self.of_words else rng.sample(range(1, self.highest + 1), count)
        )
        for height in range(self.depth):
            drawn = self._rules[min(height, len(self._rules) - 1)]
            row = [(row[i], _one(drawn, rng), row[i + 1]) for i in range(0, len(row), 2)]
        tree, cut = row[0], self.parts.bit_length() - 1
        pieces = [_render(sub) for sub in level(tree, cut)]
        names = letters(self.parts)
        return Problem(
            id="",
            question=f"What is {_render(tree)}?",
            answer=str(_value(tree)),
            kind="text" if self.of_words else "number",
            parts=tuple(
                f"What is {piece}?" if self.ask else f"{name} = {piece}"
                for name, piece in zip(names, pieces, strict=True)
            ),
            stem=f"What is {_render(named(tree, cut, iter(names)))}?",
            meta={"local": answers(tree, cut, _value), "inside": inside(tree, cut, _value)},
            alone=self.ask,
            stems=tuple(tuple(f"What is {_render(one)}?" for one in row) for row in steps(tree, cut))
            if self.ask
            else (),
        )


def _one(rules: tuple[str, ...], rng: Random) -> str:
    """One of the rules; nothing is drawn where there is one, so that questions stay what they were."""
    return rules[0] if len(rules) == 1 else rng.choice(rules)


def _value(tree: Tree) -> int | str:
    """What is chosen in the end."""
    chosen: int | str = _RULES[tree[1]](_value(tree[0]), _value(tree[2])) if isinstance(tree, tuple) else tree
    return chosen


def _render(tree: Tree, inner: bool = False) -> str:
    """The choice as text, every inner one in brackets."""
    if not isinstance(tree, tuple):
        return str(tree)
    text = f"the {tree[1]} of {_render(tree[0], True)} and {_render(tree[2], True)}"
    return f"({text})" if inner else text
