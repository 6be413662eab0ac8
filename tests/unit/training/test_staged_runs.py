"""Runs of [[stages]]: each with a task, a view and rates of its own, whole or in pieces."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import pytest
from test_growth import assert_same

from neuromas.config import make_config
from neuromas.core.choices import QUESTION_MODES
from neuromas.core.errors import ConfigError, RunError
from neuromas.experiment.cells import stage_folder
from neuromas.storage import MANIFEST, Run
from neuromas.system import assemble as assembling
from neuromas.system.saving import load_bundle
from neuromas.topology.graph import Topology
from neuromas.training import evaluations as testing
from neuromas.training import loop, stages
from neuromas.training.callbacks import Callback
from neuromas.training.run import resume, start
from parity import Parity, small
from watched import KilledError, Watch, assert_begins_alike, killed_in_turn, left_at, lines, manifest


@dataclass(frozen=True)
class Cut(Parity):
    """Parity with as many parts as a stage's options say; ids tell tasks apart."""

    parts: int = 2
    deep: int = 1

    def problem(self, split, index):
        made = super().problem(split, index)
        shares = tuple(f"{split} {index} part {i}" for i in range(self.parts))
        return replace(
            made, id=f"{self.deep}-{made.id}", question=f"{made.question} {self.deep}", parts=shares
        )


class Said(Callback):
    """Keeps what is said."""

    def __init__(self):
        self.said = []

    def on_note(self, event):
        self.said.append(event.text)


@pytest.fixture(autouse=True)
def cut(monkeypatch):
    monkeypatch.setattr(assembling, "make_task", lambda name, options: Cut(**options))


STEPS = [  # every kind of change: a view in steps, gates with a linear view and another task, copies, nothing
    {"shape": "2-1", "steps": 2, "question": "split", "problems": 2, "lr": 0.02},
    {"shape": "2-1", "steps": 3, "view": ["split", "all"], "lift": "steps", "lift_at": 0.0, "samples": 3},
    {
        **{"shape": "2-2-1", "steps": 3, "view": ["all", "all+examples"], "examples": 1, "init": "gate"},
        **{"task": {"deep": 2}, "anneal": 0.9, "message_tokens": 3, "lift_over": 1.0},
    },
    {"shape": "3-2-1", "steps": 0, "init": "copy", "question": "hints", "examples": 0},
    {
        "shape": "3-2-1",
        "steps": 2,
        "view": ["hints", "split"],
        "lift": "held",
        "lift_to": 0.5,
        "task": {"parts": 3},
    },
]


def staged(stages=STEPS, **more):
    data = small(
        train={"problems": 1, "samples": 2, "entropy": 0.01, "warmup": 1, "baseline": "ema"},
        evaluate={"every": 1, "validation": 2, "test": 2},
        run={"checkpoint_every": 1, "keep": 1, "episodes": 1},
    )
    data = {name: {**section, **more.pop(name, {})} for name, section in data.items()} | more
    del data["network"]["topology"], data["train"]["steps"]
    return {**data, "stages": stages}


def keep_the_last(monkeypatch):
    """Validation calls every later state a better one, so that stages hand on what they trained."""
    real = testing.validation

    def validation(assembly):
        result = real(assembly)
        result.summary["accuracy"] = sum(assembly.model.bank.versions) / 1000
        return result

    monkeypatch.setattr(loop, "validation", validation)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assembling, "make_task", lambda name, options: Cut(**options))
        keep_the_last(patch)
        return start(make_config(staged()), tmp_path_factory.mktemp("whole") / "run", Watch())


def test_a_run_killed_at_any_step_and_change_of_stages_goes_on_as_if_it_had_not_been(
    whole, tmp_path, monkeypatch
):
    keep_the_last(monkeypatch)
    path, logs = tmp_path / "run", ("metrics.jsonl", "episodes.jsonl", "validation.jsonl")

    def point(event):
        if event["event"] == "grown" or (event["event"] == "step" and event["step"] % 4 == 0):
            return event["event"], event["step"], event.get("folder")
        return None

    kills = killed_in_turn(
        point,
        lambda watch: start(make_config(staged()), path, watch),
        lambda watch: resume(path, watch),
        lambda where: assert_begins_alike(path, whole.path, logs, where),
    )
    assert kills == [
        *[("step", 0, None), ("grown", 2, "step-000002"), ("step", 4, None), ("grown", 5, "step-000005")],
        *[("grown", 8, "step-000008"), ("grown", 8, "start-4"), ("step", 8, None)],
    ]
    assert_same(whole.path, path)


def test_a_run_killed_once_goes_on_to_its_end_as_if_it_had_not_been(whole, tmp_path, monkeypatch):
    keep_the_last(monkeypatch)
    with pytest.raises(KilledError):
        start(make_config(staged()), tmp_path / "run", Watch(3))
    again = resume(tmp_path / "run", Watch())
    assert_same(whole.path, again.path)


def test_every_stage_asks_its_own_task_and_the_tests_of_both_ends_ask_the_same(whole):
    asked = {
        name: [item["id"].partition("-")[0] for item in whole.evaluation(name)[1]]
        for name in ("test-before", "stage-1", "stage-2", "stage-3", "stage-4", "test-after")
    }
    first, second = ["1", "1"], ["2", "2"]
    assert asked == {
        **{"test-before": first, "stage-1": first, "stage-2": first, "stage-3": second},
        **{"stage-4": first, "test-after": first},
    }
    trained = [row["question"] for row in lines(whole.path / "episodes.jsonl")]
    assert [text.split()[-1] for text in trained] == ["1"] * 5 + ["2"] * 3 + ["1"] * 2


def test_problems_are_counted_over_stages_of_other_batches(whole):
    cursors = {}
    for folder in whole.checkpoints():
        cursors[folder.name] = manifest(folder)["state"]["cursor"]
    assert cursors["step-000002"] == 4, "two steps of two problems"
    assert cursors["step-000005"] == 7
    assert cursors["step-000008"] == manifest(whole.named("start-4"))["state"]["cursor"] == 10
    assert cursors["step-000010"] == 12


def test_what_is_saved_is_an_ordinary_network(whole):
    for folder in whole.checkpoints():
        data = json.loads((folder / MANIFEST).read_text("utf-8"))
        assert data["config"]["stages"] == []
        assert len(data["plan"]["stages"]) == 5
    second = load_bundle(whole.checkpoint(5))
    assert (second.config.network.question, second.config.train.samples) == ("all", 3)
    assert {node.question for node in second.network.topology.nodes} == {"all"}
    assert second.network.earlier is None
    assert load_bundle(whole.checkpoint(8)).network.message_tokens == 3
    assert load_bundle(whole.checkpoint(8)).network.examples
    assert not load_bundle(whole.named("start-4")).network.examples


def test_draws_and_their_probability_are_logged(whole):
    rows = [row.get("lifted") for row in lines(whole.path / "metrics.jsonl")]
    assert rows[:5] == [None, None, 0.0, 0.25, 0.5]
    assert rows[5:] == [1 / 3, 2 / 3, 1.0, 0.5, 0.5], "also once it is whole"
    drawn = [row.get("lifted") for row in lines(whole.path / "episodes.jsonl")]
    assert drawn[0] is None
    assert drawn[2] == [False] * 3
    said = [row.get("lifted") for row in lines(whole.path / "validation.jsonl")]
    assert said[2:5] == [0.0, 0.25, 0.5], "that of the coming step until validation lifts it"


def test_a_view_that_is_not_lifted_to_its_end_is_said(whole, tmp_path):
    said = [row["text"] for row in lines(whole.path / "events.jsonl") if "its view lifted" in row["text"]]
    assert [text.partition(":")[0] for text in said] == [
        "stage 2 (2-1) ends with its view lifted to 0.5, not to 1"
    ]
    assert said[0].endswith("to reach stages[2].lift_at = 0")
    stages = [{"shape": "2-1", "steps": 4, "view": ["split", "all"], "lift_over": 1.0, "until": 0.1}]
    with pytest.MonkeyPatch.context() as patch:
        judge_by(patch, lambda nodes, moved: 0.1 if moved >= 6 else 0.0)
        run = start(make_config(staged(stages)), tmp_path / "run", Watch())
    said = [row["text"] for row in lines(run.path / "events.jsonl") if row["event"] == "stage"]
    assert said[-1].startswith("stage 1 (2-1) ends with its view lifted to 0.5, not to 1: ")
    assert said[-1].endswith("the stage was over before the lift")


def test_a_view_that_lifts_nothing_is_said_first(tmp_path):
    watch = Said()
    start(
        make_config(staged([{"shape": "1", "steps": 1, "view": ["split", "all"]}])), tmp_path / "run", watch
    )
    assert watch.said[0].startswith("stages[1].view = ['split', 'all'] lifts nothing: ")


def test_an_appended_stage_is_as_if_it_had_been_there(whole, tmp_path, monkeypatch):
    keep_the_last(monkeypatch)
    start(make_config(staged(STEPS[:2])), tmp_path / "run", Watch())
    more = []
    for number, stage in enumerate(STEPS[2:], start=3):
        more += [f"stages.{number}.{key}={as_toml(value)}" for key, value in stage.items()]
    again = resume(tmp_path / "run", Watch(), overrides=more)
    assert lines(whole.path / "metrics.jsonl") == lines(again.path / "metrics.jsonl")
    last = [json.loads((run.handed_on / MANIFEST).read_text("utf-8"))["files"] for run in (whole, again)]
    assert last[0] == last[1]
    assert (again.path / "evaluations" / "test-before-step-5.json").is_file(), "three parts, no longer two"
    with pytest.raises(
        ConfigError, match=r"stages\[2\].lr = 0.5, but the stage was trained with the run's own"
    ):
        resume(again.path, Watch(), overrides=["stages.2.lr=0.5"])
    with pytest.raises(ConfigError, match=r"but .* are trained"):
        resume(again.path, Watch(), overrides=["stages.2.steps=9"])
    assert not again.path.joinpath("evaluations", "test-after-step-10.json").exists(), "nothing is changed"


def as_toml(value):
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {as_toml(one)}" for key, one in value.items()) + "}"
    return json.dumps(value)


def test_a_longer_stage_must_not_throw_the_view_back(tmp_path):
    stages = [{"shape": "2-1", "steps": 2, "view": ["split", "all"], "lift_over": 1.0}]
    run = start(make_config(staged(stages)), tmp_path / "run", Watch())
    with pytest.raises(ConfigError, match="would stand at another place of its gates, first rates and views"):
        resume(run.path, Watch(), overrides=["stages.1.steps=4"])
    resume(run.path, Watch(), overrides=["stages.2.shape=2-1", "stages.2.steps=1"])


# -- views


def test_a_view_that_is_lifted_whole_changes_nothing(tmp_path):
    plain = [{"shape": "2-1", "steps": 3, "question": "split"}]
    lifted = [{"shape": "2-1", "steps": 3, "view": ["all", "split"], "lift": "held"}]
    one = start(make_config(staged(plain)), tmp_path / "one", Watch())
    other = start(make_config(staged(lifted)), tmp_path / "other", Watch())
    rows = lines(other.path / "metrics.jsonl")
    said = [row.pop("lifted") for row in rows]
    assert (lines(one.path / "metrics.jsonl"), said) == (rows, [1.0] * 3)
    assert one.evaluation("test-after") == other.evaluation("test-after")


def test_a_view_that_is_never_lifted_trains_as_the_first_and_is_tested_as_the_last(tmp_path):
    plain = [{"shape": "2-1", "steps": 2, "question": "split", "every": 3}]
    held = [
        {"shape": "2-1", "steps": 2, "view": ["split", "all"], "lift": "held", "lift_to": 0.0, "every": 3}
    ]
    one = start(make_config(staged(plain, seed=4)), tmp_path / "one", Watch())
    other = start(make_config(staged(held, seed=4)), tmp_path / "other", Watch())
    rows = [
        [{k: v for k, v in row.items() if k != "lifted"} for row in lines(run.path / "metrics.jsonl")]
        for run in (one, other)
    ]
    assert rows[0] == rows[1]
    prompts = [run.prompts("test-after") for run in (one, other)]
    assert all("part 0" in texts[0] and "part 1" not in texts[0] for texts in prompts[0].values())
    assert all("? 1" in texts[0] for texts in prompts[1].values())


def test_the_first_view_is_watched_to_the_end(tmp_path):
    stages = [{"shape": "2-1", "steps": 4, "view": ["split", "all"], "lift_over": 0.25}]
    run = start(make_config(staged(stages, lift={"watch": True})), tmp_path / "run", Watch())
    rows = lines(run.path / "validation.jsonl")
    assert [row["lifted"] for row in rows] == [1.0] * 4
    assert all(isinstance(row["accuracy_first"], float) for row in rows)


@pytest.mark.parametrize("more", [{}, {"lift_draw": "problem", "lift_taught": 2.0}])
def test_a_view_that_waits_for_the_reward_goes_on_where_it_was(tmp_path, more):
    waits = {"shape": "2-1", "steps": 4, "view": ["split", "all"], "lift": "reward", "lift_at": 0.0, **more}
    stages = [{"shape": "2-1", "steps": 0, "question": "split"}, waits]  # a stage of no steps, then it
    half = left_at(2, tmp_path / "run", tmp_path / "half")
    run = start(make_config(staged(stages)), tmp_path / "run", half)
    assert [row["lifted"] for row in lines(run.path / "metrics.jsonl")] == [0.0, 0.05, 0.1, 0.15]
    assert len(lines(tmp_path / "half" / "metrics.jsonl")) == 3
    assert_same(run.path, resume(tmp_path / "half", Watch()).path)


@pytest.mark.parametrize("mode", QUESTION_MODES)
def test_every_view_can_be_lifted_into_every_other(tmp_path, mode):
    shape = "2-1-1" if mode == "branches2" else "2-1"  # it cuts two nodes below the output
    stages = [{"shape": shape, "steps": 1, "view": [mode, "first" if mode != "first" else "split"]}]
    run = start(make_config(staged(stages)), tmp_path / "run", Watch())
    assert lines(run.path / "metrics.jsonl")[0]["reward"] is not None


# -- how a stage ends


def judge_by(monkeypatch, accuracy):
    real = testing.validation

    def validation(assembly):
        result = real(assembly)
        result.summary["accuracy"] = accuracy(
            len(assembly.network.topology.nodes), sum(assembly.model.bank.versions)
        )
        return result

    monkeypatch.setattr(loop, "validation", validation)


def test_a_stage_ends_where_validation_is_enough_but_not_by_its_closed_gates(tmp_path, monkeypatch):
    judge_by(monkeypatch, lambda nodes, moved: min(1.0, 0.3 + 0.1 * moved / 3))
    stages = [
        {"shape": "2-1", "steps": 9, "until": 0.5},
        {"shape": "2-1", "steps": 9, "until": 0.5},  # which it is from the first
        {"shape": "3-1", "steps": 9, "until": 0.5, "init": "gate", "anneal": 0.2, "old_rate": 1.0},
    ]
    run = start(make_config(staged(stages)), tmp_path / "run", Watch())
    steps = [row["step"] for row in lines(run.path / "growth.jsonl")]
    assert steps == [2, 2]
    assert run.read("status.json")["step"] == 3, "one step with open gates"
    whole = {name: run.evaluation(name)[0]["nodes"] for name in ("stage-1", "stage-2", "test-after")}
    assert whole == {"stage-1": 3, "stage-2": 3, "test-after": 4}
    said = [row["text"] for row in lines(run.path / "events.jsonl") if " ends at step " in row["text"]]
    assert [text.partition(": ")[0] for text in said] == [
        "stage 1 ends at step 2",
        "stage 2 ends at step 2",
        "stage 3 ends at step 3",
    ]
    assert said[0].endswith("validation 50.0% reached stages[1].until = 0.5")


def test_patience_is_that_of_the_stage(tmp_path, monkeypatch):
    judge_by(monkeypatch, lambda nodes, moved: 0.9 - 0.001 * moved)
    stages = [
        {"shape": "2-1", "steps": 5, "patience": 1},
        {"shape": "2-1", "steps": 4, "patience": 2},
        ["2-1", 3],
    ]
    run = start(make_config(staged(stages)), tmp_path / "run", Watch())
    assert [row["step"] for row in lines(run.path / "growth.jsonl")] == [1, 3]
    assert [row["folder"] for row in lines(run.path / "growth.jsonl")] == ["step-000000", "start-2"]
    said = [row["text"] for row in lines(run.path / "events.jsonl") if " ends at step " in row["text"]]
    assert said == [
        "stage 1 ends at step 1: stages[1].patience = 1",
        "stage 2 ends at step 3: stages[2].patience = 2",
    ], "and nothing of a stage that ran to its end"
    assert run.read("status.json") | {"seconds": 0} == {
        **{"finished": True, "step": 6, "best": 3, "checkpoint": "start-3", "seconds": 0}
    }


def test_a_last_stage_without_steps_and_validation_hands_on_its_own_network(tmp_path):
    stages = [
        ["2-1", 1],
        {"shape": "2-2-1", "steps": 0, "init": "copy"},
        {"shape": "2-2-2-1", "steps": 0, "init": "copy"},
    ]
    run = start(make_config(staged(stages, evaluate={"every": 0})), tmp_path / "run", Watch())
    assert str(load_bundle(run.path).network.topology) == "2-2-2-1"
    assert [row["folder"] for row in lines(run.path / "growth.jsonl")] == ["step-000001", "start-2"]
    assert run.evaluation("test-after")[0]["nodes"] == 7
    again = resume(run.path, Watch(), overrides=["stages.4.shape=2-2-2-1", "stages.4.steps=1"])
    assert again.read("status.json")["step"] == 2


def test_a_growth_that_is_taken_back_leaves_nodes_what_the_stage_showed_them(tmp_path, monkeypatch):
    judge_by(monkeypatch, lambda nodes, moved: 0.9 - 0.001 * moved * (nodes > 3))
    stages = [
        {"shape": "2-1", "steps": 1, "question": "split"},
        {"shape": "2-2-1", "steps": 2, "view": ["split", "all"], "init": "gate", "anneal": 0.5},
    ]
    run = start(make_config(staged(stages)), tmp_path / "run", Watch())
    network = load_bundle(run.path).network
    assert str(network.topology) == "2-1"
    assert [node.question for node in network.topology.nodes] == ["all"] * 3, "as it was judged at the start"


@pytest.mark.parametrize("form", ["stages", "growth.stages"])
def test_new_layers_are_taught_with_the_problems_of_0_3_0(tmp_path, monkeypatch, form):
    firsts = []
    monkeypatch.setattr(stages, "teach", lambda *given: firsts.append(given[-1]) or [])
    shapes = [["1-1", 2], ["2-1", 1], ["3-1", 1]]
    data = staged(shapes, growth={"init": "passthrough"})
    if form == "growth.stages":
        data["growth"]["stages"] = data.pop("stages")
    start(make_config(data), tmp_path / "run", Watch())
    assert firsts == [4, 4], "those behind all four steps, at every growth"


def test_branches_are_those_of_the_network_to_come_while_gates_open(tmp_path):
    stages = [
        {"shape": "1-1", "steps": 1, "question": "branches"},
        {"shape": "1-1-1", "steps": 3, "view": ["branches", "all"], "init": "gate", "anneal": 1.0},
    ]
    run = start(make_config(staged(stages)), tmp_path / "run", Watch())
    lifted = [row.get("lifted") for row in lines(run.path / "metrics.jsonl")]
    assert lifted == [None, 1 / 2.25, 2 / 2.25, 1.0]


def test_a_stage_of_no_steps_opens_its_gates_and_may_be_grown_on(tmp_path):
    stages = [["2-1", 1], {"shape": "2-2-1", "steps": 0, "init": "gate"}, ["2-2-1", 1]]
    ended = start(make_config(staged(stages[:2])), tmp_path / "ended", Watch())
    edges = load_bundle(ended.path).network.topology.edges
    assert edges == Topology.parse("2-2-1").edges, "no step is left to open them"
    run = start(make_config(staged(stages)), tmp_path / "run", Watch())
    assert run.read("status.json")["step"] == 2
    more = ["stages.2.steps=2"]  # as if it had never had none
    again = resume(ended.path, Watch(), overrides=more)
    whole = start(make_config(staged([stages[0], {**stages[1], "steps": 2}])), tmp_path / "whole", Watch())
    assert lines(again.path / "metrics.jsonl") == lines(whole.path / "metrics.jsonl")


def test_the_test_of_a_stage_is_of_what_it_handed_on_in_the_end(tmp_path):
    stages = [{"shape": "1", "steps": 1}, {"shape": "2-1", "steps": 2, "init": "copy"}]
    more = {"evaluate": {"every": 0}, "train": {"entropy": 1.0, "lr": 0.5, "max_kl": 0.0}}
    with pytest.raises(KilledError):  # before the first checkpoint of the second stage
        start(make_config(staged(stages, **more)), tmp_path / "run", Watch(1))
    early = Run(tmp_path / "run").evaluation("stage-1")[1]
    again = resume(tmp_path / "run", Watch(), overrides=["stages.1.steps=3"])
    whole = start(make_config(staged([{**stages[0], "steps": 3}, stages[1]], **more)), tmp_path / "whole")
    wanted = whole.evaluation("stage-1")[1]
    assert wanted != early, "or nothing is tested here"
    assert again.evaluation("stage-1")[1] == wanted


def test_the_stages_of_an_unfinished_child_are_its_own(tmp_path):
    parent = start(make_config(staged([["2-1", 1]])), tmp_path / "parent", Watch())
    data = staged([["2-1", 1], ["2-1", 1], ["2-1", 2]], growth={"parent": str(parent.path)}, run={"keep": 9})
    with pytest.raises(KilledError):
        start(make_config(data), tmp_path / "run", Watch(1))
    with pytest.raises(RunError, match="has not reached the end of stage 2"):
        stage_folder(tmp_path / "run", 2)
    with pytest.raises(RunError, match="has not reached stage 3"):
        stage_folder(tmp_path / "run", 3)
    handed = lines(tmp_path / "run" / "growth.jsonl")[1]["folder"]
    assert stage_folder(tmp_path / "run", 1).name == handed
    run = resume(tmp_path / "run", Watch())
    assert stage_folder(run.path, 1).name == handed
    assert stage_folder(run.path, 2).name == lines(run.path / "growth.jsonl")[2]["folder"]
