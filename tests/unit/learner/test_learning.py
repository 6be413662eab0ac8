"""The training step against gradients worked out with plain forwards, and its promises one by one."""

from __future__ import annotations

import math
import zlib
from dataclasses import replace

import pytest
import torch
from chains import Recorder
from reference import Watch, twins
from toys import ToyTask, network, problems

from neuromas.config import TrainConfig
from neuromas.core.errors import DivergedError, StaleSampleError
from neuromas.core.parts import ESTIMATORS
from neuromas.core.task import Score
from neuromas.learning.losses import Weights, clip_factor, gradient_norm, policy_loss
from neuromas.models.resident import ResidentModel
from neuromas.system.rollout import Sampling, rollout
from neuromas.system.scoring import WRONG
from neuromas.training.credit import credit
from neuromas.training.step import learn, train_step
from neuromas.training.trainer import Trainer

PROBLEMS, SAMPLES = 3, 4
START = {}


def judged(problem, text):
    """A reward from {0, 1/3, 2/3, 1} that looks random; one text in five cannot be scored, which is wrong."""
    digest = zlib.crc32(f"{problem.id}{text}".encode())
    if digest % 5 == 0:
        raise ValueError("unscorable")
    return digest // 5 % 4 / 3


def unfinished(episodes):
    """The same with one episode that was not asked, and one that overflowed before its output spoke."""
    lost = list(episodes)
    lost[1] = replace(lost[1], turns=(), score=None, failure="not asked", answered=False)
    if len(lost[6].turns) > 1:
        turns = lost[6].turns[:-1]
        lost[6] = replace(lost[6], turns=turns, score=WRONG, failure="overflowed", answered=False)
    return lost


def fresh(spread=0.3):
    """Twins as new: one pair is built and put back to its start for every test."""
    if "pair" not in START:
        pair = START["pair"] = twins(adapters=3)
        START["vectors"] = [p.detach().clone() for p in pair.model.bank.parameters]
    pair = START["pair"]
    with torch.no_grad():
        for parameter, vector in zip(pair.model.bank.parameters, START["vectors"], strict=True):
            parameter.copy_(vector)
            parameter.grad = None
        if not spread:
            for row in range(3):
                for _, _, up in pair.model.bank.factors(row):
                    up.zero_()
    pair.model.bank.versions = [0, 0, 0]
    return pair


def trainer_of(pair, topology="2-1", share="node", **options):
    """A trainer whose optimisers record; no limits, no warm-up, learning rate 1 unless asked for."""
    free = {"lr": 1.0, "warmup": 0, "clip": 0.0, "max_kl": 0.0}
    settings = {**free, "problems": PROBLEMS, "samples": SAMPLES, **options}
    net = network(pair.engine, topology, share, message_tokens=6, answer_tokens=5)
    trainer = Trainer(net, pair.model, TrainConfig(**settings), seed=3)
    trainer.learner.optimisers = [Recorder(parameter) for parameter in pair.model.bank.parameters]
    return trainer


def spoken(trainer, judge=judged, temperature=1.0):
    """Episodes of one rollout under the trainer's settings."""
    sampling = Sampling(temperature, seed=11)
    return rollout(trainer.network, ToyTask(judge), problems(PROBLEMS), trainer.settings.samples, sampling)


def by_hand(kind, values, ema, everyone=()):
    """Advantages of a flat list of rewards (None: failed), groups of SAMPLES; written out in loops.

    ``everyone`` has the lists of all nodes.
    """
    known = [v for v in values if v is not None]
    out = []
    for place, value in enumerate(values):
        start = place // SAMPLES * SAMPLES
        compared = everyone if kind == "grpo_global" else [values]
        group = [v for one in compared for v in one[start : start + SAMPLES] if v is not None]
        if value is None:
            out.append(None)
        elif kind == "none":
            out.append(value)
        elif kind == "ema":
            out.append(value - ema)
        elif kind == "batch_mean":
            out.append(value - sum(known) / len(known))
        elif len(group) < 2 or max(group) == min(group):
            out.append(0.0)
        elif kind == "rloo":
            out.append(value - (sum(group) - value) / (len(group) - 1))
        else:
            mean = sum(group) / len(group)
            deviation = math.sqrt(sum((v - mean) ** 2 for v in group) / (len(group) - 1))
            out.append((value - mean) / (deviation + 1e-4))
    return out


def plain_gradients(pair, trainer, episodes, credit_of, token_terms=None):
    """-(1 / (E T)) sum_e A sum_t d log pi by one plain forward for each message.

    ``credit_of(node, episode index)`` is an advantage or None; ``token_terms`` may add to the gain.
    """
    vectors = [pair.vector(row) for row in range(3)]
    count = sum(1 for episode in episodes if episode.score is not None)
    for node, adapter in enumerate(trainer.network.assignment):
        for place, episode in enumerate(episodes):
            advantage = credit_of(node, place)
            if advantage is None or len(episode.turns) <= node:
                continue
            turn = episode.turns[node]
            tokens = trainer.network.budget(node)
            if trainer.settings.normalise == "message":
                tokens = len(turn.ids)
            prompt = turn.prefix_ids + turn.suffix_ids
            own = pair.logprobs(vectors[adapter], prompt, turn.ids, turn.temperature)
            gain = advantage * own.sum()
            if token_terms is not None:
                gain = gain + token_terms(vectors[adapter], prompt, turn)
            (-gain / (count * tokens)).backward()
    return [torch.zeros_like(v) if v.grad is None else v.grad for v in vectors]


def gradients(trainer):
    """What each optimiser was given last; zeros for one that was not stepped."""
    return [
        o.seen[-1] if o.seen else torch.zeros_like(o.param_groups[0]["params"][0])
        for o in trainer.learner.optimisers
    ]


def equal(found, expected, tolerance=3e-5):
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=tolerance * float(b.abs().max()) + 1e-9)


def rewards_of(episodes):
    return [None if episode.score is None else episode.score.value for episode in episodes]


def assert_hand_computed(pair, trainer):
    """One step of learning, gradient and update, against the formula."""
    settings = trainer.settings
    episodes = unfinished(spoken(trainer, temperature=settings.temperature))
    values = rewards_of(episodes)
    assert None in values
    assert len(set(values)) > 2
    ema = dict(trainer.estimator_state)
    before = [pair.vector(row).detach() for row in range(3)]

    def paid(node):
        budget = trainer.network.budget(node)
        return [
            None
            if value is None or len(e.turns) <= node  # it had no part in what failed before it
            else value - settings.length_penalty * len(e.turns[node].ids) / budget
            for value, e in zip(values, episodes, strict=True)
        ]

    def credit_of(node, place):
        everyone = [paid(other) for other in range(len(trainer.network.assignment))]
        return by_hand(settings.baseline, paid(node), ema.get(node), everyone)[place]

    expected = plain_gradients(pair, trainer, episodes, credit_of)
    report = learn(trainer, *credit(trainer, episodes))
    equal(gradients(trainer), expected)
    norms = [float(torch.linalg.vector_norm(g)) for g in expected]
    assert report["gradient_norm"] == pytest.approx(norms, rel=1e-3, abs=1e-6)
    for row, (start, gradient) in enumerate(zip(before, expected, strict=True)):
        after = pair.model.bank.parameters[row].detach()
        torch.testing.assert_close(
            after, start - gradient, rtol=1e-4, atol=1e-4 * float(gradient.abs().max())
        )
    return report


@pytest.mark.parametrize("kind", ESTIMATORS.builtin)
def test_the_gradient_of_every_baseline(kind):
    pair = fresh()
    trainer = trainer_of(pair, baseline=kind)
    trainer.estimator_state = {0: 0.25, 1: 0.5, 2: 0.75} if kind == "ema" else {}
    report = assert_hand_computed(pair, trainer)
    assert min(report["gradient_norm"]) > 1e-3
    assert pair.model.bank.versions == [1, 1, 1]
    assert report["sampler_drift"] < 1e-4


@pytest.mark.parametrize(
    "options",
    [
        {"normalise": "message"},
        {"length_penalty": 0.5},
        {"length_penalty": 0.5, "baseline": "none"},
        {"length_penalty": 0.5, "baseline": "grpo_global"},
        {"topology": "1-1-1"},
        {"topology": "1"},
        {"topology": "2-1", "share": "layer"},
        {"topology": "1-1-1", "share": "all"},
    ],
)
def test_the_gradient_under_every_option(options):
    assert_hand_computed(pair := fresh(), trainer_of(pair, **options))


def test_the_gradient_at_another_temperature():
    pair = fresh()
    assert_hand_computed(pair, trainer_of(pair, temperature=0.7))


def test_the_gradient_in_many_microbatches():
    pair = fresh()
    trainer = trainer_of(pair)
    trainer.learner.model = ResidentModel(replace(pair.model.backbone, tokens=200), pair.model.bank)
    with Watch(pair.model) as watch:
        assert_hand_computed(pair, trainer)
    assert len(watch.shapes) > 10


def gain_of(pair, settings):
    """Entropy bonus and KL price of a message's tokens, from full distributions of plain forwards."""

    def terms(vector, prompt, turn):
        every = pair.distributions(vector, prompt, turn.ids, turn.temperature)
        base = pair.distributions(None, prompt, turn.ids, turn.temperature).detach()
        entropy = -(every.exp() * every).sum()
        divergence = (every.exp() * (every - base)).sum()
        return settings.entropy * entropy - settings.kl * divergence

    return terms


@pytest.mark.parametrize("extra", [{"entropy": 0.3}, {"kl": 0.2}, {"entropy": 0.1, "kl": 0.4}])
def test_the_gradient_with_entropy_and_divergence(extra):
    pair = fresh()
    trainer = trainer_of(pair, **extra)
    episodes = unfinished(spoken(trainer))
    values = rewards_of(episodes)
    spoke = [
        [v if len(e.turns) > node else None for v, e in zip(values, episodes, strict=True)]
        for node in range(3)
    ]
    advantages = [by_hand("rloo", own, None) for own in spoke]
    expected = plain_gradients(
        pair, trainer, episodes, lambda node, place: advantages[node][place], gain_of(pair, trainer.settings)
    )
    learn(trainer, *credit(trainer, episodes))
    equal(gradients(trainer), expected)


def test_every_sampled_token_counts_and_no_other():
    """The gradient matches the sampled tokens, end token included, and nothing like them."""
    pair = fresh()
    trainer = trainer_of(pair, baseline="none")
    episodes = spoken(trainer, lambda problem, text: 1.0)
    ended = sum(turn.ended for episode in episodes for turn in episode.turns)
    assert 0 < ended < 3 * len(episodes)

    def variant(change):
        """The same formula over other tokens: ``change(turn)`` gives prompt and ids."""
        changed = []
        for episode in episodes:
            turns = []
            for turn in episode.turns:
                prompt, ids = change(turn)
                turns.append(replace(turn, prefix_ids=prompt, suffix_ids=(), ids=ids))
            changed.append(replace(episode, turns=tuple(turns)))
        return plain_gradients(pair, trainer, changed, lambda node, place: 1.0)

    def whole(turn):
        return turn.prefix_ids + turn.suffix_ids

    exact = variant(lambda turn: (whole(turn), turn.ids))
    others = [
        variant(lambda t: (whole(t), t.ids[:-1] if t.ended and t.ids[1:] else t.ids)),  # without the end
        variant(lambda t: (whole(t)[:-1], whole(t)[-1:] + t.ids)),  # with the last token of the prompt
        variant(lambda t: (t.prefix_ids, t.suffix_ids + t.ids)),  # with the messages read
    ]
    learn(trainer, *credit(trainer, episodes))
    found = gradients(trainer)
    equal(found, exact)
    for other in others:
        assert float((found[2] - other[2]).abs().max()) > 0.02 * float(found[2].abs().max())


def test_episodes_that_were_not_asked_take_no_part():
    pair = fresh()
    trainer = trainer_of(pair)
    episodes = spoken(trainer)
    episodes[0] = replace(episodes[0], score=None, failure="not asked")
    messages, weights = credit(trainer, episodes)
    used = {id(turn) for _, turn in messages}
    assert not used & {id(turn) for turn in episodes[0].turns}
    unscorable = [one for one in episodes if one.failure == "scorer: ValueError: unscorable"]
    assert unscorable
    assert {one.score for one in unscorable} == {WRONG}
    assert used & {id(turn) for one in unscorable for turn in one.turns}, "what they wrote is wrong"
    scored = len(episodes) - 1
    scale = {1 / (scored * 6), 1 / (scored * 5)}
    assert {round(s, 6) for s in weights.scale.tolist()} == {round(s, 6) for s in scale}


def test_a_step_of_failures_changes_nothing():
    pair = fresh()
    trainer = trainer_of(pair)

    def broken(problem, text):
        raise ValueError("always")

    report, episodes = train_step(trainer, ToyTask(broken), problems(PROBLEMS))
    assert all(episode.failure == "scorer: ValueError: always" for episode in episodes)
    assert (report["reward"], report["parse_failures"], report["failed_episodes"]) == (0.0, 1.0, 12)
    assert report["learned_messages"] == report["learned_tokens"] == report["forwarded_tokens"] == 0
    assert pair.model.bank.versions == [0, 0, 0]
    assert trainer.step == 1


def by_problem(problem, text):
    """Rewards that agree within p0 and p2 and differ within p1."""
    return zlib.crc32(text.encode()) % 3 / 2 if problem.id == "p1" else float(problem.id == "p0")


@pytest.mark.parametrize("kind", ["rloo", "grpo"])
def test_zero_variance_groups_cost_nothing_and_change_nothing(kind):
    pair = fresh()
    trainer = trainer_of(pair, baseline=kind)
    episodes = spoken(trainer, by_problem)
    messages, weights = credit(trainer, episodes)
    assert {turn for _, turn in messages} <= {turn for e in episodes[4:8] for turn in e.turns}
    assert len(messages) == 12
    without = learn(trainer, messages, weights)
    found = gradients(trainer)
    pair = fresh()
    # a divergence too small to count keeps all messages in
    full = trainer_of(pair, baseline=kind, kl=1e-30)
    every, all_weights = credit(full, episodes)
    assert len(every) == 36
    full = trainer_of(pair, baseline=kind)
    report = learn(full, every, all_weights)
    assert without["forwarded_tokens"] < report["forwarded_tokens"] / 2
    equal(gradients(full), found, 1e-5)


def test_a_step_without_signal_forwards_nothing():
    pair = fresh()
    trainer = trainer_of(pair)
    before = [pair.vector(row) for row in range(3)]
    report, _ = train_step(trainer, ToyTask(lambda problem, text: 0.5), problems(PROBLEMS))
    assert (report["silent_groups"], report["learned_messages"], report["forwarded_tokens"]) == (1.0, 0, 0)
    assert (report["gradient_norm"], report["entropy"], report["loss"]) == ([0.0] * 3, None, 0.0)
    assert pair.model.bank.versions == [0, 0, 0]
    assert all(torch.equal(a, b) for a, b in zip(before, pair.model.bank.parameters, strict=True))


def test_stale_samples_are_refused():
    pair = fresh()
    trainer = trainer_of(pair)
    episodes = spoken(trainer)
    messages, weights = credit(trainer, episodes)
    before = [pair.vector(row) for row in range(3)]
    pair.model.bank.versions[1] = 1
    with pytest.raises(StaleSampleError, match=r"adapter 1 was drawn at version 0, .* at version 1"):
        learn(trainer, messages, weights)
    pair.model.bank.versions[1] = 0
    trainer.settings = trainer.settings.model_copy(update={"temperature": 0.9})
    with pytest.raises(StaleSampleError, match=r"temperature 1\.0"):
        learn(trainer, messages, weights)
    trainer.settings = trainer.settings.model_copy(update={"temperature": 1.0})
    assert all(torch.equal(a, b) for a, b in zip(before, pair.model.bank.parameters, strict=True))
    learn(trainer, messages, weights)
    with pytest.raises(StaleSampleError):  # the same samples cannot be used twice
        learn(trainer, messages, weights)


def only(messages, weights, keep):
    """The messages that ``keep`` accepts, with the weights they had."""
    chosen = [pair for pair in messages if keep(pair[1])]
    place = [message.key for message, _ in chosen]
    renamed = [(replace(message, key=i), turn) for i, (message, turn) in enumerate(chosen)]
    return renamed, Weights(weights.advantage[place], weights.scale[place])


@pytest.mark.parametrize("node", [0, 1, 2])
def test_messages_of_one_node_change_its_adapter_alone(node):
    pair = fresh()
    trainer = Trainer(trainer_of(pair).network, pair.model, TrainConfig(samples=SAMPLES), seed=3)  # AdamW
    messages, weights = credit(trainer, spoken(trainer))
    before = [pair.vector(row) for row in range(3)]
    learn(trainer, *only(messages, weights, lambda turn: turn.node == node))
    same = [torch.equal(a, b) for a, b in zip(before, pair.model.bank.parameters, strict=True)]
    assert same == [row != node for row in range(3)]
    assert pair.model.bank.versions == [int(row == node) for row in range(3)]


def test_a_nodes_gradient_does_not_depend_on_what_others_are_credited():
    pair = fresh()
    trainer = trainer_of(pair)
    messages, weights = credit(trainer, spoken(trainer))
    own = torch.tensor([turn.node == 1 for _, turn in messages])
    found = []
    for factor in (1.0, -7.0):
        pair = fresh()
        trainer = trainer_of(pair)
        advantage = torch.where(own, weights.advantage, factor * weights.advantage)
        learn(trainer, messages, Weights(advantage, weights.scale))
        found.append(gradients(trainer))
    equal(found[1][1:2], found[0][1:2], 1e-6)
    for row in (0, 2):
        equal([found[1][row]], [-7 * found[0][row]], 1e-5)


@pytest.mark.parametrize(
    ("topology", "share", "moved"),
    [
        ("2-1", "node", [True, True, True]),
        ("2-1", "layer", [True, True, False]),
        ("1-1-1", "layer", [True, True, True]),
        ("2-2-1", "all", [True, False, False]),
    ],
)
def test_a_full_step_moves_every_adapter_that_should_move(topology, share, moved):
    pair = fresh()
    net = network(pair.engine, topology, share, message_tokens=6, answer_tokens=5)
    trainer = Trainer(net, pair.model, TrainConfig(samples=SAMPLES, lr=1e-2), seed=3)
    before = [pair.vector(row).detach() for row in range(3)]
    train_step(trainer, ToyTask(judged), problems(PROBLEMS))
    after = pair.model.bank.parameters
    assert [not torch.equal(a, b) for a, b in zip(before, after, strict=True)] == moved
    assert pair.model.bank.versions == [int(m) for m in moved]
    for row, which in enumerate(moved):
        if which:  # every factor of every layer takes part
            sizes = pair.model.bank.sizes(pair.model.bank.spec.rank)
            pieces = torch.split((after[row].detach() - before[row]), sizes)
            assert all(float(piece.abs().max()) > 1e-5 for piece in pieces)
    assert all(parameter.grad is None for parameter in after)


def test_the_gradient_is_clipped_node_by_node():
    pair = fresh()
    trainer = trainer_of(pair)
    episodes = spoken(trainer)
    report = learn(trainer, *credit(trainer, episodes))
    free, norms = gradients(trainer), report["gradient_norm"]
    limit = sorted(norms)[1]  # one node is above, one at, one below the limit
    pair = fresh()
    trainer = trainer_of(pair, clip=limit * 0.999)
    report = learn(trainer, *credit(trainer, episodes))
    assert report["gradient_norm"] == pytest.approx(norms, rel=1e-4)  # reported before clipping
    for gradient, clipped, norm in zip(free, gradients(trainer), norms, strict=True):
        factor = min(1.0, limit * 0.999 / norm)
        torch.testing.assert_close(clipped, gradient * factor, rtol=1e-3, atol=1e-6)
        assert float(torch.linalg.vector_norm(clipped)) <= limit * 1.0001


def test_a_gradient_that_is_no_number_is_not_applied():
    pair = fresh()
    trainer = trainer_of(pair)
    messages, weights = credit(trainer, spoken(trainer))
    before = [pair.vector(row) for row in range(3)]
    bad = torch.tensor([math.inf if turn.node == 0 else 1.0 for _, turn in messages])
    with pytest.raises(DivergedError, match=r"diverged at step 0: the gradient of adapter 0 .* train.lr = 1"):
        learn(trainer, messages, Weights(weights.advantage * bad, weights.scale))
    after = pair.model.bank.parameters
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True)), "no adapter was stepped"
    assert pair.model.bank.versions == [0, 0, 0]


def test_divergence_is_nothing_where_the_adapters_are_nothing():
    pair = fresh(spread=0.0)
    trainer = trainer_of(pair, kl=1.0)
    report, _ = train_step(trainer, ToyTask(lambda problem, text: 1.0), problems(PROBLEMS))
    assert report["learned_messages"] == 36
    assert report["loss"] == pytest.approx(0.0, abs=1e-6)
    assert max(report["gradient_norm"]) < 1e-6


def steps_of(pair, count, **options):
    """Reports of some steps with the real optimisers, all rewards equal."""
    settings = TrainConfig(samples=SAMPLES, lr=0.02, warmup=0, **options)
    trainer = Trainer(trainer_of(pair).network, pair.model, settings, seed=3)
    task = ToyTask(lambda problem, text: 1.0)
    return [train_step(trainer, task, problems(PROBLEMS))[0] for _ in range(count)]


def test_divergence_pulls_back_to_the_backbone():
    losses = [report["loss"] for report in steps_of(fresh(), 12, kl=1.0)]
    assert losses[0] > 0.1
    assert losses[-1] < losses[0] / 2


def test_an_entropy_bonus_raises_the_entropy():
    entropies = [report["entropy"] for report in steps_of(fresh(), 12, entropy=1.0)]
    assert entropies[-1] > entropies[0] + 0.3
    assert entropies[-1] <= math.log(257)


def test_a_length_penalty_is_paid_by_the_writer_alone():
    pair = fresh()
    episodes = spoken(trainer_of(pair), lambda problem, text: 0.5)
    # only node 0's messages differ in length
    levelled = []
    for place, episode in enumerate(episodes):
        turns = [replace(turn, ids=turn.ids[:1] * 2) for turn in episode.turns]
        turns[0] = replace(turns[0], ids=turns[0].ids[:1] * (1 + place % SAMPLES))
        levelled.append(replace(episode, turns=tuple(turns)))
    messages, weights = credit(trainer_of(pair, length_penalty=0.6), levelled)
    assert {turn.node for _, turn in messages} == {0}
    # rewards 0.5 - 0.6 * n / 6 for n = 1..4 tokens: n = 1 against the mean of n = 2, 3, 4 is +0.2
    expected = [0.2, 0.2 / 3, -0.2 / 3, -0.2] * PROBLEMS
    assert weights.advantage.tolist() == pytest.approx(expected, abs=1e-6)
    assert credit(trainer_of(pair), levelled)[0] == []


def test_the_running_mean_of_each_node():
    pair = fresh()
    trainer = trainer_of(pair, baseline="ema", ema_decay=0.75, length_penalty=0.6)
    episodes = spoken(trainer)
    _, first = credit(trainer, episodes)
    rewards = [e.score.value for e in episodes if e.score is not None]

    def mean(node):
        prices = [0.6 * len(e.turns[node].ids) / (6, 6, 5)[node] for e in episodes if e.score is not None]
        return sum(r - p for r, p in zip(rewards, prices, strict=True)) / len(rewards)

    assert trainer.estimator_state == pytest.approx({node: mean(node) for node in range(3)})
    trainer.estimator_state = dict.fromkeys(range(3), 2.0)
    _, second = credit(trainer, episodes)
    assert trainer.estimator_state == pytest.approx({node: 0.75 * 2 + 0.25 * mean(node) for node in range(3)})
    # what was subtracted is the mean before this batch
    shift = (first.advantage - second.advantage).view(3, -1)
    expected = torch.tensor([2.0 - mean(node) for node in range(3)])
    torch.testing.assert_close(shift, expected[:, None].expand_as(shift), rtol=1e-4, atol=1e-5)


def test_temperature_and_warm_up():
    pair = fresh()
    trainer = trainer_of(pair, temperature=2.0, final_temperature=1.0, steps=5, warmup=4, lr=0.08)
    seen, rates = [], []
    for _ in range(6):
        report, episodes = train_step(trainer, ToyTask(judged), problems(PROBLEMS))
        seen.append(report["temperature"])
        assert {turn.temperature for e in episodes for turn in e.turns} == {report["temperature"]}
        rates.append(trainer.learner.optimisers[2].param_groups[0]["lr"])
    assert seen == pytest.approx([2.0, 1.75, 1.5, 1.25, 1.0, 1.0])
    assert rates == pytest.approx([0.02, 0.04, 0.06, 0.08, 0.08, 0.08])
    assert trainer_of(pair, temperature=1.5).temperature() == 1.5


def test_what_is_reported():
    pair = fresh()
    trainer = trainer_of(pair)
    report, episodes = train_step(trainer, ToyTask(judged), problems(PROBLEMS))
    values = [v for v in rewards_of(episodes) if v is not None]
    assert report["step"] == 0
    assert report["reward"] == pytest.approx(sum(values) / len(values))
    assert report["failed_episodes"] == sum(episode.failure is not None for episode in episodes) > 0
    turns = [[e.turns[node] for e in episodes] for node in range(3)]
    assert report["message_tokens"] == pytest.approx([sum(len(t.ids) for t in ts) / 12 for ts in turns])
    assert report["truncated"] == pytest.approx([sum(not t.ended for t in ts) / 12 for ts in turns])
    assert report["cut_inputs"] == [0, 0, 0]
    assert report["calls"] == 36
    assert report["new_tokens"] == sum(len(t.ids) for ts in turns for t in ts)
    assert report["prompt_tokens"] == sum(len(t.prefix_ids + t.suffix_ids) for ts in turns for t in ts)
    assert report["sampler_drift"] < 1e-4
    assert set(report["seconds"]) == {"rollout", "learn"}
    parts = [turn for e in episodes if e.score is not None for turn in e.turns]
    assert report["learned_tokens"] <= sum(len(turn.ids) for turn in parts)


def test_the_reported_entropy_is_the_mean_over_tokens():
    pair = fresh()
    trainer = trainer_of(pair, baseline="none")
    episodes = spoken(trainer, lambda problem, text: 1.0)
    totals, counts = [0.0, 0.0, 0.0], [0, 0, 0]
    for episode in episodes:
        for turn in episode.turns:
            prompt = turn.prefix_ids + turn.suffix_ids
            every = pair.distributions(pair.vector(turn.adapter).detach(), prompt, turn.ids)
            totals[turn.node] += float(-(every.exp() * every).sum())
            counts[turn.node] += len(turn.ids)
    messages, weights = credit(trainer, episodes)
    report = learn(trainer, messages, weights)
    assert report["entropy"] == pytest.approx(sum(totals) / sum(counts), rel=1e-4)
    assert report["node_entropy"] == pytest.approx(
        [t / c for t, c in zip(totals, counts, strict=True)], rel=1e-4
    )
    assert report["learned_tokens"] == sum(counts)
    trainer.learner.lr_scale = {1: 0.0}  # a frozen node learns from nothing
    report = learn(trainer, *credit(trainer, spoken(trainer, lambda problem, text: 1.0)))
    assert [value is None for value in report["node_entropy"]] == [False, True, False]


def test_steps_repeat_bit_by_bit():
    def run():
        pair = fresh()
        trainer = Trainer(trainer_of(pair).network, pair.model, TrainConfig(samples=SAMPLES), seed=5)
        reports = [train_step(trainer, ToyTask(judged), problems(PROBLEMS))[0] for _ in range(3)]
        return [r["loss"] for r in reports], [pair.vector(row).detach() for row in range(3)]

    first, second = run(), run()
    assert first[0] == second[0]
    assert all(torch.equal(a, b) for a, b in zip(first[1], second[1], strict=True))
    assert len(set(first[0])) == 3


def test_the_loss_formula():
    logprobs, keys = torch.tensor([-1.0, -2.0, -3.0]), torch.tensor([1, 0, 1])
    weights = Weights(torch.tensor([2.0, -1.0]), torch.tensor([0.5, 0.25]))
    # -(0.25 * -1 * -1 + 0.5 * 2 * -2 + 0.25 * -1 * -3)
    assert float(policy_loss(logprobs, keys, weights)) == pytest.approx(1.0)
    ones = torch.ones(3)
    assert float(policy_loss(logprobs, keys, weights, entropy=(0.1, ones))) == pytest.approx(0.9)
    assert float(policy_loss(logprobs, keys, weights, divergences=[(0.1, ones)])) == pytest.approx(1.1)


def test_clipping_and_norms():
    assert [clip_factor(4.0, 2.0), clip_factor(1.0, 2.0), clip_factor(4.0, 0.0)] == [0.5, 1.0, 1.0]
    assert gradient_norm(torch.tensor([3.0, 4.0])) == 5.0
    assert gradient_norm(None) == 0.0


@pytest.mark.parametrize("topology", ["1", "2-1"])
def test_learning_is_seen(topology):
    """Reward 1 if the answer starts with n-z or N-Z, by chance one in six; 32 answers a step."""
    pair = fresh(spread=0.0)
    net = network(pair.engine, topology, message_tokens=3, answer_tokens=2)
    settings = TrainConfig(steps=30, problems=2, samples=16, lr=0.03, warmup=0)
    trainer = Trainer(net, pair.model, settings, seed=1)
    task = ToyTask(lambda problem, text: float(text[:1].lower() >= "n" and text[:1].isascii()))
    rewards = [train_step(trainer, task, problems(2))[0]["reward"] for _ in range(30)]
    # the standard error of a mean of ten steps is below 0.03
    assert sum(rewards[:3]) / 3 < 0.35
    assert sum(rewards[-10:]) / 10 > 0.5


# -- rewards of single nodes


def with_nodes(episodes, own):
    """The same episodes; ``own(place, value)`` gives each its nodes' rewards."""
    return [
        episode
        if episode.score is None
        else replace(episode, score=replace(episode.score, nodes=own(place, episode.score.value)))
        for place, episode in enumerate(episodes)
    ]


def test_equal_rewards_of_all_nodes_are_the_shared_one():
    trainer = trainer_of(fresh(), length_penalty=0.5)
    episodes = unfinished(spoken(trainer))
    shared, weights = credit(trainer, episodes)
    told = credit(trainer, with_nodes(episodes, lambda place, value: (value,) * 3))
    assert [message for message, _ in told[0]] == [message for message, _ in shared]
    assert torch.equal(told[1].advantage, weights.advantage)


def test_each_node_learns_from_its_own_reward():
    trainer = trainer_of(fresh())
    episodes = with_nodes(
        spoken(trainer, lambda problem, text: 0.5),
        lambda place, value: (0.5, float(place % SAMPLES == 0), value),
    )
    messages, weights = credit(trainer, episodes)
    assert {turn.node for _, turn in messages} == {1}, "the others' rewards agree"
    assert weights.advantage.tolist() == pytest.approx([1.0, -1 / 3, -1 / 3, -1 / 3] * PROBLEMS)
    report, _ = train_step(trainer, ToyTask(lambda p, t: Score(0.5, t, nodes=(0.0, 0.5, 1.0))), problems(3))
    assert report["reward"] == 0.5, "what is reported is the terminal reward"


@pytest.mark.parametrize("nodes", [(1.0,), (1.0, 1.0, float("nan")), (1.0,) * 4, 3])
def test_rewards_that_are_not_one_for_each_node_fail_as_a_scorer_does(nodes):
    trainer = trainer_of(fresh())
    episodes = spoken(trainer, lambda problem, text: Score(1.0, text, nodes=nodes))
    assert all(episode.score == WRONG for episode in episodes)
    assert all(episode.failure.startswith("scorer: ") for episode in episodes)
