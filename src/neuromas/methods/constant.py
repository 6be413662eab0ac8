"""One answer to every question: the bar below which nothing was learned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from neuromas.core.episode import Episode, EpisodeGroup
from neuromas.core.task import Problem
from neuromas.evaluation.heldout import first_problems
from neuromas.methods.base import Bench, Method
from neuromas.system.scoring import scored
from neuromas.tasks.cheats import best_constant

_SEEN = 200  # training problems on which the answer is chosen


class Constant(Method):
    """The constant, or the question given back, that earns most on training problems.

    Reports also name the constant that is best on the very items, which needs their gold answers: that one
    is a bar and no method.
    """

    costs = "0"
    source = "the majority class"

    def calls(self, bench: Bench) -> int:
        """None."""
        return 0

    def answer(self, bench: Bench, problems: Sequence[Problem], samples: int = 1) -> list[EpisodeGroup]:
        """See ``Method.answer``. Raises TaskError if there is no training problem."""
        text = self._best(bench)
        return [
            EpisodeGroup(tuple(scored(bench.task, _saying(problem, k, text)) for k in range(samples)))
            for problem in problems
        ]

    def about(self, bench: Bench) -> dict[str, Any]:
        """No node, and the answer."""
        return {"nodes": 0, "constant": self._best(bench)}

    def _best(self, bench: Bench) -> str | None:
        """The answer; None stands for the question given back."""
        best = best_constant(bench.task, first_problems(bench.task, "train", _SEEN))
        return best.text if best.name == "constant" else None


def _saying(problem: Problem, sample: int, text: str | None) -> Episode:
    """An episode without a message."""
    return Episode(problem, sample, (), None, elected=problem.question if text is None else text)
