"""Makes tiny_steps.json: three training steps of a 2-1 network on the tiny model in fp32.

    python tests/golden/make_tiny_steps.py

Run it only when a change is meant to alter numbers, and say so in the commit.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

PATH = Path(__file__).with_name("tiny_steps.json")


def record() -> list[dict[str, Any]]:
    """What each of three steps reports, with every message of its first episode."""
    from neuromas.config import make_config
    from neuromas.core.task import Problem, Score
    from neuromas.system.assemble import assemble
    from neuromas.training.step import train_step
    from neuromas.training.trainer import Trainer

    class Bytes:
        """Earns the share of the answer's bytes that are below 64."""

        name, answer_format = "bytes", "text"

        def size(self, split: str) -> None:
            return None

        def problem(self, split: str, index: int) -> Problem:
            parts = (f"{index}a", f"{index}b")
            return Problem(f"p{index}", f"question {index}", "", parts=parts, stem="which?")

        def score(self, problem: Problem, text: str) -> Score:
            raw = text.encode("utf-8", errors="replace")
            return Score(sum(b < 64 for b in raw) / len(raw) if raw else 0.0, text)

    config = make_config(
        {
            "seed": 7,
            "model": {"backbone": "tiny", "dtype": "float32", "device": "cpu", "rank": 4},
            "network": {"topology": "2-1", "question": "split", "message_tokens": 5, "answer_tokens": 6},
            "train": {"problems": 3, "samples": 4, "lr": 0.01},
        }
    )
    assembly, task = assemble(config), Bytes()
    trainer = Trainer(assembly.network, assembly.model, config.train, config.seed)
    steps = []
    for step in range(3):
        problems = [task.problem("train", 3 * step + i) for i in range(3)]
        report, episodes = train_step(trainer, task, problems)
        kept = ("reward", "loss", "entropy", "gradient_norm", "learned_tokens", "silent_groups")
        first = [turn.text for turn in episodes[0].turns]
        steps.append({name: report[name] for name in kept} | {"messages": first})
    return steps


if __name__ == "__main__":
    PATH.write_text(json.dumps(record(), indent=1) + "\n", "utf-8")
    print(f"wrote {PATH}")
