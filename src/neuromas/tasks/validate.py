"""Checking a task without a model: does it reward what is right, and only that?

The sceptic's part is in ``cheats``: answers that need no thought. What they earn where they happen to be
right is the balance of the answers, and is reported as the bar for a network; what they earn where they
are not is a fault of the scorer, and fails above ``CHEAT_RATE``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random

from neuromas.core.episode import judged
from neuromas.core.errors import TaskError, one_line, shown
from neuromas.core.seeds import derive
from neuromas.core.task import SPLITS, Problem, Score, Split, Task
from neuromas.tasks.around import foresee
from neuromas.tasks.cheats import Played, play
from neuromas.tasks.checking import FAILED
from neuromas.tasks.generated import TooFewQuestionsError
from neuromas.tasks.own import episode_of

CHEAT_RATE = 0.05  # of the full reward: what a text that is not the gold answer may earn on average
MANY_RATE = 0.5  # the same for another question's gold answer where a question has many right ones


@dataclass(frozen=True, slots=True)
class Check:
    """One finding. ``ok`` is ``None`` for a figure that is only reported."""

    name: str
    ok: bool | None
    detail: str


@dataclass(frozen=True, slots=True)
class ValidationReport:
    """All findings about one task; ``ok`` if no check failed. ``played`` holds the figures of the cheats."""

    task: str
    checks: tuple[Check, ...]
    played: Played | None = None

    @property
    def ok(self) -> bool:
        """Whether every check that can fail passed."""
        return all(check.ok is not False for check in self.checks)

    @property
    def failed(self) -> tuple[str, ...]:
        """Names of the failed checks."""
        return tuple(check.name for check in self.checks if check.ok is False)


def validate(task: Task, count: int, seed: int) -> ValidationReport:
    """Check up to ``count`` problems of every split, without a model, by what training would pay.

    Gold answers must earn 1 and parse, an empty answer and another problem's different gold answer must
    earn 0, no cheat may be paid (``cheats``), no question may occur in two splits, equal arguments give equal
    problems. A generator that fails is a finding, not an exception. Without gold answers, what must not be
    paid is unknown: then what cheats earn is only reported. Where training pays for near answers
    (``meta["graded"]``), all this holds of what counts as right; what constants and echoes are paid is told.
    """
    if count < 1:
        raise TaskError(f"validate: count must be at least 1, got {count}")
    try:
        sampled = {split: _sample(task, split, count) for split in SPLITS}
    except TaskError as error:
        return ValidationReport(task.name, (Check("problems", False, one_line(error)),))
    problems = [problem for split in SPLITS for problem in sampled[split]]
    sizes = ", ".join(f"{split} {len(sampled[split])}" for split in SPLITS)
    if not problems:
        return ValidationReport(task.name, (Check("problems", False, "no split has a problem"),))
    checks = [Check("problems", True, f"sampled {sizes}"), _same(task, sampled)]
    near = any(problem.meta.get("graded") for problem in problems)
    paid = _Watched(task)
    task = watched = _Watched(task, exact=near)
    gold = all(problem.answer for problem in problems)
    if gold:
        checks += [_gold(task, problems), _empty(task, problems), _shuffled(task, problems, seed)]
    else:
        checks.append(Check("gold answers", None, "there are none: a reward function decides"))
    played = play(task, problems)
    checks += [_disjoint(sampled), _parts(problems), *_cheats(played, len(problems), gold)]
    checks += [_first_option(task, problems)] if any(p.choices for p in problems) else []
    checks += _near(play(paid, problems)) if near else []
    checks += [Check("scores lie in [0, 1]", False, watched.fault)] if watched.fault else []
    return ValidationReport(task.name, tuple(checks), played)


@dataclass(slots=True)
class _Watched:
    """A task whose scorer may fail or return what is no score; the first such case is kept as ``fault``."""

    task: Task
    fault: str = ""
    exact: bool = False  # the value is the task's own judgement, unless reward functions made it
    name: str = field(init=False)
    answer_format: str = field(init=False)

    def __post_init__(self) -> None:
        self.name, self.answer_format = self.task.name, self.task.answer_format

    def size(self, split: Split) -> int | None:
        """As the task's."""
        return self.task.size(split)

    def problem(self, split: Split, index: int) -> Problem:
        """As the task's."""
        return self.task.problem(split, index)

    def foresee(self, answers: Sequence[tuple[Problem, str]]) -> None:
        """As the task's."""
        foresee(self.task, answers)

    def score(self, problem: Problem, text: str) -> Score:
        """The task's score, or a parse failure where it gives none."""
        try:
            score = judged(self.task, episode_of(problem, text))
            if 0.0 <= score.value <= 1.0:  # not a number is neither
                return replace(score, value=score.accuracy) if self.exact and not score.rewards else score
            what = f"{score.value!r}"
        except Exception as error:  # a rollout counts such an answer as wrong
            what = f"{type(error).__name__}: {one_line(error)}"
        self.fault = self.fault or f"{shown(text, 40)} earns {what} in {problem.id}"
        return FAILED


def _sample(task: Task, split: Split, count: int) -> list[Problem]:
    """Up to ``count`` problems: fewer if the split, or the supply of different questions, is smaller."""
    size = task.size(split)
    sampled: list[Problem] = []
    for index in range(count if size is None else min(count, size)):
        try:
            sampled.append(task.problem(split, index))
        except TooFewQuestionsError:
            if not sampled:
                raise
            break
    return sampled


def _same(task: Task, sampled: Mapping[Split, Sequence[Problem]]) -> Check:
    """A problem asked for again, in another order, is the same: else runs could not be repeated."""
    places = [(split, index) for split in SPLITS for index in range(len(sampled[split]))]
    bad = []
    for split, index in reversed(places):
        try:
            again: Problem | None = task.problem(split, index)
        except TaskError:
            again = None
        if again != sampled[split][index]:
            bad.append(sampled[split][index].id)
    return Check("equal arguments, equal problems", not bad, _share(len(bad), len(places), "differ", bad))


def _gold(task: Task, problems: Sequence[Problem]) -> Check:
    foresee(task, [(problem, problem.answer) for problem in problems])
    scores = [task.score(problem, problem.answer) for problem in problems]
    bad = [p.id for p, s in zip(problems, scores, strict=True) if s.value != 1.0 or s.parsed is None]
    return Check("gold answer earns 1", not bad, _share(len(bad), len(problems), "do not", bad))


def _empty(task: Task, problems: Sequence[Problem]) -> Check:
    """Nothing is no answer, and white space earns nothing either."""
    bad = []
    for problem in problems:
        nothing = task.score(problem, "")
        if nothing.value != 0.0 or nothing.parsed is not None or task.score(problem, " \n").value != 0.0:
            bad.append(problem.id)
    return Check("empty answer earns 0", not bad, _share(len(bad), len(problems), "earn or parse", bad))


def _shuffled(task: Task, problems: Sequence[Problem], seed: int) -> Check:
    """Every problem is offered the gold answer of another one whose answer differs.

    Where a question has many right answers (``meta["many_answers"]``) the rate is only reported.
    """
    rng = Random(derive(seed, "validate", task.name))
    tried, bad = 0, []
    for problem in problems:
        same_kind = [p for p in problems if p.kind == problem.kind]
        others = [p for p in same_kind if p.answer.casefold() != problem.answer.casefold()]
        if not others:
            continue
        tried += 1
        if task.score(problem, rng.choice(others).answer).value > 0.0:
            bad.append(problem.id)
    if not tried:
        return Check("shuffled answer earns 0", False, "all gold answers are the same")
    ok = None if any(p.meta.get("many_answers") for p in problems) else not bad
    return Check("shuffled answer earns 0", ok, _share(len(bad), tried, "earn", bad))


def _disjoint(sampled: Mapping[Split, Sequence[Problem]]) -> Check:
    seen: dict[str, Split] = {}
    shared = 0
    for split, problems in sampled.items():
        for problem in problems:
            shared += seen.setdefault(problem.question, split) != split
    return Check("splits do not overlap", shared == 0, f"{shared} questions occur in two splits")


def _parts(problems: Sequence[Problem]) -> Check:
    with_parts = [p for p in problems if p.parts]
    bad = [p.id for p in with_parts if not all(part.strip() for part in p.parts)]
    return Check("parts are not empty", not bad, f"{len(with_parts)} of {len(problems)} problems have parts")


def _cheats(played: Played, count: int, gold: bool) -> list[Check]:
    """Whether the scorer pays for what is not the ``gold`` answer; then the bars, which are only reported.

    One problem alone is an accident: a share counts from the second problem on.
    """
    cheats = played.all
    worst = max(cheats, key=lambda cheat: cheat.unearned)
    paid = f"{worst.name} {worst.text[:40]!r} earns" if worst.unearned else f"{len(cheats)} cheats earn"
    fair = worst.unearned <= max(CHEAT_RATE, 1.0 / count)
    checks = [
        Check(
            "cheats earn nothing",
            fair if gold else None,
            f"{paid} {worst.unearned:.1%} where it is not the answer",
        )
    ]
    usual = max(played.constants, key=lambda cheat: cheat.other)
    if usual.other:
        detail = f"{usual.text[:40]!r} is also right in {usual.other:.1%} of other questions"
        checks.append(Check("no answer fits most questions", usual.other <= MANY_RATE, detail))
    best, echo = played.constants[0], max(played.echoes, key=lambda cheat: cheat.earned)
    checks.append(Check("best constant", None, f"{best.text[:40]!r} earns {best.earned:.1%}"))
    return [*checks, Check("best echo", None, f"{echo.name} earns {echo.earned:.1%}")]


def _near(paid: Played) -> list[Check]:
    """What cheats are paid where near answers are: a bar for the mean reward of training."""
    best, echo = paid.constants[0], max(paid.echoes, key=lambda cheat: cheat.earned)
    return [
        Check("best constant as paid", None, f"{best.text[:40]!r} is paid {best.earned:.1%}"),
        Check("best echo as paid", None, f"{echo.name} is paid {echo.earned:.1%}"),
    ]


def _first_option(task: Task, problems: Sequence[Problem]) -> Check:
    asked = [problem for problem in problems if problem.choices]
    right = sum(task.score(problem, "A").value == 1.0 for problem in asked)
    return Check("first option", None, f"right in {right / len(asked):.1%} of {len(asked)}")


def _share(bad: int, total: int, verb: str, names: Sequence[str]) -> str:
    example = f", e.g. {names[0]}" if names else ""
    return f"{bad} of {total} {verb}{example}"
