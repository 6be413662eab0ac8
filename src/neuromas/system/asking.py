"""A person's question as a problem without a gold answer, read as the network's task was in training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from neuromas.config import Config
from neuromas.core.errors import ConfigError
from neuromas.core.task import Problem
from neuromas.tasks.registry import FAMILIES


def read_question(text: str, shares: int) -> Problem:
    """A question without a gold answer; its parts are separated by ``|`` where ``shares`` > 0.

    Raises ConfigError if it is empty or has too few parts.
    """
    return replace(from_pieces(text.split("|") if shares else [text], shares), question=text)


def from_pieces(pieces: Sequence[str], shares: int) -> Problem:
    """What is asked and its parts, in pieces that are already apart, whatever is in them.

    Where ``shares`` is 0 the pieces are lines of one question. Raises ConfigError if empty or too few.
    """
    if not any(piece.strip() for piece in pieces):
        raise ConfigError("the question is empty")
    if shares == 0:
        return Problem(id="ask", question="\n".join(pieces), answer="")
    stem, *parts = (piece.strip() for piece in pieces)
    if len(parts) < shares:
        form = "what is asked" + " | part" * shares
        raise ConfigError(f"this network hands out the question in {shares} parts; write it as '{form}'")
    return Problem(id="ask", question=" | ".join([stem, *parts]), answer="", parts=tuple(parts), stem=stem)


def as_trained(problem: Problem, config: Config) -> Problem:
    """The problem with its parts standing alone if those of the task did in training."""
    about = config.task
    return replace(problem, alone=about.name in FAMILIES and about.options.get("ask") is True)
