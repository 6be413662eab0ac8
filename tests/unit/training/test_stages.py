"""What a stage hands on: its first state is a candidate, and a growth that did harm is taken back."""

from __future__ import annotations

import os

import pytest
import torch
from test_growth import assert_same, rows

from neuromas.config import make_config
from neuromas.experiment.cells import stage_folder
from neuromas.growth.parent import ParentRun, child_config, prune
from neuromas.report.reading import origins
from neuromas.storage import Run
from neuromas.system import assemble as assembling
from neuromas.system.saving import load_bundle
from neuromas.training import evaluations as testing
from neuromas.training import loop
from neuromas.training import restate as restating
from neuromas.training.callbacks import Watching
from neuromas.training.run import resume, start
from parity import Parity, small
from watched import KilledError, Watch, assert_begins_alike, killed_in_turn, lines, manifest

STAGES = [["1-1", 2], ["2-1", 4], ["2-2-1", 4]]


@pytest.fixture(autouse=True)
def parity(monkeypatch):
    monkeypatch.setattr(assembling, "make_task", lambda name, options: Parity())


def staged(stages=STAGES, growth=(), **more):
    data = small(
        train={"problems": 1, "samples": 2, "entropy": 0.01, "warmup": 1, "baseline": "ema"},
        evaluate={"every": 2, "validation": 2, "test": 2},
        run={"checkpoint_every": 1, "keep": 1, "episodes": 1},
    )
    data = {name: {**section, **more.get(name, {})} for name, section in data.items()}
    del data["network"]["topology"], data["train"]["steps"]
    data["growth"] = {"stages": stages, "anneal": 0.5, **dict(growth)}
    return make_config(data)


def judge_by(monkeypatch, accuracy):
    """Validation says ``accuracy(nodes, steps)`` for a network of so many nodes after so many updates."""
    real = testing.validation

    def validation(assembly):
        result = real(assembly)
        versions = assembly.model.bank.versions
        moved = tuple(versions[row] for row in assembly.network.assignment)
        result.summary["accuracy"] = accuracy(len(assembly.network.topology.nodes), moved)
        return result

    monkeypatch.setattr(loop, "validation", validation)


def worse(nodes, moved):
    """Every stage but the first makes its network worse with every update; growing itself changes nothing."""
    return 0.9 - 0.01 * (sum(moved) if nodes > 2 else 0)


def untouched(nodes, moved):
    """Each update is for the worse."""
    return 0.9 - 0.01 * sum(moved)


def told(run):
    return [row["text"] for row in run.lines("events.jsonl") if row["event"] == "stage"]


def answers(run):
    """Adapters and graph of what the run hands on."""
    assembly = load_bundle(run.path)
    vectors = [p.detach() for p in assembly.model.bank.parameters]
    return vectors, str(assembly.network.topology), assembly


def same(one, other):
    return len(one) == len(other) and all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


# -- one stage


@pytest.mark.parametrize(
    ("accuracies", "best"),
    [([0.5, 0.6, 0.7], 4), ([0.5, 0.5, 0.4], 2), ([0.5, 0.3, 0.5], 4), ([0.5, 0.4, 0.3], 0)],
)
def test_a_stage_ends_above_at_or_below_its_start(tmp_path, monkeypatch, accuracies, best):
    real, left = testing.validation, list(accuracies)

    def validation(assembly):
        result = real(assembly)
        result.summary["accuracy"] = left.pop(0)
        return result

    monkeypatch.setattr(loop, "validation", validation)
    run = start(staged([["1-1", 4]]), tmp_path / "run", Watch())
    status = run.read("status.json")
    assert (status["best"], status["checkpoint"]) == (best, f"step-{best:06d}")
    assert same(answers(run)[0], rows_in_order(run.checkpoint(best)))
    below = (
        "stage 1 (1-1) ended with 30.0 % on validation, below its start with 50.0 %: its start is handed on"
    )
    assert told(run) == ([below] if best == 0 else [])
    assert {path.name for path in run.checkpoints()} == {f"step-{best:06d}", "step-000004"}


def rows_in_order(folder):
    """Adapter vectors of a folder in the bank's own order."""
    return [p.detach() for p in load_bundle(folder).model.bank.parameters]


def test_without_validation_there_are_no_candidates(tmp_path, monkeypatch):
    judge_by(monkeypatch, untouched)
    run = start(staged(evaluate={"every": 0}), tmp_path / "run", Watch())
    assert run.read("status.json")["best"] is None
    assert answers(run)[1] == "2-2-1"
    assert told(run) == []


# -- growth


def test_a_gated_growth_that_did_harm_is_taken_back(tmp_path, monkeypatch):
    judge_by(monkeypatch, worse)
    run = start(staged(), tmp_path / "run", Watch())
    assert [text.partition(" ended")[0] for text in told(run)] == ["stage 2 (2-1)", "stage 3 (2-2-1)"]
    assert told(run)[0].endswith("1-1 as before it grew is handed on")
    grown = list(run.lines("growth.jsonl"))
    assert [(row["step"], row["folder"]) for row in grown] == [(2, "step-000002"), (6, "parent-2")]
    vectors, shape, assembly = answers(run)
    assert shape == "1-1"
    assert run.read("status.json")["checkpoint"] == "parent-3"
    handed = rows_in_order(run.checkpoint(2))
    assert same(vectors, handed)
    assert manifest(run.named("parent-3"))["lineage"] == []
    assert manifest(run.named("parent-3"))["spent"]["steps"] == 10, "what it cost was spent"
    assert [run.evaluation(name)[0]["nodes"] for name in ("stage-1", "stage-2", "test-after")] == [2, 2, 2]
    assert run.evaluation("stage-1")[1] == run.evaluation("test-after")[1]
    for stage in (1, 2):
        assert same(rows_in_order(stage_folder(run.path, stage)), handed)
    assert stage_folder(run.path, 3) == run.path
    assert origins(run) == {0: 0, 1: 1}, "a report shows what the same two nodes wrote before"
    assert assembly.network.assignment == (0, 1)


def test_the_next_stage_grows_from_what_was_handed_on(tmp_path, monkeypatch):
    judge_by(monkeypatch, lambda nodes, moved: 0.5 + 0.01 * sum(moved) * (-1 if nodes == 3 else 1))
    run = start(staged(), tmp_path / "run", Watch())
    told_of = manifest(run.checkpoint(10))
    assert [(e["to"], e["best"], e["folder"]) for e in told_of["lineage"]] == [("2-2-1", 2, "parent-2")]
    assert len(told_of["versions"]) == 5
    assert answers(run)[1] == "2-2-1"
    told_of_nodes = manifest(run.path / "checkpoints" / "step-000010")["lineage"][0]["origin"]
    names = [node["name"] for node in manifest(run.checkpoint(10))["topology"]["nodes"]]
    assert origins(run) == {names.index(new): ("1.1", "2.1").index(old) for new, old in told_of_nodes.items()}
    # running means are those of the nodes that stayed
    before, after = (manifest(run.checkpoint(step))["state"]["ema"] for step in (6, 6))
    assert before == after
    handed = manifest(run.named("parent-2"))["state"]["ema"]
    assert handed == {"0": before["0"], "1": before["2"]}


def test_an_ungated_growth_hands_on_its_own_start(tmp_path, monkeypatch):
    judge_by(monkeypatch, worse)
    run = start(staged(STAGES[:2], {"init": "zero"}), tmp_path / "run", Watch())
    assert told(run)[0].endswith("below its start with 86.0 %: its start is handed on")
    assert run.read("status.json")["checkpoint"] == "start-2"
    vectors, shape, _ = answers(run)
    assert (shape, len(vectors)) == ("2-1", 3)
    assert same(vectors, rows_in_order(run.named("start-2")))


def test_a_stage_of_the_same_shape_hands_on_its_start(tmp_path, monkeypatch):
    judge_by(monkeypatch, untouched)
    run = start(staged([["1-1", 2], ["1-1", 2]]), tmp_path / "run", Watch())
    assert len(told(run)) == 2
    assert same(answers(run)[0], rows_in_order(run.checkpoint(0)))


@pytest.mark.parametrize("share", ["layer", "all"])
def test_shared_adapters_are_taken_back_too(tmp_path, monkeypatch, share):
    judge_by(monkeypatch, lambda nodes, moved: 0.5 + 0.01 * sum(moved) * (1 if nodes == 2 else -1))
    run = start(staged(network={"share": share}), tmp_path / "run", Watch())
    vectors, shape, assembly = answers(run)
    assert (shape, len(vectors)) == ("1-1", 2 if share == "layer" else 1)
    assert same(vectors, rows_in_order(run.checkpoint(2)))
    assert max(assembly.network.assignment) == len(vectors) - 1


def test_heirs_hand_on_their_parent_and_are_asked_and_grown_in_turn(tmp_path, monkeypatch):
    judge_by(monkeypatch, worse)
    parent = start(staged([["1-1", 2]], growth={"lr": [0.02]}), tmp_path / "parent", Watch())
    heir = start(child_config(parent.path, "2-1", 4), tmp_path / "heir", Watch())
    vectors, shape, _ = answers(heir)
    assert shape == "1-1"
    assert same(vectors, answers(parent)[0])
    assert heir.read("status.json")["checkpoint"] == "parent-1"
    heritage = ParentRun.of(heir.path)
    assert heritage.lineage.spent.steps == 6, "all of both runs"
    assert heritage.problems_seen == 6
    third = start(child_config(heir.path, "2-1", 1), tmp_path / "third", Watch())
    assert third.finished


def test_an_heir_counts_all_of_its_parents_training(tmp_path, monkeypatch):
    judge_by(monkeypatch, untouched)
    parent = start(staged([["1-1", 6]]), tmp_path / "parent", Watch())
    assert parent.read("status.json")["best"] == 0
    calls = sum(row["calls"] for row in parent.lines("metrics.jsonl"))
    heritage = ParentRun.of(parent.path)
    assert (heritage.lineage.spent.steps, heritage.lineage.spent.calls, heritage.problems_seen) == (
        6,
        calls,
        6,
    )
    heir = start(child_config(parent.path, "2-1", 2), tmp_path / "heir", Watch())
    assert manifest(heir.checkpoint(2))["lineage"][0]["spent"]["calls"] == calls


# -- frozen, gates, patience


def test_frozen_nodes_stay_frozen_in_all_later_stages_and_heirs(tmp_path):
    growth = {"new_rate": 0.0, "init": "gate"}
    config = staged([["1-1", 2], ["2-1", 2], ["2-2-1", 2]], growth, evaluate={"every": 0}, run={"keep": 99})
    run = start(config, tmp_path / "run", Watch())
    versions = [manifest(run.checkpoint(step))["versions"] for step in (4, 6)]
    assert [v[2:] for v in versions] == [[0], [0, 0, 0]]
    assert versions[1][0] > versions[0][0] > 0, "the first nodes go on learning"
    heir = start(child_config(run.path, "2-2-2-1", 2), tmp_path / "heir", Watch())
    assert manifest(heir.checkpoint(2))["versions"][2:] == [0] * 5
    assert all(torch.equal(a, b) for a, b in zip(rows(run.checkpoint(6))[2:], rows(heir.checkpoint(2))[2:5]))  # noqa: B905
    prune(run.path, tmp_path / "pruned", node="1.2")
    late = start(child_config(tmp_path / "pruned", "2-2-1", 2), tmp_path / "late", Watch())
    frozen = manifest(late.checkpoint(2))["versions"]
    assert frozen[2:] == [0, 0, 0], "also after a node was pruned"


def test_the_first_step_of_a_gated_stage_changes_something(tmp_path):
    config = staged([["1-1", 2], ["2-1", 8]], {"anneal": 0.2}, run={"keep": 99}, train={"samples": 4})
    run = start(config, tmp_path / "run", Watch())
    first = list(run.lines("metrics.jsonl"))[2]
    assert first["learned_messages"] > 0
    assert manifest(run.checkpoint(3))["versions"][2] == 1


def test_patience_does_not_count_while_gates_are_opening(tmp_path, monkeypatch):
    """Such a network cannot become the best: with patience 2 the stage would end too early."""
    judge_by(monkeypatch, worse)
    growth = {"anneal": 0.6, "patience": 2}
    config = staged([["1-1", 2], ["2-1", 12]], growth, evaluate={"every": 1})
    run = start(config, tmp_path / "run", Watch())
    # gates are open once 0.6 * 12 = 7.2 steps are done: after steps 10 and 11 of the run
    assert [row["step"] for row in run.lines("metrics.jsonl")][-1] == 9
    assert answers(run)[1] == "1-1"


def test_a_fall_through_opening_gates_restores_nothing(tmp_path, monkeypatch):
    judge_by(monkeypatch, lambda nodes, moved: 0.9 if nodes < 3 or sum(moved[1:2]) == 0 else 0.5)
    config = staged(STAGES[:2], {"anneal": 0.5}, train={"guard": "restore"})
    run = start(config, tmp_path / "run", Watch())
    events = list(run.lines("events.jsonl"))
    assert "fallen" in [row.get("name") for row in events]
    assert [row for row in events if row["event"] == "guard"] == []


# -- rates


@pytest.mark.parametrize("warmup", [1, 5, 50])
def test_restating_is_at_the_full_rate_of_its_own_stage(tmp_path, monkeypatch, warmup):
    seen = []

    def watched(trainer, *rest):
        found = restate(trainer, *rest)
        rates = [trainer.learner.optimisers[row].param_groups[0]["lr"] for row in rest[2]]
        seen.append((rates, trainer.step))
        return found

    restate = restating.restate
    monkeypatch.setattr(restating, "restate", watched)
    growth = {"init": "passthrough+gate", "restate": 3, "lr": [0.01, 0.004], "old_rate": 0.3, "new_rate": 0.5}
    more = {"train": {"warmup": warmup, "kl": 0.5}, "evaluate": {"every": 0}}
    start(staged([["1-1", 2], ["2-1", 2]], growth, **more), tmp_path / "run", Watch())
    assert seen == [([0.004], 2)] * 3


def test_every_stage_has_its_rate_and_inherited_nodes_theirs(tmp_path, monkeypatch):
    seen = []
    real = loop.train_step

    def step(trainer, *rest):
        learner = trainer.learner
        scale = [learner.lr_scale.get(row, 1.0) for row in range(len(learner.optimisers))]
        seen.append([round(trainer.scheduled() * one, 6) for one in scale])
        return real(trainer, *rest)

    monkeypatch.setattr(loop, "train_step", step)
    growth = {"lr": [0.01, 0.02], "inherited_rate": 0.5, "first": 0.5, "old_rate": 0.25}
    start(staged([["1-1", 1], ["2-1", 2]], growth, evaluate={"every": 0}), tmp_path / "run", Watch())
    assert seen == [[0.01, 0.01], [0.0025, 0.0025, 0.02], [0.01, 0.01, 0.02]]


# -- data


def test_two_seeds_meet_other_training_problems_and_the_same_test_items(tmp_path):
    runs = [
        start(make_config(small(seed=seed, train={"steps": 2})), tmp_path / str(seed), Watch())
        for seed in (0, 1)
    ]
    met = [{row["id"] for row in run.lines("episodes.jsonl")} for run in runs]
    assert not met[0] & met[1]
    tested = [[item["id"] for item in run.evaluation("test-after")[1]] for run in runs]
    assert tested[0] == tested[1]


# -- killed and resumed


def eventful():
    """Every new thing at once: anchor, passes, accumulation, rates by stage, a guard that restores."""
    train = {"guard": "restore", "passes": 2, "accumulate": 2, "anchor": 0.5, "schedule": "cosine"}
    growth = {"lr": [0.01, 0.02, 0.005], "init": "passthrough+gate", "restate": 1, "patience": 3}
    return staged([["1-1", 4], ["2-1", 4], ["2-2-1", 3]], growth, train=train, evaluate={"every": 1})


def swinging(nodes, moved):
    """Stage 1 rises, then falls enough to be restored; stage 2 does harm; stage 3 is better."""
    if nodes == 2:
        return {0: 0.5, 1: 0.6, 2: 0.2}.get(max(moved), 0.1)
    return 0.6 - 0.01 * sum(moved) if nodes == 3 else 0.6 + 0.01 * sum(moved)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assembling, "make_task", lambda name, options: Parity())
        judge_by(patch, swinging)
        watch = Watch()
        run = start(eventful(), tmp_path_factory.mktemp("eventful") / "run", watch)
    return run, [event["event"] for event in watch.events]


def test_the_eventful_run_is_eventful(whole):
    run, events = whole
    assert {"guard", "alarm", "stage", "grown", "step", "validation", "finished"} <= set(events)
    assert told(run)
    assert (run.path / "checkpoints" / "start-3").is_dir()
    assert any("back to the state" in row["text"] for row in run.lines("events.jsonl"))


def assert_same_story(run, path, where):
    """All that ``assert_same`` compares, what was told, the status, and which checkpoints are kept."""
    assert_same(run.path, path)
    assert lines(run.path / "events.jsonl") == lines(path / "events.jsonl"), where
    one, other = (Run.open(p).read("status.json") for p in (run.path, path))
    assert {**one, "seconds": 0} == {**other, "seconds": 0}
    names = [sorted(p.name for p in (q / "checkpoints").iterdir()) for q in (run.path, path)]
    assert names[0] == names[1], where


def test_killed_at_every_rare_event_in_turn_and_resumed_is_the_same_run(whole, tmp_path, monkeypatch):
    judge_by(monkeypatch, swinging)
    run, path = whole[0], tmp_path / "run"
    logs = ("metrics.jsonl", "episodes.jsonl", "validation.jsonl", "events.jsonl")

    def rare(event):
        here = (event["event"], event.get("step"), event.get("text"))
        return None if event["event"] in ("step", "validation", "alarm") else here

    kills = killed_in_turn(
        rare,
        lambda watch: start(eventful(), path, watch),
        lambda watch: resume(path, watch),
        lambda where: assert_begins_alike(path, run.path, logs, where),
    )
    assert [kind for kind, *_ in kills] == [event for event in whole[1] if rare({"event": event})]
    assert_same_story(run, path, kills)


def test_killed_at_an_event_and_resumed_is_the_same_run(whole, tmp_path, monkeypatch):
    """Once, and then to the end; by ``make kill`` at each of the events above and at some of the others."""
    judge_by(monkeypatch, swinging)
    run, events = whole
    rare = [number for number, event in enumerate(events) if event not in ("step", "validation", "alarm")]
    moments = sorted({*rare, *range(4, len(events), 41)})
    for number in moments if os.environ.get("NEUROMAS_KILLS") else [4]:
        path, seen = tmp_path / f"killed-{number}", []

        def watch(event, number=number, seen=seen):
            seen.append(event["event"])
            if len(seen) == number + 1:
                raise KilledError

        with pytest.raises(KilledError):
            start(eventful(), path, Watching(watch))
        resume(path, Watch())
        assert_same_story(run, path, number)
