"""Tables of docs/architectures.md from benchmarks/results/*.json; ``readme.py`` puts them there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def _load(name: str) -> dict[str, Any]:
    return dict(json.loads((RESULTS / name).read_text("utf-8")))


def served() -> str:
    """The families that are right, and how far from transformers and PEFT."""
    lines = [
        "| family | `model_type` | adapters tried on | logits at loading | log-probabilities | greedy | "
        "gradients |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in _load("architectures.json")["served"]:
        equal, count = row["greedy"]
        targets = " ".join(row["targets"]).replace("_proj", "")
        lines.append(
            f"| {row['family']} | `{row['kind']}` | {targets} | {row['logits']:.0e} | "
            f"{row['logprobs']:.0e} | {equal} of {count} | {row['gradients']:.0e} |"
        )
    return "\n".join(lines)


def refused() -> str:
    """The families that are not served, and what is said."""
    lines = ["| family | `model_type` | the line |", "|---|---|---|"]
    for row in _load("architectures.json")["refused"]:
        says = row["says"].removeprefix("backbone 'random'").replace("|", "\\|").strip(" :")
        lines.append(f"| {row['family']} | `{row['kind']}` | {says} |")
    return "\n".join(lines)


def check() -> str:
    """What the check at loading costs, and how far two right kernels are from each other."""
    found = _load("architectures.json")["check"]
    return (
        f"SmolLM2-135M in bf16: {found['check_seconds']:.1f} s beside "
        f"{found['loading_seconds']:.1f} s of loading; "
        f"our error is {found['error']:.3f}, and two right kernels of transformers differ by "
        f"{found['between_kernels']:.3f}."
    )


def quantised() -> str:
    """Memory, time and distances of a backbone in fewer bits."""
    lines = [
        "| `model.quantise` | layers | sampling | update | sampler to scorer | moved | KL from 16 bits |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in _load("quantised.json")["ways"]:
        lines.append(
            f"| {row['way']} | {row['layer_megabytes']} MB | {row['sampling_seconds']} s | "
            f"{row['update_seconds']} s | {row['drift']:.3f} | {row['moved']:.3f} | {row['kl']:.3f} |"
        )
    return "\n".join(lines)


def vocabulary() -> str:
    """Peaks of what is done with a large head."""
    found = _load("vocabulary.json")
    what = {
        "pack": f"packing the head ({found['head_megabytes']} MB)",
        "draw": f"drawing {found['rows']} rows",
        "score": f"scoring {found['places']} places, forward and backward",
        "kl": "the same with a KL to the backbone",
    }
    lines = ["| part | logits in bf16 | peak |", "|---|---|---|"]
    for row in found["parts"]:
        lines.append(f"| {what[row['part']]} | {row['logits'] or '-'} MB | {row['megabytes']} MB |")
    return "\n".join(lines).replace("- MB", "-")


def long() -> str:
    """Peaks by the length of messages."""
    points = _load("long.json")["points"]
    lengths = sorted({row["tokens"] for row in points})
    lines = [f"| tokens a message | {' | '.join(map(str, lengths))} |", "|---" * (len(lengths) + 1) + "|"]
    for phase in ("rollout", "update"):
        mine = {row["tokens"]: row["megabytes"] for row in points if row["phase"] == phase}
        lines.append(f"| {phase} | {' | '.join(f'{mine[length]} MB' for length in lengths)} |")
    return "\n".join(lines)
