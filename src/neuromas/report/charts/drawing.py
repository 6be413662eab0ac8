"""Charts as SVG, PNG and PDF by vl-convert. Nothing is fetched, and no string of a chart acts in a file."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

from neuromas.report.charts.frame import Chart
from neuromas.report.charts.palette import dark_rules, darkened
from neuromas.report.terminal import visible

_SVG = "http://www.w3.org/2000/svg"
_CLIP = re.compile(r"\bclip(\d+)\b")
_NAMED = {"id", "clip-path"}
_POINTS = 72.0  # vl-convert's dots an inch at scale 1


def svg(chart: Chart, style: bool = True) -> str:
    """A self-contained SVG document; equal charts give equal bytes with the same version of vl-convert.

    With ``style`` it follows the reader's preference for light or dark ground. Without, it is light: a page
    with a switch of its own brings ``palette.dark_rules`` along. The root names what drew it and the mark of
    the specification (``mark``), so that drawings of different versions can be compared.
    """
    from importlib.metadata import version

    import vl_convert

    drawn = vl_convert.vegalite_to_svg(dict(chart.spec), allowed_base_urls=[])
    ElementTree.register_namespace("", _SVG)
    root = ElementTree.fromstring(drawn)
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
    """A PNG, ``scale`` pixels to a unit of the chart, on light or dark ground."""
    import vl_convert

    found: bytes = vl_convert.vegalite_to_png(
        _on(chart, dark), scale=scale, ppi=_POINTS, allowed_base_urls=[]
    )
    return found


def pdf(chart: Chart, dark: bool = False) -> bytes:
    """A PDF of one page with its fonts inside."""
    import vl_convert

    found: bytes = vl_convert.vegalite_to_pdf(_on(chart, dark), allowed_base_urls=[])
    return found


def mark(chart: Chart) -> str:
    """A hash of what is drawn: the specification without the address of its schema."""
    spec = {key: value for key, value in chart.spec.items() if key != "$schema"}
    text = json.dumps(spec, sort_keys=True)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]


def _on(chart: Chart, dark: bool) -> dict[str, Any]:
    found: Mapping[str, Any] = darkened(dict(chart.spec)) if dark else chart.spec
    return dict(found)


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
    said = element.attrib.pop("aria-label", "")
    role = element.attrib.pop("role", "")
    kind = element.attrib.pop("aria-roledescription", "")
    element.attrib.pop("aria-hidden", None)
    if said and role == "graphics-symbol" and kind not in ("axis", "legend", "title", "header"):
        title = ElementTree.Element(f"{{{_SVG}}}title")
        title.text = visible(said)
        element.insert(0, title)
