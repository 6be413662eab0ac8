"""A method by name, and what it earns on held-out problems."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from typing import Any

from neuromas.core.episode import EpisodeGroup
from neuromas.core.errors import ConfigError, NeuromasError, one_line, out_of_memory
from neuromas.core.parts import METHODS
from neuromas.core.task import Problem, Split
from neuromas.evaluation.evaluate import Evaluation, evaluation
from neuromas.evaluation.heldout import first_problems
from neuromas.methods.base import Bench, Method, Search

MOST_CALLS = 1_000_000  # of one evaluation


def make_method(name: str, options: Mapping[str, Any] | None = None) -> Method:
    """The method of that name with these options.

    Raises ConfigError in one line if there is none, if an option is unknown or impossible, or if it is no
    Method.
    """
    made: Method = METHODS.make(name, options or {}, Method)  # type: ignore[type-abstract]
    return made


def evaluate_method(name: str, method: Method, bench: Bench, split: Split, count: int) -> Evaluation:
    """What a method earns on the first ``count`` problems of a split, with the statistics of ``evaluate``.

    Raises ConfigError if it takes more calls than it may or declares, or gives other than one answer to
    every problem, or, if it is from outside, raises anything; TaskError if the split is empty.
    """
    if split != "test" and method.searches():
        raise ConfigError(
            f"method {name!r} searches on training and validation problems: ask it those of test, not {split}"
        )
    given = method
    with _blaming(name, given):
        options = _options(method)
        _check_calls(name, method.calls(bench), bench, count)  # before a search that would be for nothing
        search = method.prepare(bench)
        method = search.method if search else method
        most = method.calls(bench)
        _check_calls(name, most, bench, count)
    problems = first_problems(bench.task, split, count)
    with _blaming(name, given):
        groups = method.answer(bench, problems)
        _check(name, groups, problems, most)
        summary = {"split": split, "intervention": "none", **method.about(bench), "method": name}
        summary |= {"parameters": method.parameters(bench), "options": options}
    summary |= {"search": _said(search)} if search else {}
    summary |= {"oracle": True} if method.oracle else {}
    episodes = [group.episodes[0] for group in groups]
    return evaluation(bench.task, episodes, summary, bench.network.engine.codec)


@contextmanager
def _blaming(name: str, method: Method) -> Iterator[None]:
    """What a method from outside raises becomes a ConfigError that names it; faults of our own stay."""
    try:
        yield
    except Exception as error:
        of = getattr(method, "of", name)  # what is repeated
        own = METHODS.is_builtin(name) and isinstance(of, str) and METHODS.is_builtin(of)
        if own or isinstance(error, NeuromasError) or out_of_memory(error):
            raise
        raise ConfigError(f"method {name!r}: {type(error).__name__}: {one_line(error)}") from error


def _check_calls(name: str, most: int, bench: Bench, count: int) -> None:
    """Raises ConfigError if a method may take more calls than it is allowed, or than can be waited for."""
    allowed = bench.allowance.calls
    if allowed and most > allowed:
        raise ConfigError(f"method {name!r} takes {most} calls a question, at most {allowed} are allowed")
    if most * count > MOST_CALLS:
        raise ConfigError(
            f"method {name!r} takes {most} calls for each of {count} items, at most {MOST_CALLS} in all"
        )


def _check(name: str, groups: Sequence[EpisodeGroup], problems: Sequence[Problem], most: int) -> None:
    """Raises ConfigError if the answers are not one to each problem, or took more calls than declared."""
    if [[one.problem.id for one in group.episodes] for group in groups] != [[p.id] for p in problems]:
        raise ConfigError(f"method {name!r} does not give one answer to every problem, in their order")
    took = max(len(group.episodes[0].turns) for group in groups)
    if took > most:
        raise ConfigError(f"method {name!r} took {took} calls for a question and declares {most}")


def _said(search: Search) -> dict[str, Any]:
    """What a search found and took, as plain data."""
    return {key: getattr(search, key) for key in ("found", "calls", "prompt_tokens", "new_tokens")}


def _options(method: Method) -> dict[str, Any]:
    """The options with which it was made, as plain data: a method among them by its name."""
    options: dict[str, Any] = asdict(method) if is_dataclass(method) else {}
    given = {key: getattr(method, key) for key in options}
    return options | {key: type(one).__name__ for key, one in given.items() if isinstance(one, Method)}
