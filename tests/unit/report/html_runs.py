"""Run directories without a model, for tests of the page."""

from __future__ import annotations

import json
from pathlib import Path

from neuromas.config import Config
from neuromas.storage import Run
from neuromas.topology.graph import Topology

INTERVAL = {"low": 0.1, "high": 0.9}
SCORES = {
    "test-before": (0, 0, 1, 1, 0, 0),
    "test-after": (1, 0, 0, 1, 1, 0),
}  # won lost, tied; the last fails
SPENT = {"steps": 3, "calls": 90, "prompt_tokens": 900, "new_tokens": 200, "seconds": 1.5}
ABOUT = {
    "created": "2026-01-02T03:04:05Z",
    "versions": {"neuromas": "0.4.0", "torch": "2.13.0"},
    "commit": "0123456789ab",
    "python": "3.11.7",
    "machine": {"threads": 1},
    "command": ["neuromas", "train", "a file.toml", "--run", "x"],
    "inputs": {},
}


def summary(accuracy, nodes=3):
    return {
        **{"items": 6, "failed": 1, "accuracy": accuracy, "interval": INTERVAL, "first_option": None},
        **{"majority": {"answer": "7", "accuracy": 0.5}, "parse_failures": 0.25, "labels": {"7": 1}},
        **{"calls": float(nodes), "prompt_tokens": 9.0, "new_tokens": 9.0, "nodes": nodes},
        **{"message_tokens": [3.0] * nodes, "truncated": [0.0] * nodes, "intervention": "none"},
    }


def items(scores, nodes=3, say=lambda text: text):
    found = []
    for i, score in enumerate(scores):
        said = [say(f"item {i} node {node}") for node in range(nodes - 1)]
        found.append(
            {
                **{
                    "id": say(f"item-{i}"),
                    "question": say(f"What is {i}?"),
                    "gold": say("7"),
                    "score": score,
                },
                **{"messages": [*said, say("7")], "parsed": say("7"), "failure": None, "reward": None},
                **{"message_tokens": [3] * nodes, "truncated": [False] * nodes},
            }
        )
    found[-1]["failure"] = say("the prompt was too long")
    return found


def step(number):
    return {
        **{
            "step": number,
            "reward": 0.1 * number,
            "silent_groups": 0.5,
            "entropy": 0.4,
            "parse_failures": 0.0,
        },
        **{"calls": 12, "prompt_tokens": 100, "new_tokens": 30, "node_entropy": [0.1, 0.2, 0.3], "loss": 0.1},
        **{"kl": {"0": 0.01}, "gradient_norm": [0.1, 0.2, 0.3], "sampler_drift": 0.01, "failed_episodes": 0},
        **{"message_tokens": [3.0] * 3, "truncated": [0.0] * 3, "favourite": {"answer": "7", "share": 0.4}},
        **{"seconds": {"rollout": 0.5, "learn": 0.5}},
    }


def make(path: Path, seed=0, say=lambda text: text, grown=True, name="", **changes) -> Run:
    """A finished run of a 2-1 network; ``say`` is put over every text of models, data and names."""
    config = Config(seed=seed, **changes).model_dump(mode="json")
    if name:
        config["task"]["name"] = name
    run = Run.create(path, config, ABOUT)
    run.write("status.json", {"finished": True, "step": 3, "best": 2, "seconds": 1.0})
    first = 1 if grown else 3
    for evaluation, nodes, accuracy in (("test-before", first, 0.4), ("test-after", 3, 0.6)):
        rows = items(SCORES[evaluation], nodes, say)
        prompts = {row["id"]: [say(f"prompt of {node}") for node in range(nodes)] for row in rows}
        run.write_evaluation(evaluation, summary(accuracy, nodes), rows, prompts)
    for changed in ("blank", "shuffle"):
        told = {**summary(0.2), "intervention": changed}
        run.write_evaluation(f"test-after-{changed}", told, items((0, 0, 0, 1, 0, 0), 3, say))
    run.append("metrics.jsonl", [step(number) for number in range(3)])
    run.append("validation.jsonl", [{**summary(0.5), "step": 2}])
    run.append(
        "events.jsonl", [{"step": 1, "event": "alarm", "name": "zero", "text": say("alarm zero: no reward")}]
    )
    rows = [
        {"step": n, "rewards": [0.0, 1.0], "advantages": [0.5, None, -0.5], **items((1, 0), 3, say)[0]}
        for n in range(3)
    ]
    run.append("episodes.jsonl", rows)
    growth = {
        **{"run": say("parent"), "step": 0, "to": "2-1", "operators": ["copy 1.1 to 1.1 1.2 2.1"]},
        **{
            "new": ["1.2", "2.1"],
            "origin": {"1.1": "1.1"},
            "copies": {"1.1": "1.1", "1.2": "1.1", "2.1": "1.1"},
        },
        **{
            "topology": Topology.parse("1").to_dict(),
            "spent": SPENT,
            "optimiser": "keep",
            "positions": "keep",
        },
        **{"init": "copy", "answers": 6, "same_answers": 0.5, "accuracy_before": 0.4, "accuracy_after": 0.5},
    }
    lineage = [growth] if grown else []
    if grown:
        run.append("growth.jsonl", lineage)
    network = {
        **{"format": 1, "topology": Topology.parse("2-1").to_dict(), "lineage": lineage, "spent": SPENT},
        **{"assignment": [0, 1, 2], "files": {}, "backbone": {"name": say("tiny"), "digest": "v2:0"}},
    }
    run.save_checkpoint(2, lambda folder: (folder / "network.json").write_text(json.dumps(network)))
    return run
