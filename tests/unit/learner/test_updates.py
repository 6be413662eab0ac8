"""Schedules, several passes or batches to an update, anchors, and updates that are held back."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from test_learning import PROBLEMS, START, fresh, gradients, judged, spoken, trainer_of
from toys import ToyTask, problems

from neuromas.config import TrainConfig
from neuromas.core.errors import DivergedError
from neuromas.learner.gradient import Objective, accumulate
from neuromas.learning.losses import Weights, policy_loss, sampled_kl
from neuromas.learning.schedule import factor
from neuromas.training.credit import credit
from neuromas.training.step import _sample, imitate, learn, train_step
from neuromas.training.trainer import Trainer

# -- schedules


@pytest.mark.parametrize("kind", ["constant", "linear", "cosine"])
@pytest.mark.parametrize(("steps", "warmup"), [(12, 0), (12, 4), (5, 4), (4, 4), (3, 5), (1, 1)])
def test_schedules_are_those_of_torch(kind, steps, warmup):
    from torch.optim import lr_scheduler as torch_schedules

    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.3)
    rest = max(1, steps - warmup)
    after = {
        "constant": lambda: torch_schedules.ConstantLR(optimiser, 1.0, rest),
        "linear": lambda: torch_schedules.LinearLR(optimiser, 1.0, 0.0, rest),
        "cosine": lambda: torch_schedules.CosineAnnealingLR(optimiser, rest),
    }[kind]()
    schedule = after
    if warmup > 1:
        rising = torch_schedules.LinearLR(optimiser, 1 / warmup, 1.0, warmup - 1)
        schedule = torch_schedules.SequentialLR(optimiser, [rising, after], [warmup])
    elif warmup:  # one step of warm-up is at the full rate, as the first after it
        still = torch_schedules.ConstantLR(optimiser, 1.0, 1)
        schedule = torch_schedules.SequentialLR(optimiser, [still, after], [1])
    for step in range(steps):
        found = 0.3 * factor(kind, step, steps, warmup)
        assert found == pytest.approx(optimiser.param_groups[0]["lr"], rel=1e-9), step
        optimiser.step()
        schedule.step()


def test_a_stage_has_its_schedule_and_its_rate_from_its_own_first_step():
    trainer = trainer_of(fresh(), lr=0.5, warmup=2, schedule="linear", steps=99)
    trainer.step, trainer.since, trainer.span, trainer.lr = 10, 10, 6, 0.1
    trainer.learner.lr_scale = {1: 0.5}
    found = []
    for _ in range(6):
        found.append(tuple(trainer.scheduled() * trainer.learner.lr_scale.get(row, 1.0) for row in (0, 1)))
        trainer.step += 1
    rates = [0.05, 0.1, 0.1, 0.075, 0.05, 0.025]
    assert [a for a, _ in found] == pytest.approx(rates)
    assert [b for _, b in found] == pytest.approx([r / 2 for r in rates])


# -- several batches


def test_batches_make_one_update_with_the_gradient_of_all_their_episodes():
    pair = fresh()
    several = trainer_of(pair, accumulate=3, problems=2, baseline="batch_mean")
    asked = problems(6)
    task = ToyTask(judged)
    episodes = _sample(several, task, asked)
    assert [e.problem.id for e in episodes] == [f"p{i}" for i in range(6) for _ in range(4)]
    report, again = train_step(several, task, asked)
    assert again == episodes
    assert report["calls"] == 3 * 24
    assert several.settings.batch == 6
    found = gradients(several)
    assert [len(optimiser.seen) for optimiser in several.learner.optimisers] == [1, 1, 1]
    pair = fresh()
    at_once = trainer_of(pair, problems=6, baseline="batch_mean")
    learn(at_once, *credit(at_once, episodes))
    assert all(torch.equal(a, b) for a, b in zip(found, gradients(at_once), strict=True))


def test_a_problem_met_in_two_batches_is_drawn_anew_and_the_first_batch_as_ever():
    pair = fresh()
    several, one = trainer_of(pair, accumulate=2, problems=2), trainer_of(pair, problems=2)
    asked = problems(2)
    episodes = _sample(several, ToyTask(judged), [*asked, *asked])
    said = [[turn.ids for turn in episode.turns] for episode in episodes]
    assert said[:8] == [[t.ids for t in e.turns] for e in _sample(one, ToyTask(judged), asked)]
    assert said[:8] != said[8:]


# -- several passes


def test_the_loss_of_a_further_pass_by_hand():
    before = torch.log(torch.tensor([0.5, 0.5, 0.5, 0.5]))
    ratios = torch.tensor([1.5, 1.5, 0.5, 0.5])
    logprobs = (before + ratios.log()).requires_grad_()
    weights = Weights(torch.tensor([2.0, -1.0]), torch.tensor([0.5, 0.25]))
    keys = torch.tensor([0, 1, 0, 1])
    loss = policy_loss(logprobs, keys, weights, before=(before, 0.2))
    # min(1.5 * 2, 1.2 * 2), min(-1.5, -1.2), min(0.5 * 2, 0.8 * 2), min(-0.5, -0.8)
    assert float(loss.detach()) == pytest.approx(-(0.5 * 2.4 + 0.25 * -1.5 + 0.5 * 1.0 + 0.25 * -0.8))
    (slope,) = torch.autograd.grad(loss, logprobs)
    # where the clip decides, nothing moves; elsewhere -scale * A * ratio
    assert slope.tolist() == pytest.approx([0.0, 0.25 * 1.5, -0.5, 0.0])


def by_hand_passes(pair, trainer, messages, weights, passes):
    """Vectors after plain gradient descent: REINFORCE first, then PPO, by one plain forward a message."""
    clip = trainer.settings.ratio_clip
    vectors = [pair.vector(row) for row in range(3)]
    first, clipped = [], 0
    for number in range(passes):
        loss = torch.zeros(())
        for place, (message, _) in enumerate(messages):
            own = pair.logprobs(vectors[message.adapter], message.prefix + message.suffix, message.ids)
            advantage, scale = weights.advantage[place], weights.scale[place]
            if number == 0:
                first.append(own.detach())
                gain = advantage * own
            else:
                ratio = torch.exp(own - first[place])
                low = ratio.clamp(1 - clip, 1 + clip)
                gain = torch.minimum(ratio * advantage, low * advantage)
                clipped += int((low * advantage < ratio * advantage).sum())
            loss = loss - scale * gain.sum()
        slopes = torch.autograd.grad(loss, vectors)
        vectors = [
            (v - trainer.lr * g).detach().requires_grad_() for v, g in zip(vectors, slopes, strict=True)
        ]
    return vectors, clipped


def test_passes_are_those_of_a_plain_ppo():
    pair = fresh()
    trainer = trainer_of(pair, passes=3, lr=0.3, ratio_clip=0.1)
    for optimiser in trainer.learner.optimisers:
        optimiser.param_groups[0]["lr"] = 0.3
    episodes = spoken(trainer)
    messages, weights = credit(trainer, episodes)
    expected, clipped = by_hand_passes(pair, trainer, messages, weights, 3)
    assert clipped > 10
    start = [pair.vector(row).detach() for row in range(3)]
    learn(trainer, messages, weights)
    assert [len(optimiser.seen) for optimiser in trainer.learner.optimisers] == [3, 3, 3]
    for row, parameter in enumerate(pair.model.bank.parameters):
        moved = float((expected[row] - start[row]).detach().abs().max())
        assert moved > 1e-3
        torch.testing.assert_close(parameter.detach(), expected[row].detach(), rtol=0, atol=2e-3 * moved)
    assert pair.model.bank.versions == [1, 1, 1]


def test_one_pass_is_the_plain_step_bit_by_bit():
    """Whatever the clip: the first pass has none. And no limit that is not reached changes anything."""
    found = []
    for options in ({}, {"passes": 1, "ratio_clip": 0.9, "max_kl": 1e6, "schedule": "constant"}):
        pair = fresh()
        settings = TrainConfig(samples=4, problems=PROBLEMS, lr=1e-3, **{"max_kl": 0.0, **options})
        trainer = Trainer(trainer_of(pair).network, pair.model, settings, seed=3)
        reports = [train_step(trainer, ToyTask(judged), problems(PROBLEMS))[0] for _ in range(2)]
        found.append(([r["loss"] for r in reports], [pair.vector(row).detach() for row in range(3)]))
    assert found[0][0] == found[1][0]
    assert all(torch.equal(a, b) for a, b in zip(found[0][1], found[1][1], strict=True))


# -- the anchor


def moved_from(pair, seed=9):
    """The present adapters, which then move on at random; returns what they were."""
    start = [p.detach().clone() for p in pair.model.bank.parameters]
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in pair.model.bank.parameters:
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.03)
    return start


def test_the_pull_of_the_anchor_against_plain_forwards():
    pair = fresh()
    start = moved_from(pair)
    trainer = trainer_of(pair, anchor=0.7)
    trainer.learner.anchor = pair.model.bank.holding([start[0], start[1], None])  # the last one is new
    episodes = spoken(trainer, lambda problem, text: 1.0)
    messages, weights = credit(trainer, episodes)
    assert len(messages) == 36, "it acts on messages without advantage, too"
    assert not weights.advantage.any()
    vectors = [pair.vector(row) for row in range(3)]
    loss = torch.zeros(())
    for place, (message, _) in enumerate(messages):
        if message.adapter < 2:
            prompt = message.prefix + message.suffix
            every = pair.distributions(vectors[message.adapter], prompt, message.ids)
            held = pair.distributions(start[message.adapter], prompt, message.ids).detach()
            loss = loss + 0.7 * weights.scale[place] * (every.exp() * (every - held)).sum()
    slopes = torch.autograd.grad(loss, vectors[:2])
    report = learn(trainer, messages, weights)
    assert report["loss"] == pytest.approx(float(loss.detach()), rel=1e-3)
    assert report["loss"] > 0.01
    for row, slope in enumerate(slopes):
        torch.testing.assert_close(
            gradients(trainer)[row], slope, rtol=1e-3, atol=1e-4 * float(slope.abs().max())
        )
    assert report["gradient_norm"][2] == 0.0, "a new node is not held to anything"
    assert pair.model.bank.versions == [1, 1, 0]


@pytest.mark.parametrize("options", [{"anchor": 1.0}, {"kl": 1.0}])
def test_a_pull_is_exactly_nothing_at_its_place(options):
    """AdamW divides by a gradient's size, so that even rounding noise would be a step."""
    pair = fresh(spread=0.3 if "anchor" in options else 0.0)
    trainer = trainer_of(pair, **options)
    if "anchor" in options:
        bank = pair.model.bank
        trainer.learner.anchor = bank.holding([p.detach().clone() for p in bank.parameters])
    before = [pair.vector(row) for row in range(3)]
    report, _ = train_step(trainer, ToyTask(lambda problem, text: 1.0), problems(PROBLEMS))
    assert report["learned_messages"] == 36
    assert report["gradient_norm"] == [0.0, 0.0, 0.0]
    assert all(torch.equal(a, b) for a, b in zip(before, pair.model.bank.parameters, strict=True))


def test_an_anchor_keeps_a_network_near_and_does_not_move_itself():
    ends = []
    for strength in (0.0, 30.0):
        pair = fresh()
        start = [p.detach().clone() for p in pair.model.bank.parameters]
        options = {"lr": 0.02, "max_kl": 0.0, "warmup": 0, "anchor": strength}
        settings = TrainConfig(samples=4, problems=PROBLEMS, **options)
        trainer = Trainer(trainer_of(pair).network, pair.model, settings, seed=3)
        trainer.learner.anchor = pair.model.bank.holding([vector.clone() for vector in start])
        for _ in range(6):
            _, episodes = train_step(trainer, ToyTask(judged), problems(PROBLEMS))
        for vector, held in zip(start, trainer.learner.anchor.parameters, strict=True):
            assert torch.equal(vector, held)
            assert held.grad is None
        ends.append(max(exact_kl(pair, start, episodes)))
    assert ends[1] < ends[0] / 2


# -- updates that are held back


def exact_kl(pair, before, episodes):
    """KL(before || now) in nats a token of every adapter, over the whole vocabulary, on its messages."""
    sums, counts = [0.0] * 3, [0] * 3
    with torch.no_grad():
        for episode in episodes:
            for turn in episode.turns:
                row, prompt = turn.adapter, turn.prefix_ids + turn.suffix_ids
                old = pair.distributions(before[row], prompt, turn.ids, turn.temperature)
                new = pair.distributions(pair.model.bank.parameters[row], prompt, turn.ids, turn.temperature)
                sums[row] += float((old.exp() * (old - new)).sum())
                counts[row] += len(turn.ids)
    return [total / max(1, count) for total, count in zip(sums, counts, strict=True)]


@pytest.mark.parametrize(
    ("rate", "limit"), [(0.05, 0.05), (0.3, 0.05), (3.0, 0.05), (0.1, 0.005), (300.0, 0.05)]
)
def test_an_update_moves_no_adapter_much_further_than_the_limit(rate, limit):
    pair = fresh()
    settings = TrainConfig(samples=4, problems=PROBLEMS, lr=rate, warmup=0, max_kl=limit)
    trainer = Trainer(trainer_of(pair).network, pair.model, settings, seed=3)
    before = [p.detach().clone() for p in pair.model.bank.parameters]
    report, episodes = train_step(trainer, ToyTask(judged), problems(PROBLEMS))
    assert max(report["kl"].values()) > limit
    found = exact_kl(pair, before, episodes)
    assert max(found) < 2 * limit, found
    for row in range(3):
        assert torch.isfinite(pair.model.bank.parameters[row]).all()
    if rate < 1.0:
        assert min(found) > limit / 20, "held back, not undone"


def test_adapters_within_the_limit_are_left_as_they_are():
    found = []
    for limit in (0.0, 0.05):
        pair = fresh()
        settings = TrainConfig(samples=4, problems=PROBLEMS, lr=0.1, warmup=0, max_kl=limit)
        trainer = Trainer(trainer_of(pair).network, pair.model, settings, seed=3)
        trainer.learner.lr_scale = {1: 1e-3}
        report, _ = train_step(trainer, ToyTask(judged), problems(PROBLEMS))
        found.append([pair.vector(row).detach() for row in range(3)])
    assert report["kl"]["1"] < 0.05 < min(report["kl"]["0"], report["kl"]["2"])
    assert [torch.equal(a, b) for a, b in zip(*found, strict=True)] == [False, True, False]


def test_a_rate_beyond_all_numbers_leaves_adapters_that_are_finite():
    pair = fresh()
    settings = TrainConfig(samples=4, problems=PROBLEMS, lr=1e30, warmup=0)
    trainer = Trainer(trainer_of(pair).network, pair.model, settings, seed=3)
    before = [p.detach().clone() for p in pair.model.bank.parameters]
    for _ in range(2):
        train_step(trainer, ToyTask(judged), problems(PROBLEMS))
    assert all(torch.equal(a, b) for a, b in zip(before, pair.model.bank.parameters, strict=True))


@pytest.mark.parametrize("options", [{}, {"passes": 2}, {"max_kl": 0.05, "passes": 2}])
@pytest.mark.parametrize("worth", [judged, lambda problem, text: 0.0])
def test_without_a_limit_divergence_is_an_error_and_never_silent(options, worth):
    """Also where all answers of the broken network are wrong, so that there is nothing to learn from."""
    pair = fresh()
    settings = TrainConfig(samples=4, problems=PROBLEMS, lr=1e30, warmup=0, **{"max_kl": 0.0, **options})
    trainer = Trainer(trainer_of(pair).network, pair.model, settings, seed=3)

    def steps():
        for step in range(3):
            train_step(trainer, ToyTask(judged if step == 0 else worth), problems(PROBLEMS))

    with pytest.raises(DivergedError, match=r"diverged at step [01]: .*lower train\.lr = 1e\+30") as error:
        steps()
    assert "\n" not in str(error.value)


def test_the_measure_is_unbiased_and_never_negative():
    generator = torch.Generator().manual_seed(2)
    before, after = torch.log_softmax(torch.randn(2, 40, generator=generator), dim=-1)
    exact = float((before.exp() * (before - after)).sum())
    # summed over the whole vocabulary the expectation is exact
    expected = float((before.exp() * sampled_kl(before, after)).sum())
    assert expected == pytest.approx(exact, rel=1e-5)
    assert float(sampled_kl(before, after).min()) >= 0.0
    draws = torch.multinomial(before.exp(), 20_000, replacement=True, generator=generator)
    values = sampled_kl(before[draws], after[draws]).double()
    assert abs(float(values.mean()) - exact) < 4 * float(values.std()) / math.sqrt(len(values))
    assert float(sampled_kl(before, before).abs().max()) == 0.0


# -- what is reported, and imitation


def test_signs_cannot_cancel_in_the_drift():
    pair = fresh()
    trainer = trainer_of(pair)
    episodes = spoken(trainer)
    messages, weights = credit(trainer, episodes)
    shifted, count = [], 0
    for message, turn in messages:
        signs = [0.01 if place % 2 else -0.01 for place in range(len(turn.ids))]
        count += len(turn.ids)
        off = tuple(p + sign for p, sign in zip(turn.logprobs, signs, strict=True))
        shifted.append((message, replace(turn, logprobs=off)))
    assert learn(trainer, shifted, weights)["sampler_drift"] == pytest.approx(0.01, rel=0.01)


def test_imitation_is_likelihood_at_the_stages_rate_and_nothing_else():
    pair = fresh()
    trainer = trainer_of(pair, warmup=50, kl=1.0, entropy=1.0, anchor=1.0, lr=0.5)
    trainer.learner.anchor = pair.model.bank.holding([0.5 * p.detach() for p in pair.model.bank.parameters])
    trainer.lr, trainer.learner.lr_scale = 0.25, {0: 0.5, 1: 0.0}
    episodes = spoken(trainer, lambda problem, text: 1.0)
    messages, weights = credit(trainer, episodes)
    weights = Weights(torch.ones_like(weights.advantage), weights.scale)
    said = [message for message, _ in messages]
    plain = accumulate(pair.model, said, weights, 1.0, Objective())
    expected = [None if p.grad is None else p.grad.clone() for p in pair.model.bank.parameters]
    imitate(trainer, messages, weights)
    assert plain.loss > 0
    for row in (0, 2):
        assert torch.equal(gradients(trainer)[row], expected[row])
        assert trainer.learner.optimisers[row].param_groups[0]["lr"] == 0.25


def test_what_is_taught_adds_its_likelihood_to_the_gradient_and_to_no_report():
    pair = fresh()
    trainer = trainer_of(pair)
    messages, weights = credit(trainer, spoken(trainer))
    taught = [replace(message, key=key) for key, (message, _) in enumerate(messages[:5])]
    lessons = (taught, Weights(torch.full((5,), 2.0), torch.full((5,), 0.01)))
    parts = []
    for told in (([message for message, _ in messages], weights), lessons):
        accumulate(pair.model, *told, 1.0, Objective())
        parts.append([0.0 if p.grad is None else p.grad.clone() for p in pair.model.bank.parameters])
    expected = [one + other for one, other in zip(*parts, strict=True)]
    alone = learn(trainer, messages, weights)
    pair = fresh()
    trainer = trainer_of(pair)
    versions = list(pair.model.bank.versions)
    messages, weights = credit(trainer, spoken(trainer))
    both = learn(trainer, messages, weights, lessons)
    rows = {message.adapter for message in taught}
    assert rows
    for row in rows:
        assert torch.allclose(gradients(trainer)[row], expected[row])
        assert both["gradient_norm"][row] != alone["gradient_norm"][row]
    for key in ("loss", "entropy", "learned_messages"):
        assert both[key] == alone[key]
    trainer = trainer_of(fresh())
    learn(trainer, [], Weights(torch.zeros(0), torch.zeros(0)), lessons)
    moved = [b - a for a, b in zip(versions, trainer.learner.model.bank.versions, strict=True)]
    assert {row for row, many in enumerate(moved) if many} == rows, "what was only taught has moved, too"


def test_helpers_start_from_the_same_adapters():
    """``fresh`` puts back what a test before has changed: without that no comparison above holds."""
    pair = fresh()
    for parameter, vector in zip(pair.model.bank.parameters, START["vectors"], strict=True):
        assert torch.equal(parameter, vector)
    assert all(not torch.equal(a, b) for a, b in pairwise(START["vectors"]))
