"""Several passes of any method: votes, the best in the model's own eyes, and the bound of an oracle."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import combinations, count

import pytest
from toys import ToyTask, at, problems, right

from neuromas.core.episode import Episode, EpisodeGroup
from neuromas.core.errors import ConfigError
from neuromas.core.task import Problem, Score
from neuromas.engines.scripted import ScriptedEngine
from neuromas.methods.base import Allowance, Bench, Search
from neuromas.methods.direct import Direct
from neuromas.methods.pass_at_n import pass_at_k
from neuromas.methods.running import evaluate_method, make_method
from neuromas.methods.self_consistency import SelfConsistency, majority
from neuromas.system.network import Network
from neuromas.system.rollout import Sampling, rollout
from neuromas.topology.graph import Topology


class Weighed(ScriptedEngine):
    """Says the next of these texts, each with a log-probability for every token."""

    def __init__(self, said):
        self.left = iter(said)
        self.now = 0.0
        super().__init__(self.next)

    def next(self, prompt, adapter):
        text, self.now = next(self.left)
        return text

    def _recite(self, text, limit, ends):
        out = super()._recite(text, limit, ends)
        return replace(out, logprobs=(self.now,) * len(out.ids))


def chosen(name, *texts, task=None, shape="2-1", **options):
    """The answer of a method over passes that say these texts, and its bench."""
    left = iter(texts)
    where = at(lambda prompt, adapter: next(left), task, shape=shape)
    (group,) = make_method(name, {"of": "direct", **options}).answer(where, problems(1))
    return group.episodes[0], where


# -- over any method


@pytest.mark.parametrize(
    ("of", "calls", "parameters", "network"),
    [
        ("network", 6, 123, True),
        ("untrained", 6, 0, True),
        ("direct", 2, 0, False),
        ("chain-of-thought", 4, 0, False),
        ("debate", 12, 0, False),
        ("self-check", 10, 0, False),
    ],
)
def test_a_vote_costs_what_its_passes_cost(of, calls, parameters, network):
    numbers = count()
    where = at(lambda prompt, adapter: str(next(numbers)), answer_tokens=9)
    method = make_method("self-consistency", {"votes": 2, "of": of})
    assert (method.calls(where), method.parameters(where)) == (calls, parameters)
    assert method.asks_network() == network
    result = evaluate_method("self-consistency", method, where, "test", 2)
    assert result.summary["of"] == result.summary["options"]["of"] == of
    assert (result.summary["votes"], result.summary["parameters"]) == (2, parameters)
    assert result.summary["calls"] == calls - (2 if of == "self-check" else 0)  # nothing was revised
    asked = where.network.engine.calls
    assert {call.temperature for call in asked} == {0.7}
    seeds = [request.seed for call in asked for request in call.requests]
    assert len(set(seeds)) == len(seeds)


@pytest.mark.parametrize("name", ["self-consistency", "best-of-n", "pass-at-n"])
def test_samples_are_numbered(name):
    where = at(lambda prompt, adapter: "1")
    (group,) = make_method(name, {"of": "direct"}).answer(where, problems(1), samples=3)
    assert [(one.sample, len(one.turns)) for one in group.episodes] == [(0, 5), (1, 5), (2, 5)]


def test_votes_of_chains_of_thought():
    one, where = chosen("self-consistency", "t1", "t2", "t3", "5", "7", "7", of="chain-of-thought", votes=3)
    assert one.answer == "7"
    assert [turn.text for turn in one.turns] == ["t1", "5", "t2", "7", "t3", "7"]
    assert [len(call.requests) for call in where.network.engine.calls] == [3, 3]


def test_a_vote_of_the_network_is_what_it_was(tiny_engine):
    """The passes, seeds and elected answers of evaluations made before ``of`` was an option."""
    net = Network(Topology.parse("1-1"), tiny_engine(2), (0, 1), message_tokens=4, answer_tokens=4)
    task = ToyTask(lambda problem, text: Score(0.0, text[:1] or None))
    where = Bench(net, task, 0, 5, Allowance(), seed=3)
    asked = problems(2)
    found = [group.episodes[0] for group in SelfConsistency(3, 0.7).answer(where, asked)]
    passes = rollout(net, task, asked, 3, Sampling(0.7, 3))
    for own, episode in zip((passes[:3], passes[3:]), found, strict=True):
        place = majority([one.score.parsed for one in own])
        assert episode.turns == tuple(turn for one in own for turn in one.turns)
        assert episode.answer == own[place].answer
    assert len({turn.ids for one in found for turn in one.turns}) > 6


class Found(Direct):
    """What a search settles on."""


class Searching(Direct):
    def prepare(self, bench):
        return Search(Found(), {"found": 1}, calls=5)


def test_a_search_is_made_once_for_all_passes():
    where = at(lambda prompt, adapter: "1")
    method = SelfConsistency(2, 0.7, Searching())
    search = method.prepare(where)
    assert (search.found, search.calls, type(search.method.one())) == ({"found": 1}, 5, Found)
    assert type(method.one()) is Searching
    result = evaluate_method("self-consistency", method, where, "test", 1)
    assert (result.summary["of"], result.summary["options"]["of"]) == ("Found", "Searching")
    assert result.summary["search"]["calls"] == 5


@pytest.mark.parametrize("name", ["self-consistency", "best-of-n", "pass-at-n"])
@pytest.mark.parametrize(
    ("of", "says"),
    [
        ("constant", "cannot be sampled"),
        ("self-consistency", "cannot be sampled"),
        ("pass-at-n", "cannot be sampled"),
        ("debat", "unknown method 'debat'"),
    ],
)
def test_passes_need_a_method_that_can_be_sampled(name, of, says):
    with pytest.raises(ConfigError, match=says):
        make_method(name, {"of": of})


# -- best of n


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ((("1", -0.5), ("22", -0.2), ("3", -0.9)), "22"),
        ((("1", -0.5), ("2222", -0.5), ("3", -0.6)), "1"),  # of equals the first, however long
        ((("1", -2.0), ("2", -1.0), ("3333333", -0.9)), "3333333"),  # a mean, not a sum: -8 x 0.9 is -7.2
    ],
)
def test_the_most_probable_pass_is_chosen(said, answer):
    where = at(Weighed(said))
    (group,) = make_method("best-of-n", {"n": 3, "of": "direct"}).answer(where, problems(1))
    (one,) = group.episodes
    assert (one.answer, [turn.text for turn in one.turns]) == (answer, [text for text, _ in said])


def test_all_messages_of_a_pass_are_its_sequence():
    # by layers: two leaves of each pass, then the outputs; means over tokens with their ends:
    # first -(2*1 + 2*3 + 2*1)/6 = -5/3, second -(2*2 + 2*1 + 3*1.5)/7 = -1.5
    said = [("a", -1.0), ("b", -3.0), ("c", -2.0), ("d", -1.0), ("1", -1.0), ("22", -1.5)]
    where = at(Weighed(said))
    (group,) = make_method("best-of-n", {"n": 2}).answer(where, problems(1))
    assert group.episodes[0].answer == "22"


@pytest.mark.parametrize(
    ("verdicts", "answer"),
    [
        (("no", "Yes.", "yes"), "2"),
        (("no", "hm", "no"), "2"),
        (("no", "no", "no"), "1"),
        (("hm", "not yet", "yes, no doubt"), "3"),
        (("yesterday", "no", "knows"), "1"),
    ],
)
def test_the_judge_says_which_is_right(verdicts, answer):
    one, where = chosen("best-of-n", "1", "2", "3", *verdicts, n=3, select="judge")
    assert one.answer == answer
    drawn, judged = where.network.engine.calls
    assert (drawn.temperature, judged.temperature) == (0.7, 0.0)
    assert len(judged.requests) == 3
    assert judged.prompts[1].endswith("Question: Question number 0?\nProposed answer: 2\nAnswer (yes or no):")
    assert [turn.text for turn in one.turns] == ["1", "2", "3", *verdicts], "judging is paid for"
    assert make_method("best-of-n", {"n": 3, "of": "direct", "select": "judge"}).calls(where) == 6


def test_what_cannot_be_asked_is_not_judged():
    where = at(lambda prompt, adapter: "yes")
    net = replace(where.network, engine=ScriptedEngine(lambda prompt, adapter: "yes", 200))
    where = replace(where, network=net)
    long = Problem("long", "word " * 60, "1")
    method = make_method("best-of-n", {"n": 2, "of": "direct", "select": "judge"})
    (asked,), (failed,) = (group.episodes for group in method.answer(where, [*problems(1), long]))
    assert (len(asked.turns), failed.turns, failed.score) == (4, (), None)
    assert "exceed 200" in failed.failure


def test_a_pass_that_failed_is_not_chosen():
    def judge(problem, text):
        if text == "crash":
            raise ValueError("cannot read")
        return right(problem, text)

    where = at(Weighed([("crash", -0.1), ("1", -0.9), ("2", -0.5)]), ToyTask(judge))
    (group,) = make_method("best-of-n", {"n": 3, "of": "direct"}).answer(where, problems(1))
    assert (group.episodes[0].answer, group.episodes[0].failure) == ("2", None)
    where = at(Weighed([("crash", -0.1), ("crash", -0.9)]), ToyTask(judge))
    (group,) = make_method("best-of-n", {"n": 2, "of": "direct"}).answer(where, problems(1))
    assert (group.episodes[0].score.value, "cannot read" in group.episodes[0].failure) == (0.0, True)


# -- pass@n, an oracle's bound


def test_the_bound_is_the_share_of_choices_that_hold_a_right_one():
    assert pass_at_k(5, 2, 1) == pytest.approx(0.4)
    assert pass_at_k(5, 2, 2) == pytest.approx(0.7)  # 1 - 3/10
    assert pass_at_k(5, 2, 3) == pytest.approx(0.9)  # 1 - 1/10
    assert [pass_at_k(5, 2, 4), pass_at_k(5, 0, 5), pass_at_k(1, 1, 1)] == [1.0, 0.0, 1.0]
    for k in range(1, 7):
        held = [any(place < 2 for place in some) for some in combinations(range(6), k)]
        assert pass_at_k(6, 2, k) == pytest.approx(sum(held) / len(held))


GOLD_7 = ToyTask(lambda problem, text: right(replace(problem, answer="7"), text))


@pytest.mark.parametrize(
    ("said", "k", "score", "parsed"),
    [
        (("1", "7", "2"), 0, 1.0, "7"),
        (("1", "x", "2"), 0, 0.0, "1"),
        (("x", "y", "z"), 0, 0.0, None),
        (("1", "7", "2"), 1, 1 / 3, "7"),
        (("1", "7", "2"), 2, 2 / 3, "7"),
        (("7", "7", "2"), 2, 1.0, "7"),
    ],
)
def test_any_right_pass_makes_the_bound(said, k, score, parsed):
    one, _ = chosen("pass-at-n", *said, n=3, k=k, task=GOLD_7)
    assert one.answer == " | ".join(said), "all of them, whatever the gold answer is"
    assert one.score.value == pytest.approx(score)
    assert one.score.parsed == parsed


def test_a_bound_says_that_it_is_one():
    where = at(lambda prompt, adapter: "1")
    bound = make_method("pass-at-n", {"n": 2, "of": "direct"})
    result = evaluate_method("pass-at-n", bound, where, "test", 3)
    assert result.summary["oracle"] is True
    assert [item.score for item in result.items] == [0.0, 1.0, 0.0]
    assert (result.summary["n"], result.summary["k"], result.summary["calls"]) == (2, 2, 2.0)
    method = make_method("best-of-n", {"n": 2, "of": "direct"})
    assert "oracle" not in evaluate_method("best-of-n", method, where, "test", 3).summary


def test_a_pass_that_failed_is_a_wrong_one():
    def judge(problem, text):
        if text == "crash":
            raise ValueError("cannot read")
        return right(replace(problem, answer="7"), text)

    one, _ = chosen("pass-at-n", "crash", "7", "crash", n=3, k=1, task=ToyTask(judge))
    assert (one.failure, one.score.value) == (None, pytest.approx(1 / 3))
    one, _ = chosen("pass-at-n", "crash", "crash", n=2, task=ToyTask(judge))
    assert (one.score.value, "cannot read" in one.failure) == (0.0, True)


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("best-of-n", {"n": 0}, "n = 0 of method 'best-of-n' (valid: whole, 1 to 1000)"),
        ("best-of-n", {"temperature": 0.0}, "temperature = 0.0 of method 'best-of-n' (valid: above 0 to 10"),
        ("best-of-n", {"select": "logprobs"}, "unknown select of method 'best-of-n' 'logprobs'"),
        ("pass-at-n", {"n": 1.0}, "n = 1.0"),
        ("pass-at-n", {"n": 3, "k": 4}, "k = 4 of method 'pass-at-n' (valid: whole, 0 to 3)"),
        ("pass-at-n", {"temperature": 0}, "temperature = 0 "),
        ("pass-at-n", {"of": 3}, "unknown method 3"),
    ],
)
def test_options_that_mean_nothing(name, options, says):
    with pytest.raises(ConfigError, match=re.escape(says)):
        make_method(name, options)


def test_other_k_are_told_from_the_same_passes():
    """Each mean is without bias, as that of every k is (arXiv 2107.03374)."""
    one, _ = chosen("pass-at-n", "7", "7", "8", "9", "9", n=5, k=2, task=GOLD_7, also="1, 3,5")
    assert one.score.value == pytest.approx(0.7)
    assert dict(one.score.rewards) == pytest.approx({"pass@1": 0.4, "pass@3": 0.9, "pass@5": 1.0})
    for bad in ("0", "6", "x", "1,,2", "²"):
        with pytest.raises(ConfigError, match=r"also = .* is no whole number from 1 to n = 5"):
            make_method("pass-at-n", {"n": 5, "also": bad})


def test_a_pass_without_a_verdict_does_not_count():
    method = make_method("pass-at-n", {"n": 3, "k": 1})
    scores = [Score(1.0, "7"), None, Score(0.0, "8")]
    asked = Problem("p", "q", "7")
    passes = tuple(Episode(asked, k, (), score, elected="x") for k, score in enumerate(scores))
    assert method.elect(None, [EpisodeGroup(passes)])[0].score.value == pytest.approx(0.5)
    every = make_method("pass-at-n", {"n": 3, "k": 3}).elect(None, [EpisodeGroup(passes)])[0]
    assert (every.score, every.failure) == (None, "2 of 3 passes have a score, and k = 3")
