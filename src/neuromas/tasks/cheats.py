"""Answers that need no thought, and what a scorer pays for them.

A cheat is a rule that writes a text for every problem without solving it. What it earns has two sources.
Where the text *is* the gold answer, it was right by luck: that is the balance of the answers, a bar which
a trained network has to pass. Where the text is not the gold answer and is paid all the same, the scorer
gives rewards away, and reinforcement learning will find them: ``unearned``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial

from neuromas.core.task import Problem, Score, Task
from neuromas.tasks.around import TaskAround, foresee
from neuromas.tasks.checking import FAILED, normal
from neuromas.tasks.formulas import as_fraction

SHORT = (
    *("0", "1", "2", "-1", "10", "yes", "no", "true", "false", "True", "False"),
    *("A", "B", "C", "D", "E", "a", "x", "None", "[]", "()", "{}", ".", "-", "?", "the"),
)
_GOLDS = 100  # gold answers that are tried as constants
_SAMPLE = 40  # problems on which every constant is tried; the best of them play on all
_BEST = 8
_ROUNDING = Fraction(1, 10**9)  # gold answers computed with floats end in digits like ...02999997
_LISTED = 30  # gold answers in a list of all answers
_EXPRESSION = re.compile(r"[0-9(][0-9+\-*/^(). ×÷]*[+\-*/^×÷][0-9+\-*/^(). ×÷]*[0-9)]")
_FORMULA = re.compile(r"-?[\w.()]+(?: ?(?:\*\*|[-+*/^×]) ?[\w.()]+)+")
_SCIENTIFIC = re.compile(r"[-+]?[0-9]{1,30}(?:\.[0-9]{1,30})?[eE][-+]?[0-9]{1,2}")
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")

Rule = Callable[[Problem], str]


@dataclass(frozen=True, slots=True)
class Cheat:
    """What one rule earned: all shares are means over the problems it was played on.

    ``earned`` is the mean score: the sum of ``gold`` (the text was the gold answer), ``other`` (it was not,
    but the question says that it has many answers, and the text is the gold answer of another question)
    and ``unearned`` (neither). ``text`` is one that was paid without being gold, if any was.
    """

    name: str
    text: str
    earned: float
    other: float
    unearned: float


def is_gold(problem: Problem, text: str) -> bool:
    """Whether the text is the gold answer by any writing: case, spaces, a number's form, a choice's text."""
    said, gold = normal(text), normal(problem.answer)
    if said == gold or said.strip("()") == gold:
        return True
    value, right = _value(text), _value(problem.answer)
    if value is not None and right is not None and abs(value - right) <= abs(right) * _ROUNDING:
        return True
    if problem.kind == "yesno":
        return {"true": "yes", "false": "no"}.get(said) == gold
    place = ord(problem.answer) - ord("A") if problem.kind == "choice" else -1
    if not 0 <= place < len(problem.choices):
        return False
    choice = problem.choices[place]
    return said in (normal(choice), normal(f"{problem.answer}. {choice}"))


def _value(text: str) -> Fraction | None:
    """The number a text is, also in scientific notation."""
    return Fraction(text.strip()) if _SCIENTIFIC.fullmatch(text.strip()) else as_fraction(text)


def best_constant(task: Task, problems: Sequence[Problem]) -> Cheat:
    """The answer that is right most often by being given to every problem, or the question itself given back.

    Found by scoring the most frequent gold answers and ``SHORT`` on a few problems, and the best of them on
    all. Quick, about 600 scores and 7 a problem, as every evaluation reports it; ``play`` tries more.
    Of programs none is tried here, as each would have to be run: that counts as nothing earned.
    """
    if _of_code(problems):
        return Cheat("constant", "", 0.0, 0.0, 0.0)
    task = Exact(task)
    echo = _play(task, problems, "the question", lambda problem: problem.question)
    return max(*_constants(task, problems, golds=12, sample=12, best=2), echo, key=lambda cheat: cheat.earned)


@dataclass(frozen=True)
class Exact(TaskAround):
    """A task whose scores are what evaluations count: its own judgement, whatever training pays beside it."""

    def score(self, problem: Problem, text: str) -> Score:
        """The task's, with its accuracy as the value."""
        found = self.inner.score(problem, text)
        return replace(found, value=found.accuracy)


@dataclass(frozen=True, slots=True)
class Played:
    """What the cheats earned, by kind; constants best first.

    A policy can learn constants and echoes, so what they earn is a bar. ``tricks`` are lists of all that
    could be right, and texts that only one who knows the answer could write.
    """

    constants: tuple[Cheat, ...]
    echoes: tuple[Cheat, ...]
    tricks: tuple[Cheat, ...]

    @property
    def all(self) -> tuple[Cheat, ...]:
        """The cheats of all kinds."""
        return (*self.constants, *self.echoes, *self.tricks)


def play(task: Task, problems: Sequence[Problem]) -> Played:
    """Every cheat on these problems; of programs fewer, and no lists: with the right one in it, one is right."""
    if _of_code(problems):
        few = _constants(task, problems, golds=4, sample=8, best=2)
        return Played(few, tuple(_play(task, problems, name, rule) for name, rule in _echoes()), ())
    return Played(
        _constants(task, problems, golds=_GOLDS, sample=_SAMPLE, best=_BEST),
        tuple(_play(task, problems, name, rule) for name, rule in _echoes()),
        tuple(_play(task, problems, name, rule) for name, rule in (*_lists(problems), *_hedges(problems))),
    )


def _of_code(problems: Sequence[Problem]) -> bool:
    """Whether answers are programs."""
    return all(problem.kind == "code" for problem in problems)


def _constants(
    task: Task, problems: Sequence[Problem], *, golds: int, sample: int, best: int
) -> tuple[Cheat, ...]:
    """Constants on all problems, best first: those that earned most on ``sample`` of them.

    The most frequent gold answers, and those paid most without being right, are always among them.
    """
    common = [answer for answer, _ in Counter(p.answer for p in problems).most_common(golds)]
    letters = [chr(ord("A") + i) for i in range(max(len(p.choices) for p in problems))]
    texts = list(dict.fromkeys([*common, *letters, *SHORT]))
    few = problems[:: -(-len(problems) // sample)]
    tried = [_play(task, few, "constant", _always(text)) for text in texts]
    order = [*range(min(best, len(common)))]
    order += sorted(range(len(texts)), key=lambda i: -tried[i].earned)[:best]
    order += sorted(range(len(texts)), key=lambda i: -tried[i].unearned)[:best]
    kept = [_play(task, problems, "constant", _always(texts[i])) for i in dict.fromkeys(order)]
    return tuple(sorted(kept, key=lambda cheat: -cheat.earned))


def _always(text: str) -> Rule:
    return lambda problem: text


def _echoes() -> Iterator[tuple[str, Rule]]:
    """Pieces of the question given back."""
    yield "echo of the question", lambda p: p.question
    yield "echo of its last line", lambda p: p.question.rstrip().rsplit("\n", 1)[-1]
    yield "echo of its first word", lambda p: p.question.split()[0]
    yield "echo of its last word", lambda p: p.question.split()[-1].rstrip("?.!")
    yield "echo of its first number", lambda p: _at(_NUMBER.findall(p.question), 0)
    yield "echo of its last number", lambda p: _at(_NUMBER.findall(p.question), -1)
    yield "echo of its expression", lambda p: max(_EXPRESSION.findall(p.question), key=len, default="")
    yield "echo of its formula", lambda p: max(_FORMULA.findall(p.question), key=len, default="")
    yield "first option's text", lambda p: _at(p.choices, 0)
    yield "last option's text", lambda p: _at(p.choices, -1)


def _lists(problems: Sequence[Problem]) -> Iterator[tuple[str, Rule]]:
    """All that could be right, in one answer."""
    golds = list(dict.fromkeys(problem.answer for problem in problems))[:_LISTED]
    for name, joint in (("commas", ", "), ("spaces", " "), ("lines", "\n")):
        everything = joint.join(golds)
        yield f"all answers, with {name}", _always(everything if len(golds) > 1 else "")
    yield "yes and no", _always("yes no")
    yield "a list of all options", lambda p: ", ".join(_letters(p))
    yield "'The answer is' all options", lambda p: _told(", ".join(_letters(p)))
    yield (
        "all options one by one",
        lambda p: "\n".join(f"{letter}. {text}" for letter, text in zip(_letters(p), p.choices, strict=True)),
    )
    yield "the texts of all options", lambda p: ", ".join(p.choices)


def _hedges(problems: Sequence[Problem]) -> Iterator[tuple[str, Rule]]:
    """The gold answer of a neighbour, alone or beside the right one, and numbers left unevaluated.

    These show what the scorer takes for an answer; a rule that knows the gold answer is no policy.
    """
    after = {p: _other(problems, i) for i, p in enumerate(problems)}
    yield "a neighbour's answer", lambda p: after[p]
    forms = (("or", "{} or {}"), ("comma", "{}, {}"), ("space", "{} {}"), ("told", "The answer is {}, {}."))
    for name, form in forms:
        yield f"the answer and a neighbour's ({name})", partial(_both, form, after, False)
        yield f"a neighbour's and the answer ({name})", partial(_both, form, after, True)
    for form in ("{0}+0", "{0} * 1", "{0}={0}", "{0}+{0}-{0}"):
        yield f"unevaluated {form.replace('{0}', 'n')}", partial(_unevaluated, form)


def _other(problems: Sequence[Problem], place: int) -> str:
    """The next different gold answer of the same kind; empty if there is none."""
    mine = problems[place]
    for step in range(1, len(problems)):
        other = problems[(place + step) % len(problems)]
        if other.kind == mine.kind and not is_gold(mine, other.answer):
            return other.answer
    return ""


def _both(form: str, after: Mapping[Problem, str], swapped: bool, problem: Problem) -> str:
    pair = (problem.answer, after[problem])
    return form.format(*(reversed(pair) if swapped else pair)) if all(pair) else ""


def _unevaluated(form: str, problem: Problem) -> str:
    return form.format(problem.answer) if re.fullmatch(r"[0-9.]+", problem.answer) else ""


def _letters(problem: Problem) -> list[str]:
    return [chr(ord("A") + i) for i in range(len(problem.choices))]


def _told(text: str) -> str:
    return f"The answer is {text}." if text else ""


def _at(found: Sequence[str], place: int) -> str:
    return found[place] if found else ""


def _play(task: Task, problems: Sequence[Problem], name: str, rule: Rule) -> Cheat:
    """One rule on all problems; an empty text is no answer and earns nothing."""
    golds = {problem.answer for problem in problems}
    earned = other = unearned = 0.0
    paid = shown = ""
    foresee(task, [(problem, rule(problem)) for problem in problems])
    for problem in problems:
        text = rule(problem)
        score = _score(task, problem, text) if text.strip() else FAILED
        value = score.value
        shown, earned = shown or text, earned + value
        last = problem.meta.get("read") == "last"  # then the rest of the text claims nothing
        if value > 0 and not is_gold(problem, (last and score.parsed) or text):
            paid = paid or text
            if problem.meta.get("many_answers") and text in golds:
                other += value
            else:
                unearned += value
    count = len(problems)
    return Cheat(name, paid or shown, earned / count, other / count, unearned / count)


def _score(task: Task, problem: Problem, text: str) -> Score:
    try:
        return task.score(problem, text)
    except Exception:  # a scorer of one's own may fail on an odd text: then it pays nothing for it
        return FAILED
