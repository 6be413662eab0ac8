"""What a network was asked in training, in a few words: task, options, and what nodes saw of the question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from neuromas.core.errors import cut, plain

_LONGEST = 100


def asked_words(asked: Any) -> str:
    """``max n=4 parts=2; reads split -> all``, of a lineage's ``asked``; empty where that is not known."""
    with suppress(KeyError, TypeError, AttributeError):  # it may be a stranger's, or an old one
        return f"{task_words(str(asked['task']), asked['options'])}; reads {view_words(asked['view'])}"
    return ""


def asked_of(manifest: Mapping[str, Any]) -> dict[str, Any] | None:
    """The same of a network itself, from its configuration; None where a manifest has none."""
    with suppress(KeyError, TypeError, AttributeError):  # it may be a stranger's, or an old one
        config = manifest["config"]
        view = config.get("lift", {}).get("view") or [config["network"]["question"]]
        return {"task": config["task"]["name"], "options": config["task"]["options"], "view": view}
    return None


def task_words(name: str, options: Mapping[str, Any]) -> str:
    """A task with the options that are given."""
    return cut(" ".join([name, *(f"{key}={plain(value)}" for key, value in options.items())]), _LONGEST)


def view_words(view: Sequence[str]) -> str:
    """One mode of the question, or the first and the last view."""
    return cut(" -> ".join(view), _LONGEST)
