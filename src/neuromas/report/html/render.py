"""A story as HTML: one file without a request, whose script and style are allowed by their hashes alone."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from neuromas.report.charts.palette import dark_rules
from neuromas.report.html.parts import Story
from neuromas.report.terminal import visible

if TYPE_CHECKING:
    from jinja2 import Environment

_ACTIVE = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
_LONGEST = 100_000  # characters of one text
_BREAKS = re.compile(r"\r\n|\r|\n")


def page(story: Story, live: bool = False) -> str:
    """The whole document. ``live``: it asks where it came from whether there is a newer one."""
    style, script = _style(), _asset("page.js")
    policy = "; ".join(
        [
            "default-src 'none'",
            f"style-src '{_digest(style)}'",
            f"script-src '{_digest(script)}'",
            f"connect-src {_self(live)}",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )
    template = _environment().get_template("page.html")
    return template.render(story=story, style=_raw(style), script=_raw(script), policy=policy, live=live)


def inlined(data: Mapping[str, Any]) -> str:
    """JSON that ends no script element and is a literal of JavaScript; what hides is written out."""
    text = json.dumps(_legible(data), ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return "".join(_ACTIVE.get(char, char) for char in text)


def legible(text: str) -> str:
    """Text of any length with its own line breaks; other characters that hide or steer are written out."""
    if text.isprintable():  # most are
        return text
    return "\n".join("\t".join(map(visible, line.split("\t"))) for line in _BREAKS.split(text))


def _self(live: bool) -> str:
    return "'self'" if live else "'none'"


def _legible(value: Any) -> Any:
    """The same of every string in plain data."""
    if isinstance(value, str):
        return legible(value)
    if isinstance(value, Mapping):
        return {legible(str(key)): _legible(one) for key, one in value.items()}
    return [_legible(one) for one in value] if isinstance(value, list | tuple) else value


def _digest(text: str) -> str:
    """A source of the policy: the hash of what stands between the tags."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


@cache
def _style() -> str:
    """Our sheet, and charts on dark ground where the reader's system or the page's switch has it."""
    dark, system = '[data-theme="dark"] .chart', 'html:not([data-theme="light"]) .chart'
    preferred = f"@media screen and (prefers-color-scheme: dark) {{\n{dark_rules(system)}\n}}"
    chosen = f"@media screen {{\n{dark_rules(dark)}\n}}"
    return "\n".join([_asset("page.css"), preferred, chosen])


@cache
def _asset(name: str) -> str:
    return (resources.files("neuromas.report.html") / "templates" / name).read_text(encoding="utf-8")


def _raw(text: str) -> Any:
    """Ours, not to be escaped."""
    from markupsafe import Markup

    return Markup(text)


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("neuromas.report.html"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalised,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["inlined"] = lambda data: _raw(inlined(data))
    made.filters["mark"] = lambda text: hashlib.sha256(str(text).encode("utf-8", "replace")).hexdigest()[:16]
    made.filters["svg"] = _raw
    made.filters["kind"] = lambda part: type(part).__name__.lower()
    made.filters["cell"] = _cell
    made.filters["wordy"] = _wordy
    return made


def _finalised(value: Any) -> Any:
    """Every string that a template prints, unless it is markup of ours."""
    if not isinstance(value, str) or hasattr(value, "__html__"):
        return value
    return legible(value if len(value) <= _LONGEST else f"{value[:_LONGEST]}… ({len(value):,} characters)")


def _cell(cell: Any) -> str:
    from neuromas.report.writers import readable_cell

    return readable_cell(cell)


def _wordy(table: Any, column: int) -> bool:
    from neuromas.report.writers import wordy

    return wordy(table, column)
