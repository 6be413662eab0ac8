"""What the pages show as code: Python blocks, TOML blocks and console lines, each with its page."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
_MADE = re.compile(r"<!-- (?!staged\b)([\w-]+)\b[^>]*-->\n.*?<!-- (?:/\1|end of \1) -->", re.DOTALL)
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
_INDENTED = re.compile(r"(?:(?<=\n\n)|(?<=\A))(?:^    .*\n)+", re.MULTILINE)
_PROGRAMS = r"neuromas|\.venv\S*/neuromas|make|pip|\S*python3?|torchrun|export|apt|echo|urls=\S+"
_FIRST = re.compile(rf"(?:[A-Z_]+=\S+ )*(?:{_PROGRAMS})(?: |$)")


@dataclass(frozen=True)
class Line:
    """A line of a console: its page and its words, with comments and what continues it taken in."""

    page: str
    text: str

    @property
    def words(self) -> list[str]:
        """Its words without settings of the environment, redirection and ``&``."""
        found = shlex.split(self.text, comments=True)
        while found and re.fullmatch(r"[A-Z_]+=.*", found[0]):
            del found[0]
        for mark in (">", ">>", "&", "&&"):
            found = found[: found.index(mark)] if mark in found else found
        return found

    @property
    def command(self) -> list[str] | None:
        """What ``neuromas`` is given, if it is called, also by ``torchrun``."""
        words = self.words
        if words and words[0].rpartition("/")[2] == "neuromas":
            return words[1:]
        if words and words[0] == "torchrun":
            return words[words.index("neuromas.cli") + 1 :]
        return None


def text_of(page: Path) -> str:
    """A page without what is made from results."""
    return _MADE.sub("", page.read_text("utf-8"))


def blocks(page: Path, language: str) -> list[tuple[str, str]]:
    """Blocks of a language with the text that stands before each."""
    text = text_of(page)
    return [(text[: one.start()], one[2]) for one in _FENCE.finditer(text) if one[1] == language]


def console(page: Path) -> tuple[list[Line], list[str]]:
    """Console lines of a page, and indented or unnamed blocks that are something else."""
    text = text_of(page)
    shown = [one[2] for one in _FENCE.finditer(text) if one[1] in ("", "sh", "console")]
    shown += [
        re.sub(r"^    ", "", one, flags=re.MULTILINE) for one in _INDENTED.findall(_FENCE.sub("", text))
    ]
    lines, others = [], []
    for block in shown:
        joined = re.sub(r" *\\\n *", " ", block).splitlines()
        if all(_FIRST.match(line) for line in joined if line.strip()):
            lines += [Line(page.name, line) for line in joined if line.strip()]
        else:
            others.append(block)
    return lines, others


def spans(page: Path) -> list[list[str]]:
    """Words behind ``neuromas`` in code within text, as far as they can be told apart."""
    text = _FENCE.sub("", text_of(page))
    found = []
    for code in re.findall(r"`neuromas ([^`\n]+(?:\n[^`\n]+)?)`", text):
        try:
            found.append(shlex.split(code.replace("\\|", "|")))
        except ValueError:
            found.append(code.split())
    return found
