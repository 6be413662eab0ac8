"""Evaluation: what an item says, and a summary that can be checked by hand."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from functools import partial

import pytest
from toys import vote

from neuromas.core.errors import ConfigError, PromptError, TaskError
from neuromas.core.task import Problem, Score
from neuromas.engines.scripted import ScriptedEngine
from neuromas.evaluation.evaluate import Item, _causes, evaluate, summarise
from neuromas.statistics import bootstrap_mean, wilson
from neuromas.system.network import Network
from neuromas.topology.graph import Topology


@dataclass(frozen=True)
class Letters:
    """Three problems of two choices; the first asks for more than the second offers."""

    name: str = "letters"
    answer_format: str = "a letter"
    golds: tuple[str, ...] = ("A", "B", "B")

    def size(self, split):
        return len(self.golds) if split == "test" else 0

    def problem(self, split, index):
        return Problem(f"q{index}", f"Question {index}?", self.golds[index], "choice", ("one", "two"))

    def score(self, problem, text):
        if text == "crash":
            raise ValueError("cannot\nread")
        parsed = text if text in ("A", "B") else None
        return Score(float(parsed == problem.answer), parsed)


def network(script, shape="2-1", **more):
    topology = Topology.parse(shape)
    assignment = tuple(range(len(topology.nodes)))
    return Network(topology, ScriptedEngine(script), assignment, **more)


def says(*answers):
    """Inner nodes say "hint"; the output answers question i with ``answers[i]``."""

    def script(prompt, adapter):
        if adapter < 2:
            return "hint"
        return next(text for i, text in enumerate(answers) if f"Question {i}?" in prompt)

    return script


def item(score, **more):
    fields = {"parsed": None if score is None else "x", "messages": ("x",), "message_tokens": (1,)}
    base = Item("i", "q", "g", "x", "x", score, ("x",), (1,), (False,), 5, 1, None, None)
    return replace(base, **{**fields, **more})


def test_an_item_tells_what_happened():
    """``reward`` and ``rewards`` are those of reward functions, of which there are none."""
    result = evaluate(network(says("A", "A", "maybe")), Letters(), "test", 99)
    first, second, third = result.items
    assert asdict(first) == {
        "id": "q0",
        "question": "Question 0?",
        "gold": "A",
        "answer": "A",
        "parsed": "A",
        "score": 1.0,
        "messages": ("hint", "hint", "A"),
        "message_tokens": (5, 5, 2),  # bytes and the end token
        "truncated": (False, False, False),
        "prompt_tokens": first.prompt_tokens,
        "new_tokens": 12,
        "failure": None,
        "first_option": 1.0,
        "reward": None,
        "rewards": None,
        "outputs": None,
    }
    assert "outputs" not in first.line(), "files are as they were before there were tools"
    assert replace(first, outputs=("1", None, None)).line()["outputs"] == ("1", None, None)
    assert (second.score, second.parsed, second.first_option) == (0.0, "A", 0.0)
    assert (third.score, third.parsed, third.answer) == (0.0, None, "maybe"), "a parse failure is wrong"


def test_prompt_tokens_count_what_every_node_read():
    net = network(says("A", "B", "B"))
    result = evaluate(net, Letters(), "test", 1)
    requests = [request for call in net.engine.calls for request in call.requests]
    assert result.items[0].prompt_tokens == sum(len(r.prefix) + len(r.suffix) for r in requests)


def test_a_summary_by_hand():
    summary = evaluate(network(says("A", "A", "maybe"), answer_tokens=4), Letters(), "test", 99).summary
    assert summary["items"] == 3
    assert summary["accuracy"] == pytest.approx(1 / 3)
    assert summary["majority"] == {"answer": "B", "accuracy": pytest.approx(2 / 3)}
    assert summary["first_option"] == pytest.approx(1 / 3)
    assert summary["parse_failures"] == pytest.approx(1 / 3)
    assert summary["failed"] == 0
    assert summary["labels"] == {"A": 2, "(none)": 1}
    assert summary["calls"] == 3
    assert summary["message_tokens"] == [5, 5, pytest.approx((2 + 2 + 4) / 3)]
    assert summary["truncated"] == [0, 0, pytest.approx(1 / 3)]
    assert summary["new_tokens"] == pytest.approx(10 + 8 / 3)
    assert (summary["split"], summary["intervention"], summary["nodes"]) == ("test", "none", 3)
    assert json.loads(json.dumps(summary)) == summary


class Generous(Letters):
    """A scorer with a fault: "0" is right whatever the question, and odd texts break it."""

    def score(self, problem, text):
        if "?" in text:
            raise ValueError("cannot read a question mark")
        return Score(1.0, text) if text == "0" else super().score(problem, text)


def test_the_best_constant_is_found_by_scoring():
    """Counting gold answers would say 2 of 3, and call it an upper bound."""
    for run in (evaluate, partial(vote, votes=1, temperature=0.0)):
        summary = run(network(says("A", "A", "A")), Generous(), "test", 99).summary
        assert summary["majority"] == {"answer": "0", "accuracy": 1.0}


def test_a_question_given_back_is_a_constant_too():
    class Echo(Letters):
        def score(self, problem, text):
            return Score(float(text == problem.question), text)

    summary = evaluate(network(says("A", "A", "A")), Echo(), "test", 99).summary
    assert summary["majority"] == {"answer": "(the question)", "accuracy": 1.0}


def test_an_answer_that_breaks_the_scorer_is_wrong_and_its_cause_is_told():
    result = evaluate(network(says("A", "crash", "B")), Letters(), "test", 99)
    failed = result.items[1]
    assert (failed.score, failed.parsed, failed.answer) == (0.0, None, "crash")
    assert "ValueError: cannot read" in failed.failure
    assert (result.summary["failed"], result.summary["unasked"]) == (1, 0)
    assert result.summary["causes"] == {failed.failure: 1}
    assert result.summary["accuracy"] == pytest.approx(2 / 3)
    assert result.summary["parse_failures"] == pytest.approx(1 / 3)
    assert result.summary["interval"] == asdict(wilson(2, 3))


def test_nothing_asked_is_no_accuracy_and_no_interval():
    summary = summarise([item(None, failure="too long")] * 3)
    assert (summary["accuracy"], summary["interval"]) == (None, None)
    assert (summary["failed"], summary["unasked"], summary["causes"]) == (3, 3, {"too long": 3})


def test_wilson_for_right_and_wrong_bootstrap_for_shares():
    binary = [item(1.0)] * 7 + [item(0.0)] * 3
    assert summarise(binary)["interval"] == asdict(wilson(7, 10))
    shares = [item(0.25), item(0.5), item(1.0), item(0.0)]
    assert summarise(shares)["interval"] == asdict(bootstrap_mean([0.25, 0.5, 1.0, 0.0]))
    assert summarise(shares)["accuracy"] == pytest.approx(0.4375)
    assert summarise([item(0.5), item(0.5)])["interval"] is None


def test_no_options_no_first_option():
    assert summarise([item(1.0)])["first_option"] is None


def test_a_node_that_never_spoke_takes_no_part_in_its_means():
    items = [
        item(1.0, messages=("a", "b"), message_tokens=(2, 4), truncated=(False, True)),
        item(None, messages=("a",), message_tokens=(6,), truncated=(True,)),
    ]
    summary = summarise(items)
    assert summary["message_tokens"] == [4, 4]
    assert summary["truncated"] == [0.5, 1.0]
    assert summary["calls"] == 1.5


def test_labels_are_the_ten_most_frequent():
    items = [item(0.0, parsed=str(i)) for i in range(20)] + [item(1.0, parsed="7")]
    labels = summarise(items)["labels"]
    assert len(labels) == 10
    assert next(iter(labels.items())) == ("7", 2)


def test_as_many_items_as_there_are_and_no_more_than_asked():
    assert len(evaluate(network(says("A", "A", "A")), Letters(), "test", 2).items) == 2
    with pytest.raises(TaskError, match="no validation problems"):
        evaluate(network(says("A")), Letters(), "validation", 2)


@pytest.mark.parametrize(("intervention", "shown"), [("none", "own"), ("blank", ""), ("shuffle", "other")])
def test_interventions_reach_the_readers(intervention, shown):
    def script(prompt, adapter):
        asked = next(i for i in range(3) if f"Question {i}?" in prompt)
        if adapter == 0:
            return f"hint {asked}"
        seen = [i for i in range(3) if f"hint {i}" in prompt]
        return {0: "", 1: "own" if seen == [asked] else "other"}[len(seen)]

    class Echo(Letters):
        def score(self, problem, text):
            return Score(0.0, text)

    result = evaluate(network(script, "1-1"), Echo(), "test", 3, intervention=intervention)
    assert [i.parsed for i in result.items] == [shown] * 3
    assert result.summary["intervention"] == intervention


def test_an_unknown_intervention_and_one_question_alone():
    with pytest.raises(ConfigError, match="did you mean 'shuffle'"):
        evaluate(network(says("A")), Letters(), "test", 1, intervention="shufle")
    with pytest.raises(PromptError, match="at least two problems"):
        evaluate(network(says("A")), Letters(), "test", 1, intervention="shuffle")


def test_causes_that_differ_in_a_number_are_one():
    said = ["node 'b' has 96 tokens", "scorer: x", "node 'b' has 101 tokens"]
    assert _causes(said) == {"node 'b' has 96 tokens": 2, "scorer: x": 1}
    assert _causes([]) == {}
