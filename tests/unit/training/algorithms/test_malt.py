"""MALT: calls, values, what is imitated and what is preferred, its gradient, and a run that goes on."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch
from chains import fresh, gradients, trainer_of
from toys import ToyTask, network, problems

from neuromas.config import TrainConfig, make_config
from neuromas.core.errors import ConfigError
from neuromas.core.task import Problem
from neuromas.engines.scripted import ScriptedEngine
from neuromas.models.bundle import load_memory
from neuromas.storage import MANIFEST, Run
from neuromas.system import assemble as assembling
from neuromas.system.saving import load_bundle
from neuromas.testing import check_algorithm
from neuromas.topology.shapes import build_shape
from neuromas.training.algorithms import malt
from neuromas.training.algorithms.base import Memory
from neuromas.training.algorithms.malt import Malt, _per_token
from neuromas.training.run import resume, start
from neuromas.training.step import train_step
from neuromas.training.trainer import Trainer
from parity import Parity, small
from watched import left_at


def script():
    """Siblings write a b c, x y z, 0 1 2; the output writes all three letters of its branch."""
    asked = [0, 0, 0]

    def write(prompt, adapter):
        place = asked[adapter]
        asked[adapter] += 1
        if adapter < 2:
            return ("abc", "xyz")[adapter][place % 3]
        return "abc"[place // 9 % 3] + "xyz"[place // 3 % 3] + "012"[place % 3]

    return write


def judged(problem, text):
    """ax and ay are right, az and b once in three, c never: V(a) = 7/9, V(b) = 1/3, V(c) = 0."""
    return float(text[:2] in ("ax", "ay") or text == "az0" or (text[0] == "b" and text[2] == "2"))


def stepped(trainer, judge=judged, count=1):
    return train_step(trainer, ToyTask(judge), problems(count))


def test_a_problem_takes_3_9_and_27_calls():
    engine = ScriptedEngine(script())
    report, leaves = stepped(trainer_of(fresh(), "malt", engine))
    assert [len(call.requests) for call in engine.calls] == [3, 9, 27]
    assert (report["calls"], report["rollouts"]) == (39, 27)
    assert len(leaves) == 27
    prompts = [len(r.prefix) + len(r.suffix) for call in engine.calls for r in call.requests]
    assert report["prompt_tokens"] == sum(prompts)
    assert report["new_tokens"] == 3 * 2 + 9 * 2 + 27 * 4
    assert report["reward"] == pytest.approx(10 / 27)
    assert report["message_tokens"] == [2.0, 2.0, 4.0]


def test_good_messages_are_imitated():
    """V > 1/2: a of the first, ax and ay of the second; of the third the 10 that are right."""
    report, _ = stepped(trainer_of(fresh(), "malt", ScriptedEngine(script())))
    assert report["phase"] == "sft"
    assert report["good"] == [1, 2, 10]
    assert report["learned_messages"] == 13


def test_good_messages_are_preferred_to_their_siblings():
    """ax and ay to az; az0 to az1 and az2; the third of bx, by, bz to the first two. The first node rests."""
    trainer = trainer_of(fresh(), "malt", ScriptedEngine(script()), options={"sft_steps": 0})
    report, _ = stepped(trainer)
    assert report["phase"] == "dpo"
    assert report["pairs"] == [0, 2, 8]
    assert report["learned_messages"] == 3 + 3 * 4
    assert report["gradient_norm"][0] == 0.0
    assert min(report["gradient_norm"][1:]) > 0.0
    # the policy is its own reference: every pair costs ln 2, of two nodes
    assert report["loss"] == pytest.approx(2 * 0.693147, abs=1e-5)
    assert report["preferred"] == 0.0


def test_the_threshold_decides_what_is_good():
    report, _ = stepped(trainer_of(fresh(), "malt", ScriptedEngine(script()), options={"threshold": 0.3}))
    assert report["good"] == [2, 6, 10]


def test_two_problems_are_two_trees_in_batches_of_their_own():
    engine = ScriptedEngine(script())
    report, _ = stepped(trainer_of(fresh(), "malt", engine, accumulate=2), count=2)
    assert [len(call.requests) for call in engine.calls] == [3, 9, 27] * 2
    assert report["calls"] == 78


def test_frozen_nodes_learn_nothing():
    report, _ = stepped(trainer_of(fresh(), "malt", ScriptedEngine(script()), rates={1: 0.0}))
    assert report["gradient_norm"][1] == 0.0
    assert report["learned_messages"] == 11
    report, _ = stepped(
        trainer_of(fresh(), "malt", ScriptedEngine(script()), rates={1: 0.0}, options={"sft_steps": 0})
    )
    assert report["pairs"] == [0, 0, 8]


def test_a_message_whose_siblings_were_heard_by_nobody_has_nothing_to_be_preferred_to(monkeypatch):
    """Of each pair one message had an effect: there is no pair, and no gradient."""
    take, seen = malt._take, []

    def one(trainer, turn, chosen):
        seen.append(turn)
        return take(trainer, turn, chosen) if len(seen) % 3 == 1 else None

    monkeypatch.setattr(malt, "_take", one)
    report, _ = stepped(trainer_of(fresh(), "malt", ScriptedEngine(script()), options={"sft_steps": 0}))
    assert (report["pairs"], report["loss"]) == ([0, 0, 0], 0.0)
    assert report["learned_messages"] == 5
    assert report["gradient_norm"] == [0.0, 0.0, 0.0]


# -- the gradients, by plain forwards


def by_the_text(problem, text):
    return float(sum(text.encode()) % 2)


def levels_of(leaves):
    """(turn, value) of a level's messages, from the leaves alone, written out in loops."""
    found = []
    for level in range(3):
        width = 3 ** (2 - level)
        blocks = [leaves[i : i + width] for i in range(0, 27, width)]
        found.append([(b[0].turns[level], sum(x.score.value for x in b) / width) for b in blocks])
    return found


def test_sft_has_the_gradient_of_the_likelihood():
    pair = fresh()
    trainer = trainer_of(pair, "malt")
    vectors = [pair.vector(row) for row in range(3)]
    _, leaves = stepped(trainer, by_the_text)
    found = gradients(trainer)
    for node, level in enumerate(levels_of(leaves)):
        good = [turn for turn, value in level if value > 0.5]
        tokens = sum(len(turn.ids) for turn in good)
        if good:
            loss = -sum(
                pair.logprobs(vectors[node], t.prefix_ids + t.suffix_ids, t.ids, 1.0).sum() for t in good
            )
            (loss / tokens).backward()
            assert torch.allclose(found[node], vectors[node].grad, atol=1e-5), node
        else:
            assert not found[node].any()
    assert any(gradient.any() for gradient in found)


def test_dpo_has_the_gradient_of_its_loss():
    """Against a reference that is another one, so that every pair weighs differently."""
    pair = fresh()
    trainer = trainer_of(pair, "malt", options={"sft_steps": 0, "beta": 0.7})
    vectors = [pair.vector(row) for row in range(3)]
    other = [vector.detach() + 0.05 * torch.randn_like(vector) for vector in vectors]
    trainer.algorithm.reference, trainer.algorithm.began = [v.clone() for v in other], 0
    report, leaves = stepped(trainer, by_the_text)
    found, whole = gradients(trainer), 0.0

    def gained(turn):
        prompt = turn.prefix_ids + turn.suffix_ids
        now, then = (pair.logprobs(own[turn.node], prompt, turn.ids, 1.0).sum() for own in (vectors, other))
        return now - then.detach()

    for node, level in enumerate(levels_of(leaves)):
        losses = []
        for first in range(0, len(level), 3):
            family = level[first : first + 3]
            for one, good in family:
                for two, bad in family:
                    if node and good > 0.5 >= bad:
                        margin = gained(one) - gained(two)
                        losses.append(-torch.nn.functional.logsigmoid(0.7 * margin))
        assert report["pairs"][node] == len(losses)
        if losses:
            loss = sum(losses) / len(losses)
            loss.backward()
            whole += float(loss.detach())
            assert torch.allclose(found[node], vectors[node].grad, atol=1e-5), node
    assert sum(report["pairs"]) > 4
    assert report["loss"] == pytest.approx(whole, abs=1e-4)


def test_what_else_acts_on_a_message_has_the_weight_of_a_mean_over_its_nodes_tokens():
    chosen = [
        (SimpleNamespace(ids=(1,) * tokens), SimpleNamespace(node=node))
        for node, tokens in ((0, 3), (1, 4), (0, 5), (0, 2))
    ]
    assert _per_token(chosen).tolist() == pytest.approx([0.1, 0.25, 0.1, 0.1])


# -- what it is given


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"branches": 1}, "branches = 1 should be a whole number from 2"),
        ({"sft_steps": -1}, "sft_steps"),
        ({"threshold": 1.0}, "threshold"),
        ({"beta": 0.0}, "beta"),
        ({"dpo_rate": 0.0}, "dpo_rate"),
        ({"branch": 3}, "did you mean 'branches'"),
    ],
)
def test_options_that_mean_nothing_are_one_line(options, said):
    with pytest.raises(ConfigError, match=said):
        trainer_of(fresh(), "malt", options=options)


@pytest.mark.parametrize(
    ("shape", "settings", "said"),
    [
        ("1", {}, "needs several layers"),
        ("chain:3", {"passes": 2}, "train.passes = 2"),
        ("chain:3", {"length_penalty": 0.5}, "train.length_penalty = 0.5 should be 0"),
        ("chain:12", {}, "answers a batch, at most"),
    ],
)
def test_what_cannot_be_a_tree_is_one_line(shape, settings, said):
    net = network(fresh().engine, build_shape(shape, "all"))
    trainer = Trainer(net, fresh().model, TrainConfig(algorithm="malt", **settings), seed=0)
    with pytest.raises(ConfigError, match=said):
        trainer.algorithm.check(trainer.settings, net.topology)
    with pytest.raises(ConfigError, match=said):
        trainer.algorithm.step(trainer, None, [])


# -- runs


@pytest.fixture
def parity(monkeypatch):
    monkeypatch.setattr(assembling, "make_task", lambda name, options: Parity())


def run_of(**more):
    train = {"algorithm": "malt", "algorithm_options": {"sft_steps": 3}, "problems": 1, **more}
    return make_config(small(network={"topology": "1-1-1+skip"}, train=train))


def test_a_stopped_run_goes_on_bit_by_bit_with_its_reference(parity, tmp_path):
    whole = start(run_of(), tmp_path / "whole", left_at(4, tmp_path / "whole", tmp_path / "half"))
    assert len(list(Run.open(tmp_path / "half").lines("metrics.jsonl"))) == 5
    half = resume(tmp_path / "half")
    files = [json.loads((r.checkpoints()[-1] / MANIFEST).read_text())["files"] for r in (half, whole)]
    assert files[0] == files[1]
    rows = [
        [{k: v for k, v in row.items() if k != "seconds"} for row in r.lines("metrics.jsonl")]
        for r in (half, whole)
    ]
    assert rows[0] == rows[1]
    assert [row["phase"] for row in rows[0]] == ["sft"] * 3 + ["dpo"] * 3


def test_the_reference_is_the_policy_at_the_first_step_of_dpo(parity, tmp_path):
    config = make_config({**run_of().model_dump(mode="json"), "run": {"keep": 20, "checkpoint_every": 1}})
    run = start(config, tmp_path / "run")
    at = {path.name: path for path in Run.open(run.path).checkpoints()}
    assert load_memory(at["step-000003"]) == {}
    kept = load_memory(at["step-000006"])
    began = load_bundle(at["step-000003"]).model.bank.parameters
    assert all(torch.equal(kept[f"reference.{row}"], vector) for row, vector in enumerate(began))


def test_every_stage_is_checked_before_there_is_a_run(parity, tmp_path):
    parent = start(make_config(small(network={"topology": "1"})), tmp_path / "parent")
    train = {"algorithm": "malt", "problems": 1, "algorithm_options": {"sft_steps": 1}}
    data = small(network={}, train=train)
    data["network"].pop("topology", None)
    data["train"].pop("steps", None)
    child = make_config({**data, "growth": {"parent": str(parent.path), "stages": [["1-1-1", 2]]}})
    assert start(child, tmp_path / "child").finished, "the parent need not be one that it could train"
    wrong = make_config({**data, "growth": {"stages": [["1", 2], ["1-1", 2]]}})
    with pytest.raises(ConfigError, match="needs several layers"):
        start(wrong, tmp_path / "wrong")
    assert not (tmp_path / "wrong").exists()


def test_a_memory_that_is_none_of_its_own_is_refused():
    with pytest.raises(KeyError):
        Malt().load(Memory({"other": torch.zeros(1)}, {}))


def test_no_prompt_holds_the_gold_answer():
    class Gold(ToyTask):
        def problem(self, split, index):
            return Problem("p", "What?", "GOLD-7")

    engine = ScriptedEngine(script())
    trainer = trainer_of(fresh(), "malt", engine)
    train_step(trainer, Gold(judged), [Gold().problem("train", 0)])
    assert not any("GOLD" in prompt for call in engine.calls for prompt in call.prompts)


def test_preferences_have_a_rate_of_their_own():
    for steps, rate in ((1, 1.0), (0, 0.25)):
        options = {"sft_steps": steps, "dpo_rate": 0.25}
        trainer = trainer_of(fresh(), "malt", ScriptedEngine(script()), options=options)
        stepped(trainer)
        assert trainer.learner.optimisers[2].param_groups[0]["lr"] == rate


def test_it_keeps_the_contract_of_an_algorithm_in_its_second_phase():
    check_algorithm(lambda: Malt(branches=2, sft_steps=1))
