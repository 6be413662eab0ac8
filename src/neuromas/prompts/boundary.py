"""Where text of questions and messages ends and ours begins: what is untrusted cannot look like structure.

A message is one line, and a line of a question that begins as a line of ours does is quoted.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from neuromas.prompts.template import Template, built_in

QUOTE = "> "
_NUMBERS = ("{layer}", "{depth}", "{index}", "{width}", "{label}", "{readers}")
_NUMBER = r"\s*\d+(?:\.\d+)*\s*"
# how chat templates without control tokens mark who speaks
_SPEAKERS = ("system", "developer", "user", "human", "assistant", "model", "ai", "bot", "tool")


def one_line(message: str) -> str:
    """A message as readers see it: one line, no control characters."""
    text = "".join(" " if unicodedata.category(c) in ("Cc", "Zl", "Zp") else c for c in message)
    return " ".join(text.split())


def quote(question: str, known: re.Pattern[str], first: bool = False) -> str:
    """The question with ``> `` before every line but the first that begins as a line of ours does.

    A question may have many lines (choices, tables, code), and all others stay as they are. A line that
    already looks so quoted is quoted once more: taking one ``> `` away gives the question back. ``first``
    says that the first line, too, stands at a line's beginning.
    """
    lines = question.splitlines(keepends=True)  # also at U+2028 and the like: a model may read them so
    whole = 0 if first else 1
    rest = (QUOTE + line if known.match(_bare(line)) else line for line in lines[whole:])
    return "".join([*lines[:whole], *rest])


@lru_cache(maxsize=1024)
def structure(frame: str | None = None, template: Template | None = None) -> re.Pattern[str]:
    """What a line of ours begins with, in either style, for a line as ``_bare`` leaves it.

    ``template`` (default: the built-in one) holds our lines. ``frame`` is the text that a chat template puts
    around the user's: its lines and the names of speakers count, too.
    """
    starts = [_start(line) for line in (template or built_in()).lines()]
    if frame is not None:
        for line in filter(str.strip, frame.splitlines()):
            starts.append(_loose(line) + (r"\s*$" if line.strip()[-1].isalnum() else ""))
        starts += [rf"{speaker}\s*:" for speaker in _SPEAKERS]
    return re.compile(rf"\s*(?:>\s*)*(?:{'|'.join(sorted(set(filter(None, starts))))})")


def _start(line: str) -> str:
    """A pattern for the beginning of a template's line: its words, a position, and what follows that.

    Empty for a line that begins with what is not ours.
    """
    words, field, after, *_ = [*re.split(r"(\{\w+\})", line), "", ""]
    if not field and words.strip()[-1:].isalnum():  # a whole line of words is not the beginning of any other
        return _loose(words) + r"\s*$"
    return _loose(words) + (_NUMBER + _loose(after) if field in _NUMBERS else "")


def _loose(text: str) -> str:
    """A pattern for these words and marks, however far apart."""
    return r"\s*".join(map(re.escape, re.findall(r"\w+|[^\w\s]", _bare(text))))


def _bare(line: str) -> str:
    """The line as an eye takes it in: compatible letters as one, lower case, nothing invisible."""
    plain = unicodedata.normalize("NFKC", line)
    return "".join(c for c in plain if c.isspace() or unicodedata.category(c)[0] not in "CM").casefold()
