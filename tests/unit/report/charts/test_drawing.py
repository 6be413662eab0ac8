"""Drawings: the same bytes for the same chart, nothing fetched, and no name that acts."""

from __future__ import annotations

import re
import struct
import subprocess
import sys
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from neuromas.core.errors import ConfigError, RunError
from neuromas.report.blocks import Figure
from neuromas.report.charts import drawing
from neuromas.report.charts.cost import cost
from neuromas.report.charts.curves import curves
from neuromas.report.charts.experiment import calls, depth
from neuromas.report.charts.frame import named, plain, titled
from neuromas.report.charts.growth import growth_of
from neuromas.report.charts.law import law
from neuromas.report.writers import as_text

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = (
    '</text></title><script>alert(1)</script><svg onload="x">&"\''
    "\x1b[2J\u202e\u2066\0\n\r\u2028\ud800\ufffe\uffff]]>"
)


CELL = {"group": "g", "name": "n", "predicted": 0.5, "accuracy": 0.5}


def texts(document):
    """The lines of text in a drawing."""
    return [line for node in ElementTree.fromstring(document).iter(f"{SVG}text") for line in node.itertext()]


@pytest.fixture(scope="module")
def chart():
    return law([CELL], "mine")


def test_equal_charts_are_equal_bytes_whatever_was_drawn_before(chart, make):
    path = make()
    first = drawing.svg(curves([path]))
    drawing.svg(chart)
    assert drawing.svg(curves([path])) == first
    assert f'data-spec="{drawing.mark(curves([path]))}"' in first
    assert drawing.mark(law([CELL | {"accuracy": 0.6}], "mine")) != drawing.mark(chart)


def test_a_drawing_says_what_it_is_and_stands_alone(results):
    found = calls(results, "mine")
    chart = titled(found, "A title")
    root = ElementTree.fromstring(drawing.svg(chart))
    assert root.get("role") == "img"
    assert root[0].tag == f"{SVG}title"
    assert root[0].text == root.get("aria-label") == f"A title – {found.caption}"
    assert "prefers-color-scheme:dark" in root[1].text
    assert "A title" in texts(drawing.svg(chart))
    plainly = drawing.svg(chart, style=False)
    assert "<style" not in plainly
    assert "style=" not in plainly, "a page that allows no inline style shows it, too"
    assert not re.search(r"href|url\((?!#)|<image|<script", plainly)
    said = [node.text for node in root.iter(f"{SVG}title")]
    assert "alone (a:2), mean: 50.0 % [40.0, 90.0] at 20 calls" in said


def test_inner_names_are_of_one_chart(make):
    """A page holds several drawings, and Vega counts its clip paths through all of them."""
    one, other = make(), make("other/seed-0", task={"name": "max"})
    chart = curves([one])
    clipped = {**chart.spec, "vconcat": [{**chart.spec["vconcat"][0], "view": {"clip": True}}]}
    for part in clipped["vconcat"][0]["layer"]:
        mark = part["mark"]
        part["mark"] = {**(mark if isinstance(mark, dict) else {"type": mark}), "clip": True}
    drawn = [
        drawing.svg(replace(curves([path]), name=name, spec=clipped))
        for path, name in ((one, "a"), (other, "b"))
    ]
    ids = [set(re.findall(r'\bid="([^"]+)"', text)) for text in drawn]
    assert ids[0] == {f"a-clip{number + 1}" for number in range(len(ids[0]))}, "counted in each chart"
    assert ids[0]
    assert not ids[0] & ids[1]
    assert all(f"url(#{name})" in drawn[0] for name in ids[0])


@pytest.mark.parametrize("kind", ["calls", "depth", "growth", "cost", "law"])
def test_no_name_acts_or_hides(results, kind):
    for number, one in enumerate(results["points"]):
        one |= {
            "arm": f"{HOSTILE}{number}" * 50,
            "task": HOSTILE,
            "shape": HOSTILE,
            "system": HOSTILE,
            "level": HOSTILE,
        }
    cells = [{"group": HOSTILE, "name": HOSTILE, "predicted": 0.5, "accuracy": 0.5}]
    made = {
        "calls": lambda: calls(results, HOSTILE),
        "depth": lambda: depth(results, HOSTILE),
        "growth": lambda: growth_of(
            {"points": [*results["points"][:1], results["points"][1] | {"arm": results["points"][0]["arm"]}]},
            HOSTILE,
        ),
        "cost": lambda: cost(results["points"], HOSTILE),
        "law": lambda: law(cells, HOSTILE),
    }[kind]()
    document = drawing.svg(titled(made, HOSTILE))
    root = ElementTree.fromstring(document)
    assert not list(root.iter(f"{SVG}script"))
    assert len(list(root.iter(f"{SVG}svg"))) == 1
    assert not set("\x1b\u202e\u2066\0\r\u2028\ufffe\uffff") & set(document)
    assert "onload" not in {name for node in root.iter() for name in node.attrib}
    assert max(map(len, texts(document))) <= 90
    assert float(root.get("width")) < 1500, "a huge name does not push the picture apart"
    document.encode("utf-8")


def test_names_that_are_cut_alike_stay_apart():
    long = "x" * 60
    shown = named([long + "a", long + "b", "y", long + "a"], 20)
    assert len(set(shown.values())) == len(shown) == 3
    assert max(map(len, shown.values())) == 20
    assert plain("a\x1bb") == "a\\x1bb"
    assert len(plain("z" * 10_000_000)) == 40


def test_nothing_is_fetched(chart):
    outside = replace(chart, spec={"data": {"url": "http://127.0.0.1:9/x.json"}, "mark": "point"})
    with pytest.raises(RunError, match=r"could not be drawn: .*not allowed"):
        drawing.svg(outside)


def test_other_formats(chart):
    width = float(ElementTree.fromstring(drawing.svg(chart)).get("width"))
    for scale in (1.0, 2.0):
        picture = drawing.png(chart, scale)
        assert picture.startswith(b"\x89PNG")
        assert struct.unpack(">I", picture[16:20])[0] == round(width * scale)
    assert drawing.png(chart, 1.0, dark=True) != drawing.png(chart, 1.0)
    assert drawing.pdf(chart).startswith(b"%PDF")
    with pytest.raises(ConfigError, match="too large; lower the scale"):
        drawing.png(chart, 1000.0)


def test_a_figure_is_a_drawing_a_chart_or_what_makes_one(chart):
    made = []
    lazy = Figure("figure", lambda: made.append(1) or chart, "caption")
    assert as_text([lazy]) == ""
    assert not made, "nothing is made where nothing is drawn"
    assert lazy.svg == Figure("figure", chart).svg == drawing.svg(chart)
    assert lazy.chart.name == "law"
    assert Figure("tree", "<svg/>").chart is None
    assert Figure("tree", "<svg/>").svg == "<svg/>"


LIMITED = """
import resource, sys
limit = int(sys.argv[1]) << 30
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
from neuromas.core.errors import RunError
from neuromas.report.charts.drawing import svg
from neuromas.report.charts.frame import Chart
try:
    print(svg(Chart("first", "first", {"data": {"values": []}, "mark": "point"}))[:4])
except RunError as error:
    print(error)
"""


@pytest.mark.parametrize(("limit", "says"), [(8, "charts"), (48, "charts"), (64, "charts"), (70, "<svg")])
def test_too_few_addresses_are_a_line_and_not_the_end_of_the_process(limit, says):
    """As under ``ulimit -v`` of a cluster: V8 traps where it cannot reserve what it wants."""
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(limit)], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(says)
