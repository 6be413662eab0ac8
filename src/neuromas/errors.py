"""Errors a user can mend: one line each, naming what was given and what would be valid."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class NeuromasError(Exception):
    """An expected error. The command line prints its one line and exits with status 2."""


class ConfigError(NeuromasError):
    """A setting that does not exist, has the wrong type, or contradicts another."""


class TopologyError(NeuromasError):
    """A graph that is not a legal network."""


class TaskError(NeuromasError):
    """A task or a data file that cannot be used."""


class ModelError(NeuromasError):
    """A backbone that cannot be found, loaded or trusted."""


class PromptError(NeuromasError):
    """A prompt that cannot be built, for example because it would overflow the context."""


class RunError(NeuromasError):
    """A run directory or checkpoint that is missing, damaged or of another network."""


class StaleSampleError(NeuromasError):
    """A sample drawn by an older version of an adapter was offered to the loss."""


class DivergedError(NeuromasError):
    """Training went where no number is finite; the run can be resumed from its last checkpoint."""


def unknown(kind: str, given: object, valid: Iterable[str]) -> str:
    """One line that names the unknown value, the nearest valid one, and all valid ones."""
    names = list(valid)
    near = difflib.get_close_matches(str(given), names, n=1, cutoff=0.4)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"unknown {kind} {given!r}{hint} (valid: {', '.join(names) or 'none'})"


def one_line(error: BaseException) -> str:
    """The error's text on a single line, so that a message never becomes a page."""
    text = " ".join(str(error).split())
    return text or type(error).__name__
