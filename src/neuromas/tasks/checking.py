"""Reading an answer out of a text and comparing it with the gold answer.

Two manners. *Exact*, for the short built-in tasks: the whole text must be the answer (white space
around it and one closing full stop aside), because lenient scoring breeds degenerate text such as
"82 is indeed 82". *Tolerant*, for data sets: one unambiguous answer may stand in a sentence. In both,
a text that cannot be understood scores ``Score(0.0, None)``; no option is ever assumed.
"""

from __future__ import annotations

import re

from neuromas.task import Problem, Score

MAX_CHARS = 4000  # a longer answer is not read: nothing sensible is that long, and reading costs time
_NUMBER = re.compile(r"[-+]?[0-9]+(?:\.[0-9]+)?")  # ASCII digits only, on purpose
FAILED = Score(0.0, None)


def plain(text: str) -> str:
    """Text without surrounding white space and without one closing full stop."""
    return text.strip().removesuffix(".").rstrip()


def exact_number(gold: str, text: str, tolerance: float = 0.0) -> Score:
    """1 if the whole text is the number ``gold``, written as gold is; digits elsewhere do not count.

    ``tolerance`` > 0 also accepts numbers that differ by at most that much.
    """
    said = plain(text) if len(text) <= MAX_CHARS else ""
    if len(said) > 40 or not _NUMBER.fullmatch(said):
        return FAILED
    near = tolerance > 0 and abs(float(said) - float(gold)) <= tolerance + 1e-9
    return Score(float(said == gold or near), said)


def exact_word(gold: str, text: str) -> Score:
    """1 if the whole text is the word ``gold``, in any case; more than one word is a parse failure."""
    said = plain(text) if len(text) <= MAX_CHARS else ""
    if not said or len(said.split()) != 1:
        return FAILED
    return Score(float(said.casefold() == gold.casefold()), said)


def exact(problem: Problem, text: str) -> Score:
    """The exact score of a number or a one-word problem."""
    check = exact_number if problem.kind == "number" else exact_word
    return check(problem.answer, text)
