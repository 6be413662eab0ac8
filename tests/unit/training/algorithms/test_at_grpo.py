"""AT-GRPO: calls, statistics of each node's candidates, the state that goes on; its gradient; its runs."""

from __future__ import annotations

import json
import statistics
from dataclasses import replace

import pytest
import torch
from chains import fresh, gradients, trainer_of
from toys import ToyTask, lines, problems

from neuromas.config import make_config
from neuromas.core.errors import ConfigError
from neuromas.core.task import Problem, Score
from neuromas.engines.scripted import ScriptedEngine
from neuromas.storage import MANIFEST, Run
from neuromas.system import assemble as assembling
from neuromas.topology.shapes import build_shape
from neuromas.training.algorithms import at_grpo
from neuromas.training.run import resume, start
from neuromas.training.step import batches, train_step
from parity import Parity, small
from watched import left_at

LONG = "yyyyyyyyy"  # more than the budget


def script():
    """Firsts write a b c; seconds u v w, then x, one too long, z; the last its branch and a number."""
    asked = [0, 0, 0]

    def write(prompt, adapter):
        place = asked[adapter]
        asked[adapter] += 1
        if adapter < 2:
            return ("a b c", f"u v w x {LONG} z")[adapter].split()[place]
        return "".join(line.split(": ")[1][0] for line in lines(prompt)) + str(place)

    return write


RIGHT = ("bv1", "bx3", "by4", "bx7")


def judged(problem, text):
    return float(text in RIGHT)


def stepped(trainer, judge=judged, count=1):
    return train_step(trainer, ToyTask(judge), problems(count))


def scripted(engine=None, **more):
    return trainer_of(fresh(), "at-grpo", engine or ScriptedEngine(script()), samples=3, **more)


class Seen:
    """Stands for the update: what it was given."""

    def __init__(self, monkeypatch):
        self.given = None
        monkeypatch.setattr(at_grpo, "learn", self)

    def __call__(self, trainer, messages, weights):
        self.given = [
            (turn.node, turn.text, float(a)) for (_, turn), a in zip(messages, weights.advantage, strict=True)
        ]
        return {}

    def of(self, node):
        return [(text, advantage) for row, text, advantage in self.given if row == node]


def test_candidates_are_drawn_node_by_node_from_the_best_state():
    engine = ScriptedEngine(script())
    report, episodes = stepped(scripted(engine))
    assert [len(call.requests) for call in engine.calls] == [3, 3, 3, 3, 3, 3]
    assert report["calls"] == 9 + 6 + 3
    assert [episode.answer for episode in episodes] == ["au0", "bv1", "cw2"]
    assert report["reward"] == pytest.approx(1 / 3)  # of the first candidates, which nothing has chosen
    read = [
        [line.split(": ")[1] for line in lines(prompt)]
        for call in engine.calls[3:]
        for prompt in call.prompts
    ]
    assert read[:3] == [["b"]] * 3
    assert read[3:6] == [["b", "x"], ["b", "yyyyyy"], ["b", "z"]]
    assert read[6:] == [["b", "x"]] * 3


def test_statistics_are_of_one_node_and_problem(monkeypatch):
    """r = R + 0.1 for what is well formed.

    First: 0.1, 1.1, 0.1 with mean 0.4333 and deviation 0.57735. Second: 1.1, 1.0 (cut off), 0.1 with 0.7333
    and 0.55076. Last: 0.1, 1.1, 0.1 again.
    """
    seen = Seen(monkeypatch)
    report, _ = stepped(scripted())
    wanted = {
        0: [("a", -0.57725), ("b", 1.15450), ("c", -0.57725)],
        1: [("x", 0.66563), ("yyyyyy", 0.48409), ("z", -1.14972)],
        2: [("bx6", -0.57725), ("bx7", 1.15450), ("bx8", -0.57725)],
    }
    for node, expected in wanted.items():
        assert [text for text, _ in seen.of(node)] == [text for text, _ in expected]
        assert [a for _, a in seen.of(node)] == pytest.approx([a for _, a in expected], abs=1e-4)
    assert report["silent_nodes"] == [0.0, 0.0, 0.0]


def test_alpha_and_local_weigh_team_and_form(monkeypatch):
    seen = Seen(monkeypatch)
    stepped(scripted(options={"alpha": 2.0, "local": 0.5}))
    rewards = [2.5, 2.0, 0.5]
    mean, deviation = statistics.mean(rewards), statistics.stdev(rewards)
    assert [a for _, a in seen.of(1)] == pytest.approx([(r - mean) / (deviation + 1e-4) for r in rewards])


def test_an_answer_that_cannot_be_read_is_not_well_formed(monkeypatch):
    """Nobody earns anything, so the first ones are the state; of the answers the last one can be read."""
    seen = Seen(monkeypatch)
    unread = ("ax6", "ax7")
    stepped(scripted(), lambda problem, text: Score(0.0, None if text in unread else text))
    assert [text for text, _ in seen.of(2)] == ["ax6", "ax7", "ax8"]
    assert [a for _, a in seen.of(2)] == pytest.approx([-0.57635, -0.57635, 1.15270], abs=1e-4)


def test_what_agrees_says_nothing():
    report, _ = stepped(scripted(options={"local": 0.0}), lambda problem, text: 1.0)
    assert report["silent_nodes"] == [1.0, 1.0, 1.0]
    assert report["learned_messages"] == 0


def test_four_candidates_of_three_nodes_take_24_calls():
    report, _ = stepped(trainer_of(fresh(), "at-grpo", samples=4, problems=2), count=2)
    assert report["calls"] == 2 * (12 + 8 + 4)
    assert report["rollouts"] == 2 * 3 * 4


def test_frozen_nodes_learn_nothing():
    report, _ = stepped(scripted(rates={1: 0.0}))
    assert report["gradient_norm"][1] == 0.0
    assert report["learned_messages"] == 6


def test_a_state_that_failed_goes_no_further():
    """Every message of the first node is too long for its reader: only its own group is left."""
    engine = ScriptedEngine(lambda prompt, adapter: "abc"[adapter] * 100, context=260)
    trainer = trainer_of(fresh(), "at-grpo", engine, samples=3)
    trainer.network = replace(trainer.network, message_tokens=100, answer_tokens=4)
    report, episodes = stepped(trainer)
    assert (report["calls"], report["rollouts"]) == (3, 3)
    assert all(episode.score.value == 0.0 and episode.failure for episode in episodes)
    assert report["silent_nodes"] == [1.0, None, None]


@pytest.mark.parametrize("shape", ["1-1-1+skip", "2-1"])
def test_its_gradient_is_that_of_plain_forwards(shape):
    """-(1 / (K budget)) sum_k A_k sum_t d log pi, with the same candidates drawn before the step."""
    pair = fresh()
    topology = build_shape(shape, "all")
    trainer = trainer_of(pair, "at-grpo", topology=topology, samples=4, problems=2)
    task = ToyTask(lambda problem, text: float(sum(text.encode()) % 2))
    vectors = [pair.vector(row) for row in range(3)]
    groups = [[], [], []]
    for batch, sampling in batches(trainer, problems(2)):
        for node, found in enumerate(trainer.algorithm._groups(trainer, task, batch, sampling, [])):
            groups[node] += found
    train_step(trainer, task, problems(2))
    compared = 0
    for node, found in enumerate(gradients(trainer)):
        for group in groups[node]:
            assert len(group) == 4
            assert len({episode.turns[node].suffix_ids for episode in group}) == 1
            rewards = [trainer.algorithm.reward(trainer, episode, node) for episode in group]
            if len(set(rewards)) < 2:
                continue
            for episode, reward in zip(group, rewards, strict=True):
                turn = episode.turns[node]
                gain = (reward - statistics.mean(rewards)) / (statistics.stdev(rewards) + 1e-4)
                own = pair.logprobs(vectors[node], turn.prefix_ids + turn.suffix_ids, turn.ids, 1.0).sum()
                (-gain * own / (8 * trainer.network.budget(node))).backward()
                compared += 1
        assert torch.allclose(found, vectors[node].grad, atol=3e-5), node
    assert compared >= 12


@pytest.mark.parametrize(
    ("options", "said"),
    [({"alpha": -1.0}, "alpha"), ({"alpha": 0.0, "local": 0.0}, "both 0"), ({"beta": 1.0}, "unknown option")],
)
def test_options_that_mean_nothing_are_one_line(options, said):
    with pytest.raises(ConfigError, match=said):
        scripted(options=options)


def test_one_candidate_is_too_few():
    trainer = trainer_of(fresh(), "at-grpo", samples=1, baseline="none")
    with pytest.raises(ConfigError, match=r"train\.samples = 1"):
        trainer.algorithm.check(trainer.settings, trainer.network.topology)


def test_no_prompt_holds_the_gold_answer():
    engine = ScriptedEngine(script())
    train_step(scripted(engine), ToyTask(judged), [Problem("p", "What?", "GOLD-7")])
    assert engine.calls
    assert not any("GOLD" in prompt for call in engine.calls for prompt in call.prompts)


def test_a_stopped_run_goes_on_bit_by_bit(monkeypatch, tmp_path):
    monkeypatch.setattr(assembling, "make_task", lambda name, options: Parity())
    train = {"algorithm": "at-grpo", "problems": 2, "samples": 3}
    config = make_config(small(network={"topology": "1-1-1+skip"}, train=train))
    whole = start(config, tmp_path / "whole", left_at(3, tmp_path / "whole", tmp_path / "half"))
    assert len(list(Run.open(tmp_path / "half").lines("metrics.jsonl"))) == 4
    half = resume(tmp_path / "half")
    kept = [json.loads((run.checkpoints()[-1] / MANIFEST).read_text())["files"] for run in (half, whole)]
    assert kept[0] == kept[1]
