"""Colours: told apart by everybody, on both grounds, and every one of a drawing has its dark partner."""

from __future__ import annotations

import math
import re
from itertools import combinations

import pytest

from neuromas.report.charts import drawing
from neuromas.report.charts.experiment import calls
from neuromas.report.charts.health import health
from neuromas.report.charts.palette import (
    COLOURS,
    DARK,
    GROUND,
    INK,
    SOFT,
    colours,
    dark_rules,
    darkened,
    dashes,
    shapes,
)
from neuromas.report.charts.series import told

EYES = {  # linear RGB as seen with a missing kind of cone, at full strength
    "all cones": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "no red": [[0.1523, 1.0526, -0.2049], [0.1145, 0.7863, 0.0992], [-0.0039, -0.0481, 1.052]],
    "no green": [[0.3673, 0.8606, -0.228], [0.2801, 0.6725, 0.0474], [-0.0118, 0.0429, 0.9689]],
    "no blue": [[1.2555, -0.0767, -0.1788], [-0.0784, 0.9308, 0.1476], [0.0047, 0.6914, 0.3039]],
}


def linear(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]


def contrast(first, second):
    light = sorted(
        sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear(one), strict=True))
        for one in (first, second)
    )
    return (light[1] + 0.05) / (light[0] + 0.05)


def seen(colour, eye):
    """A colour in a space (OKLab) where distances are what people see."""
    r, g, b = (max(0.0, sum(w * p for w, p in zip(row, linear(colour), strict=True))) for row in EYES[eye])
    first, second, third = (
        (x * r + y * g + z * b) ** (1 / 3)
        for x, y, z in ((0.4122, 0.5363, 0.0514), (0.2119, 0.6807, 0.1074), (0.0883, 0.2817, 0.63))
    )
    return (
        0.2105 * first + 0.7936 * second - 0.0041 * third,
        1.978 * first - 2.4286 * second + 0.4506 * third,
        0.0259 * first + 0.7828 * second - 0.8087 * third,
    )


@pytest.mark.parametrize("eye", EYES)
def test_lines_are_told_apart_with_every_kind_of_eye(eye):
    for listed in (COLOURS, [DARK[one] for one in COLOURS]):
        near = min((math.dist(seen(a, eye), seen(b, eye)), a, b) for a, b in combinations(listed, 2))
        assert near[0] > 0.05, near


def test_lines_and_words_stand_out_from_both_grounds():
    for light in (*COLOURS, INK, SOFT):
        least = 3.0 if light in COLOURS else 4.5
        assert contrast(light, GROUND) >= least, light
        assert contrast(DARK[light], DARK[GROUND]) >= least, light


def test_many_lines_differ_in_colour_dash_or_shape():
    names = [f"arm {i}" for i in range(60)]
    looks = list(zip(colours(names), map(tuple, dashes(names)), shapes(names), strict=True))
    assert len(set(looks)) == len(names)
    assert len({look[:2] for look in looks[:21]}) == 21, "lines without marks differ, too"


def test_every_colour_of_a_drawing_has_its_partner_on_dark_ground(make, results):
    for chart in (calls(results), health(told([make()]))):
        text = drawing.svg(chart, style=False)
        found = set(re.findall(r'(?:fill|stroke)="([^"]+)"', text)) - {"none", "transparent"}
        assert found <= set(DARK), "a colour that is the same on both grounds"
        rules = dark_rules(".here")
        assert all(f'.here [fill="{colour}"]{{fill:{DARK[colour]}}}' in rules for colour in found)


def test_names_are_no_colours():
    spec = {"mark": {"color": INK}, "domain": [INK], "datasets": {"d": [INK]}, "text": INK, "list": [INK, 1]}
    was = {**spec, "mark": {"color": DARK[INK]}, "list": [DARK[INK], 1]}
    assert darkened(spec) == was
