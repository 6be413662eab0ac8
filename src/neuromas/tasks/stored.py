"""Tasks that are stored: a fixed list of problems per split, whose splits never share a question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from neuromas.core.errors import TaskError
from neuromas.core.seeds import derive
from neuromas.core.task import SPLITS, Problem, Score, Split
from neuromas.tasks.checking import check
from neuromas.tasks.generated import check_split, split_of

_FORMATS = {
    "choice": "the letter of one choice",
    "number": "one number",
    "yesno": "yes or no",
    "text": "a short answer",
}


@dataclass(frozen=True)
class StoredTask:
    """A task over stored problems. ``strict``: the whole text must be the answer."""

    name: str
    problems: Mapping[Split, tuple[Problem, ...]]
    strict: bool = False

    @property
    def answer_format(self) -> str:
        """The form of the answers; a general phrase if the problems are of several kinds."""
        kinds = {problem.kind for problems in self.problems.values() for problem in problems}
        return _FORMATS[kinds.pop()] if len(kinds) == 1 else "the answer only, as short as possible"

    def size(self, split: Split) -> int | None:
        """Number of problems in the split."""
        check_split(split, 0)
        return len(self.problems.get(split, ()))

    def problem(self, split: Split, index: int) -> Problem:
        """The problem at ``index`` of ``split``, in the order they were given (see ``mixed``).

        Raises:
            TaskError: beyond the last problem.
        """
        check_split(split, index)
        stored = self.problems.get(split, ())
        if index >= len(stored):
            raise TaskError(
                f"task {self.name!r}: split {split!r} has {len(stored)} problems, no index {index}"
            )
        return stored[index]

    def score(self, problem: Problem, text: str) -> Score:
        """The score by the problem's kind."""
        return check(problem, text, self.strict)


def by_hash(problems: Sequence[Problem], validation: float, test: float) -> dict[Split, tuple[Problem, ...]]:
    """Problems by split, decided by a hash of the question text; the shares are expected, not exact."""
    shares = (1.0 - validation - test, validation, test)
    return {s: tuple(p for p in problems if split_of(p.question, shares) == s) for s in SPLITS}


def mixed(split: Split, problems: Sequence[Problem]) -> tuple[Problem, ...]:
    """Held-out problems in an order by a hash of the question, so that the first n are a fair sample.

    Data sorted by label or by source would give the first n one label. The order depends on nothing but
    the questions: it is the same for every seed, and whatever the order of the file. ``train`` stays as it
    is, because its problems are drawn at random.
    """
    if split == "train":
        return tuple(problems)
    return tuple(
        sorted(problems, key=lambda p: derive("held-out order", split, " ".join(p.question.split())))
    )


def disjoint(
    name: str, problems: Mapping[Split, tuple[Problem, ...]], overlap: str
) -> dict[Split, tuple[Problem, ...]]:
    """The same splits, without shared questions: an error, or dropped from the less held-out split.

    Questions are compared without case and runs of white space, choices included.

    Raises:
        TaskError: with ``overlap = "error"``, if a question occurs in two splits.
    """
    kept: dict[Split, tuple[Problem, ...]] = {}
    seen: dict[str, Split] = {}
    for split in reversed(SPLITS):  # test keeps all, train gives way
        mine = problems.get(split, ())
        shared = [p for p in mine if _key(p) in seen]
        if shared and overlap == "error":
            raise TaskError(
                f"task {name!r}: {len(shared)} questions of split {split!r} also occur in split "
                f"{seen[_key(shared[0])]!r}, first {shared[0].question[:60]!r}; "
                f"remove them, or set overlap = 'drop'"
            )
        kept[split] = tuple(p for p in mine if _key(p) not in seen)
        seen.update((_key(p), split) for p in kept[split])
    return kept


def _key(problem: Problem) -> str:
    return " ".join(problem.question.casefold().split())
