"""What searches share: edges that are drawn and learn, retrieval, the bill, and what the check finds."""

from __future__ import annotations

import contextlib
import math
import random
from dataclasses import dataclass, replace
from itertools import product

import pytest
from toys import ToyTask, network, problems

from neuromas.core.errors import ConfigError
from neuromas.engines.scripted import ScriptedEngine
from neuromas.evaluation.heldout import first_problems
from neuromas.methods.base import Allowance, Bench
from neuromas.methods.dialogue import Ask, Dialogue
from neuromas.methods.direct import Direct
from neuromas.methods.edges import Adam, ascent, levels, probabilities, realise
from neuromas.methods.retrieval import nearest
from neuromas.methods.running import evaluate_method, make_method
from neuromas.methods.searching import Searching, earned, searched, tried
from neuromas.testing import check_method

# -- several methods at once


@dataclass(frozen=True)
class Says(Dialogue):
    word: str = ""
    rounds: int = 1
    temperature: float = 0.7

    costs, source = "rounds", "none"

    def calls(self, bench):
        return self.rounds

    def talk(self, problem, read):
        for _ in range(self.rounds):
            (turn,) = yield [Ask(instruction=self.word)]
        return turn.text


def test_dialogues_play_in_one_batch_and_as_if_alone():
    engine = ScriptedEngine(lambda prompt, adapter: prompt.splitlines()[0])
    bench = Bench(network(engine, "1"), ToyTask(), 0, 0, Allowance(), seed=1)
    (one,) = problems(1)
    jobs = [(Says("warm"), one, 0), (Says("long", 3), one, 0), (Says("cold"), one, 1)]
    mixed = tried(bench, jobs)
    assert [episode.answer for episode in mixed] == ["warm", "long", "cold"]
    assert [episode.score.value for episode in mixed] == [1.0] * 3
    assert [len(call.requests) for call in engine.calls] == [3, 1, 1]
    assert {call.temperature for call in engine.calls} == {0.7}
    assert [tried(bench, [job]) for job in jobs] == [[episode] for episode in mixed]
    assert tried(bench, []) == []


# -- edges


def test_an_edge_that_closes_a_cycle_is_passed_over():
    potential = ((0, 1), (1, 2), (2, 0), (2, 1), (0, 2))
    assert realise(potential, (), lambda edge: True) == (True, True, None, None, True)
    assert realise(potential, ((1, 0),), lambda edge: True) == (None, True, True, None, None)
    assert realise(potential, (), lambda edge: edge > 0) == (False, True, True, None, None)


def test_no_draw_has_a_cycle_and_chances_are_those_of_the_formula():
    potential = tuple((a, b) for a in range(4) for b in range(4) if a != b)
    rng = random.Random(0)
    for _ in range(200):
        draw = realise(potential, (), lambda edge: rng.random() < 0.7)
        edges = [edge for edge, kept in zip(potential, draw, strict=True) if kept]
        order = [node for level in range(5) for node in range(4) if depth(edges, node) == level]
        assert len(order) == 4, "every node has a finite longest path into it"


def depth(edges, node, seen=0):
    assert seen < 5, "a cycle"
    return max((1 + depth(edges, a, seen + 1) for a, b in edges if b == node), default=0)


def test_levels_hold_only_who_is_heard():
    edges = ((0, 1), (1, 4), (0, 4), (2, 3))
    assert levels(edges, 4) == [[0], [1], [4]]
    assert levels((), 4) == [[4]]
    assert levels(((0, 2), (1, 2), (1, 0)), 2) == [[1], [0], [2]]


def log_probability(draw, logits):
    """As in the docstring, written anew."""
    chances = [1 / (1 + math.exp(-logit)) for logit in logits]
    return sum(math.log(p if z else 1 - p) for z, p in zip(draw, chances, strict=True) if z is not None)


def test_all_graphs_together_have_probability_one_and_their_ascent_is_that_of_the_mean_reward():
    potential, logits = ((0, 1), (1, 0), (1, 2), (0, 2)), [0.3, -0.5, 1.2, 0.0]
    draws = {realise(potential, (), wish.__getitem__) for wish in product([True, False], repeat=4)}
    assert len(draws) == 12, "of 16 wishes, 4 differ only in an edge that is passed over"

    def reward(draw):
        return 1.0 if draw[2] and not draw[1] else 0.25 * bool(draw[0])

    def expected(at):
        return sum(math.exp(log_probability(draw, at)) * reward(draw) for draw in draws)

    assert sum(math.exp(log_probability(draw, logits)) for draw in draws) == pytest.approx(1.0)
    each = [
        [math.exp(log_probability(draw, logits)) * g for g in ascent([draw], [reward(draw)], logits)]
        for draw in draws
    ]
    for place, total in enumerate(map(sum, zip(*each, strict=True))):
        up, down = list(logits), list(logits)
        up[place] += 1e-5
        down[place] -= 1e-5
        assert total == pytest.approx((expected(up) - expected(down)) / 2e-5, abs=1e-8)


def test_the_ascent_by_hand():
    # p = 0.5 and 0.75; of the first graph edge 0 was kept and edge 1 passed over, of the second neither kept
    logits = [0.0, math.log(3.0)]
    assert probabilities(logits) == pytest.approx([0.5, 0.75])
    assert ascent([(True, None), (False, False)], [1.0, -0.5], logits) == pytest.approx([0.375, 0.1875])
    assert ascent([], [], logits) == [0.0, 0.0]
    assert probabilities([-1e6, 1e6]) == [0.0, 1.0]


def test_adam_by_hand():
    # the first step is the rate in the gradient's direction, whatever its size
    moves, adam = Adam.new(3).step([2.0, -0.001, 0.0], 0.1)
    assert moves == pytest.approx([0.1, -0.1, 0.0], abs=1e-5)
    # m = 0.9 * 0.2 + 0.1 * 0 = 0.18, v = 0.999 * 0.004; over 1 - 0.9^2 = 0.19 and 1 - 0.999^2 = 0.001999
    moves, adam = adam.step([0.0, 0.0, 0.0], 0.1)
    assert moves[0] == pytest.approx(0.1 * (0.18 / 0.19) / math.sqrt(0.003996 / 0.001999))
    assert adam.steps == 2


# -- retrieval


def test_the_nearest_texts():
    texts = ["2 + 3", "cats and dogs", "the cats", "2 * 3", "the the the"]
    assert nearest("2 + 4", texts, 2) == [0, 3]
    assert nearest("Cats", texts, 3) == [2, 1], "the shorter is nearer, and what shares nothing is not near"
    assert nearest("nothing", texts, 3) == nearest("", texts, 3) == nearest("a", [], 3) == []
    assert nearest("same", ["same", "same", "same"], 2) == [2, 1], "of equals the later"


def test_nearness_by_hand():
    # n = 3; df: a 2, b 1, x 2, y 1; weights a = x = 1 + ln(4/3) = 1.288, b = y = 1 + ln(4/2) = 1.693
    # q = (a 1.288, b 1.693), |q| = 2.127; cosines: "b x" 1.693^2 / (2.127 * 2.127) = 0.634,
    # "a x" 1.288^2 / (2.127 * 1.821) = 0.428, "a y" 1.288^2 / (2.127 * 2.127) = 0.367
    assert nearest("a b", ["a x", "b x", "a y"], 3) == [1, 0, 2]


# -- the base of searches


def bench(script=lambda prompt, adapter: "1", **allowance):
    return Bench(network(ScriptedEngine(script), "1"), ToyTask(), 0, 0, Allowance(**allowance), seed=1)


@dataclass(frozen=True)
class Honest(Searching):
    """Asks two training problems and settles on the frozen model."""

    split: str = "train"
    found: object = None
    hidden: int = 0
    declared: int = 1

    costs, source = "1", "none"

    def calls(self, bench):
        return self.declared

    def prepare(self, bench):
        episodes = tried(bench, [(Direct(), one, 0) for one in first_problems(bench.task, self.split, 2)])
        search = searched(Direct(), {"found": self.found, "earned": earned(episodes)}, episodes)
        return replace(search, calls=search.calls - self.hidden)


class Moody(Honest):
    numbers = iter(range(99))

    def prepare(self, bench):
        return replace(super().prepare(bench), found={"number": next(self.numbers)})


class Sly(Honest):
    """Catches what the task says to it."""

    def prepare(self, bench):
        with contextlib.suppress(AssertionError):
            bench.task.problem("test", 0)
        return super().prepare(bench)


class Fickle(Honest):
    numbers = iter(range(99))

    def prepare(self, bench):
        return super().prepare(bench) if next(self.numbers) == 0 else None


def test_an_honest_search_passes_and_its_cost_is_told():
    check_method(Honest())
    result = evaluate_method("honest", Honest(), bench(), "test", 3)
    search = result.summary["search"]
    assert search["found"] == {"found": None, "earned": 1.0}
    prompt = "Question: Say 0.\nAnswer (any text):"
    assert (search["calls"], search["prompt_tokens"], search["new_tokens"]) == (2, 2 * len(prompt), 4)
    assert result.summary["calls"] == 1.0, "the search's calls are not the answers'"
    assert [group.episodes[0].answer for group in Honest().answer(bench(), problems(2))] == ["1", "1"]


@pytest.mark.parametrize("name", ["gptswarm", "mass", "agentnet"])
def test_what_was_searched_for_may_vote(name):
    assert make_method(name).at(0.25) == make_method(name, {"temperature": 0.25})
    vote = make_method("self-consistency", {"of": name, "votes": 2, "temperature": 0.5})
    check_method(vote)
    where = bench()
    search = vote.prepare(where)
    assert search.calls > 0
    before = len(where.network.engine.calls)
    search.method.answer(where, problems(1))
    assert {call.temperature for call in where.network.engine.calls[before:]} == {0.5}


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (Honest(split="test"), "reads test problems"),
        (Sly(), "reads test problems"),
        (Honest(hidden=1), "search of .2, .* it says .1, "),
        (Honest(found={1, 2}), "plain data"),
        (Honest(found=math.nan), "plain data"),
        (Honest(declared=0), "settles on 1 calls and declares 0"),
        (Moody(), "another thing"),
        (Fickle(), "once and not another time"),
    ],
)
def test_what_is_wrong_with_a_search_is_found(broken, says):
    with pytest.raises(AssertionError, match=says):
        check_method(broken)


def test_a_search_that_would_be_for_nothing_is_not_begun():
    where = bench(calls=1)
    with pytest.raises(ConfigError, match="takes 2 calls a question, at most 1"):
        evaluate_method("honest", Honest(declared=2), where, "test", 1)
    assert where.network.engine.calls == []
