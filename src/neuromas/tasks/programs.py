"""What an answer to a code problem is read as: a whole program, made of the answer and of what was given.

Texts are only cut and joined here. Whether they are Python is found out where they run, in a sandbox.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from neuromas.sandbox.fenced import blocks

MAX_PROGRAM = 20_000  # characters of an answer
_STEP = 4


@dataclass(frozen=True, slots=True)
class Read:
    """What was understood of an answer, and the program that this makes."""

    code: str
    program: str


def read_program(given: str, entry: str, text: str) -> Read | None:
    """The program that an answer is; None where it can be none.

    ``given`` is the text that asked for the function ``entry``, if it stands there without a body; empty where
    it was asked for in words. The answer is the last fenced block that defines the function, else
    the last block, else all of the text. It defines the function, or it goes on where ``given`` ends.
    """
    if not text.strip() or len(text) > MAX_PROGRAM:
        return None
    found = blocks(text, unfinished=True)
    defining = [block for block in found if defines(block, entry)]
    code = (defining or found or [text])[-1].strip("\r\n")
    if defines(code, entry):
        whole = _flush(code)
        return Read(whole, f"{given.rstrip()}\n\n\n{whole}\n" if given else f"{whole}\n")
    if not given or not defines(given, entry):
        return None
    body = _body(code)
    return Read(body, f"{given.rstrip()}\n{body}\n")


def defines(code: str, name: str) -> bool:
    """Whether a text has a line that gives the name a meaning as a function, a class or a value."""
    return bool(
        re.search(rf"^[ \t]*(?:(?:async[ \t]+)?def|class)[ \t]+{re.escape(name)}\b", code, re.M)
    ) or bool(re.search(rf"^{re.escape(name)}[ \t]*(?::[^=\n]*)?=[^=]", code, re.M))


def _indent(line: str) -> int:
    """Columns before the first character; a tab goes to the next multiple of eight, as Python has it."""
    line = line.expandtabs()
    return len(line) - len(line.lstrip())


def _flush(code: str) -> str:
    """The code with its first line at the margin, and others moved as far."""
    lines = code.split("\n")
    first = next(line for line in lines if line.strip())
    by = _indent(first)
    if not by:
        return code
    return "\n".join(line.expandtabs()[by:] if _indent(line) >= by else line.lstrip() for line in lines)


def _body(code: str) -> str:
    """Code that goes on inside a function: indented, and cut where it leaves the function.

    The first line of an answer often lost its indentation: then the second says whether all lines did.
    """
    first, *rest = code.split("\n")
    if not _indent(first):
        second = next((line for line in rest if line.strip()), "")
        inner = 2 * _STEP if first.rstrip().endswith(":") else _STEP
        if _indent(second) < inner:
            return "\n".join(" " * _STEP + line if line.strip() else line for line in (first, *rest))
        first = " " * _STEP + first
    kept = [first]
    for line in rest:
        if line.strip() and not _indent(line) and line[0] not in "#)]}":
            break
        kept.append(line)
    return "\n".join(kept)
