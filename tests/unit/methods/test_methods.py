"""Methods by name, one of one's own from outside, and what each built-in one writes and costs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint

import pytest
import torch
from toys import OWN_METHOD, ToyTask, at, problems, right

from neuromas.config import make_config
from neuromas.core import registry
from neuromas.core.errors import ConfigError, TaskError
from neuromas.core.parts import METHODS
from neuromas.core.task import Problem, Score
from neuromas.engines.scripted import ScriptedEngine
from neuromas.evaluation.evaluate import evaluate
from neuromas.methods.base import Method, Search
from neuromas.methods.bench import bench
from neuromas.methods.dialogue import Ask, Dialogue
from neuromas.methods.running import evaluate_method, make_method
from neuromas.methods.self_consistency import majority
from neuromas.system.assemble import assemble
from neuromas.testing import check_method

# -- what is offered


@pytest.mark.parametrize("name", METHODS.builtin)
def test_the_built_in_methods_keep_the_contract(name):
    method = make_method(name)
    check_method(method)
    assert method.costs
    assert method.source


# -- one of one's own, from outside


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "own_debate.py").write_text(OWN_METHOD)
    monkeypatch.syspath_prepend(tmp_path)
    return "own_debate:Debate"


@pytest.mark.parametrize("source", ["address", "entry point", "registered"])
def test_a_method_from_outside_is_one_file(module, source, monkeypatch):
    name = module
    if source == "entry point":
        name = "their-debate"
        point = EntryPoint(name, module, METHODS.group)
        found = lambda group: [point] if group == METHODS.group else []  # noqa: E731
        monkeypatch.setattr(registry, "entry_points", found)
    elif source == "registered":
        name = "own-debate"
        METHODS.register(name)(METHODS.get(module))
    try:
        debate = make_method(name, {"agents": 2})
        assert name in METHODS.names() or source == "address"
    finally:
        METHODS.own.pop(name, None)
    check_method(debate)
    said = {}

    def script(prompt, adapter):
        assert adapter == 9, "the frozen model writes"
        place = len(said)
        said[place] = prompt
        return "17"[place % 2] if place < 4 else "7"

    where = at(script, ToyTask(lambda problem, text: right(replace(problem, answer="7"), text)))
    groups = debate.answer(where, problems(2))
    (first,), (second,) = (group.episodes for group in groups)
    assert len(where.network.engine.calls) == 2, "all problems of a round are one batch"
    assert [turn.node for turn in first.turns] == [0, 1, 0, 1]
    assert [turn.text for turn in first.turns] == ["1", "7", "7", "7"]
    assert (first.answer, first.score.value, second.answer) == ("7", 1.0, "7")
    assert said[4] == "Think again.\nQuestion: Question number 0?\nAgent 2: 7\nAnswer (any text):"
    assert "Agent 1: 1\n" not in said[4], "an agent does not read itself"
    assert "Question: Question number 0?" in said[0]


# -- the built-in ones


def test_direct_asks_the_frozen_model_once():
    where = at(lambda prompt, adapter: f"{adapter}", answer_tokens=4)
    result = evaluate_method("direct", make_method("direct"), where, "test", 3)
    (call,) = where.network.engine.calls
    assert call.temperature == 0.0
    assert call.prompts[1] == "Question: Say 1.\nAnswer (any text):"
    assert {request.max_new for request in call.requests} == {4}
    assert [item.answer for item in result.items] == ["9"] * 3
    assert [result.summary[key] for key in ("method", "parameters", "calls", "nodes")] == [
        "direct",
        0,
        1.0,
        1,
    ]
    assert result.prompts["test-1"] == (call.prompts[1],)


def test_a_chat_model_is_asked_in_its_template():
    where = at(lambda prompt, adapter: "1", style="chat")
    make_method("direct").answer(where, problems(1))
    (prompt,) = where.network.engine.calls[0].prompts
    assert prompt.startswith("Reply with the final answer and nothing else: any text.\nUser: Question: ")
    assert prompt.endswith("Write the answer.\nReply:")


def test_the_frozen_model_is_the_backbone_and_the_network_stays_as_it_was():
    config = make_config(
        {
            "model": {"backbone": "tiny", "dtype": "float32", "device": "cpu", "rank": 2},
            "network": {"topology": "1-1", "message_tokens": 4, "answer_tokens": 4},
        }
    )
    assembly = assemble(config)
    bank = assembly.model.bank
    with torch.no_grad():
        for parameter in bank.parameters:
            parameter.add_(1.0)
    before = evaluate(assembly.network, assembly.task, "test", 3).items
    with bench(assembly) as where:
        assert where.parameters == sum(p.numel() for p in bank.parameters[:2])
        assert len(bank.parameters) == 3
        frozen = evaluate_method("direct", make_method("direct"), where, "test", 3).items
        assert evaluate_method("network", make_method("network"), where, "test", 3).items == before
    assert len(bank.parameters) == len(bank.ranks) == len(bank.versions) == 2
    untrained = assemble(config)  # whose new adapters have B = 0, which is the backbone, too
    with bench(untrained) as where:
        again = evaluate_method("direct", make_method("direct"), replace(where, frozen=0), "test", 3).items
    assert [item.answer for item in again] == [item.answer for item in frozen]


class Letters(ToyTask):
    """Training problems are mostly "b", test problems "a"."""

    def size(self, split):
        return {"train": 9, "test": 4}.get(split, 0)

    def problem(self, split, index):
        gold = ("c" if index % 3 == 0 else "b") if split == "train" else "a"
        return Problem(f"{split}-{index}", f"Which letter {index}?", gold)


def test_the_constant_is_chosen_on_training_problems():
    where = at(lambda prompt, adapter: "?", Letters(lambda p, text: Score(float(text == p.answer), text)))
    result = evaluate_method("constant", make_method("constant"), where, "test", 9)
    assert {item.answer for item in result.items} == {"b"}
    assert (result.summary["accuracy"], result.summary["majority"]["accuracy"]) == (0.0, 1.0)
    assert (result.summary["calls"], result.summary["nodes"], result.summary["constant"]) == (0, 0, "b")
    assert where.network.engine.calls == []

    class Untrained(Letters):
        def size(self, split):
            return 4 if split == "test" else 0

    with pytest.raises(TaskError, match="no train problems"):
        evaluate_method("constant", make_method("constant"), replace(where, task=Untrained()), "test", 1)


# -- failure is data


class Picky(Dialogue):
    """Fails in many ways, by the problem."""

    costs, source = "2", "none"

    def calls(self, bench):
        return 2

    def talk(self, problem, read):
        if problem.id == "p1":
            yield [Ask(instruction="word " * 400)]
        if problem.id == "p5":
            yield [Ask(instruction=problem.question)]
        (turn,) = yield [Ask(final=False)]
        if problem.id == "p2":
            yield [Ask((turn.text * 400,))]
        if problem.id == "p3":
            return str(int(turn.text))
        if problem.id == "p4":
            yield []
        return turn.text


def test_what_fails_is_data_and_the_others_go_on():
    where = at(lambda prompt, adapter: "some text")
    where = replace(
        where, network=replace(where.network, engine=ScriptedEngine(lambda p, a: "some text", 512))
    )
    long = Problem("p5", "word " * 400, "5")
    episodes = [group.episodes[0] for group in Picky().answer(where, [*problems(5), long])]
    kinds = [one.failure and one.failure.split()[0] for one in episodes]
    assert kinds == [None, "a", "a", "method:", "method:", "a"]
    assert all("message of 16 tokens exceed 512" in episodes[i].failure for i in (1, 2, 5))
    scores = [None if one.score is None else one.score.value for one in episodes]
    assert scores == [0.0, 0.0, 0.0, 0.0, 0.0, None], "only what cannot be asked at all has no score"
    assert "int()" in episodes[3].failure
    assert "asks for nothing" in episodes[4].failure


def test_samples_are_drawn_apart():
    where = at(lambda prompt, adapter: "1")
    groups = make_method("direct").answer(where, problems(2), samples=3)
    assert [len(group.episodes) for group in groups] == [3, 3]
    seeds = {request.seed for call in where.network.engine.calls for request in call.requests}
    assert len(seeds) == 6


class Liar(Method):
    costs, source = "1", "none"

    def __init__(self, answers, declared=5):
        self.answers, self.declared = answers, declared

    def calls(self, bench):
        return self.declared

    def answer(self, bench, problems, samples=1):
        return self.answers(make_method("network").answer(bench, problems))


@pytest.mark.parametrize(
    ("method", "says"),
    [
        (Liar(lambda groups: groups[1:]), "one answer to every problem"),
        (Liar(lambda groups: groups[::-1]), "one answer to every problem"),
        (Liar(lambda groups: groups, declared=2), "took 3 calls for a question and declares 2"),
    ],
)
def test_what_a_method_declares_is_held_against_it(method, says):
    with pytest.raises(ConfigError, match=says):
        evaluate_method("liar", method, at(lambda prompt, adapter: "1"), "test", 2)


class Raising(Liar):
    """Can be sampled, too."""

    def at(self, temperature):
        return self


def raising(error):
    def answers(groups):
        raise error

    return Raising(answers)


def test_what_a_method_from_outside_raises_is_one_line_that_names_it():
    where, broken = at(lambda prompt, adapter: "1"), raising(ValueError("kaputt\nzwei"))
    with pytest.raises(ConfigError) as found:
        evaluate_method("liar", broken, where, "test", 2)
    assert str(found.value) == "method 'liar': ValueError: kaputt zwei"
    assert isinstance(found.value.__cause__, ValueError)
    votes = make_method("self-consistency", {"votes": 2, "of": broken})
    with pytest.raises(ConfigError, match="method 'self-consistency': ValueError: kaputt zwei"):
        evaluate_method("self-consistency", votes, where, "test", 2)


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("liar", TaskError("no test problems")),
        ("liar", MemoryError()),
        ("liar", RuntimeError("CUDA out of memory. Tried")),
        ("direct", ValueError("a bug of ours")),
    ],
)
def test_what_is_not_the_fault_of_a_method_from_outside_stays_what_it_is(name, error):
    with pytest.raises(type(error)) as found:
        evaluate_method(name, raising(error), at(lambda prompt, adapter: "1"), "test", 2)
    assert found.value is error


# -- the shipped check


@dataclass(frozen=True)
class Peeking(Dialogue):
    """Looks at the gold answer by a way around the copy it is given."""

    costs, source = "1", "none"

    def calls(self, bench):
        return 1

    def answer(self, bench, problems, samples=1):
        golds = {problem.id: problem.answer for problem in problems}
        object.__setattr__(self, "golds", golds)
        return super().answer(bench, problems, samples)

    def talk(self, problem, read):
        yield [Ask()]
        return self.golds[problem.id]


class Costly(Peeking):
    def talk(self, problem, read):
        for _ in range(2):
            (turn,) = yield [Ask()]
        return turn.text


class Moody(Peeking):
    told = iter(range(99))

    def talk(self, problem, read):
        (turn,) = yield [Ask(instruction=f"Number {next(self.told)}.")]
        return turn.text


class Prying(Peeking):
    """Looks gold answers up in the task."""

    def answer(self, bench, problems, samples=1):
        object.__setattr__(
            self, "golds", {p.id: bench.task.problem("test", i) for i, p in enumerate(problems)}
        )
        return Dialogue.answer(self, bench, problems, samples)

    def talk(self, problem, read):
        (turn,) = yield [Ask()]
        return f"{turn.text} {self.golds[problem.id].answer == '99'}"


class Seeker(Peeking):
    """Searches, in a way that each test breaks."""

    tried = iter(range(99))

    def look(self, bench, **changes):
        problem = bench.task.problem("train", 0)
        ((one,),) = (group.episodes for group in Dialogue.answer(self, bench, [problem]))
        facts = {"calls": 1, "prompt_tokens": one.prompt_tokens, "new_tokens": one.new_tokens}
        return Search(make_method("direct"), {"found": 1}, **{**facts, **changes})

    def talk(self, problem, read):
        (turn,) = yield [Ask()]
        return turn.text

    def prepare(self, bench):
        return self.look(bench)


class Leaky(Seeker):
    def prepare(self, bench):
        bench.task.problem("test", 0)
        return self.look(bench)


class Cheap(Seeker):
    def prepare(self, bench):
        return self.look(bench, calls=0)


class Terse(Seeker):
    def prepare(self, bench):
        return self.look(bench, new_tokens=0)


class Fickle(Seeker):
    def prepare(self, bench):
        return replace(self.look(bench), found={"at": next(self.tried)})


class Lazy(Peeking):
    def answer(self, bench, problems, samples=1):
        return super().answer(bench, problems[:1], samples)


class Nameless(Peeking):
    source = ""


class Curious(Dialogue):
    """Answers with what it was given of the gold answer."""

    costs, source = "0", "none"

    def calls(self, bench):
        return 0

    def talk(self, problem, read):
        return f"{problem.answer!r} {dict(problem.meta)}"
        yield


def test_a_dialogue_is_not_told_the_answer():
    problem = Problem("p", "Which?", "gold", meta={"steps": "gold"})
    ((episode,),) = (group.episodes for group in Curious().answer(at(lambda p, a: "1"), [problem]))
    assert episode.answer == "'' {}"
    check_method(Curious())


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (Peeking, "gold answer"),
        (Costly, "declares 1"),
        (Moody, "another time"),
        (Lazy, "one group of answers to every problem"),
        (Nameless, "source"),
        (Prying, "gold answer"),
        (Leaky, "reads test problems"),
        (Cheap, "and it says"),
        (Terse, "and it says"),
        (Fickle, "another thing"),
    ],
)
def test_each_broken_promise_is_found(broken, says):
    with pytest.raises(AssertionError, match=says):
        check_method(broken())


def test_a_search_that_keeps_its_promises_passes():
    check_method(Seeker())


@pytest.mark.parametrize(
    ("said", "place"),
    [
        ((), None),
        ((None, None), None),
        ((None, "2"), 1),
        (("1", "2", "2"), 1),
        (("2", "1,000", "1000", "1000"), 2),
        (("1", "2"), 0),
    ],
)
def test_the_majority_of_votes(said, place):
    assert majority(said) == place
