"""Rollouts without a model: who speaks when, who reads what, what failure and cutting leave behind."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from topologies import random_topologies
from toys import ToyTask, lines, network, problems

from neuromas.core.errors import ConfigError, PromptError
from neuromas.core.seeds import derive
from neuromas.core.task import Problem, Score
from neuromas.engines.scripted import ScriptedEngine
from neuromas.models.ranks import Ranks
from neuromas.system.rollout import Sampling, rollout
from neuromas.system.scoring import WRONG
from neuromas.topology.files import load_topology
from neuromas.topology.graph import Topology

TASK = ToyTask()


def number(prompt):
    """Which problem a prompt is about."""
    return prompt.partition("Question number ")[2].partition("?")[0]


def say(prompt, adapter):
    """Names writer and problem."""
    return f"m{adapter}p{number(prompt)}"


def run(topology, script=say, count=1, samples=1, **options):
    """Episodes, and the engine that was asked."""
    engine = ScriptedEngine(script, context=options.pop("context", 1 << 16))
    sampling = Sampling(1.0, options.pop("seed", 7), options.pop("intervention", "none"))
    task = options.pop("task", TASK)
    asked = options.pop("problems", None) or problems(count)
    net = network(engine, topology, **options)
    return rollout(net, task, asked, samples, sampling), engine


def test_layers_speak_in_order_each_as_one_batch():
    episodes, engine = run("2-2-1", count=3, samples=2)
    assert [sorted({r.adapter for r in call.requests}) for call in engine.calls] == [[0, 1], [2, 3], [4]]
    assert [len(call.requests) for call in engine.calls] == [12, 12, 6]
    assert [(e.problem.id, e.sample) for e in episodes] == [(f"p{p}", k) for p in range(3) for k in range(2)]
    for episode in episodes:
        assert [turn.node for turn in episode.turns] == [0, 1, 2, 3, 4]
        assert [turn.text for turn in episode.turns] == [f"m{n}{episode.problem.id}" for n in range(5)]
        assert (episode.answer, episode.score, episode.failure) == (
            f"m4{episode.problem.id}",
            Score(1.0, f"m4{episode.problem.id}"),
            None,
        )


@settings(max_examples=50)
@given(random_topologies(), st.integers(1, 3), st.integers(1, 3))
def test_every_node_reads_its_predecessors_and_nobody_else(topology, count, samples):
    parts = ("a", "b", "c")
    asked = [Problem(f"p{i}", f"Question number {i}?", "", parts=parts, stem="") for i in range(count)]

    def script(prompt, adapter):
        return f"m{adapter}"

    episodes, engine = run(topology, script, samples=samples, problems=asked, message_tokens=600)
    assert len(engine.calls) == topology.depth
    for episode in episodes:
        for node, turn in enumerate(episode.turns):
            told = engine.codec.decode(turn.prefix_ids + turn.suffix_ids)
            read = [line.partition(": ")[2] for line in lines(told)]
            budgets = [600 if e.budget is None else e.budget for e in topology.incoming(node)]
            sources = [e.source for e in topology.incoming(node)]
            written = [episode.turns[source].text for source in sources]
            assert read == [text[:most] for text, most in zip(written, budgets, strict=True)]


def test_skip_edges():
    skip = Topology.build(["a", "b", "c"], [("a", "b"), ("a", "c"), ("b", "c")])
    _, engine = run(skip)
    assert lines(engine.calls[1].prompts[0]) == ["Node 1: m0p0"]
    assert lines(engine.calls[2].prompts[0]) == ["Node 1.1: m0p0", "Node 2.1: m1p0"]


@pytest.mark.parametrize(
    ("share", "rows"), [("node", [0, 1, 2, 3, 4]), ("layer", [0, 0, 1, 1, 2]), ("all", [0] * 5)]
)
def test_shared_adapters(share, rows):
    episodes, engine = run("2-2-1", share=share)
    engine.versions[1] = 5
    assert [turn.adapter for turn in episodes[0].turns] == rows
    assert [turn.text for turn in episodes[0].turns] == [f"m{row}p0" for row in rows]


def test_turns_carry_what_they_were_drawn_with():
    engine = ScriptedEngine(say)
    engine.versions.update({0: 3, 1: 8})
    (episode,) = rollout(network(engine, "1-1"), TASK, problems(1), 1, Sampling(0.5, 1))
    assert [turn.version for turn in episode.turns] == [3, 8]
    assert [turn.temperature for turn in episode.turns] == [0.5, 0.5]
    requests = [call.requests[0] for call in engine.calls]
    assert [(r.prefix, r.suffix) for r in requests] == [(t.prefix_ids, t.suffix_ids) for t in episode.turns]
    for turn in episode.turns:
        assert turn.ids == (*turn.text.encode(), 256)
        assert len(turn.logprobs) == len(turn.ids)
    assert episode.new_tokens == sum(len(t.text) + 1 for t in episode.turns)
    assert episode.prompt_tokens == sum(len(r.prefix + r.suffix) for r in requests)


def test_edge_budgets_cut_and_are_counted():
    graph = Topology.build(["a", "b", "c"], [("a", "b", 3), ("a", "c"), ("b", "c", 9)])

    def script(prompt, adapter):
        return "abcdefgh" if adapter == 0 else "xyz"

    episodes, engine = run(graph, script, message_tokens=16)
    (episode,) = episodes
    assert lines(engine.calls[1].prompts[0]) == ["Node 1: abc"]
    assert lines(engine.calls[2].prompts[0]) == ["Node 1.1: abcdefgh", "Node 2.1: xyz"]
    assert [turn.cut_inputs for turn in episode.turns] == [0, 1, 0]
    assert [turn.truncated for turn in episode.turns] == [False] * 3
    assert engine.calls[0].requests[0].max_new == 16  # as much as the widest of its edges takes
    assert engine.calls[1].requests[0].max_new == 9
    assert episode.turns[0].text == "abcdefgh"  # the record is what was written, not what was read


def test_the_end_token_is_not_part_of_what_is_read():
    graph = Topology.build(["a", "b", "c"], [("a", "b", 3), ("a", "c"), ("b", "c")])
    (episode,), engine = run(graph, lambda prompt, adapter: "abc")
    assert lines(engine.calls[1].prompts[0]) == ["Node 1: abc"]
    assert [turn.cut_inputs for turn in episode.turns] == [0, 0, 0]


def test_a_message_as_long_as_its_edge_is_not_cut():
    graph = Topology.build(["a", "b"], [("a", "b", 4)])
    for text, truncated in (("abc", False), ("abcd", True)):  # the end token needs room as well
        (episode,), engine = run(graph, lambda prompt, adapter, text=text: text)
        assert lines(engine.calls[1].prompts[0]) == [f"Node 1: {text}"]
        assert [turn.cut_inputs for turn in episode.turns] == [0, 0]
        assert episode.turns[0].truncated == truncated


def test_truncation_is_counted_and_is_no_parse_failure():
    judge = ToyTask(lambda problem, text: Score(float(text == "yes!"), text if text.isascii() else None))
    (episode,), _ = run("1-1", lambda prompt, adapter: "yes!!!!!!!", task=judge, answer_tokens=4)
    assert [turn.truncated for turn in episode.turns] == [False, True]
    assert len(episode.turns[1].ids) == 4
    assert episode.score == Score(1.0, "yes!")
    (other,), _ = run("1", lambda prompt, adapter: "né", task=judge)
    assert (other.turns[0].truncated, other.score) == (False, Score(0.0, None))


def test_a_plain_message_ends_with_its_line():
    (episode,), engine = run("1-1", lambda prompt, adapter: "first\nNode 9: second")
    assert engine.calls[0].ends == frozenset({10, 13, 256})
    assert [turn.text for turn in episode.turns] == ["first", "first"]
    assert episode.turns[0].ids == (*b"first", 10)
    assert not episode.turns[0].truncated
    assert lines(engine.calls[1].prompts[0]) == ["Node 1: first"]


def test_only_a_line_break_ends_a_line():
    (episode,), engine = run("1-1", lambda prompt, adapter: "a\x0cb\u2028c")
    assert episode.turns[0].text == "a\x0cb\u2028c"
    assert lines(engine.calls[1].prompts[0]) == ["Node 1: a b c"]


def test_a_chat_message_has_many_lines_but_is_read_as_one():
    (episode,), engine = run("1-1", lambda prompt, adapter: "first\n\nsecond", style="chat")
    assert engine.calls[0].ends == frozenset({256})
    assert episode.answer == "first\n\nsecond"
    assert "[node 1] first second\n" in engine.calls[1].prompts[0]


class Breaks(Exception):
    pass


def test_a_failing_scorer_is_data_with_its_cause():
    def judge(problem, text):
        if problem.id == "p1":
            raise Breaks("no such\nanswer")
        return 0.0

    episodes, _ = run("1-1", count=3, task=ToyTask(judge))
    assert [e.failure for e in episodes] == [None, "scorer: Breaks: no such answer", None]
    assert [e.score for e in episodes] == [Score(0.0, "m1p0"), WRONG, Score(0.0, "m1p2")]
    assert [e.answer for e in episodes] == ["m1p0", "m1p1", "m1p2"]
    assert len(episodes[1].turns) == 2  # what was said is kept


def test_a_problem_that_cannot_be_prompted_fails_alone():
    poor = Problem("poor", "Question number 9?", "", parts=("one",))
    rich = Problem("rich", "Question number 8?", "", parts=("one", "two"))
    episodes, engine = run(Topology.parse("2-1", "split"), problems=[poor, rich], samples=2)
    assert ["share 1/2" in (e.failure or "") for e in episodes] == [True, True, False, False]
    assert [e.score is None for e in episodes] == [True, True, False, False]
    assert [e.turns for e in episodes[:2]] == [(), ()]
    assert [len(call.requests) for call in engine.calls] == [4, 2]  # nothing was asked in vain


@pytest.mark.parametrize("pieces", [2, 3])
def test_episodes_are_told_whole_whoever_played_them(pieces):
    """Cut into pieces as processes deal them out: failures, missing messages and unaskable questions, too."""

    class Losing(ScriptedEngine):
        def generate(self, requests, temperature, ends):
            told = super().generate(requests, temperature, ends)
            lost = ["number 2?" in self.codec.decode(one.prefix + one.suffix) for one in requests]
            return [replace(t, failure="gone") if gone else t for t, gone in zip(told, lost, strict=True)]

    def script(prompt, adapter):
        return "long " * 6 if number(prompt) == "1" else "s"

    def played(ranks):
        net = replace(network(Losing(script, 110), "1-1", message_tokens=40), ranks=ranks)
        return rollout(net, TASK, problems(4), 2, Sampling(1.0, 7))

    whole = played(Ranks())
    assert [e.failure is None for e in whole] == [True, True, False, False, False, False, True, True]
    assert [e.missing for e in whole] == [False] * 4 + [True] * 2 + [False] * 2
    assert played(Ranks(pieces=pieces)) == whole


def test_a_prompt_that_overflows_fails_its_own_sample_and_names_the_node():
    def script(prompt, adapter):
        return "long " * 6 if number(prompt) == "1" else "s"

    episodes, engine = run("1-1", script, count=3, message_tokens=40, context=110)
    assert [e.failure is None for e in episodes] == [True, False, True]
    assert episodes[1].failure.startswith("node '2.1': a prompt of ")
    assert [len(e.turns) for e in episodes] == [2, 1, 2]
    assert len(engine.calls[1].requests) == 2


def test_no_problem_at_all_can_be_prompted():
    with pytest.raises(PromptError, match=r"node .1\.1.: a prompt of"):
        run("1-1", count=2, context=30)


def test_no_problems_no_episodes():
    episodes, _ = run("1-1", problems=[], count=0)
    assert episodes == []


def test_blanked_messages_are_spoken_but_not_read():
    episodes, engine = run("2-1", count=2, intervention="blank")
    assert [turn.text for turn in episodes[0].turns] == ["m0p0", "m1p0", "m2p0"]
    for prompt in engine.calls[1].prompts:
        assert lines(prompt) == ["Node 1: ", "Node 2: "]


@pytest.mark.parametrize("count", [2, 3, 7])
def test_shuffled_messages_come_from_another_problem(count):
    _, engine = run("2-2-1", count=count, samples=3, intervention="shuffle")
    for call in engine.calls[1:]:
        for prompt in call.prompts:
            donors = {line.partition("p")[2] for line in lines(prompt)}
            writers = [line.partition("m")[2][0] for line in lines(prompt)]
            assert number(prompt) not in donors
            assert len(donors) == 1  # all messages of one pass are of the same other pass
            assert writers in (["0", "1"], ["2", "3"])  # each from the node it seems to be from
    # every problem's message is read elsewhere, none is lost
    donors = [lines(prompt)[0].partition("p")[2] for prompt in engine.calls[2].prompts]
    assert sorted(donors) == sorted(str(i) for i in range(count) for _ in range(3))


def test_shuffling_keeps_the_sample():
    ticket = iter(range(100))
    _, engine = run("1-1", lambda p, adapter: f"t{next(ticket)}", count=3, samples=4, intervention="shuffle")
    shown = [int(lines(prompt)[0].partition("t")[2]) for prompt in engine.calls[1].prompts]
    assert sorted(shown) == list(range(12))
    assert [t % 4 for t in shown] == [0, 1, 2, 3] * 3
    assert all(t // 4 != place // 4 for place, t in enumerate(shown))


def test_shuffling_when_some_samples_have_failed():
    ticket = iter(range(100))

    def script(prompt, adapter):  # one message is too long for its reader
        return "long " * 6 if adapter == 0 and next(ticket) == 3 else f"p{number(prompt)}"

    episodes, engine = run(
        "1-1-1", script, count=2, samples=2, message_tokens=40, context=125, intervention="shuffle"
    )
    assert [e.failure is None for e in episodes].count(True) == 3
    for prompt in engine.calls[2].prompts:
        assert lines(prompt) == [f"Node 1: p{1 - int(number(prompt))}"]


def test_one_problem_cannot_be_shuffled():
    with pytest.raises(PromptError, match="at least two problems"):
        run("1-1", count=1, samples=4, intervention="shuffle")
    with pytest.raises(ConfigError, match="did you mean 'shuffle'"):
        Sampling(1.0, 0, "shufle")


def seeds(engine):
    return [request.seed for call in engine.calls for request in call.requests]


def test_same_seed_same_episodes():
    first, one = run("2-1", count=3, samples=2, seed=5)
    second, two = run("2-1", count=3, samples=2, seed=5)
    _, other = run("2-1", count=3, samples=2, seed=6)
    assert first == second
    assert seeds(one) == seeds(two)
    assert not set(seeds(one)) & set(seeds(other))
    assert len(set(seeds(one))) == 3 * 2 * 3  # each message has its own


def test_a_seed_depends_on_the_place_alone():
    _, few = run("2-1", problems=problems(3)[1:2], samples=1, seed=5)
    _, many = run("2-1", count=3, samples=4, seed=5)
    assert seeds(few)[0] == derive(5, "draw", "p1", 0, 0)
    assert set(seeds(few)) <= set(seeds(many))


def test_shuffling_is_fixed_by_the_seed():
    def shown(seed):
        _, engine = run("1-1", count=6, intervention="shuffle", seed=seed)
        return tuple(lines(prompt)[0] for prompt in engine.calls[1].prompts)

    assert shown(1) == shown(1)
    assert len({shown(seed) for seed in range(8)}) > 1


def test_sampled_episodes_of_the_tiny_model_repeat(tiny_engine):
    net = network(tiny_engine(adapters=3), "2-1", message_tokens=6, answer_tokens=6)
    first = rollout(net, TASK, problems(2), 3, Sampling(1.0, 5))
    assert rollout(net, TASK, problems(2), 3, Sampling(1.0, 5)) == first
    assert rollout(net, TASK, problems(2), 3, Sampling(1.0, 6)) != first
    assert len({episode.turns[0].ids for episode in first}) > 2


def test_a_problem_met_twice_in_a_batch_draws_anew():
    from neuromas.system.network import Network

    engine = ScriptedEngine(lambda prompt, adapter: "x")
    network = Network(Topology.parse("1"), engine, (0,))
    problem = Problem("p", "q", "x")

    class Any:
        name, answer_format = "any", "text"

        def score(self, problem, text):
            return Score(1.0, text)

    episodes = rollout(network, Any(), [problem, problem], 2, Sampling(1.0, 0))
    assert [episode.sample for episode in episodes] == [0, 1, 2, 3]
    assert len({request.seed for batch in engine.calls for request in batch.requests}) == 4


def lifting(count, context=1 << 16):
    """Problems in two parts, a network that reads the whole question, and the same that reads the parts."""
    asked = [Problem(f"p{i}", f"WHOLE {i}", "", parts=("LEFT", "RIGHT"), stem="STEM") for i in range(count)]
    engine = ScriptedEngine(lambda prompt, adapter: "m", context=context)
    return asked, *(network(engine, load_topology("2-1", mode)) for mode in ("all", "split"))


def test_a_lifted_view_is_drawn_for_every_node_and_episode_by_its_probability():
    asked, last, earlier = lifting(40)
    net = replace(last, earlier=earlier, lifted=0.3)
    episodes = rollout(net, TASK, asked, 25, Sampling(1.0, 3))
    for node in range(3):
        turns = [episode.turns[node] for episode in episodes]
        for turn in turns:
            told = last.engine.codec.decode(turn.prefix_ids + turn.suffix_ids)
            assert ("WHOLE" in told) == turn.lifted, "the log says what was read"
        share = sum(turn.lifted is True for turn in turns) / len(turns)
        assert 0.24 < share < 0.36, "four standard deviations of 1,000 draws"
    drawn = [tuple(turn.lifted for turn in episode.turns) for episode in episodes]
    assert len(set(drawn)) == 8, "nodes draw apart"
    assert any(len(set(drawn[i : i + 25])) > 1 for i in range(0, len(drawn), 25)), "and so do samples"
    settled = rollout(net.settled, TASK, asked[:2], 2, Sampling(1.0, 3))
    assert settled == rollout(last, TASK, asked[:2], 2, Sampling(1.0, 3))
    assert all(turn.lifted is None for episode in settled for turn in episode.turns)


def test_a_view_drawn_for_a_problem_is_the_same_in_its_samples_and_lifts_that_share_of_the_nodes():
    asked, last, earlier = lifting(300)
    for lifted, many in ((1 / 3, {1}), (0.5, {1, 2}), (2 / 3, {2}), (0.0, {0})):
        net = replace(last, earlier=earlier, lifted=lifted + 1e-9, alike=True)
        drawn = [
            [turn.lifted for turn in one.turns] for one in rollout(net, TASK, asked, 2, Sampling(1.0, 3))
        ]
        assert drawn[::2] == drawn[1::2], "samples of a problem differ by what was written alone"
        assert {sum(one) for one in drawn} == many
        assert abs(sum(map(sum, drawn)) / (3 * len(drawn)) - lifted) < 0.04, (
            "a fraction of a node is one at times"
        )
        for node in range(3):
            assert abs(sum(one[node] for one in drawn) / len(drawn) - lifted) < 0.08, "every node in its turn"


def test_a_node_that_is_taught_carries_the_prompt_of_the_last_view_with_the_messages_it_read():
    asked, last, earlier = lifting(20)
    net = replace(last, earlier=earlier, lifted=0.5)
    whole = rollout(last, TASK, asked, 3, Sampling(1.0, 3))
    plain = rollout(net, TASK, asked, 3, Sampling(1.0, 3))
    taught = rollout(replace(net, taught=1.0), TASK, asked, 3, Sampling(1.0, 3))
    for one, other, full in zip(taught, plain, whole, strict=True):
        for turn, as_before, under_last in zip(one.turns, other.turns, full.turns, strict=True):
            assert replace(turn, later=None) == as_before, "what is written does not change"
            assert as_before.later is None
            prompt = (under_last.prefix_ids, under_last.suffix_ids)
            assert turn.later == (None if turn.lifted else prompt)
    assert len({turn.lifted for one in taught for turn in one.turns}) == 2, "both were seen"


def test_what_does_not_fit_under_the_last_view_is_not_taught_and_fails_nothing():
    asked, last, earlier = lifting(1)
    asked = [replace(asked[0], question="WHOLE " * 200)]
    net = replace(last, earlier=earlier, lifted=0.0, taught=1.0)
    assert all(turn.later for turn in rollout(net, TASK, asked, 1, Sampling(1.0, 3))[0].turns)
    _, last, earlier = lifting(1, context=900)
    net = replace(last, earlier=earlier, lifted=0.0, taught=1.0)
    (episode,) = rollout(net, TASK, asked, 1, Sampling(1.0, 3))
    assert episode.failure is None
    assert [turn.later for turn in episode.turns] == [None] * 3
