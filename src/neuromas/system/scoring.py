"""What an answer earns: the one place where a foreign scorer may fail, for the network and every rival."""

from __future__ import annotations

import math
from dataclasses import replace

from neuromas.core.episode import Episode, judged
from neuromas.core.errors import ContractError, SandboxError, one_line
from neuromas.core.task import Problem, Score, Task

WRONG = Score(0.0, None)
UNJUDGED = "no verdict: "  # begins the cause where what judges broke


def scored(task: Task, episode: Episode, nodes: int = 0) -> Episode:
    """The episode with what its answer earns. One that breaks the scorer is wrong, and the cause is kept.

    ``nodes`` is how many may be given a reward of their own, 0 if nobody is to learn from it.
    """
    try:
        score = judged(task, episode)
        _check_nodes(score, nodes)
    except ContractError:  # no failure of the network: what such a task says means nothing
        raise
    except SandboxError as error:  # what judges broke, not what is judged
        return replace(episode, score=None, failure=f"{UNJUDGED}{one_line(error)}")
    except Exception as error:  # the one boundary where a foreign scorer may fail
        cause = f"scorer: {type(error).__name__}: {one_line(error)}"
        return replace(episode, score=WRONG, failure=cause)
    return replace(episode, score=score)


def understood(task: Task, problem: Problem, text: str) -> str | None:
    """The answer the task reads in a text; None where it reads none or breaks on it.

    Asked of the task's own score, not of what pays an episode: a text by itself has no messages.
    """
    try:
        return task.score(problem, text).parsed
    except ContractError:  # see ``scored``
        raise
    except Exception:  # as there; what cannot be scored is no answer to count
        return None


def _check_nodes(score: Score, nodes: int) -> None:
    """Raises ValueError if rewards of single nodes are not a finite one for each."""
    own = score.nodes
    if nodes and own is not None and (len(own) != nodes or not all(map(math.isfinite, own))):
        raise ValueError(f"{len(own)} rewards for {nodes} nodes, or one that is not finite")
