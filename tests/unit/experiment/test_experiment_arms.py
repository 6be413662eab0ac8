"""Arms with stages of their own, that start from others, or ask another's network in another way."""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path

import pytest

from neuromas.config import at_stage
from neuromas.core.errors import NeuromasError, RunError
from neuromas.experiment.cells import lay_out
from neuromas.experiment.plan import load_plan, make_plan
from neuromas.report.charts.experiment import depth, has_depth
from neuromas.report.experiment import experiment_text
from neuromas.report.results import results
from neuromas.storage import Run

RECIPES = Path(__file__).parents[3] / "recipes" / "experiments"
OPTIONS = {"operators": "+", "max_operand": 9, "ask": True, "depth": 1, "parts": 1}
STEP = {"shape": "1", "steps": 2, "task": {"depth": 1}}
PAIR = {"shape": "2-1", "steps": 3, "view": ["split", "all"], "task": {"depth": 2, "parts": 2}}
PLAN = {
    "name": "two",
    "seeds": [3, 4],
    "base": {"model": {"backbone": "tiny"}, "growth": {"init": "copy"}},
    "tasks": [
        {"name": "arithmetic", "label": "sums", "options": OPTIONS, "by_depth": {"1": {"max_operand": 30}}},
        {"name": "pick", "label": "choices", "options": {"depth": 1, "parts": 1, "ask": True}},
    ],
    "arms": [
        {"name": "grown", "start": "step", "stages": [PAIR]},
        {"name": "step", "stages": [STEP, {**STEP, "steps": 1}], "system": "grown"},
        {"name": "single", "stages": [STEP, {"shape": "1", "steps": 4, "task": {"depth": 2}}]},
        {"name": "early", "start": "step:1", "stages": [PAIR], "tasks": ["sums"]},
        {"name": "swapped", "of": "grown", "positions": "swapped"},
    ],
    "compare": [{"first": "single", "second": "grown"}],
}


def plan(**more):
    return make_plan(copy.deepcopy(PLAN) | more)


def arms(**of_grown):
    return {
        "arms": [PLAN["arms"][1], {"name": "grown", "start": "step", "stages": [PAIR]} | of_grown],
        "compare": [],
    }


def test_a_run_starts_where_another_arm_of_its_task_and_seed_ended():
    cells = {cell.name: cell for cell in lay_out(plan(), Path("out"))}
    assert len(cells) == 2 * (5 + 4), "early is of one task"
    grown, early, swapped = (cells[f"sums/{name}/seed-3"] for name in ("grown", "early", "swapped"))
    assert grown.needs == early.needs == "sums/step/seed-3"
    assert grown.config.growth.parent == "out/cells/sums/step/seed-3"
    assert (grown.start.stage, early.start.stage) == (2, 1)
    assert cells["sums/step/seed-3"].config.run.keep > 2, "the network early starts with must stay"
    assert swapped.needs == grown.name
    assert swapped.evaluation(1) == "asked-none-swapped-stage-1-of-200"


def test_stages_ask_deeper_questions_and_each_depth_has_a_table_of_its_own():
    cells = {cell.name: cell for cell in lay_out(plan(), Path("out"))}
    assert [level.name for level in cells["sums/single/seed-3"].levels] == ["depth = 1", "depth = 2"]
    assert [row["depth"] for row in cells["choices/single/seed-4"].rows()] == [1, 2]
    (row,) = cells["sums/swapped/seed-3"].rows()
    assert (row["level"], row["asked"], row["votes"]) == ("depth = 2", "positions swapped", None)
    first = cells["sums/step/seed-3"].config.stages[0]
    assert first.task == {"depth": 1, "max_operand": 30}, "by_depth"
    assert cells["choices/step/seed-3"].config.stages[0].task == {"depth": 1}


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (arms(start="stop"), "unknown arm 'stop'"),
        (arms(start="step:3"), "unknown stage of arm 'step' '3' (valid: 1, 2)"),
        (arms(start="grown"), "arm 'grown' can never start: each starts with the next of grown -> grown"),
        (arms(of="step", votes=3, stages=[]), "has a network to start with and is made of another arm"),
        (arms(growth={"parent": "x"}), "growth.parent has no effect: write start"),
        (arms(messages="blank"), "messages and positions are for arms made of another one"),
        (arms(tasks=["summs"]), "arm 'grown': unknown task 'summs'; did you mean 'sums'?"),
        (arms(stages=[{**PAIR, "stepz": 1}]), "arm 'grown': "),
        (arms(stages=[{**PAIR, "init": "zero"}]), "arm 'grown': growth stage 1: "),
        ({"compare": [{"first": "single:1", "second": "grown"}]}, "'single:1' is tested on 'depth = 1'"),
        ({"base": {"stages": []}}, "base.stages has no effect"),
    ],
)
def test_what_can_not_be_is_one_line(more, says):
    with pytest.raises(NeuromasError) as caught:
        plan(**more)
    assert says in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({}, "say how many votes, or which messages or positions"),
        ({"messages": "none"}, "and answers as that does"),
        ({"messages": "blank", "votes": 3}, "votes and messages do not go together"),
    ],
)
def test_an_arm_made_of_another_says_how_it_asks(more, says):
    with pytest.raises(NeuromasError, match=says):
        plan(arms=[*PLAN["arms"], {"name": "again", "of": "grown", **more}])


def test_parts_of_an_experiment_bring_what_they_start_with():
    chosen = plan().chosen(["swapped"], ["sums"], [4])
    assert chosen.arms == {"swapped", "grown", "step"}
    assert (chosen.tasks, chosen.seeds) == ({"sums"}, {4})
    for part, says in (((["x"], [], []), "arm .* 'x'"), (([], ["x"], []), "task"), (([], [], [9]), "seed")):
        with pytest.raises(NeuromasError, match=f"unknown {says}"):
            plan().chosen(*part)


def kept(path, parent, spent, before=None, folder="step-000001"):
    """A finished run of one stage that cost so much, of which ``before`` was paid before it began."""
    run = Run.create(path, {"growth": {"parent": parent}}, {})
    run.write("status.json", {"finished": True})
    budget = {name: spent for name in ("steps", "calls", "prompt_tokens", "new_tokens", "seconds")}
    if before is not None:
        run.append("growth.jsonl", [{"spent": dict.fromkeys(budget, before)}])
    run.checkpoint(1).mkdir()
    run.write("checkpoints/step-000001/network.json", {"spent": budget})
    summary = {"accuracy": 0.5, "items": 2, "failed": 0, "nodes": 3, "adapters": 3, "calls": 3}
    items = [{"id": f"q{i}", "question": f"{i}?", "score": i} for i in range(2)]
    run.write_evaluation("test-after", summary, items)


def test_what_ancestors_cost_is_counted_whole(tmp_path):
    """The child notes 6 paid before it began; its parent went on after that state, until 10."""
    kept(tmp_path / "a", "", 10)
    kept(tmp_path / "b", "a", 6 + 5, before=6)
    start = {"run": str(tmp_path / "a"), "trained": 1, "of": 1, "start": None}
    row = {
        "task": "t",
        "arm": "b",
        "stage": 1,
        "seed": 0,
        "shape": "2-1",
        "votes": None,
        "trained": 1,
        "of": 1,
    }
    more = {"evaluation": "test-after", "level": "depth = 2", "depth": 2, "system": "s"}
    more |= {"run": str(tmp_path / "b"), "start": start, "weights": 100, "adapter": 7}
    found = results([row | more], [])
    (point,) = found["points"]
    assert point["spent"]["calls"] == 10 + 5
    assert (point["trainable"], point["flops"]) == (3 * 7, 2 * 100 * (15 + 15))
    assert list(found["items"]) == ["t, depth = 2"]
    assert "t, depth = 2\n" in experiment_text(found)
    assert {(one["line"], one["depth"]) for one in depth(found).rows} == {("s", 2)}
    assert not has_depth(results([row | more | {"depth": None}], []))


def test_a_run_in_the_place_of_one_that_started_elsewhere_is_refused(tmp_path):
    cell = next(one for one in lay_out(plan(), tmp_path) if one.name == "sums/grown/seed-3")
    data = cell.config.model_dump(mode="json")
    data["growth"]["parent"] = "/moved/cells/sums/step/seed-3"
    Run.create(cell.run, data, {})
    lay_out(plan(), tmp_path)
    data["growth"]["parent"] = "/moved/cells/sums/single/seed-3"
    Run(cell.run).write("config.json", data)
    with pytest.raises(RunError, match="holds a run of another configuration"):
        lay_out(plan(), tmp_path)


def test_the_recipe_compares_at_equal_calls_and_parameters():
    found = load_plan(RECIPES / "organisation.toml")
    first = found.model_copy(update={"seeds": found.seeds[:1]})  # every seed has the same arms
    cells = {cell.arm.name: cell for cell in lay_out(first, Path("out")) if cell.task == "sums"}

    @cache  # arms stand on arms, and are compared with many
    def paid(arm, stage):
        source = found.source(found.arm(arm))
        before = paid(source[0].name, source[1]) if source else (0, 0)
        if found.arm(arm).of:
            return before
        for number, (shape, steps) in enumerate(cells[arm].config.shapes[:stage]):
            nodes = {"1": 1, "2-1": 3, "tree:2,2": 7, "tree:2,3": 15}[shape]
            train = at_stage(cells[arm].config, number).train
            share = train.problems * train.samples / 128  # of the recipe's own 16 x 8
            before = before[0] + steps, before[1] + steps * nodes * share
        return before

    checked = 0
    for line in found.compare:
        one, other = (paid(*found.point(side)) for side in (line.first, line.second))
        if "equal calls" in line.why:
            assert one[1] == pytest.approx(other[1], rel=0.01), line
            checked += 1
        if "equal steps" in line.why:
            assert one[0] == other[0], line
    assert checked > 8
    for name, nodes in (("single-2", 3), ("single-3", 7)):
        model = cells[name].config.model
        assert (model.rank, model.alpha / model.rank) == (8 * nodes, 2.0)


def test_configurations_that_are_kept_are_those_of_the_plan_that_is_asked():
    one = load_plan(RECIPES / "families.toml", only=["digits"])
    arm = one.arm("step")
    assert one.config(arm, "digits", 0) is one.config(arm, "digits", 0)
    base = {**one.base, "train": {**one.base["train"], "lr": 0.5}}
    assert one.model_copy(update={"base": base}).config(arm, "digits", 0).train.lr == 0.5
    assert one.config(arm.model_copy(update={"train": {"lr": 0.25}}), "digits", 0).train.lr == 0.25
    assert one.config(arm, "digits", 0).train.lr == 1e-3
