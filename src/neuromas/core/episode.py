"""An episode is one pass of one problem through the network, as a value that explains itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from neuromas.core.errors import shown
from neuromas.core.task import Problem, Score, Task


@dataclass(frozen=True, slots=True)
class Receipt:
    """What an endpoint says of a message: its model and build, tokens read and written, how it ended.

    Tokens are the endpoint's own count (None: not told), with those that it thought and did not show.
    """

    model: str = ""
    fingerprint: str = ""
    read: int | None = None
    wrote: int | None = None
    finish: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class Turn:
    """What one node read and wrote.

    ``prefix_ids + suffix_ids`` is the prompt: the prefix is shared by all samples of the problem,
    the suffix holds what differs between them (messages of other nodes). ``ids`` are the sampled
    tokens including the end token, ``logprobs`` their natural-log probabilities under the very
    distribution they were drawn from (so after the temperature), one for each id. ``heard`` is False
    if closed gates kept the message from having any effect on the outcome. ``lifted`` says, while a view of
    the question is being lifted, whether the node read the last one; None where there is one view. ``later``
    is then the prompt (prefix, suffix) under the last view, where the node read the first and is taught.
    ``receipt`` is there where an endpoint wrote the message.
    ``output`` is what the message's program printed, as far as readers are shown it; None where none was run.
    """

    node: int
    prefix_ids: tuple[int, ...]
    suffix_ids: tuple[int, ...]
    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    text: str
    ended: bool
    temperature: float
    adapter: int
    version: int
    cut_inputs: int = 0
    heard: bool = True
    lifted: bool | None = None
    later: tuple[tuple[int, ...], tuple[int, ...]] | None = None
    receipt: Receipt | None = None
    output: str | None = None

    def __repr__(self) -> str:
        return f"Turn(node={self.node}, {len(self.ids)} tokens: {shown(self.text, 60)})"

    @property
    def truncated(self) -> bool:
        """True if the token budget ended the message, not the node."""
        return not self.ended

    @property
    def tokens_read(self) -> int:
        """Tokens of the prompt, by the endpoint's count where it gave one."""
        if self.receipt is not None and self.receipt.read is not None:
            return self.receipt.read
        return len(self.prefix_ids) + len(self.suffix_ids)

    @property
    def tokens_written(self) -> int:
        """Tokens that were sampled, by the endpoint's count where it gave one."""
        if self.receipt is not None and self.receipt.wrote is not None:
            return self.receipt.wrote
        return len(self.ids)


@dataclass(frozen=True, slots=True, repr=False)
class Episode:
    """All turns of one pass, in topological order, and the terminal score.

    ``failure`` names the cause if the rollout could not be completed or its answer not be scored. What a
    network makes fail by what it wrote is wrong: ``score`` is 0. Where the question could not even be asked,
    ``score`` is ``None``: such an episode takes no part in any mean. ``answered`` says whether the output
    node spoke. ``elected`` is the answer where it is not the last turn's text, because one of several was
    chosen. ``missing`` says that it failed because no message could be had from the engine, which is nobody's
    answer: it has no score, whatever was written before.
    """

    problem: Problem
    sample: int
    turns: tuple[Turn, ...]
    score: Score | None
    failure: str | None = None
    answered: bool = True
    elected: str | None = None
    missing: bool = False

    def __repr__(self) -> str:
        score = "no score" if self.score is None else f"score {self.score.value:g}"
        failure = f", failed: {self.failure}" if self.failure else ""
        return (
            f"Episode({self.problem.id}, {len(self.turns)} turns, {score}, {shown(self.answer, 60)}{failure})"
        )

    @property
    def answer(self) -> str:
        """The text of the output node, empty if the episode failed before it spoke."""
        if self.elected is not None:
            return self.elected
        return self.turns[-1].text if self.turns and self.answered else ""

    @property
    def prompt_tokens(self) -> int:
        """Prompt tokens read by all nodes, each counted as if read afresh."""
        return sum(turn.tokens_read for turn in self.turns)

    @property
    def new_tokens(self) -> int:
        """Tokens sampled by all nodes, end tokens included."""
        return sum(turn.tokens_written for turn in self.turns)

    @property
    def tool_calls(self) -> int:
        """How many messages had a program that was run; what these printed counts among the prompt tokens."""
        return sum(turn.output is not None for turn in self.turns)

    def reward(self, node: int) -> float | None:
        """What the node learns from: the shared terminal reward, or its own where the score has one.

        None where it had no part: the question was not asked, or the pass failed before it spoke.
        """
        if self.score is None or len(self.turns) <= node:
            return None
        return self.score.value if self.score.nodes is None else self.score.nodes[node]

    def line(self, step: int) -> dict[str, Any]:
        """The episode as a line that people can read, sampled at ``step``."""
        views = [turn.lifted for turn in self.turns if turn.lifted is not None]
        return {
            **({"lifted": views} if views else {}),
            **({"outputs": [turn.output for turn in self.turns]} if self.tool_calls else {}),
            "step": step,
            "id": self.problem.id,
            "question": self.problem.question,
            "gold": self.problem.answer,
            "messages": [turn.text for turn in self.turns],
            "score": None if self.score is None else self.score.value,
            "failure": self.failure,
        }


@dataclass(frozen=True, slots=True, repr=False)
class EpisodeGroup:
    """The G episodes of one problem, in the order of their samples: what is compared with each other."""

    episodes: tuple[Episode, ...]

    def __repr__(self) -> str:
        scores = ", ".join("none" if score is None else f"{score:g}" for score in self.scores[:8])
        more = ", …" if len(self.episodes) > 8 else ""
        return f"EpisodeGroup({self.problem.id}, {len(self.episodes)} episodes, scores {scores}{more})"

    @property
    def problem(self) -> Problem:
        """The problem they all are of."""
        return self.episodes[0].problem

    @property
    def scores(self) -> tuple[float | None, ...]:
        """Terminal rewards (G,); None where the question was not asked."""
        return tuple(None if one.score is None else one.score.value for one in self.episodes)

    def rewards(self, node: int) -> tuple[float | None, ...]:
        """What the node learns from in each episode (G,), see ``Episode.reward``."""
        return tuple(one.reward(node) for one in self.episodes)


def grouped(episodes: Sequence[Episode], samples: int) -> list[EpisodeGroup]:
    """Episodes of a rollout, problem-major, ``samples`` of every problem, as its groups (P).

    Raises ValueError if they are not ``samples`` of each.
    """
    groups = [EpisodeGroup(tuple(episodes[i : i + samples])) for i in range(0, len(episodes), samples)]
    for group in groups:
        if len(group.episodes) != samples or len({one.problem.id for one in group.episodes}) > 1:
            raise ValueError(f"{len(episodes)} episodes are not {samples} of every problem")
    return groups


@runtime_checkable
class Judge(Protocol):
    """A task that wants to see the whole episode, not its answer alone."""

    def judge(self, episode: Episode) -> Score:
        """The score of an episode whose nodes have all spoken; its ``score`` is still None."""
        ...


def judged(task: Task, episode: Episode) -> Score:
    """What a complete episode earns: by the task's ``judge`` if it has one, else by its answer alone."""
    if isinstance(task, Judge):
        return task.judge(episode)
    return task.score(episode.problem, episode.answer)
