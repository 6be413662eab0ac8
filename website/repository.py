"""Pages and files of the repository beyond docs/: which of them the site shows, where, and links to them."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = {  # pages outside docs/ by their place in the site
    "contributing.md": "CONTRIBUTING.md",
    "changes.md": "CHANGELOG.md",
    "timing.md": "benchmarks/peers/README.md",
}
_PLACES = {path: place for place, path in PAGES.items()} | {"README.md": "index.md"}
_LINK = re.compile(r"(?P<before>\]\(|^\[[^\]\n]+\]: )(?P<target>[^)\s#]+)(?P<anchor>#[^)\s]*)?", re.MULTILINE)
_FENCE = re.compile(r"(^ *```.*?^ *```|`[^`\n]*`)", re.MULTILINE | re.DOTALL)
_LANGUAGES = {".py": "python", ".toml": "toml", ".json": "text", ".md": "markdown"}
_MOST = 60_000  # characters of a file that is shown


def original(place: str) -> str:
    """The file in the repository that is shown at a place of the site."""
    return PAGES.get(place, f"docs/{place}")


def place_of(path: str) -> str:
    """The place in the site, below its root, of a file or folder of the repository."""
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    return _PLACES.get(path, f"source/{path}.md")


def targets(markdown: str, place: str) -> Iterator[str]:
    """Files and folders of the repository that a page at ``place`` links to, outside its code."""
    for text in _FENCE.split(markdown)[::2]:
        yield from (found for link in _LINK.finditer(text) if (found := _named(link["target"], place)))


def relinked(markdown: str, place: str) -> str:
    """The page with links to the repository's files turned into links to their places in the site."""

    def link(found: re.Match[str]) -> str:
        path = _named(found["target"], place)
        if path is None:
            return found[0]
        where = posixpath.relpath(place_of(path), posixpath.dirname(place) or ".")
        return f"{found['before']}{where}{found['anchor'] or ''}"

    parts = _FENCE.split(markdown)
    parts[::2] = [_LINK.sub(link, text) for text in parts[::2]]
    return "".join(parts)


def _named(target: str, place: str) -> str | None:
    """The file or folder of the repository that a link names; None for what is elsewhere or is not there."""
    if re.match(r"[a-z]+:|/|<", target):
        return None
    path = posixpath.normpath(posixpath.join(posixpath.dirname(original(place)), target))
    return path if not path.startswith("..") and (ROOT / path).exists() else None


def sources(linked: Iterable[str]) -> dict[str, str]:
    """Pages that show the files and folders that are linked, with the files of these folders, by place."""
    made: dict[str, str] = {}
    waiting = [path for path in linked if place_of(path).startswith("source/")]
    while waiting:
        path = waiting.pop()
        if place_of(path) in made:
            continue
        if (ROOT / path).is_dir():
            files = [one for one in sorted((ROOT / path).iterdir()) if one.suffix in _LANGUAGES]
            made[place_of(path)] = _folder(path, files)
            waiting += [one.relative_to(ROOT).as_posix() for one in files]
        else:
            made[place_of(path)] = _file(path)
    return made


def _file(path: str) -> str:
    """A page with one file of the repository."""
    text = (ROOT / path).read_text("utf-8")
    longest = max(map(len, re.findall(r"`{3,}", text)), default=2)
    fence = "`" * max(3, longest + 1)
    cut = "" if len(text) <= _MOST else f"\n\nThe first {_MOST:,} of {len(text):,} characters."
    language = _LANGUAGES.get(Path(path).suffix, "text")
    return f"{_HEAD}# {path}\n\n{fence}{language}\n{text[:_MOST].rstrip()}\n{fence}{cut}\n"


def _folder(path: str, files: Iterable[Path]) -> str:
    """A page that lists a folder's files."""
    lines = [f"- [{one.name}]({Path(path).name}/{one.name}.md)" for one in files]
    return "\n".join([f"{_HEAD}# {path}/", "", *lines, ""])


_HEAD = "---\nsearch:\n  exclude: true\n---\n\n"
