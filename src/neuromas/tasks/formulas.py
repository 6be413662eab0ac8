"""Values of short formulas: plain numbers by exact fractions, LaTeX by math-verify, nothing else.

math-verify stops runaway computations by signal alarms, which fail outside the main thread, so its
timers are off here. Instead only formulas that cannot run away are handed to it: short, from a closed
vocabulary, with at most one power of a small exponent.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from fractions import Fraction
from functools import lru_cache
from typing import Any

_PLAIN = re.compile(r"([-+]?)[$]?([0-9]{1,30}|[0-9]{1,3}(?:,[0-9]{3}){1,9})(?:\.([0-9]{0,30}))?")
_RATIO = re.compile(r"([-+]?[0-9]{1,30})\s?/\s?([0-9]{1,30})")
_LATEX_MARKS = re.compile(r"\\[!,](?=[0-9]{3}(?![0-9]))|\\(?=[$%])")  # "1\,000", "\$5", "5\%"
_DIGITS = r"(?:[0-9]{1,20}(?:\.[0-9]{1,20})?|\.[0-9]{1,20})"
_ROOT = r"\\sqrt(?:\{[0-9]{1,20}\}|[0-9])"
_UNIT = rf"(?:{_DIGITS}? ?(?:{_ROOT}|\\pi)|{_DIGITS})"  # 3, 2\sqrt{3}, \pi
_FRACTION = rf"\\[dt]?frac(?:\{{-?{_UNIT}\}}\{{-?{_UNIT}\}}|[0-9][0-9])"
_WRITTEN_OUT = re.compile(
    rf"[-+]? ?(?:{_UNIT}|[0-9]{{0,20}} ?{_FRACTION}(?: ?(?:{_ROOT}|\\pi))?|{_UNIT} ?/ ?{_UNIT})"
)
_COMMANDS = {"frac", "dfrac", "tfrac", "sqrt", "cdot", "times", "pi", "left", "right"}
_CHARACTERS = re.compile(r"[0-9A-Za-z\\{}()^+\-*/., $]{1,120}")
_MAX_EXPONENT = 99


def as_fraction(text: str) -> Fraction | None:
    """The exact value of "-3", "1,000", "$2.50", "40%" (as 40) or "3/4"; ``None`` for anything else.

    Also as LaTeX writes them: "\\$2.50", "40\\%", "1{,}000", "1,\\!000", "$1000$".
    """
    said = text.strip()
    if said.startswith("$") and said.endswith("$"):
        said = said[1:-1]
    said = _LATEX_MARKS.sub("", said).replace("{,}", ",").strip().removesuffix("%").rstrip()
    match = _PLAIN.fullmatch(said)
    if match:
        sign, whole, decimals = match[1], match[2].replace(",", ""), match[3] or "0"
        return Fraction(f"{sign}{whole}.{decimals}")
    ratio = _RATIO.fullmatch(said)
    return Fraction(int(ratio[1]), int(ratio[2])) if ratio and int(ratio[2]) else None


def is_number(text: str) -> bool:
    """Whether a text is a number as one writes a result, not a computation still to be done.

    A decimal, a fraction in lowest terms, a root nothing can be drawn out of, multiples of a root or of
    pi, a mixed number: "-3", "1,000", "3/4", "\\frac{\\sqrt{2}}{2}". Not "7*8", "4/2", "\\sqrt{16}", "(5)".
    """
    if not has_number_form(text):
        return False
    said = text.strip().strip("$").strip()
    ratio = _RATIO.fullmatch(said)
    if ratio:
        return _lowest(ratio[1], ratio[2])
    fractions = re.findall(r"frac(?:\{(-?[0-9.]+)\}\{(-?[0-9.]+)\}|([0-9])([0-9]))", said)
    roots = re.findall(r"sqrt\{?([0-9]+)", said)
    return all(_lowest(a or c, b or d) for a, b, c, d in fractions) and all(map(_squarefree, roots))


def has_number_form(text: str) -> bool:
    """Whether a text is a number, also one not yet in lowest terms: "4/2", "\\sqrt{8}"."""
    said = text.strip().strip("$").strip()
    if as_fraction(said) is not None:
        return True
    return bool(_WRITTEN_OUT.fullmatch(said)) and ("/" not in said or "\\" in said)


def _lowest(over: str, under: str) -> bool:
    """Whether over/under are whole numbers in lowest terms, and no whole number themselves."""
    if "." in over or "." in under:
        return False
    return abs(int(under)) > 1 and math.gcd(int(over), int(under)) == 1


def _squarefree(digits: str) -> bool:
    """Whether nothing can be drawn out of the root; large numbers are taken at their word."""
    number = int(digits)
    return number > 1 and all(number % (d * d) for d in range(2, min(math.isqrt(number), 1000) + 1))


def canonical(text: str) -> str:
    """One writing for all writings of a number: "1,000", "$1000" and "1000.0" are "1000"; else the text.

    Two answers with one canonical text are one answer, for example when votes are counted.
    """
    value = as_fraction(text)
    if value is None:
        return text
    places = next((n for n in range(31) if (value * 10**n).denominator == 1), None)
    if places is None:
        return f"{value.numerator}/{value.denominator}"
    whole, digits = divmod(abs(value.numerator) * 10**places // value.denominator, 10**places)
    sign = "-" if value < 0 else ""
    return f"{sign}{whole}.{digits:0{places}}" if places else f"{sign}{whole}"


def same_value(gold: str, said: str) -> bool | None:
    """Whether two formulas have one value; ``None`` if ``said`` is no formula that is understood."""
    left, right = as_fraction(gold), as_fraction(said)
    if left is not None and right is not None:
        return left == right
    if not (harmless(gold) and harmless(said)):
        return None
    parsed = _parse(said)
    return _verify(_parse(gold), parsed) if parsed else None


def harmless(text: str) -> bool:
    """Whether a formula is short, of the closed vocabulary, and has at most one small power."""
    if not _CHARACTERS.fullmatch(text) or not any(c.isdigit() for c in text) or text.count("{") > 8:
        return False
    words = re.findall(r"[A-Za-z]+", text)
    commands = re.findall(r"\\([A-Za-z]+)", text)
    if len(words) != len(commands) or not set(commands) <= _COMMANDS:
        return False
    if any(len(run) > 20 for run in re.findall(r"[0-9]+", text)):
        return False
    return small_powers(text, most=1)


def small_powers(text: str, most: int, product: int = _MAX_EXPONENT) -> bool:
    """Whether there are at most ``most`` powers, with number exponents whose product is bounded."""
    powers = len(re.findall(r"\*\*|\^", text))
    exponents = re.findall(r"(?:\*\*|\^)\s*[({]?\s*-?([0-9]{1,4})(?![0-9.])", text)
    total = 1
    for exponent in exponents:
        total *= max(int(exponent), 1)
    return powers <= most and len(exponents) == powers and total <= product


def expression(text: str, names: Iterable[str]) -> bool:
    """Whether an algebraic text may be parsed by sympy, whose parser evaluates what it reads.

    Allowed: numbers, the given names, ``+ - * / ** ^ ( )``, spaces; no attribute, no quote, no bracket.
    """
    if len(text) > 300 or not re.fullmatch(r"[0-9A-Za-z+\-*/^(). ]+", text):
        return False
    if re.search(r"\.(?![0-9])|(?<![0-9])\.|[0-9]{21}|\(\(\(\(\(\(\(\(", text):  # a dot is a decimal point
        return False
    words = re.findall(r"[A-Za-z][A-Za-z0-9]*", text)
    return set(words) <= set(names) and small_powers(text, most=40, product=10**6) and _flat_powers(text)


def _flat_powers(text: str) -> bool:
    """No power of a power: neither ``a**b**c`` nor ``(a**b)**c``, whose size explodes."""
    depths: list[bool] = [False]  # per open bracket: does it hold a power?
    closed_with_power = False
    for token in re.findall(r"\*\*|\^|[()]|[^\s()*^]+|\*", text):
        if token in ("**", "^"):
            if closed_with_power:
                return False
            depths[-1] = True
        elif token == "(":
            depths.append(False)
        elif token == ")" and len(depths) > 1:
            closed_with_power = depths.pop()
            depths[-1] = depths[-1] or closed_with_power
            continue
        closed_with_power = False
    return not re.search(r"(?:\*\*|\^)\s*\(?\s*-?[0-9]+\s*\)?\s*(?:\*\*|\^)", text)


@lru_cache(maxsize=1)
def _math_verify() -> Any:
    """math-verify, with its remark about switched-off timers silenced (see the head of this file)."""
    import logging

    import math_verify

    logging.getLogger("math_verify").setLevel(logging.ERROR)
    return math_verify


def _parse(text: str) -> list[Any]:
    """The formula as math-verify understands it; empty if it does not."""
    parsed: list[Any] = _math_verify().parse(f"${text.replace('$', '')}$", parsing_timeout=None)
    return parsed


def _verify(gold: list[Any], said: list[Any]) -> bool:
    """Whether math-verify holds the two for equal."""
    return bool(_math_verify().verify(gold, said, timeout_seconds=None))
