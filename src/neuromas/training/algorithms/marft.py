"""MARFT: PPO over the sequence of agents, with a value of what each of them reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from neuromas.core.episode import Episode
from neuromas.learner.critic import Fitting
from neuromas.training.algorithms.actor_critic import ActorCritic, Decision, costs, heard
from neuromas.training.trainer import Trainer


@dataclass
class Marft(ActorCritic):
    """delta_i = r_i + gamma V(o_{i+1}) - V(o_i); A_i = delta_i + gamma lam A_{i+1}; PPO with A, Huber for V.

    Agents are the network's nodes in topological order; o_i is the whole prompt of node i, r_i the terminal
    reward for the last one and 0 for the others, or each one's own where the score has those, minus the
    cost of its message's length. V is an MLP (1024, 512, ReLU) on the frozen backbone's last hidden state of
    o_i. A is normalised over the messages of a batch. The critic's loss is Huber's (``huber``), clipped to
    ``value_clip`` around the value before the update; its target is A_i + V(o_i).

    PPO's passes, its clip, the entropy bonus and the bound of a gradient's norm are ``train.passes``,
    ``ratio_clip``, ``entropy`` and ``clip``, where the paper has 1, 0.2, 0.01 and 0.5, the entropy's of the
    mean over a message's tokens (here it is their sum); with one pass the ratio is 1 and both clips inert.
    ``ratio = "message"`` clips that of a whole message, as the paper's action-level variant does, ``"token"``
    each token's.
    """

    gamma: float = 0.99
    gae_lambda: float = 0.95
    ratio: Literal["message", "token"] = "message"
    huber: float = 10.0
    value_clip: float = 0.2
    critic_lr: float = 5e-4
    critic_passes: int = 1

    source = "arXiv:2504.16129 (MARFT), GAE arXiv:1506.02438, PPO arXiv:1707.06347"
    differs = (
        "nodes have no roles (those are prompts); an agent reads its parents' messages, not all before it, "
        "so between parallel nodes V(o_{i+1}) knows nothing of message i and credit passes by lambda alone; "
        "an update that moves an adapter too far is shortened (train.max_kl) where the paper skips it; all "
        "agents learn at once, none in turns; no values of tokens; the entropy bonus is summed over the "
        "tokens of a message, where the authors' code has their mean; one episode is one pass, so that no "
        "verdict on an answer is ever read"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        checks = {
            "gae_lambda": (0.0 <= self.gae_lambda <= 1.0, "from 0 to 1"),
            "ratio": (self.ratio in ("message", "token"), "'message' or 'token'"),
            "huber": (self.huber >= 0.0, "0 (squared error) or more"),
            "value_clip": (self.value_clip >= 0.0, "0 (none) or more"),
        }
        for name, (good, valid) in checks.items():
            if not good:
                raise ValueError(f"{name} = {getattr(self, name)!r} is not {valid}")

    @property
    def fitting(self) -> Fitting:
        """The paper's critic."""
        return Fitting(self.critic_lr, self.critic_passes, self.huber, self.value_clip)

    @property
    def lam(self) -> float:
        """``gae_lambda``."""
        return self.gae_lambda

    @property
    def whole(self) -> bool:
        """``ratio``."""
        return self.ratio == "message"

    def paths(self, trainer: Trainer, episode: Episode) -> list[list[Decision]]:
        """One sequence: every node that was heard."""
        turns, own = heard(episode), episode.score is not None and episode.score.nodes is not None
        path = []
        for turn in turns:
            earned = (episode.reward(turn.node) or 0.0) if own or turn is turns[-1] else 0.0
            reward = earned - costs(trainer, [turn])
            path.append(Decision(turn.prefix_ids + turn.suffix_ids, 0, (turn.node,), reward))
        return [path] if path else []
