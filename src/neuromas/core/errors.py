"""Errors a user can mend: one line each, naming what was given and what would be valid."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class NeuromasError(Exception):
    """An expected error. The command line prints its one line and exits with status 2."""


class ConfigError(NeuromasError):
    """A setting that does not exist, has the wrong type, or contradicts another."""


class PartsError(ConfigError):
    """A task whose problems have fewer parts than a network hands out."""


class TopologyError(NeuromasError):
    """A graph that is not a legal network."""


class TaskError(NeuromasError):
    """A task or a data file that cannot be used."""


class ContractError(TaskError):
    """A task or reward function that does not do what one must: its author's to mend, so the run stops."""


class SandboxError(NeuromasError):
    """No sandbox works here, or one broke: never the doing of a program that was run in it."""


class ModelError(NeuromasError):
    """A backbone that cannot be found, loaded or trusted."""


class PromptError(NeuromasError):
    """A prompt that cannot be built, for example because it would overflow the context."""


class RunError(NeuromasError):
    """A run directory or checkpoint that is missing, damaged or of another network."""


class ElsewhereError(RunError):
    """Another process of the run failed, and has said itself what is wrong."""


class StaleSampleError(NeuromasError):
    """A sample drawn by an older version of an adapter was offered to the loss."""


class DivergedError(NeuromasError):
    """Training went where no number is finite, or learns other than what was sampled."""


LONGEST = 2000  # characters of a message


def unknown(kind: str, given: object, valid: Iterable[str], meant: Iterable[str] | None = None) -> str:
    """One line that names the unknown value, the nearest valid one (or those ``meant``), and all."""
    names = list(valid)
    hint = did_you_mean(nearest(given, names) if meant is None else meant)
    return f"unknown {kind} {shown(given)}{hint} (valid: {', '.join(names) or 'none'})"


def nearest(given: object, names: Iterable[str]) -> list[str]:
    """The name that is spelt most like what was given; none where no name is near."""
    # difflib takes time in the square of the length, and what is so long is no slip of the finger
    return difflib.get_close_matches(plain(given)[:100], list(names), n=1, cutoff=0.4)


def did_you_mean(names: Iterable[str]) -> str:
    """The end of a message that guesses; empty where there is no guess."""
    guess = " or ".join(repr(name) for name in names)
    return f"; did you mean {guess}?" if guess else ""


def shown(value: object, most: int = 100) -> str:
    """A value as Python writes it, cut where that is longer than ``most`` characters.

    Also where Python itself refuses: it writes no integer of over 4,300 digits and nothing nested too deep.
    """
    if isinstance(value, str):  # cut first: what is escaped may grow
        return repr(value) if len(value) <= most else f"{value[:most]!r}… ({len(value)} characters)"
    try:
        text = repr(value)
    except ValueError:
        text = f"<{type(value).__name__} too large to write>"
    except RecursionError:
        text = f"<{type(value).__name__} nested too deep to write>"
    return text if len(text) <= most else f"{text[:most]}…"


def plain(value: object) -> str:
    """A value as text, as ``shown`` where Python refuses to write it."""
    return value if isinstance(value, str) else shown(value)


def cut(text: str, most: int = LONGEST) -> str:
    """The text, with its middle left out where it is longer than ``most`` characters."""
    tail = most // 4
    return text if len(text) <= most else f"{text[: most - tail - 3]} … {text[-tail:]}"


def out_of_memory(error: BaseException) -> bool:
    """Python's own error, or torch's on a GPU or the CPU."""
    text = str(error)
    return isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text


def one_line(error: BaseException) -> str:
    """The error's text on a single line of at most 2,000 characters: a message never becomes a page."""
    text = " ".join(str(error).split())
    return cut(text) or type(error).__name__
