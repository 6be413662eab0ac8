"""Tasks of one's own: made from ``module:Name`` or handed over as objects, and held to what a task must do.

Code is imported here and nowhere else in this room, and only for a name that somebody wants made. What a
task gets wrong is said in one line that names class and method: before a run begins, where a few probes
show it, and else when it happens, since the numbers of a broken task mean nothing.
"""

from __future__ import annotations

import hashlib
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neuromas.core.episode import Episode, Judge, Turn, judged
from neuromas.core.errors import ContractError, TaskError, one_line, shown
from neuromas.core.parts import TASKS
from neuromas.core.registry import is_address
from neuromas.core.task import SPLITS, Problem, Score, Split, Task
from neuromas.tasks.around import TaskAround

GIVEN = "own/"  # names in a configuration begin so where the task was an object
_METHODS = ("problem", "score", "size")
_TEXTS = ("name", "answer_format")


@dataclass(frozen=True)
class OwnTask(TaskAround):
    """A task of the user's. ``origin`` is how errors call it; every result is checked as it comes."""

    origin: str

    def size(self, split: Split) -> int | None:
        """As the task's. Raises ContractError where it is no whole number."""
        size = self._call("size", split)
        if size is None or (type(size) is int and size >= 0):
            return size
        raise self._wrong("size", (split,), f"returned {shown(size)}, not a number of problems or None")

    def problem(self, split: Split, index: int) -> Problem:
        """As the task's. Raises ContractError where it is none, TaskError as the task does."""
        found = self._call("problem", split, index)
        if isinstance(found, Problem):
            texts = {"id": found.id, "question": found.question, "answer": found.answer}
            for key, text in texts.items():
                if not isinstance(text, str) or (key != "answer" and not text.strip()):
                    what = f"returned a Problem whose {key} is {shown(text, 40)}, not a text"
                    raise self._wrong("problem", (split, index), what)
            levels = found.stems if isinstance(found.stems, list | tuple) else (None,)
            pieces = (found.parts, found.choices, (found.stem,), *levels)
            if not all(
                isinstance(one, list | tuple) and all(isinstance(p, str) for p in one) for one in pieces
            ):
                what = "returned a Problem whose parts, choices, stem or stems are not texts"
                raise self._wrong("problem", (split, index), what)
            return found
        what = f"returned {_kind(found)}, not a neuromas.Problem"
        raise self._wrong("problem", (split, index), what)

    def score(self, problem: Problem, text: str) -> Score:
        """As the task's. Raises ContractError where it is none; what the task raises goes on."""
        with staying():
            found = self.inner.score(problem, text)
        return self._checked("score", found, problem, text)

    def judge(self, episode: Episode) -> Score:
        """The score of a complete episode."""
        with staying():
            score = judged(self.inner, episode)
        method = "judge" if isinstance(self.inner, Judge) else "score"
        return self._checked(method, score, episode.problem, episode.answer)

    def _call(self, method: str, *arguments: Any) -> Any:
        try:
            return getattr(self.inner, method)(*arguments)
        except TaskError:
            raise
        except (Exception, SystemExit) as error:  # foreign code: whatever it raises, there is no problem
            what = f"raised {type(error).__name__}: {one_line(error)}"
            raise self._wrong(method, arguments, what) from error

    def _checked(self, method: str, score: Any, problem: Problem, text: str) -> Score:
        if not isinstance(score, Score):
            what = f"returned {_kind(score)}, not a neuromas.Score"
        elif not _is_share(score.value):
            what = f"returned a value of {shown(score.value, 40)}; a score lies in [0, 1]"
        elif not (score.parsed is None or isinstance(score.parsed, str)):
            what = f"returned parsed = {shown(score.parsed, 40)}, not a text or None"
        elif not (score.correct is None or _is_share(score.correct)):
            what = f"returned correct = {shown(score.correct, 40)}, not a number in [0, 1] or None"
        elif not (score.nodes is None or _are_shares(score.nodes)):
            what = f"returned nodes = {shown(score.nodes, 40)}, not a tuple of numbers in [0, 1] or None"
        elif not _are_named(score.rewards):
            what = f"returned rewards = {shown(score.rewards, 40)}, not a tuple of (name, value)"
        else:
            return score
        raise self._wrong(method, (text,), f"{what} (problem {shown(problem.id, 40)})")

    def _wrong(self, method: str, arguments: tuple[Any, ...], what: str) -> ContractError:
        called = ", ".join(shown(one, 40) for one in arguments)
        return ContractError(f"task {self.origin}: {type(self.inner).__name__}.{method}({called}) {what}")


def make_own(name: str, options: Mapping[str, Any]) -> Task:
    """The task behind ``module:Name`` or a name that a package offers; options are keyword arguments.

    Raises ConfigError if it cannot be imported, TaskError if it cannot be made, ContractError if it is none.
    """
    part = TASKS.get(name)
    if not callable(part):
        if options:
            raise TaskError(f"task {name!r} is an object, not a class or function: it takes no task.options")
        return own(part, repr(name))
    try:
        made = part(**options)
    except TaskError:
        raise
    except (
        Exception,
        SystemExit,
    ) as error:  # a class that lacks a method, wrong options, anything of its own
        given = ", ".join(f"{key}={shown(value, 40)}" for key, value in options.items())
        why = f"{type(error).__name__}: {one_line(error)}"
        raise TaskError(f"task {name!r}: {_name(part)}({given}) raised {why}{_accepted(part)}") from error
    return own(made, repr(name))


def own(task: object, origin: str = "") -> Task:
    """A task object, held to the contract from now on. Raises ContractError naming what it lacks."""
    if isinstance(task, OwnTask):
        return task
    origin = origin or repr(address(task))
    if isinstance(task, type):
        raise ContractError(f"task {origin} is a class; give an instance of it: {task.__name__}(…)")
    kind = type(task).__name__
    for method in _METHODS:
        if not callable(getattr(task, method, None)):
            hint = "let it inherit from neuromas.Task, which has size and texts"
            raise ContractError(f"task {origin}: class {kind} has no method {method}; {hint}")
    for text in _TEXTS:
        if not isinstance(getattr(task, text, None), str):
            found = shown(getattr(task, text, None), 40)
            raise ContractError(f"task {origin}: {kind}.{text} is {found}, not a text")
    return OwnTask(task, origin)  # type: ignore[arg-type]


def probe(task: Task, nodes: int) -> None:
    """Ask the task for problems and scores, as a run of a network of that many nodes will.

    Raises ContractError for whatever it gets wrong: now, and not after an hour.
    """
    for split in SPLITS:
        if task.size(split) == 0:
            continue
        problem = _same_twice(task, split, 0)
        if task.size(split) != 1 and _same_twice(task, split, 1).id == problem.id:
            raise ContractError(
                f"task {task.name!r}: problem({split!r}, 0) and problem({split!r}, 1) have the same id "
                f"{shown(problem.id, 40)}; results are compared by ids, so each problem needs its own"
            )
        for text in (problem.answer, "", "a"):
            try:
                score = judged(task, episode_of(problem, text, nodes))
            except ContractError:
                raise
            except Exception as error:
                why = f"{type(error).__name__}: {one_line(error)}"
                raise ContractError(
                    f"task {task.name!r}: scoring the answer {shown(text, 40)} to problem "
                    f"{shown(problem.id, 40)} raised {why}; a score must take any text"
                ) from error
            if score.nodes is not None and len(score.nodes) != nodes:
                raise ContractError(
                    f"task {task.name!r} returned {len(score.nodes)} rewards for {nodes} nodes"
                )


def _same_twice(task: Task, split: Split, index: int) -> Problem:
    """The problem, asked for twice. Raises ContractError where it is not the same."""
    problem, again = task.problem(split, index), task.problem(split, index)
    if again != problem:
        raise ContractError(
            f"task {task.name!r}: problem({split!r}, {index}) is {shown(problem.question, 40)} and then "
            f"{shown(again.question, 40)}; equal arguments must give equal problems"
        )
    return problem


@contextmanager
def staying() -> Iterator[None]:
    """Foreign code that leaves the process with ``sys.exit`` would end a run as if it were done.

    Raises ContractError instead.
    """
    try:
        yield
    except SystemExit as error:
        raise ContractError(f"a task or reward function called sys.exit({shown(error.code, 40)})") from error


def episode_of(problem: Problem, answer: str, nodes: int = 1) -> Episode:
    """An episode as if ``nodes`` nodes had all said the answer: a scorer is tried on it without a model."""
    turns = tuple(Turn(node, (), (), (), (), answer, True, 1.0, node, 0) for node in range(nodes))
    return Episode(problem, 0, turns, None)


def given_name(task: Task) -> str:
    """What a configuration calls a task that was handed over as an object."""
    return GIVEN + (re.sub(r"[^\w.-]+", "-", task.name)[:60] or "task")


def missing(name: str) -> TaskError:
    """What to say where such a task is needed and is not there."""
    return TaskError(
        f"task {shown(name)} was a Python object, which no file holds; give it again: train(config, "
        "directory, task=…), load(path, task=…) or trained.evaluate(task=…), on the command line "
        "evaluate --task module:Name"
    )


def identity(thing: object) -> dict[str, str | None]:
    """Where a task or function comes from: ``module:qualname``, its file and the file's SHA-256, if any."""
    code = address(thing)
    return {"code": code, **_source(code.partition(":")[0])}


def address(thing: object) -> str:
    """``module:qualname`` of an object's class, or of a class or function itself."""
    named: Any = thing if isinstance(thing, type) or inspect.isroutine(thing) else type(thing)
    return f"{named.__module__}:{named.__qualname__}"


def _source(module: str) -> dict[str, str | None]:
    """The file of a module that is in memory, with its digest; None in a notebook."""
    file = getattr(sys.modules.get(module), "__file__", None)
    try:
        digest = hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else None
    except OSError:
        digest = None
    return {"file": file, "sha256": digest}


def about_own(name: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    """First line of the docstring and (option, default) of a task of one's own, for a table."""
    part = TASKS.get(name)
    said = (inspect.getdoc(part) or "a task of one's own").splitlines()[0]
    return said, tuple((p.name, _default(p)) for p in _parameters(part))


def is_own(name: str) -> bool:
    """Whether the name can only be that of somebody's own code."""
    return is_address(name) or name in TASKS.names()


def _accepted(part: Callable[..., Any]) -> str:
    """The options it takes, for the end of an error."""
    names = ", ".join(p.name for p in _parameters(part))
    return f" (options: {names})" if names else ""


def _parameters(part: object) -> list[inspect.Parameter]:
    if not callable(part):
        return []
    try:
        parameters = list(inspect.signature(part).parameters.values())
    except (TypeError, ValueError):  # written in C
        return []
    return [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]


def _default(parameter: inspect.Parameter) -> str:
    return "(required)" if parameter.default is parameter.empty else shown(parameter.default)


def _name(part: object) -> str:
    return str(getattr(part, "__name__", type(part).__name__))


def _is_share(value: object) -> bool:
    return isinstance(value, int | float) and 0.0 <= value <= 1.0


def _are_shares(values: object) -> bool:
    return isinstance(values, list | tuple) and all(map(_is_share, values))


def _are_named(pairs: object) -> bool:
    """Whether these are ``Score.rewards``."""
    if not isinstance(pairs, list | tuple):
        return False
    pair_of = [(pair[0], pair[1]) for pair in pairs if isinstance(pair, list | tuple) and len(pair) == 2]
    return len(pair_of) == len(pairs) and all(
        isinstance(name, str) and isinstance(value, int | float) for name, value in pair_of
    )


def _are_texts(values: object) -> bool:
    return isinstance(values, list | tuple) and all(isinstance(one, str) for one in values)


def _kind(value: object) -> str:
    return "None" if value is None else f"{type(value).__name__} {shown(value, 40)}"
