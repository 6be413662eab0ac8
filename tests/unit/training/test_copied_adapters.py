"""Copies of trained nodes: their adapters, what AdamW remembers of them, and adapters that are shared."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from toys import ToyTask

from neuromas.config import make_config
from neuromas.core.errors import RunError
from neuromas.core.task import Problem
from neuromas.growth.copies import substitute
from neuromas.growth.lineage import Budget, Lineage, describe
from neuromas.growth.stages import Stage
from neuromas.growth.transfer import transfer, undo
from neuromas.learner.moments import copied_optimisers
from neuromas.storage import Run
from neuromas.system import assemble as assembling
from neuromas.system.assemble import Assembly
from neuromas.system.network import Network, assign
from neuromas.system.rollout import Sampling, rollout
from neuromas.system.saving import load_bundle
from neuromas.tasks.stream import training_problems
from neuromas.topology.graph import Topology
from neuromas.topology.shapes import build_shape
from neuromas.training.run import resume, start
from neuromas.training.step import train_step
from neuromas.training.trainer import Trainer
from parity import Parity, small
from watched import Watch, assert_begins_alike, killed_in_turn, lines, manifest

PAIRS = [("1", "2-1"), ("tree:2,1", "tree:2,2"), ("tree:2,2", "tree:2,3"), ("chain:2", "chain:3")]


def made(tiny_engine, shape: str, share: str = "node", **growth) -> Assembly:
    """A network whose adapters all differ."""
    old = build_shape(shape, "split")
    rows = assign(old, share)
    engine = tiny_engine(adapters=max(rows) + 1)
    data = small(network={"topology": shape, "share": share}, growth={"init": "copy", **growth})
    network = Network(old, engine, rows, message_tokens=4, answer_tokens=4)
    return Assembly(make_config(data), network, engine.model, Parity())


def substituted(assembly: Assembly, goal: str, question: str = "split"):
    change = substitute(assembly.network.topology, build_shape(goal, question))
    return change, transfer(assembly, change, 5)


def written(assembly: Assembly, row: int) -> list[tuple[int, ...]]:
    """What an adapter writes, greedily and sampled, where all are asked the same."""
    network = replace(assembly.network, topology=Topology.parse("1"), assignment=(row,))
    problems = [Problem(f"p{i}", f"Number {i}?", "x") for i in range(3)]
    both = (rollout(network, ToyTask(), problems, 2, Sampling(t, 3)) for t in (0.0, 1.0))
    return [episode.turns[0].ids for found in both for episode in found]


@pytest.mark.parametrize("share", ["node", "layer"])
@pytest.mark.parametrize(("old", "goal"), PAIRS)
def test_a_copy_writes_what_its_original_writes(tiny_engine, old, goal, share):
    assembly = made(tiny_engine, old, share)
    before = [p.detach().clone() for p in assembly.model.bank.parameters]
    had = dict(
        zip([n.name for n in assembly.network.topology.nodes], assembly.network.assignment, strict=True)
    )
    texts = [written(assembly, row) for row in range(len(before))]
    change, grown = substituted(assembly, goal)
    grown_assembly = replace(assembly, network=grown.network)
    both = {**change.origin, **change.like}
    for node, row in zip(change.goal.nodes, grown.network.assignment, strict=True):
        original = had[both[node.name]]
        assert torch.equal(assembly.model.bank.parameters[row], before[original]), node.name
        assert written(grown_assembly, row) == texts[original], node.name
    assert set(grown.network.assignment) == set(range(len(assembly.model.bank.parameters)))
    many = len(change.goal.nodes) if share == "node" else change.goal.depth
    assert len(assembly.model.bank.parameters) == many


def test_tied_copies_share_and_are_untied_where_they_no_longer_do(tiny_engine):
    assembly = made(tiny_engine, "tree:2,1", tied=True)
    _, grown = substituted(assembly, "tree:2,2")
    assert grown.network.assignment == (0, 1, 0, 1, 2, 2, 2)
    assert grown.new == ()
    config = make_config(small(growth={"init": "copy"}))
    untied = replace(assembly, network=grown.network, config=config)
    entry = describe(
        substitute(grown.network.topology, build_shape("tree:2,3")),
        *(grown.network.topology, Budget(), 0, grown.network.assignment),
    )
    _, own = substituted(untied, "tree:2,3")
    assert len(set(own.network.assignment)) == 15
    assert own.copied[own.network.assignment[2]] == 0
    back = undo(replace(untied, network=own.network), json.loads(json.dumps(entry)))
    assert back.network.assignment == (0, 1, 0, 1, 2, 2, 2)
    assert back.network.topology == grown.network.topology
    assert len(assembly.model.bank.parameters) == 3
    with pytest.raises(RunError, match="names adapter 77"):
        undo(replace(untied, network=own.network), {**entry, "assignment": [77] * 7})


def test_copies_of_another_rank_have_it(tiny_engine):
    assembly = made(tiny_engine, "2-1")
    bank = assembly.model.bank
    bank.parameters[1] = torch.nn.Parameter(bank.fresh(3, 2))
    bank.ranks[1] = 2
    _, grown = substituted(assembly, "tree:2,2")
    assert [bank.ranks[row] for row in grown.network.assignment] == [4, 2, 4, 2, 4, 4, 4]


def test_moments_of_a_copy_are_a_copy(tiny_engine):
    assembly = made(tiny_engine, "2-1")
    trainer = Trainer(assembly.network, assembly.model, assembly.config.train, 0)
    train_step(trainer, Parity(), training_problems(Parity(), 0, 0, 4))
    learner = trainer.learner
    kept = learner.optimisers
    _, grown = substituted(assembly, "tree:2,2")
    made_new = copied_optimisers(learner, kept, grown.copied)
    assert len(made_new) == 7
    assert made_new[:3] == kept
    for row, original in grown.copied.items():
        mine, theirs = (made_new[i].state_dict()["state"][0] for i in (row, original))
        assert theirs["exp_avg"].any()
        for key, value in theirs.items():
            assert torch.equal(mine[key], value), key
            assert mine[key].data_ptr() != value.data_ptr(), "each goes its own way"
    anew = copied_optimisers(learner, [], grown.copied)
    assert not any(one.state_dict()["state"] for one in anew)


def test_a_tied_adapter_gets_the_sum_of_its_nodes_gradients(tiny_engine, monkeypatch):
    """The same episodes in both, as all copies write alike; only who sums differs."""
    found = {}
    for tied in (True, False):
        assembly = made(tiny_engine, "2-1", tied=tied)
        _, grown = substituted(assembly, "tree:2,2", "first")
        trainer = Trainer(grown.network, assembly.model, assembly.config.train, 0)
        grads: dict[int, torch.Tensor] = {}
        parameters = assembly.model.bank.parameters

        def keep(rate, grads=grads, parameters=parameters):
            grads.update({row: p.grad.clone() for row, p in enumerate(parameters) if p.grad is not None})
            return [0.0 for _ in parameters]

        # the class has slots, so its method is replaced
        monkeypatch.setattr(type(trainer.learner), "_step", lambda self, rate, keep=keep: keep(rate))
        train_step(trainer, Parity(), training_problems(Parity(), 0, 0, 6))
        found[tied] = (grown.network.assignment, grads)
    (tied_rows, tied_grads), (rows, grads) = found[True], found[False]
    assert tied_rows == (0, 1, 0, 1, 2, 2, 2)
    for shared in set(tied_rows):
        members = [row for row, own in zip(rows, tied_rows, strict=True) if own == shared]
        assert len(members) > 1
        total = sum(grads[row] for row in members)
        assert tied_grads[shared].abs().max() > 0
        torch.testing.assert_close(tied_grads[shared], total, rtol=1e-4, atol=1e-6)
        assert not torch.allclose(tied_grads[shared], grads[members[0]], rtol=1e-2)


def run_config(**growth):
    data = small(
        seed=3,
        train={"problems": 1, "samples": 2},
        evaluate={"every": 2, "validation": 3, "test": 2},
        run={"checkpoint_every": 1, "keep": 99, "episodes": 1},
    )
    del data["network"]["topology"], data["train"]["steps"]
    stages = [["1", 2], ["2-1", 2], ["tree:2,2", 3]]
    data["growth"] = {"stages": stages, "init": "copy", "inherited_rate": 1.0, **growth}
    return make_config(data)


@pytest.mark.parametrize("tied", [False, True])
def test_a_run_of_copies_is_saved_loaded_and_resumed(tmp_path, monkeypatch, tied):
    monkeypatch.setattr(assembling, "make_task", lambda name, options: Parity())
    start(run_config(tied=tied), tmp_path / "whole", Watch())
    last = manifest(Run.open(tmp_path / "whole").checkpoints()[-1])
    entry = last["lineage"][-1]
    copied = {
        "1.1": "1.1",
        "1.2": "1.2",
        "1.3": "1.1",
        "1.4": "1.2",
        "2.1": "2.1",
        "2.2": "2.1",
        "3.1": "2.1",
    }
    assert entry["copies"] == copied
    assert len(set(last["assignment"])) == (1 if tied else 7)
    old = {key: value for key, value in entry.items() if key not in ("copies", "assignment")}
    spent = {**last["spent"], "seconds": 0.0}
    old["spent"] = {**old["spent"], "seconds": 0.0}
    assert Lineage.from_manifest({"lineage": [old], "spent": spent}, "r").entries, "0.3.0 had neither"
    assert load_bundle(tmp_path / "whole").network.assignment == tuple(last["assignment"])
    path = tmp_path / "killed"
    kills = killed_in_turn(  # the last step of a stage, and one within the last
        lambda event: event["step"] if event["event"] == "step" and event["step"] in (1, 3, 5) else None,
        lambda watch: start(run_config(tied=tied), path, watch),
        lambda watch: resume(path, watch),
        lambda where: assert_begins_alike(path, tmp_path / "whole", ("metrics.jsonl",), where),
    )
    assert kills == [1, 3, 5]
    assert lines(path / "metrics.jsonl") == lines(tmp_path / "whole" / "metrics.jsonl")
    assert manifest(Run.open(path).checkpoints()[-1]) == last


def test_copies_and_originals_learn_alike():
    config = run_config(inherited_rate=0.5, first=0.5)
    change = substitute(build_shape("2-1"), build_shape("tree:2,2"))
    stage = Stage(0, 0, 4, born=(2,)).followed_by(change, (3, 7), 4, 10)
    assert (stage.new, stage.born, stage.inherited) == ((), (2,), tuple(range(7)))
    assert stage.lr_scale(4, config.growth, 7) == dict.fromkeys(range(7), 0.5)
