"""What every method promises, as a check that anybody's may be held to."""

from __future__ import annotations

import json
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING

from neuromas.core.episode import Episode, EpisodeGroup
from neuromas.core.task import Problem, Score, Split
from neuromas.engines.scripted import ScriptedEngine
from neuromas.methods.base import Allowance, Bench, Method, Search
from neuromas.system.network import Network
from neuromas.topology.graph import Topology

if TYPE_CHECKING:
    from collections.abc import Sequence

    from neuromas.engines.base import Generation, Request

_ODD = ("7", "the answer is 3", "", "12, or 4", "Question: 1", "no number", "\u2028 2", "1" * 30)
_COUNT, _SAMPLES = 6, 2


class _Sums:
    """Sums of two digits; the first number of a text is its answer.

    ``test`` says of test problems that their answer is ``gold``, ``wrong``, or that they are not to be read.
    """

    name = "sums"
    answer_format = "one number"

    def __init__(self, test: str = "gold") -> None:
        self.test = test
        self.seen = False  # whether a test problem was asked for

    def size(self, split: Split) -> int | None:
        """Without end."""
        return None

    def problem(self, split: Split, index: int) -> Problem:
        """Also by parts, for networks that hand them out."""
        self.seen = self.seen or split == "test"
        assert split != "test" or self.test != "hidden", "prepare() reads test problems"
        first, second = index % 10, index // 10 % 10
        parts = (f"first {first}", f"second {second}")
        question = f"{split}: {first} + {second}?"
        answer = "99" if split == "test" and self.test == "wrong" else str(first + second)
        return Problem(f"{split}-{index}", question, answer, "number", parts=parts, stem="Sum?")

    def score(self, problem: Problem, text: str) -> Score:
        """1 for the sum."""
        digits = "".join(char if char.isdigit() else " " for char in text).split()
        return Score(float(digits[:1] == [problem.answer]), digits[0] if digits else None)


def check_method(method: Method) -> None:
    """Raises AssertionError, saying what is wrong, if a method breaks the contract of ``Method``.

    It is played with an engine that recites odd texts. Held to it are that it searches without test problems,
    finds the same again and counts what that took, one group of answers to every problem, in order, the calls
    it declares, that equal questions get equal answers, also one at a time, and that other gold answers
    change no text. Whether it is what its source describes is left to its own tests.
    """
    assert isinstance(method, Method), "a method derives from neuromas.methods.base.Method"
    for said in ("costs", "source"):
        assert getattr(method, said, ""), f"{said} says nothing"
    method = _prepared(method)
    where = _bench()
    problems = [where.task.problem("test", index) for index in range(_COUNT)]
    groups = method.answer(where, problems, _SAMPLES)
    _check_form(groups, problems)
    most, parameters = method.calls(where), method.parameters(where)
    took = max(len(one.turns) for group in groups for one in group.episodes)
    assert took <= most, f"{took} messages for one question, and it declares {most}"
    assert parameters >= 0, f"{parameters} trained parameters"
    assert json.dumps(method.about(where)), "about() is plain data"
    assert _texts(method.answer(where, problems, _SAMPLES)) == _texts(groups), "another time, other texts"
    alone = [group for problem in problems for group in method.answer(where, [problem], _SAMPLES)]
    assert _texts(alone) == _texts(groups), "an answer depends on what else is asked"
    where = replace(where, task=_Sums("wrong"))  # nor is there a gold answer to be looked up
    unknown = [where.task.problem("test", index) for index in range(_COUNT)]
    blind = _texts(method.answer(where, unknown, _SAMPLES))
    assert blind == _texts(groups), "with another gold answer it writes another text"


def _prepared(method: Method) -> Method:
    """What answers in its place once it has searched, if it does. Raises AssertionError."""
    found: list[Search] = []
    while len(found) < 2:
        task = _Sums("hidden")
        where = replace(_bench(), task=task)
        engine = where.network.engine
        search = method.prepare(where)
        assert not task.seen, "prepare() reads test problems"  # also where it caught what the task raised
        if search is None:
            assert not found, "it searches once and not another time"
            return method
        assert isinstance(search, Search), "prepare() gives a Search, or None"
        assert isinstance(engine, _Counting)
        said = (search.calls, search.prompt_tokens, search.new_tokens)
        took = (engine.asked, engine.read, engine.written)
        assert said == took, f"a search of {took} calls, prompt and new tokens, and it says {said}"
        found.append(search)
    try:
        first, second = (json.dumps(one.found, sort_keys=True, allow_nan=False) for one in found)
    except (TypeError, ValueError) as error:
        raise AssertionError(f"what a search finds is plain data: {error}") from error
    assert first == second, "another time it finds another thing"
    settled, where = found[0].method, _bench()
    most, declared = settled.calls(where), method.calls(where)
    assert most <= declared, f"it settles on {most} calls and declares {declared}"
    return settled


class _Counting(ScriptedEngine):
    """Its texts are decided by prompt and adapter; it counts messages, tokens read and tokens written."""

    def __init__(self) -> None:
        super().__init__(lambda text, adapter: _ODD[zlib.crc32(f"{adapter}{text}".encode()) % len(_ODD)])
        self.asked = self.read = self.written = 0

    def generate(
        self, requests: Sequence[Request], temperature: float, ends: frozenset[int]
    ) -> list[Generation]:
        """Recite and count."""
        spoken = super().generate(requests, temperature, ends)
        self.asked += len(requests)
        self.read += sum(len(one.prefix) + len(one.suffix) for one in requests)
        self.written += sum(len(one.ids) for one in spoken)
        return spoken


def _bench() -> Bench:
    """A network of three nodes over an engine whose texts are decided by the prompt."""
    network = Network(Topology.parse("2-1"), _Counting(), (0, 1, 2))
    return Bench(network, _Sums(), frozen=3, parameters=3, allowance=Allowance(), seed=1)


def _check_form(groups: Sequence[EpisodeGroup], problems: Sequence[Problem]) -> None:
    """One group a problem, whole and scored or failed with a cause."""
    ids = [[one.problem.id for one in group.episodes] for group in groups]
    assert ids == [[problem.id] * _SAMPLES for problem in problems], (
        "not one group of answers to every problem"
    )
    for one in (one for group in groups for one in group.episodes):
        assert isinstance(one, Episode), "an answer is an Episode"
        assert one.score is not None or one.failure, f"{one.problem.id}: neither a score nor a cause"
        for turn in one.turns:
            assert len(turn.ids) == len(turn.logprobs) > 0, "a turn holds its tokens and their probabilities"


def _texts(groups: Sequence[EpisodeGroup]) -> list[tuple[str, ...]]:
    """Every answer and every message."""
    return [(one.answer, *(turn.text for turn in one.turns)) for group in groups for one in group.episodes]
