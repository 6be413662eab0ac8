"""Results of two folders as one: seeds of both, the later's where both have one, statistics anew."""

from __future__ import annotations

from pathlib import Path

import pytest

from neuromas.core.errors import RunError
from neuromas.experiment.plan import load_plan
from neuromas.report.comparing import compare_points, correct
from neuromas.report.joining import joined
from neuromas.report.results import point

ROOT = Path(__file__).parents[3]
ABOUT = {"level": "", "depth": 2, "system": "", "asked": "", "shape": "2-1", "votes": None}
SPENT = {"steps": 1, "calls": 2, "prompt_tokens": 3, "new_tokens": 4, "seconds": 5.0}
LINE = {"task": "sums", "first": ["a", 1], "second": ["b", 1], "why": "because"}


def seed(number, *scores):
    share = sum(scores) / len(scores)
    rest = {"calls_a_question": 3.0, "trainable": None, "flops": None, "nodes": 3}
    rest |= {"frozen": False, "oracle": False, "flops_a_question": None, "rollouts": None}
    rest["search"] = {"calls": 0, "tokens": 0}
    return {"seed": number, "accuracy": share, "scores": list(scores), "spent": SPENT, **rest}


def file(items, a, b, text="digest"):
    points = [point(("sums", name, 1), ABOUT, seeds) for name, seeds in (("a", a), ("b", b))]
    compared = correct([compare_points(points, LINE)])
    asked = {"sums": text} if items else {}
    return {"items": {"sums": items}, "asked": asked, "points": points, "comparisons": compared}


def test_seeds_of_both_make_one_statistic():
    first = file(["x", "y"], [seed(0, 0, 0), seed(1, 0, 1)], [seed(0, 1, 1), seed(1, 1, 1)])
    second = file(["x", "y"], [seed(2, 0, 0), seed(1, 0, 0)], [seed(2, 1, 0)])
    whole = file(
        ["x", "y"],
        [seed(0, 0, 0), seed(1, 0, 0), seed(2, 0, 0)],
        [seed(0, 1, 1), seed(1, 1, 1), seed(2, 1, 0)],
    )
    assert joined(first, second) == whole
    assert whole["comparisons"][0]["trainings"] is not None
    assert first["comparisons"][0]["trainings"] is None, "two seeds are too few by themselves"


def test_what_only_one_has_stays():
    empty = file([], [], [])
    full = file(["x", "y"], [seed(0, 0, 1)], [seed(0, 1, 1)])
    assert joined(full, empty) == joined(empty, full) == full


def test_answers_of_a_network_that_was_trained_anew_are_left_out():
    first = file(["x", "y"], [seed(0, 1, 1), seed(1, 1, 1)], [seed(0, 0, 1), seed(1, 0, 1)])
    second = file(["x", "y"], [seed(1, 0, 0)], [])
    found = joined(first, second, of={"b": "a"})
    assert [[one["seed"] for one in point_["seeds"]] for point_ in found["points"]] == [[0, 1], [0]]
    (line,) = found["comparisons"]
    assert line["seeds"]["numbers"] == [0], "a pair is of one network"
    again = file(["x", "y"], [seed(1, 0, 0)], [seed(1, 0, 0)])
    found = joined(first, again, of={"b": "a"})
    assert [one["accuracy"] for one in found["points"][1]["seeds"]] == [0.5, 0.0]


def test_arms_that_ask_anothers_network_are_named():
    plan = load_plan(ROOT / "recipes" / "experiments" / "organisation.toml")
    found = plan.asked
    assert found["blank-2"] == "grown-2"
    assert found["votes-2"] == "single-2", "of a stage of it"
    assert "grown-3" not in found, "it starts with another's network and trains"


def test_other_questions_are_refused():
    first = file(["x", "y"], [seed(0, 0, 0)], [])
    second = file(["x", "z"], [seed(1, 0, 0)], [])
    with pytest.raises(RunError, match="asked different questions of 'sums'"):
        joined(first, second)


def test_results_from_before_there_were_methods_are_taken_over():
    first = file(["x", "y"], [seed(0, 0, 1)], [])
    for point_ in first["points"]:
        for one in point_["seeds"]:
            for key in ("frozen", "oracle", "flops_a_question", "rollouts", "search"):
                del one[key]
    assert joined(first, file([], [], [])) == file(["x", "y"], [seed(0, 0, 1)], [])


def test_other_questions_under_the_same_ids_are_refused():
    first, second = (file(["x"], [seed(n, 1)], [seed(n, 0)], text) for n, text in enumerate(("one", "two")))
    with pytest.raises(RunError, match="different questions of 'sums'"):
        joined(first, second)
    old = {key: value for key, value in first.items() if key != "asked"}
    assert joined(old, second)["asked"] == {"sums": "two"}, "what was not noted cannot be compared"
    empty = file([], [], []) | {"asked": {"sums": "of nothing"}}
    assert joined(old, empty)["asked"] == {}
    assert joined(first, empty)["asked"] == {"sums": "one"}


def test_a_comparison_that_waits_counts_in_the_correction():
    points = [point(("sums", "a", 1), ABOUT, [seed(n, 0, 0, 0, n % 2) for n in range(3)])]
    points += [point(("sums", "b", 1), ABOUT, [seed(n, 1, 1, 1, n != 1) for n in range(3)])]
    (alone,) = correct([compare_points(points, LINE)])
    waiting = {**compare_points(points, {**LINE, "second": ["c", 1]})}
    refused = {**waiting, "refused": ["calls: 1 and 2"]}
    one, *_ = correct([compare_points(points, LINE), waiting, refused])
    for kind in ("trainings", "networks"):
        assert alone[kind]["holm"] == alone[kind]["p_value"]
        assert one[kind]["holm"] == pytest.approx(min(1.0, 3 * one[kind]["p_value"]))
    assert one["trainings"]["holm"] < 1.0
