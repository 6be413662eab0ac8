"""Runs and results without a model, as charts read them."""

from __future__ import annotations

import pytest

from neuromas.config import Config
from neuromas.storage import Run

INTERVAL = {"low": 0.4, "high": 0.9}


def summary(accuracy, **more):
    return {
        **{"split": "test", "intervention": "none", "items": 4, "failed": 0, "accuracy": accuracy},
        **{"interval": INTERVAL, "prompt_tokens": 9.0, "new_tokens": 6.0, "calls": 3.0, **more},
    }


def items(parsed):
    return [
        {
            "id": f"i{i}",
            "question": f"q{i}",
            "gold": str(i % 2),
            "score": float(one == str(i % 2)),
            "parsed": one,
        }
        for i, one in enumerate(parsed)
    ]


def metrics(steps, reward=0.1, **more):
    return [
        {
            **{"step": step, "reward": reward * step, "kl": {"0": 0.1, "1": 0.1 * step}, "entropy": 1.0},
            **{"gradient_norm": [0.5, 0.25], "node_entropy": [None, 0.5], "silent_groups": 0.5},
            **{"favourite": {"answer": "1", "share": 0.25}, **more},
        }
        for step in range(steps)
    ]


@pytest.fixture
def make(tmp_path):
    """``make(name, seed, steps)`` gives a run with logs, evaluations and a growth after half of its steps."""

    def made(name="arm/seed-0", seed=0, steps=4, grown=True, **changes):
        run = Run.create(tmp_path / name, Config(seed=seed, **changes).model_dump(mode="json"), {})
        run.append("metrics.jsonl", metrics(steps, reward=0.1 + 0.1 * seed))
        run.append(
            "validation.jsonl", [{"step": step, "accuracy": step / steps} for step in range(1, steps + 1)]
        )
        run.append("events.jsonl", [{"step": 2, "event": "alarm", "text": "t", "name": "silent"}] * 2)
        if grown:
            run.append("growth.jsonl", [{"step": steps // 2, "to": "3-1"}])
            run.write_evaluation("stage-1", summary(0.5), items("0011"))
        run.write_evaluation("test-before", summary(0.25), items(["0", "0", "0", None]))
        run.write_evaluation("test-after", summary(0.75 + 0.1 * seed), items("0101"))
        run.write("status.json", {"finished": True, "step": steps, "best": steps, "seconds": 1.0})
        return run.path

    return made


def a_point(arm, stage=1, calls=10, accuracy=0.5, seeds=2, **more):
    """A point of results with so many seeds around its accuracy."""
    return {
        **{"task": "sums", "arm": arm, "stage": stage, "level": "", "depth": None, "system": "", "asked": ""},
        **{"votes": None, "shape": "2-1", "accuracy": accuracy if seeds else None, "interval": None},
        **{"spent": {"calls": calls}, "flops_a_question": 1e9, "oracle": False},
        "seeds": [{"seed": s, "accuracy": accuracy, "untrained": 0.125} for s in range(seeds)],
        **more,
    }


@pytest.fixture
def point():
    """``point(arm, stage, calls, accuracy, seeds, **more)``."""
    return a_point


@pytest.fixture
def results():
    """Three arms of two stages, one of them asked again by votes."""
    return {
        "items": {},  # scores by question were kept, as since version 0.2.0
        "points": [
            a_point("a", 1, 10, 0.25, level="depth = 1", depth=1, system="alone"),
            a_point("a", 2, 20, 0.5, 3, interval=INTERVAL, level="depth = 2", depth=2, system="alone"),
            a_point("b", 1, 10, 0.75, level="depth = 1", depth=1, system="grown"),
            a_point("v", 1, 10, 0.8, votes=3, oracle=True, level="depth = 1", depth=1, system="v"),
            a_point("later", 1, 10, 0.8, 0, level="depth = 3", depth=3, system="grown"),
        ]
    }
