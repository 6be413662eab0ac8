"""Arms that answer by a method, what is known of budgets before anything runs, and what is said of them."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import pytest

from neuromas.cli.options import read_pairs
from neuromas.config import make_config
from neuromas.core.budgets import BUDGETS, UNITS, unequal
from neuromas.core.errors import ConfigError, NeuromasError
from neuromas.core.parts import METHODS
from neuromas.experiment.budgets import Planned, Rehearsed, planned
from neuromas.experiment.cells import inline, lay_out
from neuromas.experiment.plan import make_plan
from neuromas.experiment.schema import experiment_schema
from neuromas.growth.stages import check_stages
from neuromas.methods.direct import Direct
from neuromas.report.budgets import held
from neuromas.report.experiment import comparison_table, experiment_blocks, experiment_text
from neuromas.report.results import results
from neuromas.report.writers import as_csv
from neuromas.storage import Run
from neuromas.tasks import make_task

# tiny: hidden 64, an adapter of rank 4 has 1792 parameters (see test_models)
PLAN = {
    "name": "rivals",
    "seeds": [0, 1],
    "base": {
        "model": {"backbone": "tiny", "rank": 4},
        "task": {"name": "max"},
        "train": {"problems": 2, "samples": 4},
        "evaluate": {"test": 100},
    },
    "arms": [
        {"name": "blank", "stages": [{"shape": "1", "steps": 0}]},
        {"name": "grown", "stages": [["2-1", 5], ["3-1", 10]]},
        {"name": "heir", "start": "grown:1", "stages": [["3-1", 7]]},
        {"name": "direct", "of": "blank", "method": "direct"},
        {"name": "plain", "of": "grown", "method": "direct"},
        {"name": "sc", "of": "grown", "method": "self-consistency", "options": {"votes": 3}},
        {"name": "votes", "of": "grown:1", "votes": 4},
    ],
}


def plan(**more):
    return make_plan(copy.deepcopy(PLAN) | more)


def with_arm(**arm):
    return {"arms": [*copy.deepcopy(PLAN["arms"]), {"name": "new", **arm}]}


def comparing(first, second, equal):
    return {"compare": [{"first": first, "second": second, "equal": equal}]}


@dataclass(frozen=True)
class Odd(Direct):
    """A method of one's own that may refuse, fail or search."""

    how: str = ""
    many: int = 1

    def calls(self, bench):
        if self.how == "refuse":
            raise ConfigError("not on this network")
        if self.how == "fail":
            raise ValueError("what is\nthis")
        return self.many * len(bench.network.topology.nodes)

    def parameters(self, bench):
        return 7


class Searching(Odd):
    """Says what it takes once it has searched."""

    def prepare(self, bench):
        raise AssertionError("not before it runs")


class Oracle(Odd):
    """Looks at the gold answers."""

    oracle = True


@pytest.fixture(autouse=True)
def own(monkeypatch):
    for name, part in (("odd", Odd), ("searching", Searching), ("oracle", Oracle)):
        monkeypatch.setitem(METHODS.own, name, part)


# -- arms


def test_a_cell_of_a_method_is_an_ordinary_evaluation(tmp_path):
    cells = {cell.name: cell for cell in lay_out(plan(), tmp_path)}
    direct, sc = cells["max/direct/seed-1"], cells["max/sc/seed-1"]
    assert direct.command()[4:] == [
        *("evaluate", str(tmp_path / "cells/max/blank/seed-1"), "--method", "direct"),
        *("--stage", "1", "--items", "100", "--name", "method-direct-stage-1-of-100"),
    ]
    assert sc.command()[6:10] == ["--method", "self-consistency", "--with", "votes=3"]
    assert (direct.needs, sc.needs) == ("max/blank/seed-1", "max/grown/seed-1")
    (row,) = direct.rows()
    assert {key: row[key] for key in ("method", "options", "asked", "episodes")} == {
        **{"method": "direct", "options": {}},
        **{"asked": "method direct", "episodes": [8]},
    }
    (row,) = sc.rows()
    assert row["asked"] == "method self-consistency votes=3"
    (row,) = cells["max/votes/seed-1"].rows()
    assert (row["method"], row["options"]) == ("self-consistency", {"votes": 4, "temperature": 0.7})
    assert [row["method"] for row in cells["max/grown/seed-1"].rows()] == ["network"] * 2


def test_methods_of_other_options_are_kept_under_other_names(tmp_path):
    names = set()
    for options in ({}, {"votes": 3}, {"votes": 4}, {"temperature": 0.5}):
        found = plan(**with_arm(of="grown", method="self-consistency", options=options))
        cell = next(cell for cell in lay_out(found, tmp_path) if cell.arm.name == "new")
        names.add(cell.evaluation(1))
    assert len(names) == 4
    own = plan(**with_arm(of="grown", method="neuromas.methods.direct:Direct"))
    cell = next(cell for cell in lay_out(own, tmp_path) if cell.arm.name == "new")
    assert ":" not in cell.evaluation(1)


@pytest.mark.parametrize(
    "value",
    [3, 0.25, True, "a b", 'q"\\\n\x7fé', "3", [1, 2.5, "x", [True]], {"a b": {"c": [1]}, "d": "e=f"}],
)
def test_options_survive_the_command_line(value):
    assert read_pairs([f"key={inline(value)}"]) == {"key": value}


@pytest.mark.parametrize(
    ("arm", "says"),
    [
        ({"of": "grown", "method": "direkt"}, "arm 'new': unknown method 'direkt'; did you mean 'direct'?"),
        (
            {"of": "grown", "method": "self-consistency", "options": {"vote": 3}},
            "arm 'new': unknown option of method 'self-consistency' 'vote'; did you mean 'votes'?",
        ),
        (
            {"of": "grown", "method": "self-consistency", "options": {"votes": 0}},
            "arm 'new': votes = 0 of method",
        ),
        ({"of": "grown", "method": "os:system"}, "arm 'new': method 'os:system'"),
        ({"method": "direct"}, "arm 'new': method and options are for arms made of another one"),
        ({"of": "grown", "options": {"votes": 3}}, "made of 'grown': say by which method"),
        ({"of": "grown", "method": "direct", "votes": 3}, "method and votes do not go together"),
        ({"of": "grown", "method": "direct", "messages": "blank"}, "method and messages do not go together"),
        ({"of": "grown", "method": "odd", "options": {"how": "refuse"}}, "arm 'new': not on this network"),
        ({"of": "grown", "method": "odd", "options": {"how": "fail"}}, "method 'odd': what is this"),
        (
            {"of": "grown", "method": "odd", "options": {"many": 2501}},
            "arm 'new': 10004 calls for each of evaluate.test = 100 questions, at most 1000000 in all",
        ),
    ],
)
def test_a_method_is_checked_before_anything_runs(arm, says):
    with pytest.raises(NeuromasError) as caught:
        plan(**with_arm(**arm))
    assert says in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_the_most_calls_are_still_allowed():
    plan(**with_arm(of="grown", method="odd", options={"many": 2500}))


def test_an_oracle_is_in_no_comparison():
    arm = with_arm(of="grown", method="oracle")
    plan(**arm)
    with pytest.raises(ConfigError, match="compare: 'new' is an oracle bound, gold answers decide"):
        plan(**arm, **comparing("grown", "new", []))


# -- budgets of the plan


def rehearsed(found, arm):
    return Rehearsed(check_stages(found.config(arm, "max", 0), None), make_task("max", {}))


def test_budgets_by_hand():
    """A step samples 2 x 4 episodes; a tiny adapter of rank 4 has 1792 parameters."""
    found = plan(
        **with_arm(of="grown", method="searching"),
    )
    goals = {arm.name: rehearsed(found, arm) for arm in found.arms if not arm.of}
    each = 1792

    def of(name, stage=1):
        return planned(found, "max", goals, (name, stage))

    assert of("blank") == Planned(1, each, 0)
    assert of("grown") == Planned(3, 3 * each, 5 * 8 * 3)
    assert of("grown", 2) == Planned(4, 4 * each, 5 * 8 * 3 + 10 * 8 * 4)
    assert of("heir") == Planned(4, 4 * each, 5 * 8 * 3 + 7 * 8 * 4)
    assert of("direct") == of("plain") == Planned(1, 0, 0), "nobody trained the frozen model"
    assert of("sc") == Planned(3 * 4, 4 * each, 440), "charged what its network's training took"
    assert of("votes") == Planned(4 * 3, 3 * each, 120)
    assert of("new") == Planned(None, 7, None), "what a search takes is not known before"


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"growth": {"until": 0.5}}, "training"),
        ({"growth": {"patience": 3}}, "training"),
        ({"growth": {"init": "passthrough"}}, "training"),
        ({"growth": {"init": "copy", "tied": True}}, "parameters"),
        ({"model": {"backbone": "not-here/at-all"}}, "parameters"),
    ],
)
def test_what_depends_on_what_happens_is_not_known(change, what):
    base = {**PLAN["base"], **{key: {**PLAN["base"].get(key, {}), **value} for key, value in change.items()}}
    arms = [{"name": "a", "stages": [["2-1", 5]]}]
    found = plan(base=base, arms=arms)
    goals = {"a": rehearsed(found, found.arms[0])}
    assert getattr(planned(found, "max", goals, ("a", 1)), what) is None


@pytest.mark.parametrize(
    ("first", "second", "equal", "says"),
    [
        ("direct", "grown", "calls", "1 and 4 calls a question differ by 75 %"),
        ("sc", "votes", ["calls", "training"], "440 and 120 calls of training and search differ by 72.7 %"),
        ("direct", "grown:1", ["parameters"], "0 and 5,376 trained parameters differ by 100 %"),
    ],
)
def test_unequal_budgets_are_refused_before_anything_runs(first, second, equal, says):
    with pytest.raises(ConfigError) as caught:
        plan(**comparing(first, second, equal))
    assert f"compare: {first!r} and {second!r} of 'max': {says}; equal are those" in str(caught.value)
    plan(**comparing(first, second, []))


@pytest.mark.parametrize(
    ("first", "second", "equal"),
    [
        ("sc", "votes", "calls"),
        ("grown", "sc", ["parameters", "training"]),
        ("grown", "votes", "tokens"),
        ("grown", "direct", ["tokens", "flops"]),
    ],
)
def test_equal_ones_and_those_that_are_measured_are_let_through(first, second, equal):
    (line,) = plan(**comparing(first, second, equal)).compare
    assert line.equal == ((equal,) if isinstance(equal, str) else tuple(equal))


def test_most_calls_are_no_budget_where_a_question_may_take_fewer():
    """A self-check takes 4 calls, or 5 where it revises: 4 of another method may be as many."""
    arms = [
        *copy.deepcopy(PLAN["arms"]),
        {"name": "check", "of": "blank", "method": "self-check"},
        {"name": "checks", "of": "blank", "method": "pass-at-n", "options": {"n": 2, "of": "self-check"}},
        {"name": "talk", "of": "blank", "method": "debate", "options": {"agents": 2}},
    ]
    found = plan(arms=arms, **comparing("check", "talk", "calls"))
    goals = {arm.name: rehearsed(found, arm) for arm in found.arms if arm.name == "blank"}
    for name in ("check", "checks"):
        assert planned(found, "max", goals, (name, 1)) == Planned(None, 0, 0)
    assert planned(found, "max", goals, ("talk", 1)) == Planned(4, 0, 0)


def test_a_budget_that_there_is_not_is_one_line():
    with pytest.raises(ConfigError, match=r"compare\[1\].equal\[1\] = 'call'.*'calls', 'tokens'"):
        plan(**comparing("grown", "sc", "call"))
    schema = experiment_schema()["$defs"]["Compare"]["properties"]["equal"]
    assert [one.get("enum", one.get("type")) for one in schema["anyOf"]] == [list(BUDGETS), "array"]


def test_ten_percent_of_the_larger_one():
    assert set(UNITS) == set(BUDGETS)
    for first, second in ((90, 100), (100, 90), (0, 0), (0.9, 1.0), (2_070_000.0, 2_300_000)):
        assert unequal("calls", first, second) == ""
    for first, second in ((89, 100), (100, 89), (0, 1e-9)):
        assert unequal("calls", first, second)
    assert unequal("flops", 1.5e12, 1e12).startswith("1.5e+12 and 1e+12 FLOPs a question differ by 33.3 %")


# -- budgets as measured


def stored(path, seed, summary, lines=({}, {})):
    """A run of one stage that took two steps of 8 episodes, and its row; a method's if it has a name.

    ``lines`` are what is logged of the steps.
    """
    run = Run.create(path, {"growth": {"parent": ""}}, {})
    run.write("status.json", {"finished": True})
    spent = {"steps": 2, "calls": 48, "prompt_tokens": 1000, "new_tokens": 200, "seconds": 1.0}
    run.checkpoint(2).mkdir()
    run.write("checkpoints/step-000002/network.json", {"spent": spent})
    run.append("metrics.jsonl", [{"step": step, **line} for step, line in enumerate(lines)])
    items = [{"id": f"q{i}", "question": f"{i}?", "score": float(i < 2)} for i in range(4)]
    plain = {"accuracy": 0.5, "items": 4, "failed": 0, "nodes": 3, "adapters": 3, "calls": 3.0}
    run.write_evaluation("test-after", plain | {"prompt_tokens": 90.0, "new_tokens": 10.0} | summary, items)
    return {
        **{"task": "t", "arm": path.parent.name, "stage": 1, "seed": seed, "shape": "2-1", "votes": None},
        **{
            "run": str(path),
            "evaluation": "test-after",
            "trained": 1,
            "of": 1,
            "weights": 1000,
            "adapter": 7,
        },
        **{"method": "network", "options": {}, "episodes": [8]},
    }


def search(**more):
    return {"found": {}, "calls": 40, "prompt_tokens": 300, "new_tokens": 60} | more


@pytest.fixture
def found(tmp_path):
    """A trained network, a method of the frozen model that searched, one like it that is cheaper."""
    rows = []
    for seed in (0, 1, 2):
        rows.append(stored(tmp_path / "net" / str(seed), seed, {}))
        more = {"parameters": 0, "search": search(calls=40 + 3 * seed)}
        rows.append(stored(tmp_path / "found" / str(seed), seed, more))
        rows[-1] |= {"method": "swarm", "options": {"agents": 3}, "asked": "method swarm"}
        more = {"parameters": 0, "calls": 2.5, "prompt_tokens": 70.0}
        rows.append(stored(tmp_path / "cheap" / str(seed), seed, more))
        rows[-1] |= {"method": "direct", "asked": "method direct"}

    def line(first, second, *equal):
        return {"task": "t", "first": (first, 1), "second": (second, 1), "why": "", "equal": list(equal)}

    return results(
        rows,
        [
            *(line("net", "found", "calls", "tokens", "training"), line("net", "cheap", "calls", "tokens")),
            *(line("net", "found", "parameters"), line("found", "cheap", "parameters"), line("net", "cheap")),
        ],
    )


def test_costs_by_hand(found):
    net, swarm, direct = found["points"]
    assert (net["trainable"], swarm["trainable"], direct["trainable"]) == (21, 0, 0)
    assert (net["rollouts"], swarm["rollouts"]) == (16, 0), "nothing was trained for the frozen model"
    assert (net["spent"]["calls"], swarm["spent"]["calls"], swarm["spent"]["seconds"]) == (48, 0, 0)
    assert (net["flops"], swarm["flops"]) == (2 * 1000 * 1200, 0)
    assert (net["flops_a_question"], direct["flops_a_question"]) == (2 * 1000 * 100, 2 * 1000 * 80)
    assert (net["search"], swarm["search"]) == ({"calls": 0, "tokens": 0}, {"calls": 43, "tokens": 360})
    text = experiment_text(found)
    assert "what critics and references (DPO, KL) read is in no column" in text.replace("\n", " ")
    table = next(block for block in experiment_blocks(found) if getattr(block, "title", "") == "t: budgets")
    rows = {row[0]: dict(zip(table.columns, row, strict=True)) for row in table.rows}
    assert rows["found:1"]["method"] == "swarm agents=3"
    values = [rows["found:1"][name].value for name in table.columns[2:]]
    assert values == [3.0, 90.0, 10.0, 200_000.0, 0.0, 0.0, 0.0, 43.0, 360.0]
    assert any(line.split()[:3] == ["found:1", "swarm", "3"] for line in text.split("\n")), "not a network"


def test_unequal_budgets_are_refused_where_they_were_measured(found):
    equal, cheap, parameters, both, free = found["comparisons"]
    assert equal["refused"] == [
        "48 and 43 calls of training and search differ by 10.4 %; equal are those that differ by at most 10 %"
    ]
    assert [why.partition(" differ")[0] for why in cheap["refused"]] == [
        "3 and 2.5 calls a question",
        "100 and 80 tokens a question",
    ]
    assert parameters["refused"] == [
        "21 and 0 trained parameters differ by 100 %; equal are those that differ by at most 10 %"
    ]
    for one in (equal, cheap, parameters):
        assert (one["trainings"], one["networks"], one["seeds"]["differences"]) == (None, None, [])
    assert (both["refused"], free.get("refused")) == ([], None)
    assert both["networks"]["holm"] == free["networks"]["holm"] == 1.0
    text = experiment_text(found)
    assert text.count("    refused: ") == 4
    assert "net:1 -> cheap:1, equal calls and tokens\n    refused: 3 and 2.5 calls a question differ" in text
    assert text.count("all trainings   ") == 2
    table = comparison_table(found["comparisons"])
    assert [row[-1] for row in table.rows][3:] == ["parameters", None]
    assert "refused: 3 and 2.5 calls" in as_csv([table])


def test_what_is_not_known_is_not_equal(tmp_path):
    rows = [stored(tmp_path / name / "0", 0, {}) | {"weights": None} for name in ("a", "b")]
    line = {"task": "t", "first": ("a", 1), "second": ("b", 1), "why": "", "equal": ["flops"]}
    assert results(rows, [line])["comparisons"][0]["refused"] == ["FLOPs a question of a:1 are not known"]
    missing = rows[1] | {"run": str(tmp_path / "none")}
    (waits,) = results([rows[0], missing], [line])["comparisons"]
    assert "refused" not in waits, "nothing is refused while it is not there"


def test_budgets_are_those_of_the_seeds_that_are_compared():
    def side(arm, calls):
        seeds = [{"seed": number, "calls_a_question": value} for number, value in calls.items()]
        for seed in seeds:
            seed |= {"flops_a_question": None, "trainable": None, "tokens_a_question": [None, None]}
            seed |= {"spent": {"calls": 0}, "search": {"calls": 0}}
        mean = sum(calls.values()) / len(calls)
        return {"task": "t", "arm": arm, "stage": 1, "seeds": seeds, "calls_a_question": mean}

    points = [side("a", {0: 3.0, 1: 9.0}), side("b", {0: 6.0})]
    line = {"task": "t", "first": ("a", 1), "second": ("b", 1), "equal": ["calls"], "seeds": {"numbers": [0]}}
    assert held(line, points)["refused"], "3 against 6 calls on the seed that is compared"
    points[0] = side("a", {0: 6.0, 1: 90.0})
    assert not held(line, points)["refused"]


@pytest.mark.parametrize(
    ("train", "episodes"),
    [
        ({}, 6),
        ({"accumulate": 3}, 18),
        ({"algorithm": "marft"}, 6),
        ({"algorithm": "malt"}, 2 * 3**3),
        ({"algorithm": "malt", "algorithm_options": {"branches": 2}, "accumulate": 2}, 4 * 2**3),
        ({"algorithm": "at-grpo"}, 2 * 3 * 4),
        ({"credit": "difference"}, 6),
        ({"algorithm": "their.package:Own"}, None),
    ],
)
def test_episodes_of_a_step_are_counted_where_they_are_known(train, episodes):
    from neuromas.experiment.cells import _episodes

    data = {"network": {"topology": "2-1-1"}, "train": {"problems": 2, "samples": 3, **train}}
    assert _episodes(make_config(data)) == (episodes,)


@pytest.mark.parametrize(
    ("episodes", "lines", "rollouts"),
    [
        (None, [{"rollouts": 27}, {"rollouts": 20}], 47),
        (8, [{"rollouts": 12}, {"rollouts": 10}], 22),
        (8, [{"replayed": {"episodes": 5}}, {"replayed": {"episodes": 4}}], 25),
        (8, [{}, {}], 16),
        (8, [{"rollouts": 12}], None),
        (None, [{}, {}], None),
    ],
)
def test_rollouts_are_those_of_the_log(tmp_path, episodes, lines, rollouts):
    """As a step's line says; of older lines as many as a step plays, and what it played again."""
    row = stored(tmp_path / "net" / "0", 0, {}, lines) | {"episodes": [episodes]}
    assert results([row], [])["points"][0]["rollouts"] == rollouts


def test_rollouts_of_a_later_stage_leave_out_those_of_another_run(tmp_path):
    row = stored(tmp_path / "net" / "0", 0, {}, [{"rollouts": 12}, {"rollouts": 10}])
    first = stored(tmp_path / "first" / "0", 0, {}, [{"rollouts": 3}, {"rollouts": 4}])
    cost = {"calls": 48, "prompt_tokens": 9, "new_tokens": 9, "seconds": 1.0}
    run = Run(tmp_path / "net" / "0")
    run.append("growth.jsonl", [{"spent": {"steps": 2, **cost}}])
    run.write("checkpoints/step-000002/network.json", {"spent": {"steps": 4, **cost}})
    row["start"] = {name: first[name] for name in ("run", "trained", "of", "episodes")}
    assert results([row], [])["points"][0]["rollouts"] == 22 + 7


@pytest.mark.parametrize(("trained", "rollouts"), [(1, 4), (2, 4 + 10 + 11)])
def test_rollouts_are_counted_stage_by_stage(tmp_path, trained, rollouts):
    row = stored(tmp_path / "net" / "0", 0, {}, [{}, {}, {"rollouts": 11}])
    row |= {"episodes": [4, 10], "trained": trained, "of": 2}
    run, cost = Run(tmp_path / "net" / "0"), {"calls": 9, "prompt_tokens": 9, "new_tokens": 9, "seconds": 1.0}
    run.append("growth.jsonl", [{"spent": {"steps": 1, **cost}}])
    run.write("checkpoints/step-000002/network.json", {"spent": {"steps": 3, **cost}})
    assert results([row], [])["points"][0]["rollouts"] == rollouts


def test_the_table_says_how_many_questions_failed_where_any_did(tmp_path):
    whole = [stored(tmp_path / "net" / str(seed), seed, {}) for seed in (0, 1)]
    assert "failed" not in experiment_text(results(whole, []))
    broken = [stored(tmp_path / "broken" / str(seed), seed, {"failed": 4 - seed}) for seed in (0, 1)]
    found = results([*whole, *broken], [])
    assert [[seed["failed"] for seed in point["seeds"]] for point in found["points"]] == [[0, 0], [4, 3]]
    table = experiment_blocks(found)[0]
    cells = {row[0]: row[table.columns.index("failed")] for row in table.rows}
    assert (cells["net:1"].text, cells["net:1"].value) == ("0", 0)
    assert (cells["broken:1"].text, cells["broken:1"].value) == ("7 of 8", 7)
    text = experiment_text(found)
    assert "7 of 8" in text
    assert "failed: questions of all seeds on which an episode broke off" in text.replace("\n", " ")
