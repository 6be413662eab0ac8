"""Charts as SVG, PNG and PDF by vl-convert. Nothing is fetched, and no string of a chart acts in a file."""

from __future__ import annotations

import hashlib
import json
import re
import resource
from dataclasses import replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from xml.etree import ElementTree

from neuromas.core.errors import ConfigError, RunError, one_line
from neuromas.report.charts.frame import Chart
from neuromas.report.charts.palette import dark_rules, darkened

_SVG = "http://www.w3.org/2000/svg"
_CLIP = re.compile(r"\bclip(\d+)\b")
_NAMED = {"id", "clip-path"}
_INNER = ("axis", "legend", "title", "header")  # of which a sentence of Vega's would be said
_PIXELS = 120_000_000  # of a PNG
_ADDRESSES = 66 << 30  # bytes; V8 asks for twice the 33 GB that it keeps, and ends the process without them


def svg(chart: Chart, style: bool = True) -> str:
    """A self-contained SVG document; equal charts give equal bytes with the same version of vl-convert.

    With ``style`` it follows the reader's preference for light or dark ground. Without, it is light: a page
    with a switch of its own brings ``palette.dark_rules`` along. The root names what drew it and the mark of
    the specification (``mark``), so that drawings of different versions can be compared. Raises RunError
    where vl-convert cannot draw it.
    """
    import vl_convert

    _check_room()
    try:
        drawn = vl_convert.vegalite_to_svg(dict(chart.spec), allowed_base_urls=[])
        root = ElementTree.fromstring(drawn)
    except (ValueError, ElementTree.ParseError) as error:
        raise RunError(f"the chart {chart.name!r} could not be drawn: {one_line(error)[:200]}") from error
    ElementTree.register_namespace("", _SVG)
    clips = _Clips(chart.name)
    for element in root.iter():
        _quieten(element)
        for name in _NAMED.intersection(element.keys()):
            element.set(name, _CLIP.sub(clips, element.attrib[name]))
    for name, value in (
        *(("role", "img"), ("aria-label", chart.caption), ("class", "nmas-chart")),
        *(("data-drawn-by", f"vl-convert {version('vl-convert-python')}"), ("data-spec", mark(chart))),
    ):
        root.set(name, value)
    if style:
        sheet = ElementTree.Element(f"{{{_SVG}}}style")
        sheet.text = f"@media (prefers-color-scheme:dark){{\n{dark_rules('.nmas-chart')}\n}}"
        root.insert(0, sheet)
    title = ElementTree.Element(f"{{{_SVG}}}title")
    title.text = chart.caption
    root.insert(0, title)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def png(chart: Chart, scale: float = 2.0, dark: bool = False) -> bytes:
    """A PNG, ``scale`` pixels to a unit of the chart, on light or dark ground. Raises as ``svg_png``."""
    return svg_png(svg(_on(chart, dark), style=False), scale)


def pdf(chart: Chart, dark: bool = False) -> bytes:
    """A PDF of one page with its fonts inside, on light or dark ground."""
    return svg_pdf(svg(_on(chart, dark), style=False))


def svg_png(document: str, scale: float = 2.0) -> bytes:
    """An SVG document of ours as PNG. Raises ConfigError if it would have too many pixels."""
    import vl_convert

    root = ElementTree.fromstring(document)
    width, height = (float(root.get(side, "0")) for side in ("width", "height"))
    if width * height * scale * scale > _PIXELS:
        raise ConfigError(
            f"a PNG of {width * scale:.0f} x {height * scale:.0f} pixels is too large; "
            f"lower the scale or the size, or write SVG or PDF"
        )
    found: bytes = vl_convert.svg_to_png(document, scale=scale, ppi=72)
    return found


def svg_pdf(document: str) -> bytes:
    """An SVG document of ours as a PDF of one page."""
    import vl_convert

    found: bytes = vl_convert.svg_to_pdf(document)
    return found


@cache
def _check_room() -> None:
    """Raises RunError where a limit of the process leaves V8 too few addresses; once it has them, no more."""
    allowed = resource.getrlimit(resource.RLIMIT_AS)[0]
    if allowed == resource.RLIM_INFINITY:
        return
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[0]
    left = allowed - int(pages) * resource.getpagesize()
    if left < _ADDRESSES:
        raise RunError(
            f"charts need {_ADDRESSES >> 30} GB of addresses (not of memory), and this process has "
            f"{max(left, 0) >> 30} left (ulimit -v); allow more, or leave charts out"
        )


def mark(chart: Chart) -> str:
    """A hash of what is drawn: the specification without the address of its schema."""
    spec = {key: value for key, value in chart.spec.items() if key != "$schema"}
    return hashlib.sha256(json.dumps(spec, sort_keys=True).encode("utf-8")).hexdigest()[:16]


def _on(chart: Chart, dark: bool) -> Chart:
    return replace(chart, spec=darkened(dict(chart.spec))) if dark else chart


class _Clips:
    """Names of clip paths in their order: Vega counts through a process, and pages hold several charts."""

    def __init__(self, name: str) -> None:
        self._name = re.sub(r"[^\w-]", "-", name)
        self._known: dict[str, int] = {}

    def __call__(self, found: re.Match[str]) -> str:
        number = self._known.setdefault(found[1], len(self._known) + 1)
        return f"{self._name}-clip{number}"


def _quieten(element: ElementTree.Element) -> None:
    """Roles of inner groups go, for the picture is one image; what is said of a mark becomes its title."""
    said, role, kind = (
        element.attrib.pop(name, "") for name in ("aria-label", "role", "aria-roledescription")
    )
    element.attrib.pop("aria-hidden", None)
    if said and role == "graphics-symbol" and kind not in _INNER:
        title = ElementTree.Element(f"{{{_SVG}}}title")
        title.text = said
        element.insert(0, title)
