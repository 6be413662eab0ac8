"""The page says what the last long run found."""

from __future__ import annotations

import json
from pathlib import Path

from long import BEGIN, END, table

ROOT = Path(__file__).resolve().parents[2]


def test_the_table_of_the_docs_is_that_of_the_results():
    report = json.loads((ROOT / "benchmarks/results/fuzz.json").read_text("utf-8"))
    page = (ROOT / "docs/robustness.md").read_text("utf-8")
    assert page.partition(BEGIN)[2].partition(END)[0].strip() == table(report)
    assert report["inputs"] >= 1900
    assert report["faults"] == []


def test_continuous_integration_runs_check_and_test():
    lines = (ROOT / ".ci/run").read_text("utf-8").rstrip().splitlines()
    assert lines[-2:] == ["make --silent check", "exec make --silent test"]
