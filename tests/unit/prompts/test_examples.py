"""Worked examples: from the training split alone, the same for a whole run, never the problem itself."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from neuromas.core.errors import TaskError
from neuromas.core.task import Problem, Score
from neuromas.prompts.build import Wording, build_prompt
from neuromas.prompts.codec import ByteCodec
from neuromas.prompts.examples import MOST, draw_examples, from_list, to_list
from neuromas.prompts.reading import read_template
from neuromas.prompts.template import built_in
from neuromas.tasks import make_task
from neuromas.topology.graph import Topology

CODEC = ByteCodec()
HELD_OUT = {"validation": 2, "test": 2}


class Listed:
    """A task of lists; ``sizes`` None are splits without end, whose questions repeat."""

    name, answer_format = "listed", "a word"

    def __init__(self, endless=False, **splits):
        self.splits, self.endless = splits, endless

    def size(self, split):
        return None if self.endless else len(self.splits[split])

    def problem(self, split, index):
        rows = self.splits[split]
        question = rows[index % len(rows)]
        return Problem(f"{split}-{index}", question, question.upper())

    def score(self, problem, text):
        return Score(0.0, None)


def questions(task, count, seed=0, held_out=HELD_OUT):
    return [one.question for one in draw_examples(task, count, seed, held_out)]


@pytest.mark.parametrize("endless", [False, True])
def test_examples_are_training_problems_that_no_split_holds_out(endless):
    """An adversarial task: splits overlap by text, but for case and blanks."""
    task = Listed(
        endless, train=["a b", "c", "d", "e", "f"], validation=["A  b", "x"], test=["y", " E\n", "z"]
    )
    found = questions(task, 3)
    assert sorted(found) == ["c", "d", "f"]
    with pytest.raises(TaskError, match=r"network.examples = 4: only 3 different .* of task 'listed'"):
        questions(task, 4)


def test_a_split_that_ends_is_compared_whole_one_without_end_as_far_as_it_is_used():
    rows = {"train": ["a", "b"], "validation": ["x"], "test": ["y", "z", "u", "v", "b"]}
    assert questions(Listed(**rows), 1) == ["a"]
    assert set(questions(Listed(True, **rows), 2)) == {"a", "b"}
    assert questions(Listed(True, **rows), 1, held_out={"validation": 2, "test": 5}) == ["a"]


def test_nothing_is_opened_for_none():
    assert draw_examples(None, 0, 0, HELD_OUT) == ()
    with pytest.raises(TaskError, match="only 0 different"):
        questions(Listed(train=[], validation=["x"], test=["y"]), 1)


def test_the_seed_alone_decides():
    task = make_task("max", {})
    first, again, other = (draw_examples(task, 3, seed, HELD_OUT) for seed in (1, 1, 2))
    assert first == again
    assert not {one.id for one in first} & {one.id for one in other}
    assert len({one.question for one in first}) == 3
    assert all(one.id.startswith("max-train-") for one in first)
    assert draw_examples(task, 2, 1, HELD_OUT) == first[:2], "more examples go on where fewer stop"


def told(topology, node, problem, examples, template=None):
    messages = ["m"] * len(topology.incoming(node))
    wording = Wording("plain", "a number", template or built_in(), tuple(examples))
    prompt = build_prompt(topology, node, problem, messages, CODEC, wording=wording)
    return CODEC.decode(prompt.prefix), CODEC.decode(prompt.suffix)


ONE = Problem("e1", "1 or 2?", "2", parts=("1", "2"), stem="Larger:")
TWO = Problem("e2", "7 or 5?", "7", parts=("7", "5"), stem="Larger:")
ASKED = Problem("p", "3 or 9?", "9", parts=("3", "9"), stem="Larger:")


def test_the_output_node_reads_them_before_the_question():
    topology = Topology.parse("2-1")
    prefix, _ = told(topology, 2, ASKED, (ONE, TWO))
    assert prefix == (
        "(layer 2/2, output: a number)\nQuestion: 1 or 2?\nAnswer: 2\nQuestion: 7 or 5?\nAnswer: 7\n"
        "Question: 3 or 9?\n"
    )
    assert told(topology, 0, ASKED, (ONE, TWO)) == told(topology, 0, ASKED, ())


def test_a_leaf_reads_its_part_of_them():
    topology, all_read = (
        Topology.parse("2-1", "split"),
        read_template(b'examples = "all"', "own.toml", "plain"),
    )
    prefix = told(topology, 1, ASKED, (ONE,), all_read)[0]
    assert prefix.startswith(
        "(layer 1/2, node 2/2, to 2.1)\nQuestion: Larger: 2\nAnswer: 2\nQuestion: Larger: 9\n"
    )
    assert "Question: Larger:\nAnswer: 2\n" in told(topology, 2, ASKED, (ONE,), all_read)[0]
    blind = Topology.parse("2-1", "first")
    assert told(blind, 2, ASKED, (ONE,), all_read) == told(blind, 2, ASKED, (), all_read)


def test_the_problem_itself_is_never_an_example():
    """By its id or by its text: training meets the examples, too."""
    topology = Topology.parse("1")
    same = Problem("other", " 1 or  2?", "2")
    for problem in (ONE, same, Problem("e1", "else", "2")):
        prefix = told(topology, 0, problem, (ONE, TWO))[0]
        assert "Answer: 2\n" not in prefix
        assert "Answer: 7\n" in prefix


def test_who_reads_them_is_what_the_file_says():
    topology = Topology.build(["left", "right", "out"], [("left", "out"), ("right", "out")])
    for said, rows in (
        ('"sink"', {2}),
        ('["leaves"]', {0, 1}),
        ('["1/2", "out"]', {1, 2}),
        ('"left"', {0}),
        ('"all"', {0, 1, 2}),
    ):
        template = read_template(f"examples = {said}".encode(), "own.toml", "plain")
        found = {
            row for row in range(3) if "Answer: 2\n" in "".join(told(topology, row, ASKED, (ONE,), template))
        }
        assert found == rows


def test_they_come_back_from_a_manifest():
    data = json.loads(json.dumps(to_list([ONE, TWO])))
    assert from_list(data) == (ONE, TWO)
    assert all("stems" not in one for one in data), "as versions before this one wrote them"
    asked = replace(ONE, stems=(("What is A + B?", "What is A * B?"), ("What is A - B?",)))
    assert from_list(json.loads(json.dumps(to_list([asked])))) == (asked,)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({}, "valid list"),
        ([{}], "examples.0.id"),
        ([{"id": 1, "question": "q", "answer": "a"}], "examples.0.id = 1"),
        ([{"id": "i", "question": "q", "answer": "a", "evil": 1}], "examples.0.evil"),
        ([{"id": "i", "question": "q" * 100_001, "answer": "a"}], "examples.0.question"),
        ([{"id": "i", "question": "q", "answer": "a"}] * (MOST + 1), f"at most {MOST}"),
    ],
)
def test_a_hostile_manifest_is_one_line(data, says):
    with pytest.raises(ValueError, match=says) as caught:
        from_list(data)
    assert len(str(caught.value)) < 300
