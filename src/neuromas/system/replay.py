"""Episodes played again from one node on: what another message, or none, would have led to.

Everything that does not read the changed message, at first or at second hand, is kept token for token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from neuromas.core.episode import Episode, Turn
from neuromas.core.task import Task
from neuromas.system.network import Network
from neuromas.system.rollout import Pass, Sampling, play


@dataclass(frozen=True, slots=True)
class Branch:
    """An episode that goes another way at ``node``, which spoke in it.

    The node writes anew, from the same prompt; or it says the text ``said``; or, with ``hidden``, nobody
    is shown its message, as if its gates were closed. ``path`` names the draw: branches at one node of one
    episode differ if their paths do, and a branch of a branch needs the path of both.
    """

    episode: Episode
    node: int
    path: tuple[int, ...] = ()
    said: str | None = None
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class Replay:
    """What came of a branch. ``wrote`` are the rows of the nodes that were asked, in order: its cost."""

    branch: Branch
    episode: Episode
    wrote: tuple[int, ...]

    @property
    def written(self) -> tuple[Turn, ...]:
        """The turns that are new and were drawn."""
        return tuple(turn for turn in self.episode.turns if turn.node in self.wrote)


def replay(network: Network, task: Task, branches: Sequence[Branch], sampling: Sampling) -> list[Replay]:
    """Play every branch to its end, all of them together: one batch a layer. In the order of ``branches``.

    ``sampling`` is that of the episodes' rollout: it decides gates and views, which stay as they were. Nodes
    behind the changed message write anew, as do those that an episode which failed had not reached. A kept
    turn holds the prompt it was written from, and ``heard`` as it is in the new episode. A branch that fails
    is an episode with its cause, as in a rollout.

    Raises ValueError if a node did not speak in its episode, if the output's answer is to be hidden, if
    ``said`` comes with ``hidden``, or if ``sampling`` intervenes in messages.
    """
    if sampling.intervention != "none":
        raise ValueError(f"an episode under intervention {sampling.intervention!r} cannot be replayed")
    passes = [_pass(network, branch) for branch in branches]
    episodes = play(network, task, passes, sampling)
    return [
        Replay(branch, episode, tuple(one.wrote))
        for branch, one, episode in zip(branches, passes, episodes, strict=True)
    ]


def _pass(network: Network, branch: Branch) -> Pass:
    """The pass that goes over the branch's episode."""
    episode, node = branch.episode, branch.node
    if node >= len(episode.turns):
        raise ValueError(f"node {node} did not speak in {episode!r}")
    if branch.hidden and (branch.said is not None or node == network.topology.sink):
        raise ValueError(f"node {node}: the output's answer cannot be hidden, nor what is said in its place")
    kept = {turn.node: turn for turn in episode.turns}
    if branch.said is not None:
        kept[node] = _given(network, kept[node], branch.said)
    elif not branch.hidden:
        del kept[node]
    return Pass(
        problem=episode.problem,
        sample=episode.sample,
        kept=kept,
        altered=None if branch.said is None and not branch.hidden else node,
        hidden=node if branch.hidden else None,
        path=(node, *branch.path),
    )


def _given(network: Network, turn: Turn, text: str) -> Turn:
    """The turn with a text given to the node: no end token, and log-probabilities of certain events."""
    ids = network.engine.codec.encode(text)
    return replace(turn, ids=ids, logprobs=(0.0,) * len(ids), text=text, ended=False, later=None, output=None)
