"""Runs killed at random moments end as the run that nobody touched; the whole count is in docs/durability.md.

The trials are a program of their own (benchmarks/kills.py), since they fork: NEUROMAS_KILLS says how many.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "kills.py"
KILLS = os.environ.get("NEUROMAS_KILLS", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the trials fork")
@pytest.mark.skipif(not KILLS, reason="takes half a minute: make kill, or NEUROMAS_KILLS=6")
def test_no_kill_and_no_full_disk_changes_or_stops_a_run(tmp_path):
    kept = tmp_path / "kills.json"
    words = ["--kills", KILLS, "--points", "1", "--experiments", "0", "--seed", "1", "--write", str(kept)]
    done = subprocess.run([sys.executable, str(PROGRAM), *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    found = json.loads(kept.read_text())
    assert found["faults"] == []
    assert found["counts"]["kill"]["hit"] > int(KILLS) / 2, "most moments must lie within the run"
    for counts in found["counts"].values():
        assert counts["bit-identical"] == counts["runs"]
