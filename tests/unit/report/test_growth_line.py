"""A growth in one line."""

from __future__ import annotations

from neuromas.report.lineage import growth_line


def test_a_network_that_could_not_be_asked_before_it_grew():
    entry = {"to": "2-1", "operators": ["copy 1.1 to 1.1 1.2 2.1"], "new": ["1.2", "2.1"]}
    entry |= {"copies": {"1.1": "1.1", "1.2": "1.1", "2.1": "1.1"}, "optimiser": "keep", "answers": 9}
    entry |= {"same_answers": None, "accuracy_before": None, "accuracy_after": 0.25}
    line = growth_line(entry)
    assert line.endswith("could not be asked this stage's questions, accuracy – -> 25 %")
