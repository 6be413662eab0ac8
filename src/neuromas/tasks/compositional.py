"""Built-in tasks that compose: each cuts into parts that different nodes can solve.

All have a known optimum of 1.0, reached by the composition named in each class. ``parts`` together
with ``stem`` hold everything that ``question`` holds. Answers are one short number or word, so that
a very small language model can earn its first reward by chance.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

from neuromas.core.errors import TaskError
from neuromas.core.task import Problem, Score
from neuromas.tasks.checking import exact

_RANKS = ("", "second ", "third ", "fourth ", "fifth ")
_LISTS = (
    "Ann Bob Carl Dora Emil Fay Greg Hana Ivan Jane Kurt Lena Max Nora Otto Paula",
    "Rome Oslo Paris Cairo Lima Delhi Tokyo Berlin Madrid Dublin Quito Sofia Riga Bern Hanoi Kyoto",
    "apple lemon plum cherry mango peach grape melon fig kiwi pear lime date olive papaya guava",
    "fox owl bear wolf deer goat crow mouse horse rabbit badger otter seal duck hen sheep",
    "red blue green yellow black white brown orange purple pink gray gold silver tan teal beige",
)
_WORDS: tuple[tuple[str, ...], ...] = tuple(tuple(words.split()) for words in _LISTS)
NOUNS = tuple(dict.fromkeys(word for words in _WORDS[2:] for word in words))  # fruits, animals, colors
_FACTS = ("{} lives in {}.", "{} grows {}.", "The {} feeds the {}.", "The {} is {}.")
_QUERIES = (
    "Which city does {} live in?",
    "Which fruit grows in the city of {}?",
    "Which animal eats the fruit from the city of {}?",
    "Which color is the animal that eats the fruit from the city of {}?",
)
_HOPS = (  # one hop alone, of the answer to the one before
    *_QUERIES[:2],
    "Which animal does the {} feed?",
    "Which color is the {}?",
)
_NONE = "none"  # what a part of ``recall`` answers that does not hold the fact
MAX_HOPS = len(_FACTS)
MAX_PEOPLE = len(_WORDS[0])


def letters(count: int) -> tuple[str, ...]:
    """Names of ``count`` parts: A, B, ... (at most 26), then P1, P2, ..."""
    if count <= 26:
        return tuple(chr(ord("A") + i) for i in range(count))
    return tuple(f"P{i + 1}" for i in range(count))


def joints(count: int) -> list[int]:
    """How many answers a reader takes in, level by level: two while they pair off, else all that are left."""
    taken = []
    while count > 1:
        taken.append(2 if count % 2 == 0 else count)
        count //= taken[-1]
    return taken


class ExactSource:
    """A source that is scored exactly."""

    __slots__ = ()

    def score(self, problem: Problem, text: str) -> Score:
        """1 if the whole text is the answer, else 0."""
        return exact(problem, text)

    def everything(self) -> tuple[Problem, ...] | None:
        """Too many to list."""
        return None


@dataclass(frozen=True)
class Largest(ExactSource):
    """The ``rank``-th largest of ``n`` different numbers of ``digits`` digits, cut into ``parts`` lists.

    Optimum: every part passes on its ``rank`` largest numbers, the reader picks among them. With ``ask`` a
    part is a question of its own, "What is the largest of 3, 8?", and a reader's is "… of A, B?".
    """

    n: int
    digits: int
    parts: int
    rank: int
    ask: bool = False

    def __post_init__(self) -> None:
        room = 10 if self.digits == 1 else 9 * 10 ** (self.digits - 1)
        if self.n > room:
            raise TaskError(f"task 'max': n = {self.n}, but only {room} numbers have {self.digits} digit(s)")
        for key, value in (("parts", self.parts), ("rank", self.rank)):
            if value > self.n:
                raise TaskError(f"task 'max': {key} = {value} needs n of at least {value}, n is {self.n}")
        if self.ask and self.rank > 1:
            raise TaskError(
                f"task 'max': ask = true needs rank = 1, not {self.rank}: a part has one right answer"
            )

    def draw(self, seed: int) -> Problem:
        """A problem; ``meta["numbers"]`` holds the numbers of every part."""
        low = 0 if self.digits == 1 else 10 ** (self.digits - 1)
        numbers = Random(seed).sample(range(low, 10**self.digits), self.n)
        cuts = [self.n * i // self.parts for i in range(self.parts + 1)]
        groups = tuple(tuple(numbers[a:b]) for a, b in itertools.pairwise(cuts))
        what = f"{_RANKS[self.rank - 1]}largest"
        lists = [", ".join(map(str, group)) for group in groups]
        plain = Problem(
            id="",
            question=f"What is the {what} of {', '.join(map(str, numbers))}?",
            answer=str(sorted(numbers, reverse=True)[self.rank - 1]),
            kind="number",
            parts=tuple(lists),
            stem=f"What is the {what} number?",
            meta={"numbers": groups},
        )
        return self._asking(plain, groups) if self.ask else plain

    def _asking(self, plain: Problem, groups: tuple[tuple[int, ...], ...]) -> Problem:
        """The problem with a question for every part and every reader."""
        local, stems = [tuple(map(max, groups))], []
        for taken in joints(self.parts):
            below = local[-1]
            local.append(tuple(max(below[i : i + taken]) for i in range(0, len(below), taken)))
            stems.append((_largest_of(letters(taken)),) * len(local[-1]))
        return replace(
            plain,
            parts=tuple(map(_largest_of, groups)),
            stem=_largest_of(letters(self.parts)),
            meta={**plain.meta, "local": tuple(tuple(map(str, row)) for row in local)},
            alone=True,
            stems=tuple(stems),
        )


def _largest_of(what: Sequence[object]) -> str:
    return f"What is the largest of {', '.join(map(str, what))}?"


@dataclass(frozen=True)
class Lookup(ExactSource):
    """A chain of look-ups: person -> city -> fruit (-> animal -> color), one part per hop.

    Part 1 holds the query and the first facts; part h the facts of hop h. Every hop is one-to-one,
    so guessing among the possible answers earns 1/people. Optimum: follow the chain. With ``ask`` every part
    asks for its hop, from the second on of A, the answer to the hop before: a chain of nodes, a hop each.
    """

    people: int
    hops: int
    ask: bool = False

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
        query, asked = _QUERIES[self.hops - 1].format(chain[0]), [chain[0]] + ["A"] * (self.hops - 1)
        alone = [
            f"Follow the facts. {facts} {hop.format(what)}"
            for facts, hop, what in zip(parts, _HOPS, asked, strict=False)
        ]
        parts[0] += " " + query
        local = (tuple(chain[1:]),) + (((chain[-1],),) if self.hops > 1 else ())
        return Problem(
            id="",
            question="Follow the facts. " + " ".join(reversed(parts)),  # the query comes last
            answer=chain[-1],
            kind="text",
            parts=tuple(alone if self.ask else parts),
            stem=query if self.ask else "Follow the facts.",
            meta={"chain": tuple(chain), "local": local},
            alone=self.ask,
        )


@dataclass(frozen=True)
class Recall(ExactSource):
    """The age of one of ``facts`` people, all of different ages; the facts are cut into ``parts`` lists.

    The stem asks, one part alone holds the fact, and which one is not told. Optimum: the part that holds
    it passes the age on, the others show that they do not know, the reader tells them apart. A reader
    that trusts the same part always is right in about 1/parts, the best constant answer in about 1/90.
    With ``ask`` a part asks by itself and is answered "none" where it does not say; so are readers.
    """

    facts: int
    parts: int
    ask: bool = False

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
        holder = next(i for i, cut in enumerate(cuts) if asked < cut)
        plain = Problem(
            id="",
            question=f"{stem} {' '.join(told)}",
            answer=str(ages[asked]),
            kind="number",
            parts=tuple(" ".join(told[a:b]) for a, b in itertools.pairwise(cuts)),
            stem=stem,
            meta={"holder": holder},
        )
        return self._asking(plain, holder - 1) if self.ask else plain

    def _asking(self, plain: Problem, place: int) -> Problem:
        """A question for every part and every reader; the part at ``place`` holds the fact."""
        doubt = f" If it does not say, {_NONE}." if self.parts > 1 else ""
        count, stems = self.parts, []
        local = [tuple(plain.answer if i == place else _NONE for i in range(count))]
        for taken in joints(count):
            count, place = count // taken, place // taken
            stems.append((f"Which of {', '.join(letters(taken))} is an age? If none is, {_NONE}.",) * count)
            local.append(tuple(plain.answer if i == place else _NONE for i in range(count)))
        return replace(
            plain,
            parts=tuple(f"{plain.stem} {part}{doubt}" for part in plain.parts),
            meta={**plain.meta, "local": tuple(local)},
            alone=True,
            stems=tuple(stems),
        )
