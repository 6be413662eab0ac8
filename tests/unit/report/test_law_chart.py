"""The law as a picture: where dots lie, and that names can be no markup."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from neuromas.report.law import law_svg


def test_dots_lie_where_they_belong_and_names_are_text():
    svg = law_svg(
        [
            {"group": "grown", "predicted": 0.0, "accuracy": 0.0, "name": "<b>&"},
            {"group": "<script>", "predicted": 1.0, "accuracy": 0.5, "low": 0.4, "high": 0.6},
        ]
    )
    root = ET.fromstring(svg)
    dots = [one for one in root.iter() if one.tag.endswith("circle")]
    assert [(one.get("cx"), one.get("cy")) for one in dots[:2]] == [("60.0", "450.0"), ("480.0", "240.0")]
    assert len(dots) == 4  # two of them the legend's
    assert "<script>" not in svg
    assert "<b>" not in svg
    assert 'V198.0"' in svg  # the interval's upper end
    assert law_svg([]).startswith("<svg")
