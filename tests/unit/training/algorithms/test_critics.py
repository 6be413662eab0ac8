"""MARFT and CoLLM: who decides what, credit by hand, what is learned, and that a run goes on bit by bit."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest
import torch
from toys import ToyTask, network, problems

from neuromas.config import TrainConfig, make_config
from neuromas.core.errors import ConfigError, RunError
from neuromas.core.task import Score
from neuromas.learner import gradient
from neuromas.models.bundle import load_memory
from neuromas.storage import MANIFEST, Run
from neuromas.system import assemble as assembling
from neuromas.system.scoring import WRONG
from neuromas.training.algorithms import actor_critic
from neuromas.training.algorithms.base import Memory
from neuromas.training.algorithms.build import make_algorithm
from neuromas.training.run import resume, start
from neuromas.training.step import sample, train_step
from neuromas.training.trainer import Trainer
from parity import Parity, small
from watched import left_at

NAMES = ("marft", "collm-cc", "collm-dc")


class Says:
    """A critic that says what it is told to, and keeps what it is taught."""

    parameters = 7

    def __init__(self, values):
        self.told, self.taught = values, []

    def values(self, states):
        return torch.tensor(self.told[: len(states)])

    def fit(self, states, targets):
        self.taught = targets.tolist()
        return 0.5


@pytest.fixture
def trainer(tiny_engine):
    """``trainer(algorithm, topology, **train)``; its nodes write 3 tokens, the last 2."""

    def make(algorithm, topology="2-1", share="node", **train):
        engine = tiny_engine(adapters=3, spread=0.0)
        net = network(engine, topology, share, message_tokens=3, answer_tokens=2)
        options = {"problems": 1, "samples": 2, "warmup": 0, **train}
        return Trainer(net, engine.model, TrainConfig(algorithm=algorithm, **options), seed=1)

    return make


def judged(made, task, values):
    """What the algorithm makes of one problem's samples if its critics say ``values``."""
    episodes = sample(made, task, problems(1))
    critics = {number: Says(one) for number, one in values.items()}
    made.algorithm._critic = lambda trainer, number: critics[number]
    return episodes, made.algorithm._judge(made, episodes)


def prompts(episode):
    return [turn.prefix_ids + turn.suffix_ids for turn in episode.turns]


def test_marfts_decisions_and_credit_by_hand(trainer):
    made = trainer("marft", algorithm_options={"gamma": 0.9, "gae_lambda": 0.5}, samples=1, baseline="none")
    episodes, found = judged(made, ToyTask(), {0: [0.2, 0.5, 0.6]})
    assert [one.nodes for one in found.decisions] == [(0,), (1,), (2,)]
    assert [one.prompt for one in found.decisions] == prompts(episodes[0])
    assert [one.reward for one in found.decisions] == [0.0, 0.0, 1.0]
    assert found.advantages == pytest.approx([0.349, 0.22, 0.4])  # as in test_values
    assert found.targets == pytest.approx([0.549, 0.72, 1.0])


def test_marft_pays_what_each_node_earned_where_a_score_says_so(trainer):
    made = trainer("marft", samples=1, baseline="none", length_penalty=0.1)
    task = ToyTask(lambda problem, text: Score(1.0, text, nodes=(0.5, 0.25, 1.0)))
    episodes, found = judged(made, task, {0: [0.0, 0.0, 0.0]})
    lengths = [len(turn.ids) / budget for turn, budget in zip(episodes[0].turns, (3, 3, 2), strict=True)]
    paid = [r - 0.1 * n for r, n in zip((0.5, 0.25, 1.0), lengths, strict=True)]
    assert [one.reward for one in found.decisions] == pytest.approx(paid)


def test_the_central_critic_reads_what_a_layer_reads(trainer):
    made = trainer("collm-cc", samples=1, baseline="none")
    episodes, found = judged(made, ToyTask(), {0: [0.3, 0.8]})
    assert [one.nodes for one in found.decisions] == [(0, 1), (2,)]
    # deltas: 0 + 0.9 * 0.8 - 0.3, and 1 - 0.8; targets r + 0.9 V'
    assert found.advantages == pytest.approx([0.42, 0.2])
    assert found.targets == pytest.approx([0.72, 1.0])
    own, encode = prompts(episodes[0]), made.network.engine.codec.encode
    joint = encode("[Agent 1.1] ") + own[0] + encode("[Agent 1.2] ") + own[1]
    assert [one.prompt for one in found.decisions] == [joint, encode("[Agent 2.1] ") + own[2]]


def test_a_joint_history_is_no_longer_than_the_context(trainer, monkeypatch):
    made = trainer("collm-cc", samples=1, baseline="none")
    episodes = sample(made, ToyTask(), problems(1))
    whole = made.algorithm.paths(made, episodes[0])[0][0].prompt
    monkeypatch.setattr(type(made.network.engine), "context", property(lambda self: 50))
    assert made.algorithm.paths(made, episodes[0])[0][0].prompt == whole[-50:]


def test_every_agent_has_a_critic_of_its_own(trainer):
    made = trainer("collm-dc", samples=1, baseline="none")
    episodes, found = judged(made, ToyTask(), {0: [0.25], 1: [0.5], 2: [0.75]})
    assert [(one.critic, one.nodes) for one in found.decisions] == [(0, (0,)), (1, (1,)), (2, (2,))]
    assert [one.prompt for one in found.decisions] == prompts(episodes[0])
    assert found.advantages == pytest.approx([0.75, 0.5, 0.25])
    assert found.targets == pytest.approx([1.0, 1.0, 1.0])


def test_an_agent_that_acts_in_every_turn(trainer):
    """One adapter for all nodes: two places in the first layer, of which the first goes on in the second."""
    made = trainer("collm-dc", share="all", samples=1, baseline="none")
    _, found = judged(made, ToyTask(), {0: [0.2, 0.6, 0.5]})
    assert [one.nodes for one in found.decisions] == [(0,), (2,), (1,)]
    # deltas: 0.9 * 0.6 - 0.2, 1 - 0.6; the other place ends at once: 1 - 0.5
    assert found.advantages == pytest.approx([0.34, 0.4, 0.5])


def test_one_layer_is_a_learned_baseline(trainer):
    """CC without turns: delta = r - V(x), the same V for all samples of a question."""
    made = trainer("collm-cc", "1", samples=4)
    episodes, found = judged(made, ToyTask(lambda problem, text: sum(text.encode()) % 2), {0: [0.25] * 4})
    assert found.advantages == [episode.score.value - 0.25 for episode in episodes]
    assert len({one.prompt for one in found.decisions}) == 1


@pytest.mark.parametrize("name", NAMES)
def test_episodes_without_a_score_and_unfinished_ones(trainer, name):
    made = trainer(name, samples=4)
    episodes = sample(made, ToyTask(), problems(1))
    episodes[1] = replace(episodes[1], turns=(), score=None, failure="not asked", answered=False)
    episodes[2] = replace(
        episodes[2], turns=episodes[2].turns[:1], score=WRONG, failure="long", answered=False
    )
    found = made.algorithm._judge(made, episodes)
    assert 1 not in found.episodes
    (early,) = [one for one, e in zip(found.decisions, found.episodes, strict=True) if e == 2]
    assert (early.nodes, early.reward) == ((0,), 0.0)
    last = [one.reward for one, e in zip(found.decisions, found.episodes, strict=True) if e == 0]
    assert last[-1] == 1.0


@pytest.mark.parametrize("name", NAMES)
def test_a_step_in_which_nothing_could_be_asked(trainer, name, monkeypatch):
    made = trainer(name)
    nothing = [
        replace(one, turns=(), score=None, failure="not asked", answered=False)
        for one in sample(made, ToyTask(), problems(1))
    ]
    monkeypatch.setattr("neuromas.training.algorithms.actor_critic.sample", lambda *a: nothing)
    report, _ = train_step(made, ToyTask(), problems(1))
    assert report["critic_loss"] is None
    assert report["explained_variance"] is None
    assert json.dumps(report, allow_nan=False)


@pytest.mark.parametrize("name", NAMES)
def test_advantages_are_normalised_over_the_batch_or_every_nodes(trainer, name, monkeypatch):
    seen = []
    real = actor_critic.weigh

    def weigh(made, episodes, table):
        seen.append(table)
        return real(made, episodes, table)

    monkeypatch.setattr(actor_critic, "weigh", weigh)
    made = trainer(name, samples=8, problems=2)
    report, _ = train_step(made, ToyTask(lambda problem, text: sum(text.encode()) % 2), problems(2))
    numbers = torch.tensor(seen[0])
    for own in [numbers] if name == "marft" else list(numbers):
        # of a layer that is not the last, a critic that has learned nothing says nothing
        silent = name == "collm-cc" and own is not numbers[-1] and not bool(own.any())
        assert float(own.mean()) == pytest.approx(0.0, abs=1e-6)
        assert silent or float(own.std(correction=0)) == pytest.approx(1.0, abs=1e-5)
    assert report["critic_parameters"] == sum(c.parameters for c in made.algorithm._critics.values())
    assert report["critic_tokens"] > 0
    assert made.step == 1


@pytest.mark.parametrize("name", NAMES)
def test_the_actors_learn(trainer, name):
    """The toy of test_learning: reward 1 if the answer starts with n-z or N-Z, by chance one in six."""
    made = trainer(name, "1-1", steps=20, problems=2, samples=16, lr=0.03)
    task = ToyTask(lambda problem, text: float(text[:1].lower() >= "n" and text[:1].isascii()))
    reports = [train_step(made, task, problems(2))[0] for _ in range(20)]
    rewards = [report["reward"] for report in reports]
    assert sum(rewards[:3]) / 3 < 0.35
    assert sum(rewards[-5:]) / 5 > 0.5


@pytest.mark.parametrize("name", ["marft", "collm-cc", "collm-dc"])
def test_one_sample_is_no_silent_group(trainer, name):
    """Messages are not compared with other samples, so the alarm of silence has nothing to hear."""
    made = trainer(name, "1-1", problems=2, samples=1, baseline="none", lr=0.01)
    report, _ = train_step(made, ToyTask(lambda problem, text: 1.0), problems(2))
    assert report["silent_groups"] == 0.0


def test_the_critic_knows_which_questions_are_easy(trainer):
    """Half of the questions always pay: the critic comes to expect it, so actors have nothing to learn."""
    made = trainer("collm-cc", "1", problems=8, samples=2, lr=1e-6, algorithm_options={"critic_lr": 0.02})
    easy = {f"p{i}" for i in random.Random(0).sample(range(8), 4)}
    task = ToyTask(lambda problem, text: float(problem.id in easy))
    reports = [train_step(made, task, problems(8))[0] for _ in range(60)]
    assert reports[0]["explained_variance"] == pytest.approx(0.0, abs=1e-6)
    assert reports[-1]["explained_variance"] > 0.9
    assert reports[0]["critic_value"] == 0.0
    assert reports[-1]["critic_value"] == pytest.approx(0.5, abs=0.1)


def test_further_passes_clip_the_ratio_that_was_asked_for(trainer, monkeypatch):
    asked = []
    real = gradient.policy_loss

    def spy(*args, **named):
        asked.append((named["before"] is not None, named["whole"]))
        return real(*args, **named)

    monkeypatch.setattr(gradient, "policy_loss", spy)
    task = ToyTask(lambda problem, text: sum(text.encode()) % 2)
    for ratio, whole in (("message", True), ("token", False)):
        asked.clear()
        made = trainer("marft", samples=8, passes=2, algorithm_options={"ratio": ratio})
        train_step(made, task, problems(1))
        assert set(asked) == {(False, False), (True, whole)}


@pytest.fixture
def parity(monkeypatch):
    monkeypatch.setattr(assembling, "make_task", lambda name, options: Parity())


@pytest.mark.parametrize("name", NAMES)
def test_a_run_goes_on_bit_by_bit(parity, tmp_path, name):
    config = make_config(small(train={"algorithm": name}))
    whole = start(config, tmp_path / "whole", left_at(4, tmp_path / "whole", tmp_path / "half"))
    assert len(list(Run.open(tmp_path / "half").lines("metrics.jsonl"))) == 5
    resumed = resume(tmp_path / "half")

    def hashes(run):
        return json.loads((run.checkpoints()[-1] / MANIFEST).read_text())["files"]

    assert hashes(resumed) == hashes(whole)
    assert any(tensor.any() for n, tensor in load_memory(whole.checkpoints()[-1]).items() if "exp_avg" in n)
    keys = ("reward", "loss", "critic_loss", "critic_value", "explained_variance", "critic_tokens")
    lines = [[[row[k] for k in keys] for row in run.lines("metrics.jsonl")] for run in (resumed, whole)]
    assert lines[0] == lines[1]
    resume(resumed.path, overrides=["train.steps=8"])  # a finished run's critic is still there


def test_a_critic_that_is_lost_or_damaged(parity, tmp_path):
    run = start(make_config(small(train={"algorithm": "marft"})), tmp_path / "run")
    folder = Run.open(run.path).checkpoints()[-1]
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["state"]["algorithm"]["critics"] = [0, 1]
    (folder / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(RunError, match=r"no state of algorithm 'marft': .*net"):
        resume(run.path, overrides=["train.steps=8"])


def test_what_is_no_state_of_a_critic(trainer):
    made = trainer("marft")
    for memory in (Memory(), Memory({}, {"critics": [0]}), Memory({}, {"critics": ["x"]})):
        with pytest.raises((KeyError, ValueError)):
            made.algorithm.load(memory)


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("marft", {"gamma": 1.5}, "gamma = 1.5 is not from 0 to 1"),
        ("marft", {"gae_lambda": -1}, "gae_lambda = -1 is not from 0 to 1"),
        ("marft", {"ratio": "word"}, "ratio = 'word' is not 'message' or 'token'"),
        ("marft", {"huber": -1.0}, "huber = -1.0 is not 0"),
        ("marft", {"value_clip": -1.0}, "value_clip = -1.0 is not 0"),
        ("collm-cc", {"critic_lr": 0}, "critic_lr = 0 is not above 0"),
        ("collm-dc", {"critic_passes": 0}, "critic_passes = 0 is not a whole number from 1"),
        ("collm-dc", {"gae_lambda": 0.5}, "unknown option of 'collm-dc' 'gae_lambda'"),
        ("marft", {"gamma": "high"}, "train.algorithm = 'marft'"),
    ],
)
def test_options_out_of_range_are_one_line(name, options, says):
    with pytest.raises(ConfigError) as caught:
        make_algorithm(make_config({"train": {"algorithm": name, "algorithm_options": options}}).train)
    assert says in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("name", ["marft", "collm-dc"])
def test_a_growing_run_keeps_its_critics(parity, tmp_path, name):
    growth = {"stages": [["1", 2], ["2-1", 4]], "init": "zero"}
    config = make_config(small(train={"algorithm": name}, growth=growth, network={"topology": "1"}))
    whole = start(config, tmp_path / "whole", left_at(4, tmp_path / "whole", tmp_path / "half"))
    assert len(list(Run.open(tmp_path / "half").lines("metrics.jsonl"))) == 5
    resumed = resume(tmp_path / "half")
    kept = [load_memory(run.checkpoints()[-1]) for run in (whole, resumed)]
    assert kept[0].keys() == kept[1].keys()
    assert all(torch.equal(tensor, kept[1][key]) for key, tensor in kept[0].items())
    critics = {key.split(".")[1] for key in kept[0]}
    assert len(critics) == (3 if name == "collm-dc" else 1)
    (row,) = [row["critic_parameters"] for row in whole.lines("metrics.jsonl") if row["step"] == 1]
    last = [row["critic_parameters"] for row in whole.lines("metrics.jsonl")][-1]
    assert last == row * (3 if name == "collm-dc" else 1)


def test_one_sample_of_a_problem_is_enough(trainer):
    made = trainer("marft", samples=1, baseline="none", problems=8)
    task = ToyTask(lambda problem, text: sum(text.encode()) % 2)
    report, _ = train_step(made, task, problems(8))
    assert report["learned_messages"] > 0
    assert any(report["gradient_norm"])
