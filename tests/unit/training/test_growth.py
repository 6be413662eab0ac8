"""Growing a trained network: what it answers, what its adapters are, and runs that grow on the way."""

from __future__ import annotations

import json
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from topologies import any_operators, random_topologies
from toys import ToyTask

from neuromas.config import make_config
from neuromas.core.errors import ConfigError, NeuromasError, RunError
from neuromas.core.task import Problem
from neuromas.growth.lineage import Budget, Lineage
from neuromas.growth.operators import at, grow, insert_layer
from neuromas.growth.parent import ParentRun, child_config, prune
from neuromas.growth.stages import Stage
from neuromas.growth.transfer import transfer
from neuromas.learner import update as learning
from neuromas.models.bundle import load_optimisers, save_optimisers
from neuromas.storage import MANIFEST, Run
from neuromas.system import assemble as assembling
from neuromas.system.assemble import Assembly
from neuromas.system.network import Network, assign
from neuromas.system.rollout import Sampling, rollout
from neuromas.system.saving import load_bundle
from neuromas.tasks.stream import training_problems
from neuromas.topology.files import load_topology
from neuromas.topology.graph import Topology
from neuromas.training import evaluations as testing
from neuromas.training.callbacks import Watching
from neuromas.training.credit import credit
from neuromas.training.restate import restate
from neuromas.training.run import resume, start
from neuromas.training.step import train_step
from neuromas.training.trainer import Trainer
from parity import Parity, small
from watched import KilledError, Watch, assert_begins_alike, at_step, killed_in_turn, lines, manifest

STAGES = [["1-1", 2], ["2-1", 3], ["2-2-1", 3]]
PROBLEMS = [Problem(f"p{i}", f"Number {i}?", "x", parts=("a b", "c d", "e f")) for i in range(2)]


@pytest.fixture(autouse=True)
def parity(monkeypatch):
    monkeypatch.setattr(assembling, "make_task", lambda name, options: Parity())


def staged(stages=STAGES, growth=(), **more):
    """A run that grows; every step moves every adapter that may move."""
    data = small(
        seed=3,  # one by which no stage ends below its start, so that no growth is undone
        train={"problems": 1, "samples": 2, "kl": 0.1, "entropy": 0.01, "warmup": 3, "baseline": "ema"},
        evaluate={"every": 2, "validation": 3, "test": 2},
        run={"checkpoint_every": 1, "keep": 99, "episodes": 1},
    )
    data |= {name: {**data[name], **section} for name, section in more.items()}
    del data["network"]["topology"], data["train"]["steps"]
    data["growth"] = {"stages": stages, "inherited_rate": 1.0, **dict(growth)}
    return make_config(data)


def rows(folder: Path) -> list[torch.Tensor]:
    """Every adapter of a checkpoint as one vector."""
    files = sorted((folder / "adapters").glob("*/*.safetensors"))
    return [torch.cat([t.reshape(-1) for _, t in sorted(load_file(file).items())]) for file in files]


def assert_same(one: Path, other: Path) -> None:
    for name in ("metrics.jsonl", "episodes.jsonl", "validation.jsonl"):
        assert lines(one / name) == lines(other / name), name
    grown = []
    for path in (one, other):
        grown.append(lines(path / "growth.jsonl"))
        for row in grown[-1]:
            row["spent"].pop("seconds")
    assert grown[0] == grown[1]
    names = sorted(path.name for path in (one / "evaluations").iterdir())
    assert names == sorted(path.name for path in (other / "evaluations").iterdir())
    for name in names:
        assert (one / "evaluations" / name).read_bytes() == (other / "evaluations" / name).read_bytes(), name
    checkpoints = Run.open(one).checkpoints()
    assert [c.name for c in checkpoints] == [c.name for c in Run.open(other).checkpoints()]
    for folder in checkpoints:  # the manifest holds the hash of every tensor file
        assert manifest(folder) == manifest(other / "checkpoints" / folder.name)


# -- exactness


def episodes(network: Network) -> list[dict[str, tuple]]:
    """By node name all that was read and written, greedily."""
    names = [node.name for node in network.topology.nodes]
    found = rollout(network, ToyTask(), PROBLEMS, 1, Sampling(0.0, 3))
    assert all(one.failure is None for one in found)
    return [
        {names[t.node]: (t.prefix_ids + t.suffix_ids, t.ids, t.text, t.heard) for t in e.turns} for e in found
    ]


def assert_old_nodes_write_the_same(engine, old: Topology, change, share: str = "node") -> None:
    limits = {"message_tokens": 4, "answer_tokens": 4}
    before = assign(old, share)
    place = {node.name: row for row, node in enumerate(old.nodes)}
    spare = iter(range(max(before) + 1, 99))
    after = tuple(
        before[place[change.origin[node.name]]] if node.name in change.origin else next(spare)
        for node in change.start.nodes
    )
    mine = episodes(Network(old, engine, before, **limits))
    theirs = episodes(Network(change.start, engine, after, **limits))
    for one, other in zip(mine, theirs, strict=True):
        for name, was in change.origin.items():
            assert other[name] == one[was], (change.steps, name)
        assert not any(other[name][3] for name in change.new), "nobody hears a new node"


def test_every_operator_on_the_real_model(tiny_engine):
    engine = tiny_engine(adapters=9)
    for shape, question in (("2-1", "all"), ("1-1-1", "first")):
        old = Topology.parse(shape, question)
        for change in any_operators(old):
            assert_old_nodes_write_the_same(engine, old, change)


def test_random_networks_on_the_real_model(tiny_engine):
    engine = tiny_engine(adapters=12)

    @settings(max_examples=5)
    @given(random_topologies(max_nodes=4), st.data())
    def check(topology, data):
        # hundreds of random bytes grow threefold when they are read, and would overflow a reader's context
        edges = (replace(edge, budget=edge.budget and min(edge.budget, 6)) for edge in topology.edges)
        topology = Topology(topology.nodes, tuple(edges))
        for _ in range(2):
            changes = any_operators(topology)
            change = changes[data.draw(st.integers(0, len(changes) - 1))]
            assert_old_nodes_write_the_same(engine, topology, change)
            topology = change.goal

    check()


def test_the_goal_is_not_the_old_network(tiny_engine):
    """The comparison can fail: open gates change what the output reads."""
    engine = tiny_engine(adapters=9)
    change = insert_layer(Topology.parse("2-1"), 1)
    with pytest.raises(AssertionError):
        assert_old_nodes_write_the_same(engine, Topology.parse("2-1"), replace(change, start=change.goal))


# -- transfer


def made(tiny_engine, shape="2-1", share="node", **growth) -> Assembly:
    old = Topology.parse(shape)
    rows_of = assign(old, share)
    engine = tiny_engine(adapters=max(rows_of) + 1)
    config = staged([[shape, 1]], growth, network={"share": share})
    network = Network(old, engine, rows_of, message_tokens=4, answer_tokens=4)
    return Assembly(config, network, engine.model, Parity())


def factors(assembly: Assembly, row: int) -> tuple[torch.Tensor, torch.Tensor]:
    """All A and all B of an adapter."""
    pieces = list(assembly.model.bank.factors(row))
    return torch.cat([p[1].reshape(-1) for p in pieces]), torch.cat([p[2].reshape(-1) for p in pieces])


@pytest.mark.parametrize("init", ["zero", "clone", "gate", "clone+gate"])
def test_how_new_adapters_begin(tiny_engine, init):
    first, again, other = (made(tiny_engine, init=init, noise=0.01) for _ in range(3))
    before = [p.detach().clone() for p in first.model.bank.parameters]
    change = grow(first.network.topology, Topology.parse("3-1-1"))
    grown = transfer(first, change, 5)
    transfer(again, change, 5)
    transfer(other, change, 6)
    bank = first.model.bank
    assert grown.new == (3, 4)
    assert grown.network.assignment == (0, 1, 3, 4, 2)
    assert grown.before == {0: 0, 1: 1, 4: 2}
    assert all(torch.equal(a, b) for a, b in zip(before, bank.parameters, strict=False))
    assert bank.versions[3:] == [0, 0]
    assert grown.network.topology == (change.start if init.endswith("gate") else change.goal)
    names = [node.name for node in Topology.parse("2-1").nodes]
    for row, name in zip(grown.new, change.new, strict=True):
        assert torch.equal(bank.parameters[row], again.model.bank.parameters[row]), "seeded"
        assert not torch.equal(bank.parameters[row], other.model.bank.parameters[row])
        down, up = factors(first, row)
        if init.startswith("clone"):
            old_down, old_up = factors(first, names.index(change.like[name]))
            assert torch.equal(down, old_down)
            assert 0.008 < float((up - old_up).std()) < 0.012
        else:
            assert not up.any()
            assert down.any()


@pytest.mark.parametrize(
    ("share", "to", "assignment", "new"),
    [
        ("layer", "3-1", (0, 0, 0, 1), ()),
        ("layer", "2-2-1", (0, 0, 2, 2, 1), (2,)),
        ("layer", "3-2-1", (2, 2, 2, 0, 0, 1), (2,)),
        ("all", "3-2-1", (0,) * 6, ()),
        ("node", "2-2-1", (0, 1, 3, 4, 2), (3, 4)),
    ],
)
def test_sharing_goes_on(tiny_engine, share, to, assignment, new):
    assembly = made(tiny_engine, share=share)
    grown = transfer(assembly, grow(assembly.network.topology, Topology.parse(to)), 1)
    assert (grown.network.assignment, grown.new) == (assignment, new)
    assert len(assembly.model.bank.parameters) == max(assignment) + 1


def test_restating_teaches_new_adapters_and_no_others(tiny_engine, monkeypatch):
    """A new layer that has adapters of its own, beside a new node that shares an old one."""
    assembly = made(tiny_engine, "1-1", share="layer", init="passthrough+gate")
    links = [("a", "b"), ("a", "o")]
    old = Topology.build(["a", "b", "o"], [*links, ("b", "o")])
    more = [*links, ("a2", "b"), ("b", "n"), ("n", "o")]
    goal = Topology.build(["a", "a2", "b", "n", "o"], more)
    engine = tiny_engine(adapters=3)
    assembly = replace(assembly, model=engine.model, network=Network(old, engine, (0, 1, 2), "plain", 4, 4))
    change = grow(old, goal)
    grown = transfer(assembly, change, 1)
    assert grown.new == (3,)
    assert grown.network.assignment == (0, 0, 1, 3, 2)
    before = [p.detach().clone() for p in engine.model.bank.parameters]
    update = {"lr": 0.02, "kl": 0.0, "baseline": "rloo"}
    trainer = Trainer(grown.network, engine.model, assembly.config.train.model_copy(update=update), 0)
    losses, real = [], learning.accumulate

    def accumulate(*args):
        learned = real(*args)
        losses.append(learned.loss)
        return learned

    monkeypatch.setattr(learning, "accumulate", accumulate)
    task = Parity()
    for _ in range(12):
        found = restate(trainer, task, change, grown.new, training_problems(task, 0, 0, 2))
        cost = Budget.of_episodes(found)
        assert (cost.steps, cost.calls) == (0, 10)
        assert cost.new_tokens > 0
    assert losses[-1] < 0.7 * losses[0], "the lessons are the same: their writers learn nothing"
    changed = [not torch.equal(a, b) for a, b in zip(before, engine.model.bank.parameters, strict=False)]
    assert changed == [False, False, False, True]
    assert engine.model.bank.versions == [0, 0, 0, 12]


def test_unheard_messages_carry_no_gradient_and_change_nothing(tiny_engine):
    """With closed gates old adapters take the very step they would take alone; new ones take none."""
    grown, alone = made(tiny_engine), made(tiny_engine)
    change = grow(grown.network.topology, Topology.parse("2-2-1"))
    network = transfer(grown, change, 1).network
    update = {"lr": 0.02, "kl": 0.0, "baseline": "none", "samples": 3}
    train = grown.config.train.model_copy(update=update)
    trainers = [Trainer(network, grown.model, train, 0), Trainer(alone.network, alone.model, train, 0)]
    greedy = Sampling(1e-4, 0)  # as good as greedy: draws depend on a node's row, which has moved
    problems = training_problems(Parity(), 0, 0, 4)
    found = [rollout(t.network, Parity(), problems, 3, greedy) for t in trainers]
    chosen = [credit(t, e)[0] for t, e in zip(trainers, found, strict=True)]
    assert chosen[0]
    assert {m.adapter for m, _ in chosen[0]} == {0, 1, 2}
    assert [m.ids for m, _ in chosen[0]] == [m.ids for m, _ in chosen[1]]
    before = [p.detach().clone() for p in grown.model.bank.parameters]
    train_step(trainers[0], Parity(), problems)
    assert [torch.equal(a, b) for a, b in zip(before, grown.model.bank.parameters, strict=True)] == [
        *([False] * 3),
        *([True] * 2),
    ]


def test_saved_optimisers_come_back_and_those_never_stepped_are_empty(tiny_engine, tmp_path):
    assembly = made(tiny_engine)
    trainer = Trainer(assembly.network, assembly.model, assembly.config.train, 0)
    save_optimisers(tmp_path, trainer.learner.optimisers[:0])
    train_step(trainer, Parity(), training_problems(Parity(), 0, 0, 2))
    assert all(one.state_dict()["state"] for one in trainer.learner.optimisers)
    load_optimisers(tmp_path, trainer.learner.optimisers)
    assert not any(one.state_dict()["state"] for one in trainer.learner.optimisers)


# -- the schedule


def test_rates_and_gates_of_a_stage():
    config = staged(
        [["1-1", 2], ["2-1", 10]], {"anneal": 0.5, "first": 0.3, "old_rate": 0.25, "new_rate": 0.5}
    )
    change = grow(Topology.parse("1-1"), Topology.parse("2-1"))
    stage = Stage(1, 4, 10, change.start, change.goal, (2,), (2,))
    opening = [stage.opening(step, config.growth) for step in range(4, 15)]
    assert opening == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 1, 1, 1, 1, 1, 1])
    assert stage.topology(4, config.growth) == at(change.start, change.goal, 0.2), "its first step is heard"
    assert stage.topology(8, config.growth) == change.goal
    assert stage.topology(6, config.growth) == at(change.start, change.goal, 3 / 5)
    assert stage.lr_scale(6, config.growth, 3) == {2: 0.5, 0: 0.25, 1: 0.25}
    assert stage.lr_scale(7, config.growth, 3) == {2: 0.5}
    assert Stage.from_dict(json.loads(json.dumps(stage.to_dict()))) == stage
    still = staged([["1-1", 2], ["2-1", 10]], {"new_rate": 0.0, "init": "clone"}).growth
    assert stage.lr_scale(4, still, 3) == {2: 0.0}, "somebody learns"
    assert stage.opening(4, still) == 1.0
    assert Stage(0, 0, 5).topology(3, config.growth) is None


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run of three stages that was never stopped."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assembling, "make_task", lambda name, options: Parity())
        path, watch = tmp_path_factory.mktemp("grown") / "run", Watch()
        start(staged(), path, watch)
    return path, watch


def test_a_run_grows_through_its_stages(whole):
    path, watch = whole
    run = Run.open(path)
    assert run.finished
    assert [len(row["message_tokens"]) for row in run.lines("metrics.jsonl")] == [2, 2, 3, 3, 3, 5, 5, 5]
    assert [row["step"] for row in run.lines("growth.jsonl")] == [2, 5]
    assert [row["step"] for row in run.lines("validation.jsonl")] == [2, 4, 5, 6, 8]
    names = {path.stem for path in (path / "evaluations").glob("*.json")}
    assert {"test-before", "stage-1", "stage-2", "test-after"} <= names
    assert [run.evaluation(f"stage-{k}")[0]["nodes"] for k in (1, 2)] == [2, 3]
    for event in watch.of("grown"):
        assert event["same_answers"] == 1.0, "gates are closed"
        assert event["accuracy_before"] == event["accuracy_after"]
    last = manifest(run.checkpoints()[-1])
    assert [entry["operators"] for entry in last["lineage"]] == [
        ["widen layer 1"],
        ["insert a layer of 2 before the output"],
    ]
    assert all(entry["run"] == "" for entry in last["lineage"])
    reports = list(run.lines("metrics.jsonl"))
    for name, unit in (("calls", "calls"), ("prompt_tokens", "prompt_tokens"), ("new_tokens", "new_tokens")):
        assert last["spent"][name] == sum(row[unit] for row in reports)
    assert last["spent"]["steps"] == 8
    assert last["lineage"][0]["spent"]["steps"] == 2
    means, reward = [manifest(run.checkpoint(k))["state"]["ema"] for k in (2, 3)], reports[2]["reward"]
    old = 0.9 * means[0]["0"] + 0.1 * reward
    assert means[1] == pytest.approx({"0": old, "1": reward, "2": old}), "each node's own goes on"
    goal = load_bundle(run.path).network.topology
    assert {(e.gate, e.fallback) for e in goal.edges} == {(1.0, False)}
    step3 = Topology.from_dict(manifest(run.checkpoint(3))["topology"])
    assert step3.nodes[step3.sink].shown_position is None or step3.nodes[step3.sink].shown_position.depth == 2


def test_old_adapters_are_frozen_at_first_and_new_ones_learn(whole):
    """``first`` is a fifth of a stage: here its first step."""
    run = Run.open(whole[0])
    ended = [lines(run.path / "growth.jsonl")[k]["best"] for k in (0, 1)]
    for end, first in zip(ended, (3, 6), strict=True):
        old, new = rows(run.checkpoint(end)), rows(run.checkpoint(first))
        assert all(torch.equal(a, b) for a, b in zip(old, new, strict=False))
    assert manifest(run.checkpoint(3))["versions"][2] == 1, "its gate was ajar"
    final = rows(run.checkpoint(8))
    assert not any(torch.equal(a, b) for a, b in zip(final, rows(run.checkpoint(6)), strict=True))


@pytest.mark.parametrize(
    ("growth", "moves"),
    [
        ({"old_rate": 0.5, "init": "zero"}, [True, True, True]),
        ({"old_rate": 0.0, "init": "zero", "first": 1.0}, [False, False, True]),
        ({"new_rate": 0.0, "init": "clone"}, [True, True, False]),
    ],
)
def test_who_learns_in_the_first_phase(tmp_path, growth, moves):
    run = start(staged([["1-1", 2], ["2-1", 1]], growth, evaluate={"every": 0}), tmp_path / "run", Watch())
    before, after = (rows(run.checkpoint(step)) for step in (2, 3))
    moved = [not torch.equal(a, b) for a, b in zip(before, after, strict=False)]
    assert [*moved, manifest(run.checkpoint(3))["versions"][2] > 0] == moves


@pytest.mark.parametrize("optimiser", ["keep", "reset"])
def test_moments_of_old_optimisers_are_kept_or_begin_anew(tmp_path, optimiser):
    growth = {"optimiser": optimiser, "init": "zero", "first": 0.0}
    run = start(staged([["1-1", 2], ["2-1", 1]], growth, evaluate={"every": 0}), tmp_path / "run", Watch())
    state = load_file(run.checkpoint(3) / "optimisers.safetensors")
    assert [int(state[f"{row}.step"]) for row in range(3)] == [3, 3, 1] if optimiser == "keep" else [1, 1, 1]


def test_a_repeated_shape_is_no_growth(tmp_path):
    watch = Watch()
    run = start(staged([["1-1", 2], ["1-1", 2]]), tmp_path / "run", watch)
    assert watch.of("grown")[0]["operators"] == []
    assert len(rows(run.checkpoint(4))) == 2
    assert run.read("status.json")["best"] in (2, 3, 4)


def test_patience_ends_a_stage(tmp_path, monkeypatch):
    """Validation falls after step 2: with patience 2 the stage ends at step 6 of 20, at its best network."""
    real, accuracies = testing.evaluate, {2: 0.9, 4: 0.1, 6: 0.2}

    def evaluate(network, task, split, count, **more):
        result = real(network, task, split, count, **more)
        if split == "validation":
            result.summary["accuracy"] = accuracies.get(max(network.engine.model.bank.versions), 0.5)
        return result

    monkeypatch.setattr(testing, "evaluate", evaluate)
    config = staged([["1-1", 20], ["2-1", 2]], {"patience": 2}, run={"keep": 1})
    run = start(config, tmp_path / "run", Watch())
    (grown,) = run.lines("growth.jsonl")
    assert (grown["step"], grown["best"]) == (6, 2)
    assert [row["step"] for row in run.lines("metrics.jsonl")] == list(range(8))
    kept = [path.name for path in run.checkpoints()]
    assert kept == ["step-000002", "step-000006", "step-000008"], "ancestors survive keep = 1"
    state = manifest(run.checkpoint(8))["state"]["stage"]
    assert (state["index"], state["since"]) == (1, 6)


# -- killed and resumed


def test_killed_at_every_event_in_turn_and_resumed(whole, tmp_path):
    """Also before a growth's first step, before a stage is tested, between validation and checkpoint."""
    path = tmp_path / "run"
    logs = ("metrics.jsonl", "episodes.jsonl", "validation.jsonl")
    kills = killed_in_turn(
        lambda event: (event["event"], event.get("step"), event.get("text")),
        lambda watch: start(staged(), path, watch),
        lambda watch: resume(path, watch),
        lambda where: assert_begins_alike(path, whole[0], logs, where),
    )
    kinds = [kind for kind, *_ in kills]
    assert [step for kind, step, _ in kills if kind == "step"] == list(range(8))
    assert (kinds.count("grown"), kinds.count("validation")) == (2, 6)
    assert_same(whole[0], path)


def test_interrupted_at_the_end_of_a_stage_and_resumed(whole, tmp_path):
    path = tmp_path / "run"
    run = start(staged(), path, at_step(1, lambda: os.kill(os.getpid(), signal.SIGINT)))
    assert not run.finished
    assert not (path / "growth.jsonl").exists()
    resume(path, Watch())
    assert_same(whole[0], path)


# -- parents


def test_an_heir_goes_on_from_its_parent(whole, tmp_path):
    parent = tmp_path / "parent"
    start(staged([["1-1", 2]]), parent, Watch())
    config = child_config(parent, "2-1", 3, ["growth.init=zero"])
    assert (config.growth.parent, config.growth.stages) == (str(parent), (("2-1", 3),))
    watch = Watch()
    run = start(config, tmp_path / "heir", watch)
    assert "network that is to grow" in watch.of("stage")[0]["text"]
    heritage, told = ParentRun.of(parent), manifest(run.checkpoint(3))
    entry = told["lineage"][0]
    assert (entry["run"], entry["step"], entry["to"]) == (str(parent), heritage.step, "2-1")
    assert told["spent"]["steps"] == 2 + 3, "all of the parent's steps, not those of its best alone"
    assert told["spent"]["calls"] == heritage.lineage.spent.calls + sum(
        row["calls"] for row in run.lines("metrics.jsonl")
    )
    mine, theirs = ([row["id"] for row in Run(path).lines("episodes.jsonl")] for path in (run.path, parent))
    assert not set(mine) & set(theirs[: heritage.step])
    assert load_file(run.checkpoint(3) / "optimisers.safetensors")["0.step"] == heritage.step + 2
    before = [torch.equal(a, b) for a, b in zip(rows(heritage.folder), rows(run.checkpoint(1)), strict=False)]
    assert before == [True, True], "frozen in the first step"

    path = tmp_path / "killed"  # killed before its first checkpoint, then at a step
    seen = []
    with pytest.raises(KilledError):
        start(config, path, Watching(lambda event: (_ for _ in ()).throw(KilledError)))
    assert not Run(path).checkpoints()
    for kill in (1, None):
        watch = Watch(kill=kill)
        if kill is None:
            resume(path, watch)
        else:
            with pytest.raises(KilledError):
                resume(path, watch)
        seen += watch.of("step")
    assert_same(run.path, path)

    grandchild = start(child_config(run.path, "2-1-1", 1), tmp_path / "grandchild", Watch())
    entries = manifest(grandchild.checkpoint(1))["lineage"]
    assert [entry["run"] for entry in entries] == [str(parent), str(run.path)]
    assert entries[1]["spent"]["steps"] == ParentRun.of(run.path).lineage.spent.steps


def damage(folder: Path, **change) -> None:
    data = json.loads((folder / MANIFEST).read_text())
    data = {k: v for k, v in {**data, **change}.items() if v is not ...}
    (folder / MANIFEST).write_text(json.dumps(data))


@pytest.mark.parametrize(
    "case",
    [
        ({"template": "old"}, [], "prompt template old"),
        ({"backbone": {"name": "other", "digest": "0"}}, [], "trained over backbone 'other'"),
        ({"lineage": ...}, [], "lineage is missing or damaged"),
        ({"lineage": [3]}, [], "lineage is missing or damaged"),
        ({"spent": {"steps": "x"}}, [], "lineage is missing or damaged"),
        ({"state": 3}, [], "is damaged"),
        ({}, ["growth.stages=[['1', 3]]"], "growth stage 1: 1-1 cannot grow into 1"),
        ({}, ["growth.stages=[['200-1', 3]]"], "context of 2048"),
        ({}, ["network.question=split"], "sees 'all' of the question"),
        ({}, ["evaluate.every=0"], "no validation problems"),
        ({}, ["model.rank=2"], "its adapters have model.rank = 4, not the configured 2"),
        ({}, ["model.alpha=2.0"], "its adapters have model.alpha = 16.0"),
    ],
)
def test_a_parent_that_does_not_fit_is_one_line(whole, tmp_path, monkeypatch, case):
    change, overrides, says = case

    class Gap(Parity):
        def size(self, split):
            return 0 if split == "validation" else None

    folder = shutil.copytree(Run.open(whole[0]).checkpoint(2), tmp_path / "network")
    damage(folder, **change)
    if "validation" in says:
        monkeypatch.setattr(assembling, "make_task", lambda name, options: Gap())
    with pytest.raises(NeuromasError, match=says) as error:
        start(child_config(folder, "2-1", 2, overrides), tmp_path / "heir", Watch())
    assert "\n" not in str(error.value)
    assert not (tmp_path / "heir").exists()
    if not overrides:
        damage(folder, config=...)
        with pytest.raises(RunError):
            child_config(folder, "2-1", 2)


@pytest.mark.parametrize("stages", [[["1-1", 1], ["2-1", 0], ["2-2-1", 1]], [["1-1", 1], ["2-1", 0]]])
def test_a_network_may_grow_and_go_on_without_a_step(tmp_path, stages):
    run = start(staged(stages), tmp_path / "run", Watch())
    assert run.finished
    assert len(list(run.lines("metrics.jsonl"))) == len(stages) - 1
    assert str(load_bundle(run.path).network.topology) == str(load_topology(stages[-1][0]))


@pytest.mark.parametrize(
    ("stages", "says"),
    [
        ([["2-2-1", 5], ["1-1-1", 5]], "growth stage 2: 2-2-1 cannot grow into 1-1-1"),
        ([["1-1", 1], ["200-1", 1]], "context of 2048"),
        ([["1-1", 1], ["tre:2,2", 1]], "did you mean 'tree'"),
    ],
)
def test_stages_that_cannot_be_are_found_before_the_run_is_made(tmp_path, stages, says):
    with pytest.raises(NeuromasError, match=says):
        start(staged(stages), tmp_path / "run", Watch())
    assert not (tmp_path / "run").exists()
    with pytest.raises(ConfigError, match=r"train.steps = 9, but growth.stages make it 2"):
        make_config({"growth": {"stages": [["1-1", 2]]}, "train": {"steps": 9}})


# -- pruning


def test_a_pruned_network_answers_and_keeps_its_adapters(whole, tmp_path):
    out = tmp_path / "pruned"
    change = prune(whole[0], out, node="1.2")
    assert change.steps == ("remove node 1.2",)
    best = ParentRun.of(whole[0]).folder
    kept = [row for row, name in enumerate(("1.1", "3.1", "1.2", "2.1", "2.2")) if name != "1.2"]
    assert all(torch.equal(a, rows(best)[row]) for a, row in zip(rows(out), kept, strict=True))
    assembly = load_bundle(out)
    names = [node.name for node in assembly.network.topology.nodes]
    old = load_bundle(best)
    for row, name in enumerate(names):
        place = [n.name for n in old.network.topology.nodes].index(name)
        mine = assembly.model.bank.parameters[assembly.network.assignment[row]]
        assert torch.equal(mine, old.model.bank.parameters[old.network.assignment[place]])
    (episode,) = rollout(
        assembly.network, Parity(), training_problems(Parity(), 0, 0, 1), 1, Sampling(0.0, 0)
    )
    assert episode.failure is None
    entry = Lineage.from_manifest(json.loads((out / MANIFEST).read_text()), "").entries[-1]
    assert (entry["run"], entry["operators"]) == (str(whole[0]), ["remove node 1.2"])
    with pytest.raises(RunError, match="exists; name a new folder"):
        prune(whole[0], out, node="1.2")
    for wrong in ({"node": "3.1"}, {"node": "x"}, {"edge": ("2.1", "3.1")}, {"edge": ("1.1", "3.1")}):
        with pytest.raises(NeuromasError):
            prune(whole[0], tmp_path / "none", **wrong)
    assert not (tmp_path / "none").exists()
    heir = start(child_config(out, "2-2-1", 1, ["evaluate.every=0"]), tmp_path / "heir", Watch())
    assert heir.finished


def test_what_a_killed_prune_left_goes_with_the_next_and_nothing_else(whole, tmp_path):
    for name in (".less-0123abcd", ".less-settings", ".lesser-0123abcd", "less-0123abcd"):
        (tmp_path / name / "adapters").mkdir(parents=True)
    prune(whole[0], tmp_path / "less", node="1.2")
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == [".less-settings", ".lesser-0123abcd", "less", "less-0123abcd"]


def test_pruning_keeps_shared_adapters(tmp_path):
    config = staged([["2-2-1", 1]], network={"share": "layer"}, evaluate={"every": 0})
    run = start(config, tmp_path / "run", Watch())
    prune(run.path, tmp_path / "one", node="1.1")
    assert load_bundle(tmp_path / "one").network.assignment == (0, 1, 1, 2)
    prune(tmp_path / "one", tmp_path / "two", node="1.2")
    assert load_bundle(tmp_path / "two").network.assignment == (0, 0, 1)
    prune(run.path, tmp_path / "three", edge=("1.1", "2.1"))
    assert load_bundle(tmp_path / "three").network.assignment == (0, 0, 1, 1, 2)
