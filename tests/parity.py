"""A task for tests of training: random text earns 1 or 0 about equally often, so that there is a gradient."""

from __future__ import annotations

from dataclasses import dataclass

from neuromas.core.task import Problem, Score, Split


@dataclass(frozen=True)
class Parity:
    """The sum of the answer's bytes should be odd. ``count`` problems a split; None: endless."""

    count: int | None = None
    name: str = "parity"
    answer_format: str = "anything"

    def size(self, split: Split) -> int | None:
        return self.count

    def problem(self, split: Split, index: int) -> Problem:
        return Problem(f"{split}-{index}", f"{split} {index}?", "odd", parts=("left", "right"))

    def score(self, problem: Problem, text: str) -> Score:
        return Score(float(sum(text.encode()) % 2), text or None)


SMALL = {
    "model": {"backbone": "tiny", "dtype": "float32", "device": "cpu", "rank": 4},
    "network": {"topology": "2-1", "message_tokens": 4, "answer_tokens": 4},
    "train": {"steps": 6, "problems": 2, "samples": 4, "lr": 0.01, "warmup": 2},
    "evaluate": {"every": 4, "validation": 6, "test": 6},
    "run": {"checkpoint_every": 2},
}


def small(**sections: object) -> dict[str, object]:
    """Plain data of a small configuration over the tiny model; keyword sections are merged into it."""
    data: dict[str, object] = {name: dict(section) for name, section in SMALL.items()}
    for name, value in sections.items():
        data[name] = {**data.get(name, {}), **value} if isinstance(value, dict) else value  # type: ignore[dict-item]
    return data
