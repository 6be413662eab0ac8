"""Accuracy over what a question costs: where dots stand, who is left out, and that names cannot act."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from neuromas.report.cost import cost_svg


def point(arm, flops, accuracy, **more):
    return {"arm": arm, "stage": 1, "flops_a_question": flops, "accuracy": accuracy, **more}


def test_dots_stand_at_their_cost_and_accuracy():
    svg = cost_svg([point("a", 1e9, 0.0), point("b", 1e10, 0.5), point("c", 1e11, 1.0)])
    dots = re.findall(r'cx="([\d.]+)" cy="([\d.]+)" r="4"><title>', svg)
    assert [(float(x), float(y)) for x, y in dots] == [(60, 410), (290, 220), (520, 30)]


def test_what_costs_nothing_is_at_the_edge_and_what_is_not_known_is_left_out():
    free, unknown = point("free", 0.0, 0.5), point("unknown", None, 0.5)
    svg = cost_svg([free, unknown, point("none", 1e9, None), point("paid", 1e9, 0.5)])
    assert re.findall(r"\d (\w+)</text>", svg) == ["free", "paid"]
    assert 'cx="60.0" cy="220.0"' in svg


def test_an_oracle_is_a_ring_and_says_so():
    svg = cost_svg([point("bound", 1e9, 0.5, oracle=True)])
    assert svg.count('fill-opacity="0"') == 2
    assert "oracle bound" in svg


def test_it_is_whole_whatever_it_is_called():
    svg = cost_svg([point('<b>&"', 1e9, 0.5)], '<script>"&')
    ElementTree.fromstring(svg)
    assert "<script>" not in svg
    ElementTree.fromstring(cost_svg([]))
