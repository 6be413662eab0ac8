"""Votes of one network: whose answer counts, what it costs, and that passes are drawn apart."""

from __future__ import annotations

from collections import defaultdict

import pytest
from toys import vote

from neuromas.core.errors import ConfigError, TaskError
from neuromas.core.task import Problem, Score
from neuromas.engines.scripted import ScriptedEngine
from neuromas.evaluation.evaluate import evaluate
from neuromas.system.network import Network
from neuromas.topology.graph import Topology


class Numbers:
    """Answers are digits, right if they are the gold; other text is no answer, "crash" breaks the scorer."""

    name = "numbers"
    answer_format = "a digit"

    def __init__(self, *golds: str) -> None:
        self.golds = golds

    def size(self, split):
        return len(self.golds) if split == "test" else 0

    def problem(self, split, index):
        return Problem(f"q{index}", f"Question {index}?", self.golds[index])

    def score(self, problem, text):
        if text == "crash":
            raise ValueError("cannot read")
        number = "".join(char for char in text if char.isdigit()) or None
        return Score(float(number == problem.answer), number)


def network(*answers):
    """A 1-1 network; pass k of question i answers ``answers[i][k]``."""
    asked = defaultdict(int)

    def script(prompt, adapter):
        if adapter == 0:
            return "hint"
        i = next(i for i in range(len(answers)) if f"Question {i}?" in prompt)
        asked[i] += 1
        return answers[i][asked[i] - 1]

    return Network(Topology.parse("1-1"), ScriptedEngine(script), (0, 1))


@pytest.mark.parametrize(
    ("said", "chosen", "score"),
    [
        (("1", "2", "2"), "2", 1.0),
        (("2", "1", "2"), "2", 1.0),
        (("1", "2", "3"), "1", 0.0),  # all tied: the first
        (("3", "2", "1", "2", "3"), "3", 0.0),  # two tied: the one that came first
        (("what", "no", "2"), "2", 1.0),  # what cannot be parsed is no vote
        (("what", "what", "2", "3"), "2", 1.0),
        (("is 1", "it is 2", "2"), "it is 2", 1.0),  # the same answer in other words; the first is scored
        (("what", "no", "eh"), "what", 0.0),
        (("crash", "1", "2", "2"), "2", 1.0),
        (("crash", "no"), "no", 0.0),  # an answer that could be scored, before one that could not
        (("1",), "1", 0.0),
    ],
)
def test_the_majority_of_what_was_understood(said, chosen, score):
    (item,) = vote(network(said), Numbers("2"), "test", 9, votes=len(said), temperature=0.7).items
    assert (item.answer, item.score) == (chosen, score)


class Verbatim(Numbers):
    """Answers are taken as they are written; "1,000" is right where the gold is 1000, or as ``pays`` says."""

    def __init__(self, *golds, pays=()):
        super().__init__(*golds)
        self.pays = pays

    def score(self, problem, text):
        right = text == problem.answer or text in self.pays
        return Score(float(right), text if any(char.isdigit() for char in text) else None)


@pytest.mark.parametrize(
    ("said", "chosen"),
    [
        (("2", "2", "1,000", "$1000", "1000"), "1,000"),  # three votes in three writings
        (("2", "1,000", "1000.0", "1000"), "1,000"),
        (("2", "1,000", "1000", "1000"), "1000"),  # the most frequent writing is scored
        (("1,000", "1000", "2", "2"), "1,000"),  # tied: what came first, not the better writing
        (("2", "2", "1,000", "1000"), "2"),
        (("1/2", "7", "0.5", "0.50"), "1/2"),
        (("x1", "X1", "2", "2"), "2"),  # texts differ as they are written
    ],
)
def test_numbers_are_one_vote_in_any_writing(said, chosen):
    task = Verbatim("1000", pays=("1,000", "$1000", "1000.0"))
    (item,) = vote(network(said), task, "test", 9, votes=len(said), temperature=0.7).items
    assert item.answer == chosen
    assert item.score == float(chosen not in ("2", "1/2"))


def test_every_question_has_its_own_votes():
    said = ("1", "2", "2"), ("5", "5", "4"), ("crash", "crash", "crash")
    result = vote(network(*said), Numbers("2", "4", "6"), "test", 9, votes=3, temperature=0.7)
    assert [(i.id, i.parsed, i.score) for i in result.items] == [
        ("q0", "2", 1.0),
        ("q1", "5", 0.0),
        ("q2", None, 0.0),
    ]
    assert "cannot read" in result.items[2].failure
    assert (result.summary["accuracy"], result.summary["failed"]) == (pytest.approx(1 / 3), 1)


def test_all_passes_are_paid_for():
    net = network(("1", "22", "22"))
    result = vote(net, Numbers("22"), "test", 9, votes=3, temperature=0.7)
    (item,) = result.items
    assert item.messages == ("hint", "1", "hint", "22", "hint", "22")
    assert item.message_tokens == (5, 2, 5, 3, 5, 3)
    assert (item.new_tokens, result.summary["calls"], result.summary["nodes"]) == (23, 6, 2)
    requests = [request for call in net.engine.calls for request in call.requests]
    assert item.prompt_tokens == sum(len(r.prefix) + len(r.suffix) for r in requests)
    assert (result.summary["votes"], result.summary["temperature"]) == (3, 0.7)


def test_passes_are_drawn_apart_and_by_the_seed():
    def seeds(seed):
        net = network(("1",) * 3)
        vote(net, Numbers("1"), "test", 9, votes=3, temperature=0.5, seed=seed)
        assert {call.temperature for call in net.engine.calls} == {0.5}
        return [request.seed for call in net.engine.calls for request in call.requests]

    assert len(set(seeds(0))) == 6
    assert seeds(0) == seeds(0)
    assert not set(seeds(0)) & set(seeds(1))


def test_passes_of_a_real_sampler_differ(tiny_engine):
    net = Network(Topology.parse("1-1"), tiny_engine(2), (0, 1), message_tokens=4, answer_tokens=4)
    (item,) = vote(net, Numbers("1"), "test", 1, votes=3, temperature=1.0).items
    assert len({item.messages[k : k + 2] for k in (0, 2, 4)}) == 3


@pytest.mark.parametrize(
    ("votes", "temperature"), [(0, 0.7), (2.5, 0.7), (3, 0.0), (1, -1.0), (2, 11.0), (2, float("nan"))]
)
def test_votes_that_mean_nothing(votes, temperature):
    says = f"votes = {votes}" if votes in (0, 2.5) else f"temperature = {temperature}"
    with pytest.raises(ConfigError, match=f"{says} of method 'self-consistency'"):
        vote(network(("1",)), Numbers("1"), "test", 1, votes=votes, temperature=temperature)


def test_one_greedy_vote_is_greedy_evaluation():
    one = vote(network(("1",)), Numbers("1"), "test", 1, votes=1, temperature=0.0).items
    assert one == evaluate(network(("1",)), Numbers("1"), "test", 1).items
    with pytest.raises(TaskError, match="no train problems"):
        vote(network(("1",)), Numbers("1"), "train", 1, votes=1, temperature=0.5)
