"""Values of short formulas: plain numbers by exact fractions, LaTeX by math-verify, nothing else.

math-verify stops runaway computations by signal alarms, which fail outside the main thread, so its
timers are off here. Instead only formulas that cannot run away are handed to it: short, from a closed
vocabulary, with at most one power of a small exponent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from fractions import Fraction
from functools import lru_cache
from typing import Any

_PLAIN = re.compile(r"([-+]?)[$]?([0-9]{1,30}|[0-9]{1,3}(?:,[0-9]{3}){1,9})(?:\.([0-9]{0,30}))?")
_RATIO = re.compile(r"([-+]?[0-9]{1,30})\s?/\s?([0-9]{1,30})")
_COMMANDS = {"frac", "dfrac", "tfrac", "sqrt", "cdot", "times", "pi", "left", "right"}
_CHARACTERS = re.compile(r"[0-9A-Za-z\\{}()^+\-*/., $]{1,120}")
_MAX_EXPONENT = 99


def as_fraction(text: str) -> Fraction | None:
    """The exact value of "-3", "1,000", "$2.50", "40%" (as 40) or "3/4"; ``None`` for anything else."""
    said = text.strip().removesuffix("%").rstrip()
    match = _PLAIN.fullmatch(said)
    if match:
        sign, whole, decimals = match[1], match[2].replace(",", ""), match[3] or "0"
        return Fraction(f"{sign}{whole}.{decimals}")
    ratio = _RATIO.fullmatch(said)
    return Fraction(int(ratio[1]), int(ratio[2])) if ratio and int(ratio[2]) else None


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
