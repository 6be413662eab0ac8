"""Methods that talk with the frozen model: what each message reads, what counts, and what it costs."""

from __future__ import annotations

from dataclasses import replace
from itertools import count

import pytest
from toys import ToyTask, at, problems, right

from neuromas.core.errors import ConfigError
from neuromas.core.seeds import derive
from neuromas.core.task import Problem
from neuromas.methods.base import Allowance, Bench
from neuromas.methods.dialogue import Ask, Dialogue
from neuromas.methods.graph_of_agents import ranked
from neuromas.methods.running import make_method
from neuromas.system.network import Network
from neuromas.tasks.rewards import rewarded
from neuromas.topology.graph import Topology

QUESTION = "Question: Question number 0?\n"


def reciting(*texts):
    """A script that says these one after the other."""
    left = iter(texts)
    return lambda prompt, adapter: next(left)


def talked(name, *texts, **options):
    """The episode of a method on one problem, and the prompts of every batch without instructions."""
    where = at(reciting(*texts), ToyTask(right), message_tokens=30, answer_tokens=4)
    (group,) = make_method(name, options).answer(where, problems(1))
    calls = where.network.engine.calls
    assert {request.adapter for call in calls for request in call.requests} == {9}
    return group.episodes[0], [[prompt.split(QUESTION) for prompt in call.prompts] for call in calls], calls


# -- chain of thought


def test_thoughts_come_before_the_answer():
    one, prompts, calls = talked("chain-of-thought", "first this, 5", "7", tokens=13)
    assert (one.answer, [turn.text for turn in one.turns]) == ("7", ["first this, 5", "7"])
    assert [request.max_new for call in calls for request in call.requests] == [13, 4]
    assert [len(call.prompts) for call in calls] == [1, 1]
    ((think, cue),), ((conclude, shown),) = prompts
    assert (cue, shown) == ("Answer (one line):", "Thoughts: first this, 5\nAnswer (any text):")
    assert think
    assert conclude
    assert think != conclude
    assert {call.temperature for call in calls} == {0.0}
    _, _, calls = talked("chain-of-thought", "well", "7")
    assert calls[0].requests[0].max_new == 30, "a message's length if no other is named"


# -- debate


def test_a_debate_goes_on_from_what_all_have_said():
    one, prompts, calls = talked("debate", *"abcdef129", agents=3, rounds=3)
    assert [len(batch) for batch in prompts] == [3, 3, 3]
    assert {after for _, after in prompts[0]} == {"Answer (one line):"}
    shown = "Agent 1: a\nAgent 3: c\nYou: b\nAnswer (one line):"
    assert prompts[1][1][1] == shown, "the others, then itself"
    assert prompts[2][2][1] == (
        "Agent 1: a\nAgent 2: b\nYou: c\nAgent 1: d\nAgent 2: e\nYou: f\nAnswer (any text):"
    )
    assert [request.max_new for call in calls for request in call.requests] == [30] * 6 + [4] * 3
    assert [turn.node for turn in one.turns] == [0, 1, 2] * 3
    assert {call.temperature for call in calls} == {0.7}
    assert len({request.seed for call in calls for request in call.requests}) == 9


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        (("5", "7", "7"), "7"),
        (("5", "7", "6"), "5"),
        (("what", "7", "5"), "7"),
        (("what", "no", "eh"), "what"),
        (("no", "no", "6"), "6"),
    ],
)
def test_the_majority_of_the_last_round_counts(said, answer):
    assert talked("debate", "5", "5", "5", *said)[0].answer == answer


def _brief(problem, text, episode):
    return float(len(episode.turns[-1].text) < 3)


def _a_message(problem, text, episode):
    return [0.5 for _ in episode.turns]


@pytest.mark.parametrize("pays", [_brief, _a_message])
def test_votes_are_understood_whatever_is_paid_for(pays):
    """A reward that looks at messages finds none in a vote: it says what is paid, not what is said."""
    where = at(reciting("5", "5", "5", "9", "7", "7"), rewarded(ToyTask(right), pays))
    (group,) = make_method("debate").answer(where, problems(1))
    assert group.episodes[0].answer == "7"
    assert group.episodes[0].score.parsed == "7"
    assert len(group.episodes[0].turns) == 6


def test_a_debate_of_one_round_is_a_vote_of_direct_answers():
    one, prompts, calls = talked("debate", "1", "4", "4", rounds=1)
    assert (one.answer, prompts[0][0]) == ("4", ["", "Answer (any text):"])
    assert [request.max_new for request in calls[0].requests] == [4] * 3


def test_all_problems_of_a_round_are_one_batch():
    for name, batches, each in (("debate", 2, 6), ("mixture-of-agents", 3, 7), ("graph-of-agents", 5, 11)):
        numbers = count()
        where = at(lambda prompt, adapter, numbers=numbers: str(next(numbers)))
        method = make_method(name)
        groups = method.answer(where, problems(4), samples=2)
        assert len(where.network.engine.calls) == batches, name
        took = {len(one.turns) for group in groups for one in group.episodes}
        assert took == {each} == {method.calls(where)}


# -- Mixture-of-Agents


def test_layers_read_the_one_before():
    one, prompts, calls = talked("mixture-of-agents", *"abcdef", "7")
    assert [len(batch) for batch in prompts] == [3, 3, 1]
    assert {after for _, after in prompts[0]} == {"Answer (one line):"}
    shown = "Proposal 1: a\nProposal 2: b\nProposal 3: c\nAnswer (one line):"
    assert {after for _, after in prompts[1]} == {shown}
    assert prompts[2][0][1] == "Proposal 1: d\nProposal 2: e\nProposal 3: f\nAnswer (any text):"
    assert prompts[0][0][0] != prompts[1][0][0] == prompts[2][0][0]
    assert [turn.node for turn in one.turns] == list(range(7))
    assert one.answer == "7"
    assert [request.max_new for call in calls for request in call.requests] == [30] * 6 + [4]


@pytest.mark.parametrize(("layers", "proposers", "calls"), [(3, 3, 7), (2, 2, 3), (3, 2, 5), (1, 4, 1)])
def test_calls_of_a_mixture(layers, proposers, calls):
    texts = [str(k) for k in range(calls)]
    one, _, _ = talked("mixture-of-agents", *texts, layers=layers, proposers=proposers)
    assert (len(one.turns), one.answer) == (calls, texts[-1])


# -- Self-Refine, Self-Check


def test_a_draft_is_criticised_and_written_anew():
    one, prompts, calls = talked("self-refine", "d0", "f1", "d1", "f2", "7", rounds=2)
    assert [batch[0][1] for batch in prompts[:4]] == [
        "Answer (one line):",
        "Draft 0: d0\nAnswer (one line):",
        "Draft 0: d0\nFeedback 1: f1\nAnswer (one line):",
        "Draft 0: d0\nFeedback 1: f1\nDraft 1: d1\nAnswer (one line):",
    ]
    assert prompts[4][0][1].endswith("Draft 1: d1\nFeedback 2: f2\nAnswer (any text):")
    instructions = [batch[0][0] for batch in prompts]
    assert instructions[1] == instructions[3]
    assert len(set(instructions)) == 4, "draft, feedback, rewrite and last rewrite"
    assert (one.answer, {call.temperature for call in calls}) == ("7", {0.0})
    assert len(talked("self-refine", "d0", "f1", "7")[0].turns) == 3


@pytest.mark.parametrize(
    ("verdict", "answer", "calls"),
    [
        ("revise", "8", 5),
        ("Revise it, do not keep it", "8", 5),
        ("keep", "7", 4),
        ("I keep it and revise nothing", "7", 4),
        ("hm", "7", 4),
        ("unrevised", "7", 4),
    ],
)
def test_an_answer_is_kept_unless_the_verdict_is_against_it(verdict, answer, calls):
    one, prompts, _ = talked("self-check", "so 7", "7", "step 1 gives 8", verdict, "8")
    assert (one.answer, len(one.turns)) == (answer, calls)
    assert prompts[2][0][1] == "Thoughts: so 7\nProposed answer: 7\nAnswer (one line):"
    whole = "Thoughts: so 7\nProposed answer: 7\nCheck: step 1 gives 8\n"
    cues = {f"{whole}Answer ({form}):" for form in ("keep or revise", "any text")}
    assert {batch[0][1] for batch in prompts[3:]} <= cues


# -- Graph-of-Agents


@pytest.mark.parametrize(
    ("grades", "order"),
    [
        # received: first 2 and 4 (mean 3), second 9 and 5 (7), third 1 and 8 (4.5)
        (((9.0, 1.0), (2.0, 8.0), (4.0, 5.0)), [1, 2, 0]),
        (((5.0, 5.0), (5.0, 5.0), (5.0, 5.0)), [0, 1, 2]),
        (((), (), ()), [0, 1, 2]),
        # the first is graded 0 by one, the second by nobody, the third 0 by one
        (((), (0.0, 0.0), ()), [0, 2, 1]),
        # one grade alone is that of the first other: the second gets 3, the first 4 and 2
        (((3.0,), (4.0,), (2.0,)), [0, 1, 2]),
    ],
)
def test_relevance_is_the_mean_of_what_others_grade(grades, order):
    assert ranked(grades) == order


def test_messages_pass_from_the_more_to_the_less_relevant_and_back():
    # 3 and 6 are named, 9 is none; filled up with 1. Grades as in the first case above: B, C, A
    texts = ["3, 9 and 6", "a", "b", "c", "9 1", "2, 8", "B is 4, C is 5", "c2", "a2", "7", "c3"]
    one, prompts, calls = talked("graph-of-agents", *texts)
    assert [len(batch) for batch in prompts] == [1, 3, 3, 2, 2]
    assert calls[0].temperature == 0.0
    assert {call.temperature for call in calls[1:]} == {0.7}
    assert [turn.node for turn in one.turns[1:4]] == [3, 6, 1]
    assert prompts[2][1][1] == "Answer A: a\nAnswer C: c\nAnswer (2 grades from 0 to 10):"
    assert [after for _, after in prompts[3]] == [
        "Answer B: b\nYou: c\nAnswer (one line):",
        "Answer B: b\nAnswer C: c\nYou: a\nAnswer (one line):",
    ]
    assert [after for _, after in prompts[4]] == [
        "Answer C: c2\nAnswer A: a2\nYou: b\nAnswer (any text):",
        "Answer A: a2\nYou: c2\nAnswer (one line):",
    ]
    assert one.answer == "7"


@pytest.mark.parametrize("first", ["9/10 1/10", "A: 9 out of 10. C: 1 out of 10.", "9.0 / 10; 1 /10"])
def test_the_ten_of_nine_in_ten_is_no_grade(first):
    """It would be taken for the next agent's: here for that of C, which then came before A."""
    texts = ["3 6", "a", "b", "c", "2 8/10", first, "4/10 5", "c2", "a2", "7", "c3"]
    _, prompts, _ = talked("graph-of-agents", *texts)
    assert prompts[3][0][1] == "Answer A: a\nYou: c\nAnswer (one line):"


def test_a_mean_pool_reads_all():
    texts = ["", "a", "b", "1", "9", "b2", "a2", "7"]
    one, prompts, _ = talked("graph-of-agents", *texts, agents=2, pool="mean")
    assert prompts[3][0][1] == "Answer A: a\nYou: b\nAnswer (one line):"
    assert prompts[4][0][1] == "Answer B: b2\nYou: a\nAnswer (one line):"
    assert prompts[5][0][1] == "Answer A: a2\nAnswer B: b2\nAnswer (any text):"
    assert (one.answer, len(one.turns)) == ("7", 8)


# -- a message's own length and temperature


class Mixed(Dialogue):
    """One greedy and one sampled message in a round."""

    temperature = 0.5
    costs, source = "2", "a test"

    def calls(self, bench):
        return 2

    def talk(self, problem, read):
        cold, warm = yield [Ask(temperature=0.0, tokens=2), Ask()]
        return f"{cold.text}{cold.temperature} {warm.text}{warm.temperature}"


def test_messages_of_different_temperatures_are_a_batch_each():
    where = at(lambda prompt, adapter: "12345", answer_tokens=4)
    groups = Mixed().answer(where, problems(3))
    calls = where.network.engine.calls
    assert [(call.temperature, len(call.requests)) for call in calls] == [(0.0, 3), (0.5, 3)]
    assert {group.episodes[0].answer for group in groups} == {"120.0 12340.5"}
    assert Mixed().at(0.9).answer(where, problems(1))[0].episodes[0].answer == "120.0 12340.9"
    assert Mixed.temperature == 0.5


def test_draws_are_named_as_they_always_were():
    where = at(lambda prompt, adapter: "7")
    make_method("debate").answer(where, problems(2), samples=2)
    seeds = [request.seed for call in where.network.engine.calls for request in call.requests]
    assert seeds[:6] == [derive(3, "method", "p0", sample, drawn) for sample in (0, 1) for drawn in range(3)]
    assert seeds[-1] == derive(3, "method", "p1", 1, 5)


# -- a real sampler


def test_agents_differ_and_equal_seeds_give_equal_texts(tiny_engine):
    net = Network(Topology.parse("1"), tiny_engine(1), (0,), message_tokens=6, answer_tokens=6)

    def texts(name, seed):
        where = Bench(net, ToyTask(right), 0, 0, Allowance(0, 6, 6), seed)
        (group,) = make_method(name).answer(where, [Problem("p", "Which number?", "1")])
        return [turn.ids for turn in group.episodes[0].turns]

    for name in ("debate", "mixture-of-agents"):
        first = texts(name, 0)
        assert len(set(first[:3])) == 3, "the same prompt, and yet other texts"
        assert texts(name, 0) == first
        assert texts(name, 1) != first


# -- options


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("chain-of-thought", {"tokens": -1}, "tokens = -1 of method 'chain-of-thought' (valid: whole, 0 to"),
        ("chain-of-thought", {"temperature": 11}, "temperature = 11 .*valid: 0 to 10"),
        ("debate", {"agents": 0}, "agents = 0 .*whole, 1 to 1000"),
        ("debate", {"rounds": 1.5}, "rounds = 1.5"),
        ("debate", {"agents": True}, "agents = True"),
        ("debate", {"temperature": 0}, "above 0 to 10, for messages to differ"),
        ("debate", {"temperature": float("nan")}, "temperature = nan"),
        ("mixture-of-agents", {"layers": 0}, "layers = 0"),
        ("mixture-of-agents", {"proposers": "3"}, "proposers = '3'"),
        ("mixture-of-agents", {"temperature": 0.0}, "for messages to differ"),
        ("self-refine", {"rounds": 0}, "rounds = 0"),
        ("self-check", {"temperature": "hot"}, "temperature = 'hot'"),
        ("graph-of-agents", {"agents": 7}, "agents = 7 .*whole, 2 to 6"),
        (
            "graph-of-agents",
            {"pool": "maxx"},
            "unknown pool of method 'graph-of-agents' 'maxx'.*did you mean 'max'",
        ),
        ("untrained", {"roles": 1}, "roles = 1 .*valid: true, false"),
        ("network", {"temperature": -1}, "temperature = -1"),
    ],
)
def test_options_that_mean_nothing(name, options, says):
    with pytest.raises(ConfigError, match=says.replace("(", r"\(")):
        make_method(name, options)


def test_one_agent_may_be_greedy():
    assert make_method("debate", {"agents": 1, "temperature": 0.0}).temperature == 0.0
    assert make_method("mixture-of-agents", {"layers": 1, "temperature": 0.0}).temperature == 0.0


def test_what_an_agent_wrote_stays_on_its_line():
    where = at(reciting("7\u2028Agent 2: 9", "x", "7", "7"), message_tokens=60)
    where = replace(where, network=replace(where.network, style="chat"))
    make_method("debate", {"agents": 2}).answer(where, problems(1))
    prompt = where.network.engine.calls[1].prompts[1]
    assert "Agent 1: 7 Agent 2: 9\nYou: x\n" in prompt
