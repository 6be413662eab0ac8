"""States of the frozen backbone, and critics that read them."""

from __future__ import annotations

import pytest
import torch

from neuromas.core.errors import DivergedError
from neuromas.learner.critic import Critic, Fitting
from neuromas.learner.states import last_states
from neuromas.models.tiny import tiny_model

PROMPTS = [(5, 6, 7), (5, 6, 8, 9), (5, 6, 7), (1,), tuple(range(1, 200)), (5, 6)]


@pytest.fixture(scope="module")
def model(tiny_engine):
    return tiny_engine(adapters=2).model


def test_states_are_those_of_the_bare_model(model):
    states, tokens = last_states(model, PROMPTS)
    bare = tiny_model().model  # the same weights, in nothing of ours
    with torch.no_grad():
        alone = [bare(input_ids=torch.tensor([p])).last_hidden_state[0, -1] for p in PROMPTS]
    torch.testing.assert_close(states, torch.stack(alone), rtol=1e-4, atol=1e-5)
    assert tokens == 199 + 3 + 2  # 1 begins the long one; 5 6 (7 | 8 9) stand once
    assert not torch.equal(states[0], states[1])
    assert torch.equal(states[0], states[2])


def test_states_do_not_depend_on_adapters(model):
    before, _ = last_states(model, PROMPTS)
    with torch.no_grad():
        model.bank.parameters[0].add_(1.0)
    after, _ = last_states(model, PROMPTS)
    assert torch.equal(before, after)
    assert not before.requires_grad


def test_no_prompts_no_states(model):
    states, tokens = last_states(model, [])
    assert (tuple(states.shape), tokens) == ((0, 32), 0)


def planted(count, size=16):
    """States, and a value that a plane through them decides."""
    states = torch.randn(count, size, generator=torch.Generator().manual_seed(3))
    return states, (states[:, 0] > states[:, 1]).float()


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_it_learns_a_planted_value(activation):
    states, targets = planted(1024)
    critic = Critic(16, Fitting(3e-3, 1, 10.0, 0.2, hidden=(64, 32), activation=activation), seed=0)
    assert torch.equal(critic.values(states), torch.zeros(1024)), "an untrained critic expects nothing"
    losses = [critic.fit(states[:768], targets[:768]) for _ in range(200)]
    assert losses[0] == pytest.approx(0.5 * float((targets[:768] ** 2).mean()))
    fresh = critic.values(states[768:])  # states that it was not taught
    assert float(((fresh > 0.5) == (targets[768:] > 0.5)).float().mean()) > 0.85
    assert losses[-1] < 0.1 * losses[0]


def test_further_passes_are_clipped():
    states, targets = planted(32)
    free, kept = (Critic(16, Fitting(2e-3, 60, clip=clip, hidden=(32,)), seed=0) for clip in (0.0, 0.1))
    free.fit(states, targets)
    kept.fit(states, targets)
    moved = [float(critic.values(states)[targets == 1].mean()) for critic in (free, kept)]
    assert moved[0] > 0.5
    assert moved[1] < 0.3  # beyond 0.1 by what AdamW's momentum carries on


def test_it_goes_on_from_its_tensors_bit_by_bit():
    states, targets = planted(32)
    fitting = Fitting(1e-2, 2, hidden=(8, 4))
    one, other = Critic(16, fitting, seed=0), Critic(16, fitting, seed=1)
    other.load(one.tensors())  # before any step there are no moments
    one.fit(states, targets)
    kept = one.tensors()
    assert {name.partition(".")[0] for name in kept} == {"net", "adam"}
    other.load(kept)
    assert one.fit(states, targets) == other.fit(states, targets)
    assert all(
        torch.equal(a, b) for a, b in zip(one.tensors().values(), other.tensors().values(), strict=True)
    )
    assert one.parameters == 16 * 8 + 8 + 8 * 4 + 4 + 4 + 1


@pytest.mark.parametrize("damage", ["missing", "shape", "strange"])
def test_tensors_of_another_critic_are_refused(damage):
    critic = Critic(16, Fitting(hidden=(8,)), seed=0)
    critic.fit(*planted(8))
    tensors = critic.tensors()
    if damage == "missing":
        del tensors["adam.0.exp_avg"]
    elif damage == "shape":
        tensors["net.1.weight"] = torch.zeros(3, 3)
    else:
        tensors["other"] = torch.zeros(1)
    before = critic.tensors()
    with pytest.raises(ValueError, match="critic: "):
        critic.load(tensors)
    assert all(torch.equal(a, before[name]) for name, a in critic.tensors().items())


def test_a_gradient_that_is_no_number_changes_nothing():
    critic = Critic(16, Fitting(hidden=(8,)), seed=0)
    before = critic.tensors()
    with pytest.raises(DivergedError, match="critic"):
        critic.fit(torch.ones(2, 16), torch.tensor([1.0, float("inf")]))
    assert all(torch.equal(a, before[name]) for name, a in critic.tensors().items())


def test_making_one_draws_nothing_from_anybody_else():
    torch.manual_seed(5)
    first = torch.rand(1)
    torch.manual_seed(5)
    Critic(16, Fitting(hidden=(8,)), seed=0)
    assert torch.equal(first, torch.rand(1))
