"""``gym/<name>``: the generators of reasoning-gym, with their own options and their own scorers.

reasoning-gym draws item ``i`` from ``Random(seed + i)``, so data sets with neighbouring seeds share
nearly all items. Here every item has its own hashed seed, and its text decides its split.

The scorers are used strictly: only full credit counts, unless ``partial`` is set, and they see the whole
text, or with ``read = "last"`` its last number or word, where right answers are one. Some scorers
evaluate the answer as Python; those never see the text (see ``EXACT``) or only a checked formula
(``FORMULAS``).
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import io
import json
import random
import re
import threading
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any

from neuromas.core.errors import TaskError, one_line, shown, unknown
from neuromas.core.seeds import derive
from neuromas.core.task import AnswerKind, Problem, Score, Task
from neuromas.tasks.checking import FAILED, MAX_CHARS, trimmed
from neuromas.tasks.formulas import as_fraction, expression, is_number
from neuromas.tasks.generated import GeneratedTask, Source
from neuromas.tasks.grading import READS, graded
from neuromas.tasks.options import MAX_SEED

PREFIX = "gym/"
SHARES = (0.5, 0.25, 0.25)  # held-out problems cost 4 draws on average, and some draws are slow
TRIES = 400
_READ = 20  # problems by which it is seen whether right answers can be read
OWN_OPTIONS: Mapping[str, Any] = MappingProxyType({"seed": 0, "partial": False, "read": "whole"})
_LOCK = threading.RLock()  # generators use the global generators of random and numpy, and print

_REGISTERED = re.compile(r'^register_dataset\(\s*(\w+|"\w+"),', re.MULTILINE)

# Generators left out, with the reason.
LEFT_OUT: Mapping[str, str] = MappingProxyType(
    {
        "boxnet": "it supplies no gold answer",
        "codeio": "it runs collected programs, some of which write and delete files",
        "composite": "it only mixes other generators",
        "rush_hour": "it supplies no gold answer",
    }
)
# Generators whose answer is compared as a whole text, with what is wrong with their own scorer.
EXACT: Mapping[str, str] = MappingProxyType(
    {
        "advanced_geometry": "gives full credit to the first of several points",
        "binary_matrix": "evaluates the answer as Python",
        "fraction_simplification": "gives full credit to a fraction anywhere in the text",
        "game_of_life_halting": "gives full credit to any text",
        "gsm_symbolic": "gives full credit to the first number of any text",
        "letter_jumble": "gives full credit to any text that contains the words",
        "propositional_logic": "gives full credit to one weak conclusion in most questions",
        "spell_backward": "gives full credit to text behind the answer",
        "spiral_matrix": "evaluates the answer as Python",
        "string_insertion": "evaluates the answer as Python",
        "time_intervals": "gives full credit to a number of days whatever follows it",
        "word_sorting": "gives full credit to a list that goes on behind the answer",
    }
)
# Generators whose answer is a number within a relative error of ours, with what is wrong with their scorer.
CLOSE: Mapping[str, tuple[float, str]] = MappingProxyType(
    {"coin_flip": (1e-4, "gives full credit to any beginning of the answer, such as 0")}
)
# Generators whose scorer skips what it cannot read: the characters an answer may consist of.
ALPHABET: Mapping[str, str] = MappingProxyType({"polynomial_equations": "0123456789.,- ", "sokoban": "LRUD"})
# Generators whose scorer parses the answer with sympy, which evaluates it: names a formula may use.
_CALCULUS = ("sin", "cos", "tan", "exp", "log", "sqrt", "asin", "acos", "atan", "pi", "E", "C")
FORMULAS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "countdown": (),
        "puzzle24": (),
        "polynomial_multiplication": tuple("abcdefghijklmnopqrstuvwxyzXYZ"),
        "intermediate_integration": _CALCULUS,  # and the question's variable: another one is a constant
        "simple_integration": _CALCULUS,
    }
)
# Generators where the gold answer of one question may well be right for another one, with the reason.
MANY_ANSWERS: Mapping[str, str] = MappingProxyType(
    {
        "graph_color": "every proper coloring is right",
        "jugs": "every sequence of moves that reaches the goal is right",
        "n_queens": "every board without attacks is right that keeps the given queens",
        "pool_matrix": "numbers within 1 % count as equal, and a row as a column",
        "puzzle24": "every expression of the four numbers that makes 24 is right",
        "quantum_lock": "every sequence of presses that reaches the number is right",
        "sokoban": "every sequence of moves that solves the puzzle is right",
    }
)
# 1e999999999, which exact arithmetic would try to write out; NaN, which complex_arithmetic rewards.
_ODD_NUMBER = re.compile(r"[\d._]e[+-]?[\d_]{3,}|\b(?:nan|inf|infinity)j?\b", re.IGNORECASE)
# Generators that fix their problems when they are made, so that a new seed needs a new generator.
REBUILT = frozenset({"acre", "gsm_symbolic", "list_functions", "survo"})


@functools.cache
def gym_names() -> tuple[str, ...]:
    """The names of all usable generators, sorted, with the prefix ``gym/``.

    They are read in reasoning-gym's sources: importing it, with sympy and the rest, takes a second or two.
    """
    return tuple(f"{PREFIX}{name}" for name in sorted(_written() or _registry()) if name not in LEFT_OUT)


def _written() -> set[str]:
    """The names that reasoning-gym's sources register; none where they cannot be read like that."""
    spec = importlib.util.find_spec("reasoning_gym")
    names = set()
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for path in Path(folder).rglob("*.py"):
            text = path.read_text("utf-8", errors="replace")
            for given in _REGISTERED.findall(text):
                named = re.search(rf'^{given}\s*=\s*"(\w+)"', text, re.MULTILINE)
                names.add(named[1] if named else given.strip('"'))
    return names


def gym_options(name: str) -> dict[str, Any]:
    """Option names and defaults of a generator (without prefix): its own, then ``OWN_OPTIONS``."""
    config = _registry()[name][1]
    defaults = {
        spec.name: spec.default_factory() if spec.default_factory is not MISSING else spec.default
        for spec in fields(config)
        if spec.name not in ("seed", "size")
    }
    return {key: None if value is MISSING else value for key, value in defaults.items()} | dict(OWN_OPTIONS)


def build(name: str, given: Mapping[str, Any]) -> Task:
    """The task over the generator ``gym/<name>``.

    Raises:
        TaskError: unknown or left-out generator, unknown option, or a value the generator refuses.
    """
    bare = name.removeprefix(PREFIX)
    if bare in LEFT_OUT:
        raise TaskError(f"task {name!r} is left out: {LEFT_OUT[bare]}")
    if bare not in _registry():
        raise TaskError(unknown("task", name, gym_names()))
    defaults = gym_options(bare)
    for key, value in given.items():
        if key not in defaults:
            raise TaskError(unknown(f"option of task {name!r}", key, defaults))
        _check_type(name, key, value, defaults[key])
    settings = {key: _like(defaults[key], value) for key, value in given.items() if key not in OWN_OPTIONS}
    seed, partial, read = (given.get(key, OWN_OPTIONS[key]) for key in OWN_OPTIONS)
    if seed < 0:
        raise TaskError(f"task {name!r}: option 'seed' = {seed!r} is out of range (0 to {MAX_SEED:g})")
    if read not in READS:
        raise TaskError(f"task {name!r}: " + unknown("read", read, READS))
    generator = _generator(bare, settings, 0)
    source = GymSource(bare, json.dumps(settings, default=str, sort_keys=True), partial, settings, generator)
    form, asked = "the bare answer, in the form the question asks for", graded(source, read, pay=False)
    if read != "whole":
        _check_read(name, asked, read)
    return GeneratedTask(name, form, asked, seed, TRIES, SHARES)


def _check_read(name: str, source: Source, read: str) -> None:
    """Right answers earn as they are read. Raises TaskError: where they do not, nothing could be learned."""
    for number in range(_READ):
        problem = source.draw(derive(0, "gym", "read", number))
        if source.score(problem, problem.answer).value < 1.0:
            raise TaskError(
                f"task {name!r}: read = {read!r} takes right answers for wrong, such as "
                f"{shown(problem.answer)} (valid here: 'whole')"
            )


@dataclass(frozen=True)
class GymSource:
    """One generator with settings. ``key`` stands for the settings in comparisons."""

    name: str
    key: str
    partial: bool
    settings: Mapping[str, Any] = field(compare=False, repr=False)
    generator: Any = field(compare=False, repr=False)

    def draw(self, seed: int) -> Problem:
        """One item; ``meta["entry"]`` is what the generator's scorer needs.

        Raises:
            TaskError: if the generator fails.
        """
        seed %= 2**32  # numpy takes no larger seed
        try:
            with _own_chance(seed):
                if self.name in REBUILT:
                    entry = _generator(self.name, self.settings, seed)[0]
                else:
                    self.generator.seed = seed
                    entry = self.generator[0]
            gold = gold_answer(entry)
        except TaskError:
            raise
        except Exception as error:  # a foreign generator may raise anything
            raise TaskError(f"task 'gym/{self.name}': the generator failed ({one_line(error)})") from error
        kind: AnswerKind = "number" if as_fraction(gold) is not None else "text"
        meta = {"entry": entry, "many_answers": self.name in MANY_ANSWERS}
        return Problem("", str(entry["question"]), gold, kind, meta=meta)

    def everything(self) -> None:
        """Too many to list."""
        return None

    def score(self, problem: Problem, text: str) -> Score:
        """The generator's score of the text; a text it chokes on earns 0."""
        entry = problem.meta.get("entry")
        if entry is None:
            raise TaskError(f"task 'gym/{self.name}': problem {problem.id!r} was not drawn by this task")
        said = text.strip()
        if not said or len(said) > max(MAX_CHARS, 2 * len(problem.answer)):
            return FAILED
        if trimmed(said) == trimmed(problem.answer):
            return Score(1.0, said)
        if self.name in CLOSE:
            return Score(float(_near(problem.answer, said, CLOSE[self.name][0])), said)
        value = 0.0 if self.name in EXACT or not self._safe(entry, said) else self._own(entry, said)
        return Score(value if self.partial else float(value >= 1.0), said)

    def _own(self, entry: Any, said: str) -> float:
        try:
            with _LOCK, contextlib.redirect_stdout(io.StringIO()):  # some scorers print
                value = float(self.generator.score_answer(said, entry))
        except Exception:  # e.g. prime_factorization on words
            return 0.0
        return min(max(0.0, value), 1.0)  # in this order NaN becomes 0

    def _safe(self, entry: Any, said: str) -> bool:
        """Whether the scorer may see the text."""
        if _ODD_NUMBER.search(said):
            return False
        if self.name in ALPHABET:
            return set(said) <= set(ALPHABET[self.name])
        if self.name not in FORMULAS:
            return True
        if self.name == "puzzle24":  # its own scorer accepts any four numbers
            numbers = sorted(int(number) for number in entry["metadata"]["numbers"])
            digits = "".join(c if c.isascii() and c.isdigit() else " " for c in said[:300]).split()
            if sorted(int(number) for number in digits if len(number) < 9) != numbers:
                return False
        variable = entry["metadata"].get("variable")
        return expression(said, (*FORMULAS[self.name], *([variable] if variable else [])))


def _near(gold: str, said: str, tolerance: float) -> bool:
    """Whether the text is a written-out number that differs from gold by that share of it at most."""
    right, number = as_fraction(gold), as_fraction(said) if is_number(said) else None
    return (
        right is not None and number is not None and abs(number - right) <= abs(right) * Fraction(tolerance)
    )


def gold_answer(entry: Mapping[str, Any]) -> str:
    """The gold answer of an item; where any valid answer counts, the example it supplies."""
    if entry["answer"] is not None:
        return str(entry["answer"]).strip("\n")
    metadata = entry["metadata"]
    for key in ("example_answer", "example_correct_answer"):
        if key in metadata:
            return str(metadata[key])
    if "possible_answer" in metadata:
        return json.dumps(metadata["possible_answer"])
    raise TaskError("the generator supplies no gold answer")


def _registry() -> Mapping[str, Any]:
    """Name -> (generator class, config class)."""
    import reasoning_gym  # noqa: F401  (fills the registry)
    from reasoning_gym.factory import DATASETS

    registry: Mapping[str, Any] = DATASETS
    return registry


def _generator(name: str, settings: Mapping[str, Any], seed: int) -> Any:
    """A fresh generator; what it refuses becomes one line."""
    from reasoning_gym.factory import create_dataset

    try:
        with _own_chance(seed):
            return create_dataset(name, seed=seed, size=1, **settings)
    except Exception as error:  # configs validate with assert, ValueError, TypeError, ...
        given = ", ".join(f"{key} = {shown(value)}" for key, value in settings.items())
        raise TaskError(
            f"task 'gym/{name}': refused {given or 'its defaults'} ({one_line(error)})"
        ) from error


def _check_type(name: str, key: str, value: Any, default: Any) -> None:
    """A value must have the type of a plain default; what it may contain the generator checks."""
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
    wanted = type(default)
    fits = type(value) is wanted or (wanted is float and type(value) is int)
    if wanted in names and not fits:
        raise TaskError(f"task {name!r}: option {key!r} must be {names[wanted]}, got {shown(value)}")
    if isinstance(default, list | tuple) and not isinstance(value, list | tuple):
        raise TaskError(
            f"task {name!r}: option {key!r} must be a list such as {shown(list(default))}, got {shown(value)}"
        )
    inside = value if isinstance(value, list | tuple) else (value,)
    if any(isinstance(one, int) and abs(one) > MAX_SEED for one in inside):
        raise TaskError(
            f"task {name!r}: option {key!r} = {shown(value)} is out of range (at most {MAX_SEED:g})"
        )


def _like(default: Any, value: Any) -> Any:
    """Lists become tuples where the generator's default is one: TOML knows only lists."""
    return tuple(value) if isinstance(default, tuple) else value


@contextlib.contextmanager
def _own_chance(seed: int) -> Iterator[None]:
    """Global random states seeded for the block and restored after it; output swallowed.

    Some generators draw from the global generators or print; neither may leak into a run.
    """
    import numpy as np

    with _LOCK, contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # e.g. files a generator leaves open
        state, numpy_state = random.getstate(), np.random.get_state()
        random.seed(seed)
        np.random.seed(seed % 2**32)
        try:
            yield
        finally:
            random.setstate(state)
            np.random.set_state(numpy_state)
