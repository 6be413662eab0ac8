"""What every method promises, as a check that anybody's may be held to."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from neuromas.core.episode import Episode, EpisodeGroup
from neuromas.core.task import Problem, Score, Split
from neuromas.engines.scripted import ScriptedEngine
from neuromas.methods.base import Allowance, Bench, Method
from neuromas.system.network import Network
from neuromas.topology.graph import Topology

if TYPE_CHECKING:
    from collections.abc import Sequence

    from neuromas.engines.base import Generation, Request

_ODD = ("7", "the answer is 3", "", "12, or 4", "Question: 1", "no number", "\u2028 2", "1" * 30)
_COUNT, _SAMPLES = 6, 2


@dataclass
class _Sums:
    """Sums of two digits; the first number of a text is its answer. ``read`` notes the splits asked for."""

    read: set[Split] = field(default_factory=set)

    name = "sums"
    answer_format = "one number"

    def size(self, split: Split) -> int | None:
        """Without end."""
        return None

    def problem(self, split: Split, index: int) -> Problem:
        """Also by parts, for networks that hand them out."""
        self.read.add(split)
        first, second = index % 10, index // 10 % 10
        parts = (f"first {first}", f"second {second}")
        question = f"{split}: {first} + {second}?"
        return Problem(f"{split}-{index}", question, str(first + second), "number", parts=parts, stem="Sum?")

    def score(self, problem: Problem, text: str) -> Score:
        """1 for the sum."""
        digits = "".join(char if char.isdigit() else " " for char in text).split()
        return Score(float(digits[:1] == [problem.answer]), digits[0] if digits else None)


class _Reciter(ScriptedEngine):
    """Recites odd texts; ``spent`` counts calls, prompt tokens and new tokens."""

    def __init__(self) -> None:
        super().__init__(lambda prompt, adapter: _ODD[zlib.crc32(f"{adapter}{prompt}".encode()) % len(_ODD)])
        self.spent = [0, 0, 0]

    def generate(
        self, requests: Sequence[Request], temperature: float, ends: frozenset[int]
    ) -> list[Generation]:
        """See ``ScriptedEngine.generate``."""
        out = super().generate(requests, temperature, ends)
        read = sum(len(one.prefix) + len(one.suffix) for one in requests)
        took = (len(out), read, sum(len(one.ids) for one in out))
        self.spent = [before + now for before, now in zip(self.spent, took, strict=True)]
        return out


def check_method(method: Method) -> None:
    """Raises AssertionError, saying what is wrong, if a method breaks the contract of ``Method``.

    It is played with an engine that recites odd texts. Held to it are one group of answers to every problem,
    in order, the calls it declares, that equal questions get equal answers, also one at a time, and that
    other gold answers change no text. One that searches first must read no test problem, find the same each
    time, and say what that took. Whether it is what its source describes is left to its own tests.
    """
    assert isinstance(method, Method), "a method derives from neuromas.methods.base.Method"
    for said in ("costs", "source"):
        assert getattr(method, said, ""), f"{said} says nothing"
    method = _settled(method)
    where = _bench()
    problems = [where.task.problem("test", index) for index in range(_COUNT)]
    groups = method.answer(where, problems, _SAMPLES)
    _check_form(groups, problems)
    most, parameters = method.calls(where), method.parameters(where)
    took = max(len(one.turns) for group in groups for one in group.episodes)
    assert took <= most, f"{took} messages for one question, and it declares {most}"
    assert parameters >= 0, f"{parameters} trained parameters"
    assert _texts(method.answer(where, problems, _SAMPLES)) == _texts(groups), "another time, other texts"
    alone = [group for problem in problems for group in method.answer(where, [problem], _SAMPLES)]
    assert _texts(alone) == _texts(groups), "an answer depends on what else is asked"
    unknown = [replace(problem, answer="99") for problem in problems]
    blind = _texts(method.answer(where, unknown, _SAMPLES))
    assert blind == _texts(groups), "with another gold answer it writes another text"


def _settled(method: Method) -> Method:
    """What answers: the method, or what it settles on in a search, which is held to its promises."""
    task, engine = _Sums(), _Reciter()
    where = _bench(task, engine)
    search, second = method.prepare(where), method.prepare(_bench())
    assert "test" not in task.read, "its search reads test problems"
    if search is None or second is None:
        assert search is second, "it searches once and not another time"
        return method
    said = [search.calls, search.prompt_tokens, search.new_tokens]
    assert said == engine.spent, f"its search took {engine.spent} calls and tokens and says {said}"
    assert isinstance(search.method, Method), "a search settles on a Method"
    try:
        found, other = (json.dumps(one.found, allow_nan=False) for one in (search, second))
    except (TypeError, ValueError) as error:
        raise AssertionError(f"what a search found is plain data: {error}") from error
    assert found == other, "another time, another search"
    most, declared = search.method.calls(where), method.calls(where)
    assert most <= declared, f"it settles on {most} calls and declares {declared}"
    return search.method


def _bench(task: _Sums | None = None, engine: _Reciter | None = None) -> Bench:
    """A network of three nodes over an engine whose texts are decided by the prompt."""
    network = Network(Topology.parse("2-1"), engine or _Reciter(), (0, 1, 2))
    return Bench(network, task or _Sums(), frozen=3, parameters=3, allowance=Allowance(), seed=1)


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
