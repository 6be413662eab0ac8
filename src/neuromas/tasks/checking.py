"""Reading an answer out of a text and comparing it with the gold answer.

Two manners. *Exact*, for the short built-in tasks: the whole text must be the answer (white space
around it and one closing full stop aside), because lenient scoring breeds degenerate text such as
"82 is indeed 82". *Tolerant*, for data sets: one unambiguous answer may stand in a sentence. In both,
a text that cannot be understood scores ``Score(0.0, None)``; no option is ever assumed.

Texts come from a model and are hostile until read: nothing is evaluated, every pattern is linear, and
only short formulas of a closed form reach a computer algebra system.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

from neuromas.core.task import Problem, Score
from neuromas.tasks.formulas import as_fraction, canonical, has_number_form, is_number, same_value

MAX_CHARS = 4000  # a longer answer is not read: nothing sensible is that long, and reading costs time
FAILED = Score(0.0, None)
_NUMBER = re.compile(r"[-+]?[0-9]+(?:\.[0-9]+)?")  # ASCII digits only, on purpose
# a whole number as written: not the "5" of "5.5kg", "5.000.000" or "√5"
_WRITTEN = re.compile(r"(?<![\w.,√])[-+]?[$]?[0-9][0-9,]{0,30}(?:\.[0-9]{1,30})?(?!\w|\.[0-9])")
_MARKER = re.compile(r"(?:####|\banswer(?: is)?\b\s{0,3}[:=]?)\s{0,3}", re.IGNORECASE)
_BOXED = re.compile(r"\\boxed\{([^{}]{1,200})\}")
_WHOLE_LETTER = re.compile(r"\(?([A-Za-z])\)?[.:)]?")
_LEADING_LETTER = re.compile(r"(?:\(([A-Z])\)|([A-Z])[.:)])\s{1,5}(\S.*)", re.DOTALL)
_MARKED_LETTER = re.compile(
    r"(?:\banswer|\boption|\bchoice)(?: is)?\s{0,3}[:=]?\s{0,3}\(?([A-Z])\)?(?=\s*(?:$|[.,;:!\n]))",
    re.IGNORECASE,
)
# an option's letter by itself: not the article "A cat", nor "I think"
_MENTIONED_LETTER = re.compile(
    r"(?<![\w'])\(?(?:([B-HJ-Z])|([AI])(?! (?!(?:or|and|nor|not|is)\b)[a-z]))\)?(?![\w'])"
)
_LISTED_LETTER = re.compile(r"^\s{0,3}\(?([A-Z])[.):]\s", re.MULTILINE)
_COMPUTATION = re.compile(
    r"[0-9)]\s{0,3}(?:[-=+*/^×÷·<>x]|\\times|\\cdot)\s{0,3}[-$(]{0,2}[0-9(]"
    r"|\\(?:[dt]?frac|sqrt|pi)(?![A-Za-z])|[-√]\(|[0-9][eE][-+]?[0-9]"
)
_LEADING_YESNO = re.compile(r"(yes|no|true|false)(?=\s*(?:$|[.,;:!\n]))", re.IGNORECASE)
_YESNO = {"yes": "yes", "true": "yes", "no": "no", "false": "no"}


def trimmed(text: str) -> str:
    """Text without surrounding white space and without one closing full stop."""
    return text.strip().removesuffix(".").rstrip()


def normal(text: str) -> str:
    """Text for comparison: case, runs of white space, outer quotes and closing punctuation removed."""
    return " ".join(text.casefold().split()).rstrip(".,;:!?").strip(" \"'`")


def exact_number(gold: str, text: str, tolerance: float = 0.0) -> Score:
    """1 if the whole text is the number ``gold``, written as gold is; digits elsewhere do not count.

    ``tolerance`` > 0 also accepts numbers that differ by at most that much.
    """
    said = trimmed(text) if len(text) <= MAX_CHARS else ""
    if len(said) > 40 or not _NUMBER.fullmatch(said):
        return FAILED
    near = tolerance > 0 and abs(float(said) - float(gold)) <= tolerance + 1e-9
    return Score(float(said == gold or near), said)


def exact_word(gold: str, text: str) -> Score:
    """1 if the whole text is the word ``gold``, in any case; more than one word is a parse failure."""
    said = trimmed(text) if len(text) <= MAX_CHARS else ""
    if not said or len(said.split()) != 1:
        return FAILED
    return Score(float(said.casefold() == gold.casefold()), said.casefold())


def exact(problem: Problem, text: str) -> Score:
    """The exact score of a number or a one-word problem."""
    check = exact_number if problem.kind == "number" else exact_word
    return check(problem.answer, text)


def check(problem: Problem, text: str, strict: bool = False) -> Score:
    """The score of a data-set answer by the problem's kind.

    ``strict`` demands that the whole text is the answer. Text answers are always compared whole.
    """
    if len(text) > MAX_CHARS or not text.strip():
        return FAILED
    if problem.kind == "choice":
        said = read_choice(problem.choices, text, strict)
        return FAILED if said is None else Score(float(said == problem.answer), said)
    if problem.kind == "yesno":
        said = read_yesno(text, strict)
        return FAILED if said is None else Score(float(said == problem.answer), said)
    if problem.kind == "number":
        return check_number(problem.answer, text, strict)
    said = normal(text)
    return Score(float(said == normal(problem.answer)), said) if said else FAILED


def read_choice(choices: Sequence[str], text: str, strict: bool = False) -> str | None:
    """The one letter the text chooses, or ``None``: none, or more than one, was chosen.

    Understood: "B", "(B)", "B.", "B. the text", "Answer: B", "\\boxed{B}", or the text of exactly one
    choice. A letter that contradicts the choice text behind it is no answer, and neither are several
    different letters ("A, B, C, D").
    """
    letters = [chr(ord("A") + i) for i in range(len(choices))]
    texts = [normal(choice) for choice in choices]
    said = text.strip()
    whole = _WHOLE_LETTER.fullmatch(said)
    if whole:
        letter = whole[1].upper()
        return letter if letter in letters else None
    if strict:
        return None
    marked = [match for match in _MARKED_LETTER.finditer(said) if match[1].isupper()]
    found = {inner.strip(" ()") for inner in _BOXED.findall(said)}
    for match in marked:
        found |= {match[1], *_mentioned(said[match.end(1) :], letters)}
    leading = _LEADING_LETTER.match(said)
    rest = leading[3] if leading else _after_marker(said)
    if leading:
        found |= {leading[1] or leading[2], *_mentioned(rest, letters)}
        found |= {letter for letter in _LISTED_LETTER.findall(said) if letter in letters}
    named = [letter for letter, choice in zip(letters, texts, strict=True) if choice == normal(rest)]
    if len(named) == 1:
        found.add(named[0])
    chosen = found.pop() if len(found) == 1 else ""
    return chosen if chosen in letters else None


def _mentioned(text: str, letters: Sequence[str]) -> set[str]:
    """The options whose letters stand by themselves in the text's first line."""
    line = text.split("\n", 1)[0]
    return {b or a for b, a in _MENTIONED_LETTER.findall(line)} & set(letters)


def read_yesno(text: str, strict: bool = False) -> str | None:
    """ "yes" or "no", or ``None`` if the text says neither or both; true and false are understood."""
    said = normal(text)
    if said in _YESNO or strict:
        return _YESNO.get(said)
    leading = _LEADING_YESNO.match(_after_marker(text.strip()))
    meant = {_YESNO[word] for word in re.findall(r"\b(?:yes|no|true|false)\b", said)}
    return _YESNO[leading[1].lower()] if leading and len(meant) == 1 else None


def check_number(gold: str, text: str, strict: bool = False) -> Score:
    """1 if the number in the text has gold's value: 1,000 = 1000 = $1000.00, 0.5 = 1/2 = \\frac12.

    A number must be written out (``formulas.is_number``): where gold is a number, a computation such as
    "7*8" or "5=5" is a parse failure; where gold is a formula, any formula of its value is right. Where gold
    itself is not in lowest terms ("4/2"), others of that form are understood, and wrong.
    Tolerant reading takes what stands in \\boxed{}, after "####" or "answer is", or the whole text, or
    the only number in it. Several different numbers without a marker are a parse failure.
    """
    plain_gold = has_number_form(gold)
    for candidate in [text] if strict else _number_candidates(text):
        said = candidate.strip().rstrip(".").strip()
        if said and said == gold:
            return Score(1.0, canonical(said))
        if plain_gold and not is_number(said):
            if has_number_form(said) and not is_number(gold):  # else gold alone of "4/2", "6/2" were a vote
                return Score(0.0, canonical(said))
            continue
        equal = same_value(gold, said)
        if equal is not None:
            return Score(float(equal), canonical(said))
    return FAILED


def _number_candidates(text: str) -> list[str]:
    """Where a number may stand, best place first."""
    boxed = _BOXED.findall(text)
    if boxed:
        return [boxed[-1]]
    tail = _after_marker(text.strip())
    if tail != text.strip():  # else other lines may say another number
        tail = tail.split("\n", 1)[0]
    return [tail, *_only_number(tail)]


def _only_number(text: str) -> list[str]:
    """The number in the text if all numbers in it have one value and nothing is computed, else nothing."""
    if _COMPUTATION.search(text):
        return []
    found = [match[0] for match in _WRITTEN.finditer(text)]
    values: set[Fraction | None] = {as_fraction(number) for number in found}
    return found[:1] if len(values) == 1 and None not in values else []


def _after_marker(text: str) -> str:
    """What follows the last "####", "Answer:" or "answer is"; all of it if there is none."""
    ends = [match.end() for match in _MARKER.finditer(text)]
    return text[ends[-1] :] if ends else text
