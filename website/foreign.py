"""What a reader's browser would fetch from other hosts: the site has none of it."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

_LOADING = {  # attributes by which an element fetches, of links by their relation
    **dict.fromkeys(
        ("audio", "embed", "iframe", "img", "input", "script", "source", "track", "video"), ("src", "srcset")
    ),
    "link": ("href",),
    "object": ("data",),
    "video": ("src", "poster"),
    "form": ("action",),
    "image": ("href", "xlink:href"),
    "use": ("href", "xlink:href"),
}
_FOLLOWED = {"canonical", "prev", "next", "alternate", "author", "license"}  # links that are not fetched
_OUTSIDE = re.compile(r"\s*(?:[a-z][a-z0-9+.-]*:)?//", re.IGNORECASE)
_TAGS = re.compile(rf"<(?:{'|'.join(_LOADING)})\b[^>]*>|<[a-z]+\b[^>]*\sstyle=[^>]*>", re.IGNORECASE)
_STYLE = re.compile(r"(?:url\(|@import)\s*['\"]?\s*((?:https?:)?//[^)'\"\s]+)", re.IGNORECASE)


class _Reader(HTMLParser):
    """Collects what a page fetches from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element's foreign addresses."""
        given = {name: value or "" for name, value in attrs}
        if tag == "link" and set(given.get("rel", "").split()) <= _FOLLOWED:
            return
        for name in _LOADING.get(tag, ()):
            if _OUTSIDE.match(given.get(name, "")):
                self.found.append(f"<{tag} {name}={given[name]}>")
        self.found += _STYLE.findall(given.get("style", ""))


def loads(site: Path) -> list[str]:
    """Page or style sheet and what it would fetch, for all of a built site."""
    found = []
    for page in sorted(site.rglob("*.html")):
        reader = _Reader()
        text = page.read_text("utf-8")
        for tag in _TAGS.findall(text):  # a parser of all of the page takes as long as the build
            reader.feed(tag)
            reader.clear_cdata_mode()  # what follows is the next tag, also after <script>
        style = _STYLE.findall("".join(re.findall(r"<style[^>]*>(.*?)</style>", text, re.DOTALL)))
        found += [f"{page.relative_to(site)}: {one}" for one in [*reader.found, *style]]
    for sheet in sorted([*site.rglob("*.css"), *site.rglob("*.svg")]):
        found += [f"{sheet.relative_to(site)}: {one}" for one in _STYLE.findall(sheet.read_text("utf-8"))]
    return found
