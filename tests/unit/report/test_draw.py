"""Pictures: exact on small graphs, well-formed and complete on every graph."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from topologies import random_topologies

from neuromas.report.draw import MAX_DRAWN, as_svg, as_text, headline
from neuromas.report.layout import BOX_HEIGHT, QUESTION, arrange
from neuromas.topology.graph import Topology

SVG = "{http://www.w3.org/2000/svg}"


def test_neuromas_5_as_text():
    drawn = """\
2-2-1: 5 nodes in 3 layers, 6 edges; every node reads the question

         question ─╮
                   │
layer 1  1.1 ──────●──╮
         1.2 ──────●──┼──╮
                   │  │  │
layer 2  2.1 ──────●──●──●──╮
         2.2 ──────●──●──●──┼──╮
                   │        │  │
layer 3  3.1 ──────●────────●──●──▶ answer

● reads   ┼ passes by   ╮ writes   a number: token budget or share of the question"""
    assert as_text(Topology.parse("2-2-1")) == drawn


def test_skips_budgets_and_shares_as_text():
    topology = Topology.build(
        ["a", "b", "c", "out"],
        [("a", "c", 16), ("b", "c"), ("a", "out"), ("c", "out")],
        {"a": "1/2", "b": "2/2", "c": "none", "out": "all"},
    )
    assert as_text(topology).splitlines()[2:-2] == [
        "         question ─╮",
        "                   │",
        "layer 1  a ────────●1/2──╮",
        "         b ────────●2/2──┼─────╮",
        "                   │     │     │",
        "layer 2  c ────────┼─────●16───●─────╮",
        "                   │     │           │",
        "layer 3  out ──────●─────●───────────●─────▶ answer",
    ]


@pytest.mark.parametrize(
    ("text", "question", "says"),
    [
        ("1", "all", "1: 1 node in 1 layer, 0 edges; the node reads the question"),
        ("1-1", "first", "1-1: 2 nodes in 2 layers, 1 edge; 1 of 2 nodes reads the question"),
        (
            "3-1",
            "split",
            "3-1: 4 nodes in 2 layers, 3 edges; 3 of 4 nodes read the question or a share of it",
        ),
    ],
)
def test_headline(text, question, says):
    assert headline(Topology.parse(text, question)) == says


def test_wide_graphs_are_summarised():
    assert as_text(Topology.parse("64-64-1", "split")).splitlines()[2:] == [
        "layer 1  64 nodes",
        "    1.1 … 1.64 (64)  reads one share of 64 of the question",
        "layer 2  64 nodes",
        "    2.1 … 2.64 (64)  reads the question's stem, layer 1",
        "layer 3  1 node → answer",
        "    3.1  reads the question's stem, layer 2",
    ]


def test_a_summary_tells_irregular_nodes_apart():
    names = [f"n{i}" for i in range(30)]
    edges = [(name, "m") for name in names[:20]] + [(name, "out", 8) for name in names[20:]]
    drawn = as_text(Topology.build([*names, "m", "out"], [*edges, ("m", "out")]))
    assert "    m  reads the question, n0, n1, n2, n3, n4, n5, … (20 of layer 1)" in drawn
    assert (
        "    out  reads the question, n20, n21, n22, n23, n24, n25, … (10 of layer 1) (8 tokens), layer 2"
        in drawn
    )


def test_a_long_chain_stays_short():
    drawn = as_text(Topology.parse("-".join("1" * 200)))
    assert "… 176 more layers …" in drawn  # 200 less 12 at each end
    assert len(drawn.splitlines()) < 60
    assert max(map(len, drawn.splitlines())) < 160


@given(random_topologies())
@settings(max_examples=60)
def test_every_edge_has_its_mark_and_nothing_else_has(topology):
    lines = as_text(topology).splitlines()[2:-2]
    reading = sum(node.question != "none" for node in topology.nodes)
    assert sum(line.count("●") for line in lines) == len(topology.edges) + reading
    start = lines[0].index("─╮") + 1
    cell = (len(lines[-1]) - len("▶ answer") - start) // len(topology.nodes)
    row = {}
    for line in lines:
        if found := re.match(r"(?:layer \d+)?\s+(n\d+) ─", line):
            row[found[1]] = line
    for target, node in enumerate(topology.nodes):
        marked = {place for place, char in enumerate(row[node.name]) if char == "●"}
        sources = {edge.source for edge in topology.incoming(target)}
        sources |= set() if node.question == "none" else {QUESTION}
        assert marked == {start + (source + 1) * cell for source in sources}


def shapes(svg):
    """Curves with both ends, rectangles by class, and texts of a drawing."""
    root = ElementTree.fromstring(svg)
    paths = [path for path in root.findall(f"{SVG}path") if "edge" in path.get("class", "")]
    boxes = [
        rect for rect in root.findall(f"{SVG}rect") if rect.get("class") in ("node", "question", "answer")
    ]
    return paths, boxes, [text.text for text in root.findall(f"{SVG}text")]


def test_svg_shows_boxes_edges_and_labels():
    topology = Topology.build(["a", "b"], [("a", "b", 32)], {"a": "1/1", "b": "none"})
    paths, boxes, texts = shapes(as_svg(topology))
    assert len(paths) == 3  # question to a, a to b, b to the answer
    assert [box.get("class") for box in boxes] == ["question", "node", "node", "answer"]
    assert sorted(texts) == sorted(["1/1", "32", "question", "layer 1", "a", "layer 2", "b", "answer"])


def test_svg_stands_alone_in_light_and_dark():
    svg = as_svg(Topology.parse("2-1"))
    assert "prefers-color-scheme:dark" in svg
    assert 'role="img"' in svg
    assert "<title>2-1: 3 nodes" in svg
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|<script|@import|<image", svg)


def test_the_largest_svg_is_valid():
    paths, boxes, _ = shapes(as_svg(Topology.parse("128-127-1")))
    assert len(boxes) == 258
    assert len(paths) > 16_000
    assert all("thin" in path.get("class") for path in paths[:-1])


@given(random_topologies())
@settings(max_examples=60)
def test_svg_reaches_every_reader_from_its_source(topology):
    layout = arrange(topology)
    ends = {(hop.source, hop.target) for hop in layout.hops if hop.target is not None}
    wanted = {(edge.source, edge.target) for edge in topology.edges}
    wanted |= {(QUESTION, row) for row, node in enumerate(topology.nodes) if node.question != "none"}
    assert ends == wanted
    points = {(hop.source, hop.end) for hop in layout.hops}
    for hop in layout.hops:  # every hop starts at its source's box or where another of its hops ended
        column = 0 if hop.source == QUESTION else topology.nodes[hop.source].layer
        box = (layout.columns[column][1], layout.centre[hop.source])
        assert hop.start == box or (hop.source, hop.start) in points
    ElementTree.fromstring(as_svg(topology))


@given(random_topologies())
@settings(max_examples=60)
def test_rails_pass_no_box_and_share_no_lane(topology):
    layout = arrange(topology)
    lanes = [
        (hop.start[0], hop.start[1])
        for hop in layout.hops
        if hop.start[1] == hop.end[1] and hop.target is None and (hop.start[0], hop.end[0]) in layout.columns
    ]
    assert len(lanes) == len(set(lanes))
    for row, node in enumerate(topology.nodes):
        for left, y in lanes:
            if left == layout.columns[node.layer][0]:
                assert abs(y - layout.centre[row]) > BOX_HEIGHT / 2


def test_the_limit_between_drawing_and_summary():
    assert "●" in as_text(Topology.parse(f"{MAX_DRAWN - 1}-1"))
    assert "●" not in as_text(Topology.parse(f"{MAX_DRAWN}-1"))
