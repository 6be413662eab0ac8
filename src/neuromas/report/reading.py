"""Evaluations as they lie in a run directory, checked: what is missing or of another kind is one line."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import NoneType
from typing import Any

from neuromas.core.errors import RunError, one_line
from neuromas.report.terminal import visible
from neuromas.storage import MANIFEST, Run, read_json

_NUMBER, _OR_NONE = (int, float), (int, float, NoneType)
_KINDS: dict[str, tuple[type, ...]] = {
    "accuracy": _OR_NONE,
    "interval": (dict, NoneType),
    "majority": (dict,),
    "first_option": _OR_NONE,
    "message_tokens": (list,),
    "messages": (list,),
    "id": (str,),
    "question": (str,),
    "gold": (str,),
    "score": _OR_NONE,
    "growth": (dict,),
    "parent": (str,),
    "spent": (dict,),
}
SUMMARY = ("accuracy", "interval")
ITEM = ("id", "question", "score")


@contextmanager
def readable(what: str) -> Iterator[None]:
    """Turns data that are not what a run writes into one line."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        said = f"no key {error}" if isinstance(error, KeyError) else one_line(error)
        raise RunError(f"{what} is damaged: {said}") from error


def read_evaluation(
    run: Run, name: str, summary: Iterable[str] = SUMMARY, item: Iterable[str] = ITEM
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Summary and items of an evaluation that have these keys. Raises RunError naming the first they lack."""
    found, items = run.evaluation(name)
    where = f"{run.path}/evaluations/{name}"
    require(found, summary, f"{where}.json")
    if found.get("interval") is not None:
        require(found["interval"], ("low", "high"), f"{where}.json")
    if isinstance(found.get("majority"), dict):
        require(found["majority"], ("accuracy",), f"{where}.json")
    if torn := run.damaged_lines(f"evaluations/{name}.jsonl"):
        raise RunError(f"{where}.jsonl is damaged: {torn} line(s) cannot be read")
    wanted = tuple(item)
    for number, row in enumerate(items, start=1):
        require(row, wanted, f"{where}.jsonl, line {number},")
    return found, items


def named_evaluation(text: str) -> tuple[Run, str]:
    """Run and name of an evaluation given as RUN or RUN:EVALUATION. Raises RunError if there is no run."""
    path, name = text, ""
    if not Path(text).is_dir():  # a folder's name may hold a colon
        path, _, name = text.rpartition(":") if ":" in text else (text, "", "")
    return Run.open(Path(path)), name or "test-after"


def prompt_mark(run: Run, summary: Mapping[str, Any] | None = None) -> str:
    """``prompts: roles (file.toml)`` or ``prompts: file.toml``; empty where a run has the built-in texts.

    An evaluation's ``summary`` may name other ones, with which its method asked.
    """
    facts = run.read("run.json") if (run.path / "run.json").is_file() else {}
    noted = facts.get("prompt")
    mark = (summary or {}).get("prompts") or (noted.get("mark") if isinstance(noted, dict) else None)
    return f"prompts: {mark[:120]}" if isinstance(mark, str) and mark else ""


def precision_of(run: Run, summary: Mapping[str, Any] | None = None) -> str:
    """In what the backbone computed, as an evaluation's ``summary`` or its run says; empty if none does."""
    facts, config = (
        run.read(name) if (run.path / name).is_file() else {} for name in ("run.json", "config.json")
    )
    machine, model = facts.get("machine"), config.get("model")
    named = model.get("dtype") if isinstance(model, dict) else None
    said = [
        (summary or {}).get("precision"),
        machine.get("precision") if isinstance(machine, dict) else None,
        None if named == "auto" else named,
    ]
    return next((one[:20] for one in said if isinstance(one, str)), "")


def marked(text: str, mark: str) -> str:
    """A name with what must not be overlooked of its prompts."""
    return f"{text} [{mark}]" if mark else text


def require(data: Mapping[str, Any], keys: Iterable[str], where: str) -> None:
    """Raise RunError unless ``data`` has these keys with values of their kind (a number where none is named).

    A score or an accuracy lies in [0, 1].
    """
    for key in keys:
        if key not in data:
            raise RunError(f"{where} is damaged: it has no {key!r}")
        value = data[key]
        right = isinstance(value, _KINDS.get(key, _NUMBER))
        if right and isinstance(value, float):
            right = math.isfinite(value)
        if right and key in ("score", "accuracy") and value is not None:
            right = 0 <= value <= 1
        if not right:
            raise RunError(f"{where} is damaged: {key!r} is {visible(repr(value))[:40]}")


def origins(run: Run) -> dict[int, int] | None:
    """Which node of the network before training each node of the trained one was; None if none is known.

    The lineage of the network that was handed on holds the growths that led to it and none that was undone.
    """
    growths = list(run.lines("growth.jsonl"))
    if not growths or not run.checkpoints():
        return None
    manifest = read_json(run.handed_on / MANIFEST)
    first, here = growths[0]["topology"], manifest["topology"]
    last = [node["name"] for node in here["nodes"]]
    was = {name: name for name in last}
    for entry in reversed(manifest["lineage"]):
        if here == first:  # what is older happened in runs before this one
            break
        here = entry["topology"]
        was = {now: entry["origin"][name] for now, name in was.items() if name in entry["origin"]}
    rows = {node["name"]: row for row, node in enumerate(first["nodes"])}
    return {row: rows[was[name]] for row, name in enumerate(last) if name in was}
