"""CoLLM: parallel agents in turns, with one critic of all that is read (CC) or one for each agent (DC)."""

from __future__ import annotations

from dataclasses import dataclass

from neuromas.core.episode import Episode, Turn
from neuromas.learner.critic import Fitting
from neuromas.training.algorithms.actor_critic import ActorCritic, Decision, costs, heard
from neuromas.training.trainer import Trainer

_SOURCE = "arXiv:2601.21972 (CoLLM)"
_DIFFERS = (
    "the critic is an MLP (d, tanh) on the frozen backbone's state, not a language model of its own, and has "
    "an AdamW of its own, so that the value coefficient is part of critic_lr; a turn is a layer of the "
    "network, whose nodes write in parallel and are agents of their own (one acts in several turns only "
    "where all nodes share one adapter); the last layer is one node, whose message is the answer, so there "
    "is no last turn in which all agents write; the reward comes at the end, nothing is shifted, and no turn "
    "ends an episode early; a batch is one update of the actors and critic_passes of the critic, where its "
    "code makes both every eight samples"
)


@dataclass
class Collm(ActorCritic):
    """What both have: delta_t = r_t + gamma V(h_{t+1}) - V(h_t), actors by mean[delta log pi], no ratio."""

    gamma: float = 0.9
    critic_lr: float = 5e-4
    critic_passes: int = 1

    @property
    def apart(self) -> bool:
        """As its authors' code does (CoMLRL 1.4.3): for every agent, turn by turn, here every node."""
        return True

    @property
    def fitting(self) -> Fitting:
        """Squared error, one hidden layer as wide as a state."""
        return Fitting(self.critic_lr, self.critic_passes, hidden=(self._size,), activation="tanh")


@dataclass
class CollmCC(Collm):
    """Centralised: h_t are the prompts of all nodes of layer t, one after another, V(h_t) one value for all.

    delta_t = r_t + gamma V(h_{t+1}) - V(h_t), in the last layer r - V(h_t); L = - mean[delta_t log pi] for
    every node of layer t, with delta normalised over the layer's in the batch, and for the critic
    mean[(r_t + gamma V(h_{t+1}) - V(h_t))^2] / 2; it reads prompts and never a message of the turn it judges.
    In a network of one layer delta is r - V(x): REINFORCE with a learned baseline of the question, of which
    no more is to be expected than of the mean of other samples, at the cost of learning it.
    """

    source = _SOURCE
    differs = _DIFFERS + "; a joint history longer than the model's context is read from its end"

    def paths(self, trainer: Trainer, episode: Episode) -> list[list[Decision]]:
        """One sequence: the layers in which somebody was heard."""
        layers = _layers(trainer, episode)
        path = [
            Decision(_joint(trainer, turns), 0, tuple(turn.node for turn in turns), -costs(trainer, turns))
            for turns in layers
        ]
        return [_paid(path, episode)] if path else []


@dataclass
class CollmDC(Collm):
    """Decentralised: every agent has a critic V_i of its own prompt h_i alone, and the same reward.

    An agent is an adapter. Its turns are those of its nodes: delta_i,t = r_t + gamma V_i(h_i,t+1) -
    V_i(h_i,t), in its last turn R - V_i(h_i,t) with the episode's reward R; L = - mean[delta_i log pi_i], as
    in CC.
    """

    source = _SOURCE
    differs = _DIFFERS + (
        "; an agent that writes in an early layer alone has the reward at once, not discounted by later turns"
    )

    def paths(self, trainer: Trainer, episode: Episode) -> list[list[Decision]]:
        """A sequence for every agent and each place it has in a layer."""
        found: dict[tuple[int, int], list[Decision]] = {}
        for turns in _layers(trainer, episode):
            met: dict[int, int] = {}
            for turn in turns:
                # an adapter that several nodes share may write several messages at once
                place = met[turn.adapter] = met.get(turn.adapter, -1) + 1
                prompt, cost = turn.prefix_ids + turn.suffix_ids, costs(trainer, [turn])
                path = found.setdefault((turn.adapter, place), [])
                path.append(Decision(prompt, turn.adapter, (turn.node,), -cost))
        return [_paid(path, episode) for path in found.values()]


def _layers(trainer: Trainer, episode: Episode) -> list[list[Turn]]:
    """Turns that were heard, by layer."""
    found: dict[int, list[Turn]] = {}
    for turn in heard(episode):
        found.setdefault(trainer.network.topology.nodes[turn.node].layer, []).append(turn)
    return [found[layer] for layer in sorted(found)]


def _joint(trainer: Trainer, turns: list[Turn]) -> tuple[int, ...]:
    """The prompts of a layer as one text, each under the label of its node."""
    network = trainer.network
    ids: tuple[int, ...] = ()
    for turn in turns:
        head = network.engine.codec.encode(f"[Agent {network.topology.label(turn.node)}] ")
        ids += head + turn.prefix_ids + turn.suffix_ids
    return ids[-network.engine.context :]


def _paid(path: list[Decision], episode: Episode) -> list[Decision]:
    """The same with the episode's reward at its end."""
    last, value = path[-1], 0.0 if episode.score is None else episode.score.value
    return [*path[:-1], Decision(last.prompt, last.critic, last.nodes, last.reward + value)]
