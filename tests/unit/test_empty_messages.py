"""What the rivals' collector counts of messages, from evaluations made up here."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def scripts(monkeypatch):
    """The collector and the page's part, found as the scripts of benchmarks/ find them."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import rivals
    from parts import rivals as part

    return rivals, part


def cell(folder, arm, seed, *questions, finished=True):
    run = folder / arm / f"seed-{seed}"
    (run / "evaluations").mkdir(parents=True)
    text = "".join(json.dumps({"messages": said}) + "\n" for said in questions)
    (run / "evaluations" / "last.jsonl").write_text(text, "utf-8")
    shown = SimpleNamespace(name=arm, last=1)
    return SimpleNamespace(
        task="steps", arm=shown, seed=seed, run=run, finished=finished, evaluation=lambda stage: "last"
    )


def test_empty_messages_are_counted_by_their_place(scripts, tmp_path):
    collector, part = scripts
    cells = [
        cell(tmp_path, "talk", 0, ["", "a", "1"], [" \n", "b", ""]),
        cell(tmp_path, "talk", 1, ["c", "d", "1", ""], ["e", "", "2"]),
        cell(tmp_path, "alone", 0, [""]),
        cell(tmp_path, "later", 0, ["", ""], finished=False),
    ]
    rows = collector.written(cells)
    assert rows == [{"task": "steps", "arm": "talk", "seeds": 2, "empty": [0.5, 0.25, 0.25, 1.0]}]
    point = {"task": "steps", "seeds": [{"seed": 0}]}
    shown = part.written({"written": rows, "points": [point]}).splitlines()
    assert shown[-1] == "| `talk` | 50, 25, 25, 100 |"


def test_a_count_of_more_seeds_is_kept(scripts):
    collector, _ = scripts
    earlier = [{"task": "steps", "arm": arm, "empty": [0.5]} for arm in ("old", "one")]
    earlier.append({"task": "steps", "arm": "both", "seeds": 2, "empty": [0.5]})
    earlier.append({"task": "steps", "arm": "three", "empty": [0.5]})
    names = ("one", "both", "three", "new")
    later = [{"task": "steps", "arm": arm, "seeds": 1, "empty": [0.0]} for arm in names]
    found = {row["arm"]: row["empty"] for row in collector.kept(earlier, later, {("steps", "three"): 3})}
    assert found == {"old": [0.5], "one": [0.0], "both": [0.5], "three": [0.5], "new": [0.0]}


def test_what_earlier_folders_left_is_told_apart(scripts):
    collector, _ = scripts
    first = collector.before({"about": "A"}, ["a", "b"])
    assert first == [{"about": "A", "cells": ["a", "b"]}]
    one = {"about": "B", "earlier": first[0]}  # as it was written before there were several
    assert collector.before(one, ["a", "c"]) == [
        {"about": "A", "cells": ["a"]},
        {"about": "B", "cells": ["c"]},
    ]
