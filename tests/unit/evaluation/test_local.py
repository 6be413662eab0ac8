"""Messages beside the right local answers: shares, what is given right inputs, and whose value is written."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from neuromas.core.errors import TaskError
from neuromas.core.task import Problem
from neuromas.evaluation.local import local_answers, local_shares, place_of
from neuromas.report.local import local_blocks
from neuromas.report.writers import WRITERS
from neuromas.tasks import make_task
from neuromas.theory.law import Counted, product
from neuromas.topology.files import load_topology


def problem(number, a, b):
    local = ((str(a), str(b)), (str(a + b),))
    return Problem(f"p{number}", f"{a}+{b}", str(a + b), "number", meta={"local": local})


PROBLEMS = [problem(0, 3, 4), problem(1, 5, 6), problem(2, 7, 7), problem(3, 1, 9)]


def count(messages, scores):
    return local_answers(load_topology("2-1", "all"), PROBLEMS, messages, scores)


def test_shares_of_every_node():
    found = count(
        [("3", "4", "7"), ("5", "7", "11"), ("7", "7", "13"), ("9", "9", "10")], [1.0, 1.0, 0.0, 1.0]
    )
    first, second, sink = found.nodes
    assert (first.right, second.right, sink.right) == (Counted(3, 4), Counted(3, 4), Counted(3, 4))
    assert sink.given == Counted(1, 2)  # items 0 and 2 read nothing wrong; 13 is not 14
    assert first.given == first.right
    assert found.accuracy == Counted(3, 4)
    assert product(found.cell("x", 2)) == pytest.approx(0.75 * 0.75 * 0.5)
    assert first.wrote == (Counted(3, 4), Counted(1, 3))  # 7 and 7 cannot tell them apart
    assert first.stray is None


def test_swapped_nodes_are_named():
    swapped = [(p.meta["local"][0][1], p.meta["local"][0][0], "0") for p in PROBLEMS]
    found = count(swapped, [0.0] * 4)
    assert [node.stray for node in found.nodes] == [1, 0, None]
    page = WRITERS["text"](local_blocks("test-after", found.facts()))
    assert "1.1 writes entry 2 of its level more often than its own" in page
    assert "value of 2" in page


def test_missing_messages_are_wrong_and_unasked_problems_are_left_out():
    found = count([("3", "4"), (), ("7", "7", "14"), ()], [0.0, None, 1.0, None])
    assert found.accuracy == Counted(1, 2)
    assert [node.right for node in found.nodes] == [Counted(2, 2), Counted(2, 2), Counted(1, 2)]


def test_places_in_a_chain_and_in_no_place():
    levels = (("Lima", "grape"), ("grape",))
    chain = load_topology("1-1", "layers")
    assert [place_of(chain, node, levels) for node in (0, 1)] == [(0, 0), (1, 0)]
    wide = load_topology("3-1", "all")
    assert [place_of(wide, node, levels) for node in range(4)] == [None, None, None, (1, 0)]
    found = local_answers(wide, PROBLEMS[:1], [("1", "2", "3", "7")], [1.0])
    assert found.nodes[0].right == Counted(0, 0)
    assert found.nodes[3].given == Counted(0, 0)  # whether its inputs were right is not known
    assert found.facts()["nodes"][0]["right"]["share"] is None


def test_leaves_that_read_halves_or_the_whole_stand_for_the_steps_inside():
    for parts in (1, 2):
        told = make_task("arithmetic", {"operators": "+", "depth": 3, "parts": parts, "ask": True})
        drawn = [told.problem("test", number) for number in range(6)]
        right = [[text for level in (*p.meta["inside"], *p.meta["local"]) for text in level] for p in drawn]
        assert all(len(said) == 7 for said in right)
        tree = load_topology("tree:2,2", "branches" if parts == 2 else "all")
        found = local_answers(tree, drawn, right, [1.0] * 6)
        assert [node.given for node in found.nodes] == [Counted(6, 6)] * 7
        right[0][3] = "-1"  # the last leaf errs: its reader and the root are not asked then
        found = local_answers(tree, drawn, right, [1.0] * 6)
        assert [node.given.of for node in found.nodes] == [6, 6, 6, 6, 6, 5, 6]
        assert found.nodes[3].given == Counted(5, 6)


def test_problems_of_several_depths_each_have_their_own_places():
    def drawn(depth):
        options = {"operators": "+", "depth": depth, "parts": 2, "ask": True, "max_operand": 50}
        return make_task("arithmetic", options).problem("test", 0)

    for problems in ([drawn(2), drawn(3)], [drawn(3), drawn(2)]):
        said = [(*one.meta["local"][0], one.answer) for one in problems]
        found = local_answers(load_topology("2-1", "split"), problems, said, [1.0, 1.0])
        assert [node.right for node in found.nodes] == [Counted(2, 2)] * 3
        assert [node.wrote[node.name == "1.2"] for node in found.nodes] == [Counted(2, 2)] * 3


def test_a_chain_stands_for_its_parts_also_where_steps_are_inside():
    levels = (("1", "2", "3", "4"), ("3", "7"), ("10",))
    chain = load_topology("1-1", "layers")
    assert [place_of(chain, node, levels, parts=1) for node in (0, 1)] == [(1, 0), (2, 0)]
    longer = load_topology("1-1-1-1", "all")  # four steps inside are not its parts
    assert place_of(longer, 0, levels, parts=1) == (2, 0)


def test_a_problem_without_local_answers_is_one_line():
    with pytest.raises(TaskError, match="no known local answers"):
        local_answers(load_topology("1", "all"), [Problem("x", "q", "a")], [("a",)], [1.0])
    with pytest.raises(TaskError, match="1 problems, 0 items"):
        local_answers(load_topology("1", "all"), PROBLEMS[:1], [], [1.0])


def test_a_test_evaluation_keeps_the_shares_of_its_nodes():
    def episode(number, said, score):
        turns = [SimpleNamespace(text=text) for text in said]
        return SimpleNamespace(problem=PROBLEMS[number], turns=turns, score=SimpleNamespace(value=score))

    topology = load_topology("2-1", "all")
    told = [episode(0, [str(n) for n in PROBLEMS[0].meta["local"][0]] + [PROBLEMS[0].answer], 1.0)]
    shares = local_shares(topology, told)["local"]
    assert [one["node"] for one in shares] == ["1.1", "1.2", "2.1"]
    assert [one["right"]["share"] for one in shares] == [1.0, 1.0, 1.0]
    assert local_shares(topology, []) == {}
    for meta in ({}, {"local": 3}, {"local": [[1], [2]]}, {"local": [[None, {}]]}):
        strange = [SimpleNamespace(problem=Problem("p", "q", "7", "number", meta=meta), turns=(), score=None)]
        assert local_shares(topology, strange) == {}
