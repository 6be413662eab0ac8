"""What the processes of these tests do."""

from __future__ import annotations

import json
from pathlib import Path

from neuromas.config import make_config
from neuromas.storage import Run
from neuromas.training.run import resume, start
from parity import Parity


def train(data, folder):
    """A whole run; what is true of it wherever it was computed."""
    run = start(make_config(data), Path(folder), task=Parity())
    return told(run)


def go_on(folder, overrides=()):
    return told(resume(Path(folder), overrides=overrides, task=Parity()))


def told(run: Run):
    """All that a run says which does not depend on time: logs, evaluations, weights."""
    found = {}
    for name in ("metrics.jsonl", "validation.jsonl", "growth.jsonl", "episodes.jsonl"):
        found[name] = [
            {key: value for key, value in row.items() if key not in ("seconds", "spent")}
            for row in run.lines(name)
        ]
    for path in sorted((run.path / "evaluations").glob("*.jsonl")):
        found[path.name] = path.read_text()
    last = run.checkpoints()[-1]
    manifest = json.loads((last / "network.json").read_text())
    found["files"] = manifest["files"]
    found["versions"] = manifest["versions"]
    return found


def train_all(several, folder):
    """Several runs, one after another."""
    return {name: train(data, f"{folder}/{name}") for name, data in several.items()}
