"""Built-in tasks that compose: each cuts into parts that different nodes can solve.

All have a known optimum of 1.0, reached by the composition named in each class. ``parts`` together
with ``stem`` hold everything that ``question`` holds. Answers are one short number or word, so that
a very small language model can earn its first reward by chance.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from random import Random
from typing import Any

from neuromas.core.errors import TaskError
from neuromas.core.task import Problem, Score
from neuromas.tasks.checking import exact

_RANKS = ("", "second ", "third ", "fourth ", "fifth ")
_OPERATORS = {"+": int.__add__, "-": int.__sub__, "*": int.__mul__}
_LISTS = (
    "Ann Bob Carl Dora Emil Fay Greg Hana Ivan Jane Kurt Lena Max Nora Otto Paula",
    "Rome Oslo Paris Cairo Lima Delhi Tokyo Berlin Madrid Dublin Quito Sofia Riga Bern Hanoi Kyoto",
    "apple lemon plum cherry mango peach grape melon fig kiwi pear lime date olive papaya guava",
    "fox owl bear wolf deer goat crow mouse horse rabbit badger otter seal duck hen sheep",
    "red blue green yellow black white brown orange purple pink gray gold silver tan teal beige",
)
_WORDS: tuple[tuple[str, ...], ...] = tuple(tuple(words.split()) for words in _LISTS)
_FACTS = ("{} lives in {}.", "{} grows {}.", "The {} feeds the {}.", "The {} is {}.")
_QUERIES = (
    "Which city does {} live in?",
    "Which fruit grows in the city of {}?",
    "Which animal eats the fruit from the city of {}?",
    "Which color is the animal that eats the fruit from the city of {}?",
)
MAX_HOPS = len(_FACTS)
MAX_PEOPLE = len(_WORDS[0])


def letters(count: int) -> tuple[str, ...]:
    """Names of ``count`` parts: A, B, ... (at most 26), then P1, P2, ..."""
    if count <= 26:
        return tuple(chr(ord("A") + i) for i in range(count))
    return tuple(f"P{i + 1}" for i in range(count))


class ExactSource:
    """A source that is scored exactly."""

    __slots__ = ()

    def score(self, problem: Problem, text: str) -> Score:
        """1 if the whole text is the answer, else 0."""
        return exact(problem, text)

    def everything(self) -> None:
        """Too many to list."""
        return None


@dataclass(frozen=True)
class Largest(ExactSource):
    """The ``rank``-th largest of ``n`` different numbers of ``digits`` digits, cut into ``parts`` lists.

    Optimum: every part passes on its ``rank`` largest numbers, the reader picks among them.
    """

    n: int
    digits: int
    parts: int
    rank: int

    def __post_init__(self) -> None:
        room = 10 if self.digits == 1 else 9 * 10 ** (self.digits - 1)
        if self.n > room:
            raise TaskError(f"task 'max': n = {self.n}, but only {room} numbers have {self.digits} digit(s)")
        for key, value in (("parts", self.parts), ("rank", self.rank)):
            if value > self.n:
                raise TaskError(f"task 'max': {key} = {value} needs n of at least {value}, n is {self.n}")

    def draw(self, seed: int) -> Problem:
        """A problem; ``meta["numbers"]`` holds the numbers of every part."""
        low = 0 if self.digits == 1 else 10 ** (self.digits - 1)
        numbers = Random(seed).sample(range(low, 10**self.digits), self.n)
        cuts = [self.n * i // self.parts for i in range(self.parts + 1)]
        groups = tuple(tuple(numbers[a:b]) for a, b in itertools.pairwise(cuts))
        what = f"{_RANKS[self.rank - 1]}largest"
        return Problem(
            id="",
            question=f"What is the {what} of {', '.join(map(str, numbers))}?",
            answer=str(sorted(numbers, reverse=True)[self.rank - 1]),
            kind="number",
            parts=tuple(", ".join(map(str, group)) for group in groups),
            stem=f"What is the {what} number?",
            meta={"numbers": groups},
        )


@dataclass(frozen=True)
class Lookup(ExactSource):
    """A chain of look-ups: person -> city -> fruit (-> animal -> color), one part per hop.

    Part 1 holds the query and the first facts; part h the facts of hop h. Every hop is one-to-one,
    so guessing among the possible answers earns 1/people. Optimum: follow the chain.
    """

    people: int
    hops: int

    def draw(self, seed: int) -> Problem:
        """A problem; ``meta["chain"]`` holds the words on the way from the person to the answer."""
        rng = Random(seed)
        names = [rng.sample(words, self.people) for words in _WORDS[: self.hops + 1]]
        chain, parts = [names[0][0]], []
        for hop in range(self.hops):
            pairs = list(zip(names[hop], names[hop + 1], strict=True))
            chain.append(dict(pairs)[chain[-1]])
            rng.shuffle(pairs)
            parts.append(" ".join(_FACTS[hop].format(*pair) for pair in pairs))
        parts[0] += " " + _QUERIES[self.hops - 1].format(chain[0])
        return Problem(
            id="",
            question="Follow the facts. " + " ".join(reversed(parts)),  # the query comes last
            answer=chain[-1],
            kind="text",
            parts=tuple(parts),
            stem="Follow the facts.",
            meta={"chain": tuple(chain)},
        )


@dataclass(frozen=True)
class Recall(ExactSource):
    """The age of one of ``facts`` people, all of different ages; the facts are cut into ``parts`` lists.

    The stem asks, one part alone holds the fact, and which one is not told. Optimum: the part that holds
    it passes the age on, the others show that they do not know, the reader tells them apart. A reader
    that trusts the same part always is right in about 1/parts, the best constant answer in about 1/90.
    """

    facts: int
    parts: int

    def __post_init__(self) -> None:
        if self.parts > self.facts:
            raise TaskError(
                f"task 'recall': parts = {self.parts} needs facts of at least {self.parts}, "
                f"facts is {self.facts}"
            )

    def draw(self, seed: int) -> Problem:
        """A problem; ``meta["holder"]`` is the part that holds the fact asked for, counted from 1."""
        rng = Random(seed)
        people = rng.sample(_WORDS[0], self.facts)
        ages = rng.sample(range(10, 100), self.facts)
        asked = rng.randrange(self.facts)
        told = [f"{person} is {age}." for person, age in zip(people, ages, strict=True)]
        cuts = [self.facts * i // self.parts for i in range(self.parts + 1)]
        stem = f"How old is {people[asked]}?"
        return Problem(
            id="",
            question=f"{stem} {' '.join(told)}",
            answer=str(ages[asked]),
            kind="number",
            parts=tuple(" ".join(told[a:b]) for a, b in itertools.pairwise(cuts)),
            stem=stem,
            meta={"holder": next(i for i, cut in enumerate(cuts) if asked < cut)},
        )


@dataclass(frozen=True)
class Arithmetic(ExactSource):
    """A complete binary tree of operations over small whole numbers; parts are its ``parts`` subtrees.

    The stem carries the upper operations with letters for the parts ("What is A * B?"), so stem and
    parts say all. A part reads "A = 3 + 4", or with ``ask`` is a question of its own, "What is 3 + 4?",
    as a small language model has met it before; then only nodes that read the stem know the letters.
    Optimum: every part passes on its value, the reader combines them.
    """

    depth: int
    operators: str
    max_operand: int
    modulo: int
    parts: int
    ask: bool = False

    def __post_init__(self) -> None:
        bad = set(self.operators) - set(_OPERATORS)
        if bad or not self.operators:
            raise TaskError(
                f"task 'arithmetic': operators = {self.operators!r} must be some of {''.join(_OPERATORS)!r}"
            )
        if self.parts & (self.parts - 1) or self.parts > 2**self.depth:
            raise TaskError(
                f"task 'arithmetic': parts = {self.parts} must be a power of 2, "
                f"at most 2**depth = {2**self.depth}"
            )

    def draw(self, seed: int) -> Problem:
        """A problem; ``meta["values"]`` holds the value of every part, without the modulo."""
        rng = Random(seed)
        tree = self._tree(rng, self.depth)
        cut = self.parts.bit_length() - 1  # level of the parts: 0 is the root
        subtrees = _level(tree, cut)
        names = letters(self.parts)
        tail = f" modulo {self.modulo}" if self.modulo else ""
        value = _value(tree) % self.modulo if self.modulo else _value(tree)
        return Problem(
            id="",
            question=f"What is {_render(tree, tail != '')}{tail}?",
            answer=str(value),
            kind="number",
            parts=tuple(
                f"What is {_render(sub)}?" if self.ask else f"{name} = {_render(sub)}"
                for name, sub in zip(names, subtrees, strict=True)
            ),
            stem=f"What is {_render(_named(tree, cut, iter(names)), tail != '')}{tail}?",
            meta={"values": tuple(_value(sub) for sub in subtrees)},
            alone=self.ask,
        )

    def _tree(self, rng: Random, depth: int) -> Any:
        if depth == 0:
            return rng.randint(1, self.max_operand)
        return (self._tree(rng, depth - 1), rng.choice(self.operators), self._tree(rng, depth - 1))


def _value(tree: Any) -> int:
    """The value of an expression: a number, or (left, operator, right)."""
    if not isinstance(tree, tuple):
        return int(tree)
    return int(_OPERATORS[tree[1]](_value(tree[0]), _value(tree[2])))


def _render(tree: Any, bracket: bool = False) -> str:
    """The expression as text, every inner operation in brackets."""
    if not isinstance(tree, tuple):
        return str(tree)
    text = f"{_render(tree[0], True)} {tree[1]} {_render(tree[2], True)}"
    return f"({text})" if bracket else text


def _level(tree: Any, depth: int) -> list[Any]:
    """The subtrees ``depth`` levels below the root, left to right."""
    return [tree] if depth == 0 else _level(tree[0], depth - 1) + _level(tree[2], depth - 1)


def _named(tree: Any, depth: int, names: Any) -> Any:
    """The tree with every subtree at ``depth`` replaced by the next name."""
    if depth == 0:
        return next(names)
    left = _named(tree[0], depth - 1, names)
    return (left, tree[1], _named(tree[2], depth - 1, names))
