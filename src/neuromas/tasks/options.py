"""Options of a task family: what exists, what is allowed, and one clear line when it is not."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from neuromas.core.errors import TaskError, shown, unknown
from neuromas.core.task import Task

Value = int | float | str | bool
_TYPES: dict[type, str] = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


@dataclass(frozen=True, slots=True)
class Option:
    """One option. Its type is the type of ``default``; ``low``/``high`` bound numbers, inclusively."""

    name: str
    default: Value
    help: str
    low: float | None = None
    high: float | None = None
    allowed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Family:
    """A family of tasks. ``build`` gets every option, checked, and the ones the user really gave."""

    name: str
    description: str
    options: tuple[Option, ...]
    build: Callable[[Mapping[str, Any], Mapping[str, Any]], Task]


MAX_SEED = 2**63 - 1
SEED = Option("seed", 0, "which stream of problems is drawn; splits stay disjoint across seeds", 0, MAX_SEED)


def read_options(task: str, specs: tuple[Option, ...], given: Mapping[str, Any]) -> dict[str, Any]:
    """All options of ``specs``, taken from ``given`` where present, else the default.

    Raises:
        TaskError: for an unknown key, a wrong type or a value outside its bounds.
    """
    valid = {spec.name: spec for spec in specs}
    for key in given:
        if key not in valid:
            raise TaskError(unknown(f"option of task {task!r}", key, valid))
    return {spec.name: _checked(task, spec, given.get(spec.name, spec.default)) for spec in specs}


def _checked(task: str, spec: Option, value: Any) -> Value:
    """The value with the option's type, or a TaskError that names key, value and what is valid."""
    wanted = type(spec.default)
    if wanted is float and type(value) is int:
        value = float(value) if abs(value) < 2**1000 else math.copysign(math.inf, value > 0 or -1)
    if type(value) is not wanted:  # exact: True must not pass as the whole number 1
        raise TaskError(f"task {task!r}: option {spec.name!r} must be {_TYPES[wanted]}, got {shown(value)}")
    if spec.allowed and value not in spec.allowed:
        raise TaskError(f"task {task!r}: " + unknown(f"{spec.name}", value, spec.allowed))
    # written so that NaN, which compares false with everything, is refused
    number = value if isinstance(value, (int, float)) else 0.0
    below = spec.low is not None and not number >= spec.low
    above = spec.high is not None and not number <= spec.high
    if below or above:
        found = shown(value)
        raise TaskError(f"task {task!r}: option {spec.name!r} = {found} is out of range ({bounds(spec)})")
    checked: Value = value
    return checked


def bounds(spec: Option) -> str:
    """The valid values of an option in a few words, e.g. ``"1 to 12"``; empty if all are valid."""
    if spec.allowed:
        return " | ".join(spec.allowed)
    if spec.low is not None and spec.high is not None:
        return f"{spec.low:g} to {spec.high:g}"
    if spec.low is not None:
        return f"at least {spec.low:g}"
    return f"at most {spec.high:g}" if spec.high is not None else ""
