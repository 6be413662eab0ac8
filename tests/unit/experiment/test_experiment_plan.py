"""An experiment without a model: what its file may say, its numbers by hand, its picture."""

from __future__ import annotations

import copy
import hashlib
import json
import tomllib
import xml.etree.ElementTree as ET
from dataclasses import asdict
from pathlib import Path

import pytest

from neuromas.config import Config, load_config
from neuromas.core.errors import ConfigError, NeuromasError, RunError
from neuromas.experiment import running
from neuromas.experiment.cells import as_toml, lay_out, precision_lines, stage_folder
from neuromas.experiment.launchers import local
from neuromas.experiment.launchers.base import Ended
from neuromas.experiment.launchers.local import Local
from neuromas.experiment.plan import Arm, load_plan, make_plan
from neuromas.models import precision
from neuromas.report.charts.drawing import svg
from neuromas.report.charts.experiment import calls
from neuromas.report.comparing import compare_points, correct
from neuromas.report.experiment import experiment_text
from neuromas.report.results import as_json, results
from neuromas.statistics import clustered_difference, clustered_mean
from neuromas.storage import Run

RECIPE = Path(__file__).parents[3] / "recipes" / "experiments" / "growth.toml"
PLAN = {
    "name": "two",
    "seeds": [3, 4],
    "base": {"model": {"backbone": "tiny"}, "network": {"question": "first"}, "task": {"name": "max"}},
    "arms": [
        {"name": "small", "stages": [["1-1", 2], ["1-1", 1]]},
        {"name": "grown", "stages": [["1-1", 2], ["2-1", 3]], "growth": {"init": "clone"}},
        {"name": "clones", "of": "small:1", "votes": 3},
    ],
    "compare": [{"first": "small", "second": "grown:1", "why": "because"}],
}


def plan(**more):
    return make_plan(copy.deepcopy(PLAN) | more)


# -- the file


def test_a_plain_arm_needs_no_stages_and_may_change_any_section():
    """It is trained as ``neuromas train`` would: the base's topology for the base's steps."""
    arms = [
        {"name": "plain"},
        {"name": "wide", "network": {"topology": "3-1"}, "run": {"keep": 1}, "alarms": {"zero": 0}},
        {"name": "whole", "task": {"options": {"parts": 3}}, "train": {"steps": 4}},
        {"name": "recited", "engine": {"name": "scripted"}},
        {"name": "voting", "of": "plain", "votes": 3},
    ]
    base = PLAN["base"] | {"train": {"steps": 5}, "task": {"name": "max", "options": {"n": 6}}}
    found = plan(base=base, arms=arms, compare=[{"first": "plain", "second": "wide:1"}])
    cells = {cell.arm.name: cell for cell in lay_out(found, Path("out")) if cell.seed == 3}
    plain, wide, whole = (cells[name].config for name in ("plain", "wide", "whole"))
    assert (plain.network.topology, plain.train.steps, plain.growth.stages) == ("2-1", 5, ())
    assert (wide.network.topology, wide.run.keep, wide.alarms.zero, wide.train.steps) == ("3-1", 1, 0, 5)
    assert cells["recited"].config.engine.name == "scripted"
    sections = {name for name in Config.model_fields if name != "seed"}
    assert sections <= Arm.model_fields.keys(), "a section of a run that no arm can change"
    assert whole.task.options == {"n": 6, "parts": 3}, "those of the same task are put together"
    assert whole.train.steps == 4
    (row,) = cells["plain"].rows()
    assert (row["stage"], row["of"], row["shape"], row["evaluation"]) == (1, 1, "2-1", "test-after")
    (vote,) = cells["voting"].rows()
    assert (vote["shape"], vote["trained"], vote["votes"]) == ("2-1", 1, 3)


def test_the_recipe_is_an_experiment():
    found = load_plan(RECIPE)
    cells = lay_out(found, Path("out"))
    label, seeds, arms = found.labels()[0], found.seeds, found.arms
    assert [c.name for c in cells[: len(arms)]] == [f"{label}/{arm.name}/seed-{seeds[0]}" for arm in arms]
    assert len(cells) == len(found.labels()) * len(seeds) * len(arms)
    spent = {}
    for arm in found.arms:
        calls = steps = 0
        for number, (shape, count) in enumerate(arm.stages, start=1):
            steps += count
            calls += count * sum(int(width) for width in shape.split("-"))
            spent[arm.name, number] = (steps, calls)
    for arm in found.arms:
        if arm.of:
            spent[arm.name, 1] = spent[found.point(arm.of)]
    equal = {"calls": 0, "steps": 0}
    for line in found.compare:
        one, other = (spent[found.point(side)] for side in (line.first, line.second))
        if "equal calls" in line.why:
            assert one[1] == pytest.approx(other[1], rel=0.03), line
            equal["calls"] += 1
        if "equal steps" in line.why:
            assert one[0] == other[0], line
            equal["steps"] += 1
    assert min(equal.values()) > 0, "what is claimed is checked"


def test_a_cell_is_the_base_with_the_arms_own():
    small, grown, clones = lay_out(plan(), Path("out"))[:3]
    assert (small.config.seed, small.config.growth.init, grown.config.growth.init) == (3, "gate", "clone")
    assert grown.config.network.question == "first"
    assert grown.config.growth.stages == (("1-1", 2), ("2-1", 3))
    assert [row["evaluation"] for row in grown.rows()] == ["stage-1", "test-after"]
    assert small.config.run.keep == 4, "an earlier stage votes: its best checkpoint must stay"
    assert grown.config.run.keep is None
    assert (clones.needs, clones.run, clones.stage) == ("max/small/seed-3", small.run, 1)


def test_tasks_have_folders_of_their_own():
    base = {key: value for key, value in PLAN["base"].items() if key != "task"}
    tasks = [{"name": "max", "label": "two", "options": {"rank": 2}}, {"name": "gym/chain_sum"}]
    cells = lay_out(plan(base=base, tasks=tasks), Path("out"))
    assert [cell.task for cell in cells] == (["two"] * 3 + ["gym-chain_sum"] * 3) * 2
    assert [cell.seed for cell in cells] == [3] * 6 + [4] * 6, "all of the first seed comes first"
    assert cells[0].config.task.options == {"rank": 2}


def test_a_configuration_survives_its_file(tmp_path):
    odd = {"text": 'q"\\\n\x7fé\U0001f600', "list": [1, 2.5, True, {"a b": "c"}], "x.y": "z"}
    base = PLAN["base"] | {"network": {"question": "first", "style": "chat"}, "train": {"lr": 1e-5}}
    config = plan(base=base).config(plan().arms[1], "max", 7)
    data = config.model_dump(mode="json")
    data["task"]["options"] = odd
    (tmp_path / "c.toml").write_text(as_toml(data), "utf-8")
    again = load_config(tmp_path / "c.toml")
    assert again.task.options == odd
    assert again.model_dump(mode="json") == data


ARM = {"name": "a", "stages": [["1-1", 1]]}


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"nmae": 1}, "unknown key 'nmae'; did you mean 'name'?"),
        ({"name": "a/b"}, "name = 'a/b': should be letters, digits"),
        ({"seeds": []}, "seeds = []"),
        ({"seeds": [1, "x"]}, "seeds[2] = 'x'"),
        ({"seeds": [1, 1]}, "seeds: 1 is there twice"),
        ({"seeds": [-1]}, "seeds[1] = -1"),
        ({"arms": []}, "arms = []"),
        ({"arms": [ARM, ARM]}, "arms: 'a' is there twice"),
        ({"arms": [{"stages": [["1-1", 1]]}]}, "arms[1].name is missing"),
        ({"arms": [ARM | {"init": "gate"}]}, "unknown key 'arms[1].init'"),
        ({"arms": [ARM | {"name": ".."}]}, "arms[1].name = '..'"),
        ({"arms": [ARM | {"of": "small"}]}, "arm 'a' has stages to train and is made of another arm"),
        ({"arms": [ARM | {"growth": {"stages": []}}]}, "growth.stages has no effect: write stages beside"),
        ({"arms": [ARM | {"run": {"directory": "x"}}]}, "run.directory has no effect: runs lie in"),
        ({"arms": [ARM | {"train": {"learning_rate": 1}}]}, "did you mean 'train.lr'?"),
        (
            {"arms": [ARM, {"name": "b", "task": {"options": {"n": 4}}}]},
            "arms 'a' and 'b' ask different test questions under 'max'",
        ),
        ({"arms": [ARM | {"votes": 3}]}, "arm 'a': votes and temperature are for arms made of another"),
        ({"arms": [ARM | {"growth": {"init": "gat"}}]}, "arm 'a': unknown value of growth.init: 'gat'"),
        ({"arms": [ARM | {"train": {"stepz": 1}}]}, "arm 'a': unknown key 'train.stepz'"),
        ({"arms": [ARM | {"train": {"baseline": "none_such:Name"}}]}, "arm 'a': estimator 'none_such:Name'"),
        ({"arms": [ARM | {"train": {"steps": 9}}]}, "arm 'a': train.steps = 9, but growth.stages make it 1"),
        ({"arms": [{"name": "a", "stages": [["1-1"]]}]}, "arms[1].stages[1]"),
        ({"arms": [{"name": "a", "stages": [["1-1", -1]]}]}, "arm 'a': growth.stages"),
        ({"arms": [{"name": "a", "stages": [["2-1", 1], ["1-1", 1]]}]}, "arm 'a': growth stage 2: 2-1 can"),
        ({"arms": [{"name": "a", "stages": [["2-2", 1]]}]}, "arm 'a': "),
        ({"arms": [ARM, {"name": "b", "of": "c", "votes": 3}]}, "unknown arm 'c'"),
        ({"arms": [ARM, {"name": "b", "of": "a:2", "votes": 3}]}, "unknown stage of arm 'a' '2' (valid: 1)"),
        ({"arms": [ARM, {"name": "b", "of": "a"}]}, "arm 'b' is made of 'a': say how many votes"),
        ({"arms": [ARM, {"name": "b", "of": "a", "votes": 0}]}, "arms[2].votes = 0"),
        (
            {"arms": [ARM, {"name": "b", "of": "a", "votes": 2, "temperature": 0.0}]},
            "arms[2].temperature = 0.0",
        ),
        (
            {"arms": [ARM, {"name": "b", "of": "a", "votes": 2, "growth": {"noise": 1.0}}]},
            "section 'growth' has no effect",
        ),
        (
            {
                "arms": [
                    ARM,
                    {"name": "b", "of": "a", "votes": 2},
                    {"name": "c", "of": "b", "votes": 2},
                ]
            },
            "arm 'c' is made of 'b', which trains nothing",
        ),
        ({"compare": [{"first": "smal", "second": "grown"}]}, "unknown arm 'smal'; did you mean 'small'?"),
        ({"compare": [{"first": "small:3", "second": "grown"}]}, "'3' (valid: 1, 2)"),
        ({"compare": [{"first": "small:0", "second": "grown"}]}, "'0' (valid: 1, 2)"),
        ({"compare": [{"first": "small:", "second": "grown"}]}, "unknown stage of arm 'small' ''"),
        ({"compare": [{"first": "small"}]}, "compare[1].second is missing"),
        ({"compare": [{"first": "small", "second": "small:2"}]}, "both small:2"),
        ({"base": {"seed": 1}}, "base.seed has no effect"),
        ({"base": {"growth": {"stages": []}}}, "base.growth.stages has no effect"),
        ({"base": {"trian": {}}}, "arm 'small': unknown key 'trian'; did you mean 'train'?"),
        ({"base": {"train": 3}}, "train"),
        ({"base": {"growth": 3}}, "growth"),
        ({"base": {"task": {"name": "maxx"}}}, "did you mean 'max'?"),
        ({"base": {"task": {"options": {"m": 1}}}}, "unknown option of task 'max' 'm'"),
        ({"tasks": [{"name": "max"}]}, "base.task has no effect where there are tasks"),
        ({"base": {}, "tasks": [{"name": "max"}, {"name": "max"}]}, "two tasks are labelled 'max'"),
        ({"base": {}, "tasks": [{"name": "max", "label": "../x"}]}, "task label '../x'"),
        ({"base": {}, "tasks": [{"options": {}}]}, "tasks[1].name is missing"),
    ],
)
def test_a_plan_is_refused_in_one_line(more, says):
    with pytest.raises(NeuromasError) as caught:
        plan(**({"compare": []} | more))
    assert says in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_control_with_roles_is_an_arm_whose_prompts_are_checked_first(tmp_path):
    path = tmp_path / "roles.toml"
    path.write_text('[nodes.leaves]\nrole = "You are a careful reader."\n')
    arms = [
        {"name": "plain", "stages": [["2-1", 1]]},
        {"name": "roles", "stages": [["2-1", 1]], "network": {"prompt": str(path)}},
    ]
    found = plan(arms=arms, compare=[{"first": "plain", "second": "roles"}])
    cells = {cell.arm.name: cell for cell in lay_out(found, tmp_path / "out") if cell.seed == 3}
    assert cells["roles"].config.network.prompt == str(path)
    path.write_text('[nodes."7/1"]\nrole = "You are nobody."\n')
    with pytest.raises(NeuromasError, match=r"arm 'roles': roles.toml: unknown node in nodes '7/1'"):
        plan(arms=arms, compare=[])


def test_the_mark_of_prompts_stands_in_the_table():
    old = Path(__file__).parents[2] / "golden" / "experiment-0.1.0.json"
    found = json.loads(old.read_text("utf-8"))
    assert "prompts:" not in experiment_text(found)
    for seed in found["points"][0]["seeds"]:
        seed["prompts"] = "prompts: roles (roles.toml)"
    text = experiment_text(found)
    assert f"{found['points'][0]['shape']} [prompts: roles (roles.toml)]" in text
    assert text.count("prompts:") == 1


def test_a_file_that_is_none(tmp_path):
    with pytest.raises(ConfigError, match=r"none.toml.*No such file"):
        load_plan(tmp_path / "none.toml")
    (tmp_path / "x.toml").write_text("name = ")
    with pytest.raises(ConfigError, match="is not TOML"):
        load_plan(tmp_path / "x.toml")


# -- cells whose processes are ours


class Process:
    """A process that ends when it is asked ``lasts`` times, or at a signal."""

    stdin = None

    def __init__(self, cell, lasts, status) -> None:
        self.cell, self.lasts, self.status, self.signals = cell, lasts, status, []

    def poll(self):
        self.lasts -= 1
        if self.signals:
            return 130
        if self.lasts > 0:
            return None
        if self.status == 0:
            finish(self.cell)
        return self.status

    def send_signal(self, number) -> None:
        self.signals.append(number)

    def wait(self) -> int:
        return 0


def finish(cell, accuracy=0.5):
    """What a cell that ran leaves, as far as ``finished`` looks."""
    if not (cell.run / "config.json").is_file():
        run = Run.create(cell.run, cell.config.model_dump(mode="json"), {})
        run.write("status.json", {"finished": True})
    for stage in range(1, max(1, len(cell.arm.stages)) + 1):
        Run(cell.run).write_evaluation(cell.evaluation(stage), {"accuracy": accuracy}, [])


def scheduled(cells, monkeypatch, jobs=2, fail=(), out=Path(".")):
    """Run cells with such processes; names in the order they began, what was said, and the outcome."""
    began, said, most = [], [], []

    def launch(cell, environment):
        began.append(cell.name)
        cell.log.parent.mkdir(parents=True, exist_ok=True)
        if cell.name in fail:
            cell.log.write_text("step 1\nneuromas: no such luck\n\n")
        process = Process(cell, 2 + len(began) % 3, 2 if cell.name in fail else 0)
        alive.append(process)
        most.append(sum(one.lasts > 0 for one in alive))
        return process

    alive: list[Process] = []
    monkeypatch.setattr(local, "launch", launch)
    monkeypatch.setattr(Local, "pause", 0.0)
    outcome = running.run_cells(cells, Local(), running.Limits(jobs), out, said.append)
    assert max(most, default=0) <= jobs
    return began, said, outcome


def test_cells_run_once_and_votes_wait_for_their_network(tmp_path, monkeypatch):
    cells = lay_out(plan(), tmp_path)
    began, said, outcome = scheduled(cells, monkeypatch, out=tmp_path)
    assert sorted(began) == sorted(cell.name for cell in cells)
    for seed in (3, 4):
        assert began.index(f"max/clones/seed-{seed}") > began.index(f"max/small/seed-{seed}")
    assert set(began[:2]) == {"max/small/seed-3", "max/grown/seed-3"}
    assert [event["done"] for event in said] == [1, 2, 3, 4, 5, 6]
    assert outcome.failures == {}
    assert scheduled(cells, monkeypatch, out=tmp_path)[0] == [], "finished cells are skipped"
    (cells[0].run / "status.json").unlink()
    assert scheduled(cells, monkeypatch, out=tmp_path)[0] == ["max/small/seed-3"]


def test_a_failed_cell_is_data_and_the_others_go_on(tmp_path, monkeypatch):
    cells = lay_out(plan(), tmp_path)
    began, _, outcome = scheduled(cells, monkeypatch, fail=["max/small/seed-3"], out=tmp_path)
    assert "max/clones/seed-3" not in began
    assert {"max/grown/seed-3", "max/small/seed-4", "max/clones/seed-4"} <= set(began)
    causes = {"max/small/seed-3": "no such luck", "max/clones/seed-3": "max/small/seed-3 failed"}
    assert outcome.failures == causes == json.loads((tmp_path / "failures.json").read_text())
    outcome = scheduled(cells, monkeypatch, out=tmp_path)[2]
    assert outcome.failures == {}
    assert not (tmp_path / "failures.json").exists(), "of an earlier attempt"


def test_a_process_that_was_killed_says_so(tmp_path):
    (cell, *_) = lay_out(plan(), tmp_path)
    assert running.cause_of(cell, Ended(-9)) == "killed by signal 9"
    assert running.cause_of(cell, Ended(3)) == "exit status 3"
    cell.log.parent.mkdir(parents=True)
    cell.log.write_bytes(b"step 4\xff\n")
    assert running.cause_of(cell, Ended(-9)) == "killed by signal 9 after: step 4�"


def test_cells_of_another_configuration_are_refused(tmp_path):
    cells = lay_out(plan(), tmp_path)
    finish(cells[0])
    assert lay_out(plan(compare=[]), tmp_path)[0].finished, "other comparisons change no cell"
    base = PLAN["base"] | {"train": {"lr": 0.5}}
    with pytest.raises(RunError, match="another configuration"):
        lay_out(plan(base=base), tmp_path)


def test_a_precision_that_is_left_open_is_that_of_the_cells_that_are_there(tmp_path):
    named = plan(base=PLAN["base"] | {"model": {**PLAN["base"].get("model", {}), "dtype": "bfloat16"}})
    finish(lay_out(named, tmp_path)[0])
    assert lay_out(plan(), tmp_path)[0].finished
    other = plan(base=PLAN["base"] | {"model": {**PLAN["base"].get("model", {}), "dtype": "float32"}})
    with pytest.raises(RunError, match="another configuration"):
        lay_out(other, tmp_path)


def left_open(**more):
    """The same plan, its precision left open."""
    return plan(base=PLAN["base"] | {"model": {"backbone": "tiny", "device": "cpu"}}, **more)


def chose(cell, taken):
    """A cell that left its precision open has run, on a machine that took this one."""
    finish(cell)
    Run(cell.run).write("run.json", {"machine": {"precision": taken}})


def asked(cell):
    """The precision in the configuration of a cell's process."""
    cell.command()
    return tomllib.loads(cell.log.with_suffix(".toml").read_text("utf-8"))["model"]["dtype"]


@pytest.mark.parametrize(("there", "here"), [("bfloat16", "float32"), ("float32", "bfloat16")])
def test_cells_begin_in_the_precision_of_those_that_are_there(tmp_path, monkeypatch, there, here):
    monkeypatch.setattr(precision, "flags", lambda: frozenset({"amx_bf16"} if here == "bfloat16" else ()))
    cells = [cell for cell in lay_out(left_open(), tmp_path) if not cell.arm.of]
    assert precision_lines(cells) == []
    assert {asked(cell) for cell in cells} == {"auto"}, "each as its machine is fast"
    chose(cells[-1], there)
    assert [asked(cell) for cell in cells] == [there] * (len(cells) - 1) + ["auto"], "also without a new plan"
    (line,) = precision_lines(lay_out(left_open(), tmp_path))
    assert line.startswith(f"cells that are not begun compute in {there}, as those that are; this machine")
    assert f"would take {here} " in line
    assert precision_lines(cells[-1:]) == [], "nothing begins"


def test_a_precision_is_named_as_the_cells_there_chose_it_or_refused(tmp_path):
    chose(lay_out(left_open(), tmp_path)[0], "bfloat16")
    named = {
        name: PLAN["base"] | {"model": {"backbone": "tiny", "device": "cpu", "dtype": name}}
        for name in ("bfloat16", "float32")
    }
    assert lay_out(plan(base=named["bfloat16"]), tmp_path)[0].finished
    with pytest.raises(RunError, match="another configuration"):
        lay_out(plan(base=named["float32"]), tmp_path)


def test_an_arm_that_names_its_precision_decides_for_no_other(tmp_path):
    arms = [{"name": "named", "model": {"dtype": "bfloat16"}}, {"name": "open"}]
    named, other = lay_out(left_open(arms=arms, compare=[], seeds=[0]), tmp_path)
    chose(named, "bfloat16")
    assert (asked(named), asked(other)) == ("bfloat16", "auto")


def test_the_network_a_stage_ended_with(tmp_path):
    (cell, *_) = lay_out(plan(), tmp_path)
    finish(cell)
    run = Run(cell.run)
    assert stage_folder(cell.run, 2) == cell.run
    with pytest.raises(RunError, match="has no stage 3"):
        stage_folder(cell.run, 3)
    with pytest.raises(RunError, match="not reached the end of stage 1"):
        stage_folder(cell.run, 1)
    run.append("growth.jsonl", [{"step": 2}])
    for step, best in ((1, None), (2, [0.5, 1])):
        run.checkpoint(step).mkdir(parents=True)
        run.write(f"checkpoints/step-{step:06d}/network.json", {"state": {"best": best}})
    assert stage_folder(cell.run, 1) == run.checkpoint(1), "the best of its checkpoints"
    (run.checkpoint(1) / "network.json").unlink()
    with pytest.raises(RunError, match=r"larger run\.keep"):
        stage_folder(cell.run, 1)


# -- numbers


def stored(path, seed, stages, calls=10):
    """A run whose stages' evaluations have these scores; returns its rows."""
    run = Run.create(path, {"growth": {"parent": ""}}, {})
    run.write("status.json", {"finished": True})
    rows = []
    for stage, scores in enumerate(stages, start=1):
        name = "test-after" if stage == len(stages) else f"stage-{stage}"
        known = [score for score in scores if score is not None]
        summary = {"accuracy": sum(known) / len(known), "items": len(scores), "nodes": stage}
        items = [{"id": f"q{i}", "question": f"{i}?", "score": s} for i, s in enumerate(scores)]
        run.write_evaluation(name, summary | {"failed": len(scores) - len(known), "calls": stage}, items)
        spent = {"steps": stage, "calls": calls * stage, "prompt_tokens": 5, "new_tokens": 6, "seconds": 0.5}
        if stage < len(stages):
            run.append("growth.jsonl", [{"spent": spent}])
        else:
            run.checkpoint(stage).mkdir()
            run.write(f"checkpoints/step-{stage:06d}/network.json", {"spent": spent})
        rows.append(
            {"task": "t", "arm": path.parent.name, "stage": stage, "seed": seed, "shape": "1-1"}
            | {"votes": None, "run": str(path), "evaluation": name, "trained": stage, "of": len(stages)}
        )
    run.write_evaluation("test-before", {"accuracy": 0.25}, [])
    return rows


def compared(first, second):
    return {"task": "t", "first": first, "second": second, "why": "<why>"}


@pytest.fixture
def found(tmp_path):
    """Arm ``a`` with two stages, arm ``b`` with one, two seeds of eight questions."""
    none = [0.0] * 8
    rows = [
        *stored(tmp_path / "a" / "s0", 0, [none, [1.0] * 3 + [0.0] * 5]),
        *stored(tmp_path / "a" / "s1", 1, [none, [1.0] * 2 + [0.0] * 6]),
        *stored(tmp_path / "b" / "s0", 0, [[1.0] * 4 + [0.0] * 4], calls=20),
        *stored(tmp_path / "b" / "s1", 1, [[0.0, *[1.0] * 2, *[0.0] * 5]], calls=20),
    ]
    wanted = [compared(("a", 1), ("a", 2)), compared(("a", 1), ("b", 1)), compared(("a", 2), ("b", 1))]
    return results(rows, wanted)


def test_points_by_hand(found):
    one, two, other = found["points"]
    assert [(p["arm"], p["stage"], p["nodes"]) for p in found["points"]] == [
        ("a", 1, 1),
        ("a", 2, 2),
        ("b", 1, 1),
    ]
    assert one["spent"] == {"steps": 1, "calls": 10, "prompt_tokens": 5, "new_tokens": 6, "seconds": 0.5}
    assert (two["spent"]["calls"], other["spent"]["calls"]) == (20, 20)
    assert (one["accuracy"], one["interval"]) == (0.0, None), "no spread, no interval"
    assert (two["accuracy"], two["lowest"], two["highest"]) == (0.3125, 0.25, 0.375)
    assert two["interval"] is None, "two seeds do not say how seeds differ"
    assert two["seeds"][1]["scores"] == [1, 1, 0, 0, 0, 0, 0, 0]
    assert found["items"] == {"t": [f"q{i}" for i in range(8)]}
    texts = json.dumps([f"{i}?" for i in range(8)]).encode()
    assert found["asked"] == {"t": hashlib.sha256(texts).hexdigest()[:16]}
    assert [seed["untrained"] for seed in two["seeds"]] == [0.25, 0.25]


def test_comparisons_by_hand(found):
    five, six, last = found["comparisons"]
    tests = [one["networks"] for one in (five, six, last)]
    # means over seeds of eight questions: 1, 1, .5; then .5, 1, 1, .5; then -.5, .5, .5
    assert [(t["wins"], t["losses"], t["ties"]) for t in tests] == [(3, 0, 5), (4, 0, 4), (2, 1, 5)]
    p = [2 / 2**3, 2 / 2**4, 1.0]
    assert [t["p_value"] for t in tests] == pytest.approx(p)
    # Holm: the smallest times 3, the next times 2, none below one before it
    assert [t["holm"] for t in tests] == pytest.approx([2 * p[0], 3 * p[1], 1.0])
    assert [one["trainings"] for one in (five, six, last)] == [None] * 3, "two seeds are too few"
    assert (five["count"], five["left_out"]) == (8, 0)
    assert five["seeds"] == {"numbers": [0, 1], "differences": [0.375, 0.25], "mean": 0.3125}
    assert five["networks"]["difference"] == pytest.approx(0.3125)
    assert last["seeds"]["differences"] == [0.125, 0.0]


def test_a_comparison_of_two_precisions_is_said(tmp_path):
    """Of runs that do not say theirs, as results of earlier versions do not, nothing is."""
    rows = [*stored(tmp_path / "a" / "s0", 0, [[1.0, 0.0]]), *stored(tmp_path / "b" / "s0", 0, [[0.0, 0.0]])]

    def report(first, second):
        for row, one in zip(rows, (first, second), strict=True):
            Run(Path(row["run"])).write("run.json", {"machine": {"precision": one}} if one else {})
        found = results(rows, [compared(("a", 1), ("b", 1))])
        kept = [point["seeds"][0].get("precision") for point in found["points"]]
        return kept, experiment_text(json.loads(as_json(found)))

    kept, text = report("bfloat16", "float32")
    assert kept == ["bfloat16", "float32"]
    assert "warning: cells in bfloat16 and float32 are compared (a:1 -> b:1): " in text
    for one in ("float32", None):
        kept, text = report("float32", one)
        assert kept == ["float32", one]
        assert "warning" not in text


def test_questions_without_a_score_and_seeds_of_one_side_are_left_out(tmp_path):
    rows = [
        *stored(tmp_path / "a" / "s0", 0, [[1.0, 0.0, 1.0]]),
        *stored(tmp_path / "a" / "s1", 1, [[0.0, None, 1.0]]),
        *stored(tmp_path / "b" / "s0", 0, [[0.0, 0.0, 1.0]]),
        *stored(tmp_path / "b" / "s1", 1, [[1.0, 1.0, 1.0]]),
        *stored(tmp_path / "b" / "s2", 2, [[1.0, 1.0, 1.0]]),
    ]
    (one,) = results(rows, [compared(("a", 1), ("b", 1))])["comparisons"]
    assert (one["count"], one["left_out"]) == (2, 1)
    assert one["seeds"] == {"numbers": [0, 1], "differences": [-0.5, 0.5], "mean": 0.0}
    assert (one["networks"]["ties"], one["networks"]["p_value"]) == (2, 1.0), "seeds cancel in a question"


A = [[1.0, 0.0, 0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0, 0.0, 1.0]]
B = [[1.0, 1.0, 0.0, 1.0, 1.0, 0.0], [1.0, 1.0, 1.0, 1.0, 1.0, 0.0], [0.0, 1.0, 0.0, 1.0, 1.0, 1.0]]


@pytest.fixture
def three(tmp_path):
    """Two arms, three seeds of six questions; b against a, and against itself under another name."""
    rows = []
    for arm, scores in (("a", A), ("b", B), ("same", B)):
        for seed, row in enumerate(scores):
            rows += stored(tmp_path / arm / f"s{seed}", seed, [row])
    return results(rows, [compared(("a", 1), ("b", 1)), compared(("b", 1), ("same", 1))])


def test_three_seeds_are_tested_by_question_and_by_seed(three):
    one, none = three["comparisons"]
    expected = clustered_difference(B, A)
    assert one["trainings"] == {**asdict(expected), "holm": pytest.approx(2 * expected.p_value)}
    assert (none["trainings"]["p_value"], none["trainings"]["interval"]) == (1.0, None)
    assert three["points"][0]["interval"] == asdict(clustered_mean(A))
    text = experiment_text(three)
    for part in (
        f"all trainings   +38.9 points [{100 * expected.interval.low:+.1f}, ",
        "(3 seeds x 6 questions; t with ",
        "these networks  +38.9 points",
        "each seed       +33.3, +50.0, +33.3",
        "each seed\na:1 ",
    ):
        assert part in text, part
    assert "33.3, 33.3, 33.3" in text, "with fewer than five seeds the table shows every one"


def test_a_comparison_can_be_made_again_from_the_file_alone(three):
    kept = json.loads(as_json(three))
    assert kept == json.loads(json.dumps(three))
    lines = [{key: one[key] for key in ("task", "first", "second", "why")} for one in kept["comparisons"]]
    assert correct([compare_points(kept["points"], line) for line in lines]) == kept["comparisons"]
    assert '"scores": [1, 0, 0, 1, 0, 0]\n' in as_json(three), "a line a seed"


def test_results_of_the_first_version_show_seeds_alone(three):
    """Their files have no scores by question; their p-values took answers for independent."""
    old = json.loads(as_json(three))
    del old["items"]
    test = {"p_value": 1e-9, "wins": 7, "losses": 0, "ties": 3, "difference": 0.4, "method": "McNemar exact"}
    for one in old["comparisons"]:
        del one["trainings"], one["networks"], one["count"], one["left_out"]
        one["items"] = {"test": test, "interval": {"low": 0.1, "high": 0.5}, "count": 18, "holm": 2e-9}
        one["seeds"]["interval"] = {"low": -0.4, "high": 1.2}
    for point in old["points"]:
        point["interval"] = {"low": -0.1, "high": 1.3, "level": 0.95, "method": "t"}
        for seed in point["seeds"]:
            del seed["scores"]
    text = experiment_text(old)
    assert "each seed       mean +38.9 points: +33.3, +50.0, +33.3" in text
    assert "items were not kept" in text
    for gone in ("p =", "McNemar", "[", "130.0", "Holm"):
        assert gone not in text, gone


def test_with_five_seeds_the_table_shows_the_range(tmp_path):
    rows = [row for seed in range(5) for row in stored(tmp_path / "a" / f"s{seed}", seed, [A[seed % 3]])]
    text = experiment_text(results(rows, []))
    assert "33.3–33.3 (5)" in text
    assert "each seed" not in text


@pytest.mark.parametrize(
    ("file", "damage", "says"),
    [
        ("evaluations/test-after.json", lambda d: d.pop("accuracy"), "has no 'accuracy'"),
        ("evaluations/test-after.json", lambda d: d.update(accuracy="x"), "'accuracy' is 'x'"),
        ("evaluations/test-after.json", lambda d: d.update(accuracy=1.5), "'accuracy' is 1.5"),
        ("evaluations/test-after.json", lambda d: d.pop("nodes"), "has no 'nodes'"),
        ("evaluations/test-after.json", lambda d: d.update(calls=float("inf")), "'calls' is inf"),
        ("evaluations/test-after.jsonl", lambda d: d.pop("id"), "line 1, is damaged: it has no 'id'"),
        ("evaluations/test-after.jsonl", lambda d: d.pop("score"), "has no 'score'"),
        ("evaluations/test-after.jsonl", lambda d: d.update(score=float("nan")), "'score' is nan"),
        ("evaluations/test-before.json", lambda d: d.pop("accuracy"), "has no 'accuracy'"),
        ("config.json", lambda d: d.pop("growth"), "has no 'growth'"),
        ("growth.jsonl", lambda d: d.pop("spent"), "has no 'spent'"),
        ("growth.jsonl", lambda d: d["spent"].pop("calls"), "has no 'calls'"),
        ("checkpoints/step-000002/network.json", lambda d: d.pop("spent"), "has no 'spent'"),
    ],
)
def test_a_damaged_evaluation_is_one_line(tmp_path, file, damage, says):
    rows = stored(tmp_path / "a" / "s0", 0, [[1.0, 0.0], [1.0, 1.0]])
    path = tmp_path / "a" / "s0" / file
    data = json.loads(path.read_text().split("\n")[0] if file.endswith("l") else path.read_text())
    damage(data)
    path.write_text(json.dumps(data) + "\n")
    with pytest.raises(RunError) as caught:
        results(rows, [])
    assert says in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_scores_stand_in_the_order_of_the_items(tmp_path):
    """Whatever the order in which a run was asked, and whether it was asked everything."""
    rows = [
        *stored(tmp_path / "a" / "s0", 0, [[1.0, 0.0, 0.5]]),
        *stored(tmp_path / "b" / "s0", 0, [[1.0, 0.0, 0.5]]),
    ]
    path = tmp_path / "b" / "s0" / "evaluations" / "test-after.jsonl"
    path.write_text("\n".join(path.read_text().splitlines()[:0:-1]) + "\n")
    found = results(rows, [compared(("a", 1), ("b", 1))])
    assert [point["seeds"][0]["scores"] for point in found["points"]] == [[1, 0, 0.5], [None, 0, 0.5]]
    (one,) = found["comparisons"]
    assert (one["count"], one["left_out"], one["seeds"]["differences"]) == (2, 1, [0.0])


def test_two_questions_under_one_id_are_refused(tmp_path):
    rows = [*stored(tmp_path / "a" / "s0", 0, [[1.0]]), *stored(tmp_path / "a" / "s1", 1, [[1.0]])]
    path = tmp_path / "a" / "s1" / "evaluations" / "test-after.jsonl"
    path.write_text(path.read_text().replace("0?", "another"))
    with pytest.raises(RunError, match="asks another question"):
        results(rows, [])


def test_what_is_not_there_is_left_out(tmp_path):
    rows = stored(tmp_path / "a" / "s0", 0, [[1.0, 0.0]])
    missing = [row | {"arm": "b", "run": str(tmp_path / "none")} for row in rows]
    unfinished = stored(tmp_path / "c" / "s0", 0, [[1.0, 0.0]])
    (tmp_path / "c" / "s0" / "status.json").unlink()
    found = results([*rows, *missing, *unfinished], [compared(("a", 1), ("b", 1))])
    assert [point["accuracy"] for point in found["points"]] == [0.5, None, None]
    assert (found["comparisons"][0]["networks"], found["comparisons"][0]["trainings"]) == (None, None)
    text = experiment_text(found)
    assert text.splitlines()[2].startswith("a:1")
    assert "b:1" not in text, "a row a thing that was run"
    assert "not run of t: b, c\n" in text
    assert "comparisons that wait for what was not run: 1\n" in text
    others = stored(tmp_path / "d" / "s1", 1, [[1.0, 0.0]])
    found = results([*rows, *others], [compared(("a", 1), ("d", 1))])
    assert "not compared: no seed has both" in experiment_text(found)
    ET.fromstring(svg(calls(found)))


def test_the_text_says_it_all(found):
    text = experiment_text(found)
    for part in (
        "a:1 -> a:2 (<why>)",
        "    all trainings   not tested: 2 of at least 3 seeds",
        "    these networks  +31.2 points [+6.2, +62.5], p = 0.25, with Holm 0.5 (8 questions; sign-flip",
        "    each seed       +37.5, +25.0",
    ):
        assert part in text, part
    assert any(line.split()[:7] == ["a:2", "1-1", "2", "2", "20", "5", "6"] for line in text.split("\n"))


# -- the picture


def test_the_picture_shows_every_mean_and_seed_where_it_was_paid_for(found):
    rows = calls(found).rows
    means = [(row["arm"], row["calls"], row["accuracy"]) for row in rows if row["of"] == "mean"]
    assert means == [
        (f"{one['arm']}:{one['stage']}", one["spent"]["calls"], one["accuracy"]) for one in found["points"]
    ]
    assert [cost for _, cost, _ in means] == [10, 20, 20]
    seeds = [row["accuracy"] for row in rows if row["of"].startswith("seed")]
    assert seeds == [one["accuracy"] for point in found["points"] for one in point["seeds"]]


def test_toml_that_is_written_is_toml():
    assert tomllib.loads(as_toml({"a": None, "b": {"c": None, "d": [1]}})) == {"b": {"d": [1]}}
