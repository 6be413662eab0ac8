"""A training step of the short demo, a quarter of its problems, in bfloat16 and in float32, in turn.

    python benchmarks/precision.py      adds what this processor can to results/precision.json

Which of both is faster depends on whether the processor multiplies bfloat16, and by that
``model.dtype = "auto"`` chooses. Every run is a process of its own; seconds are medians over the steps of
all rounds.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from neuromas.models.precision import chosen, flags

HERE = Path(__file__).parent
OUT = HERE / "results" / "precision.json"
RECIPE = HERE.parent / "recipes" / "runs" / "demo.toml"
DTYPES = ("bfloat16", "float32")
ROUNDS, STEPS, PROBLEMS = 3, 3, 4
TRAIN = (f"train.steps={STEPS}", f"train.problems={PROBLEMS}", "train.warmup=0", "model.device=cpu")
SMALL = (*TRAIN, "evaluate.test=2", "evaluate.validation=2", "evaluate.every=0")
NAMED = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "bf16")  # of a processor's flags


def main() -> None:
    """Time both in turn, and keep what other processors gave."""
    import torch

    seconds: dict[str, list[dict[str, float]]] = {dtype: [] for dtype in DTYPES}
    for _ in range(ROUNDS):
        for dtype in DTYPES:
            seconds[dtype] += timed(dtype)
    parts = {
        dtype: {part: median(row[part] for row in rows) for part in ("rollout", "learn")}
        for dtype, rows in seconds.items()
    }
    row: dict[str, Any] = {
        "flags": sorted(flags().intersection(NAMED)),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "auto": chosen("auto"),
        "seconds": parts,
    }
    known = json.loads(OUT.read_text("utf-8"))["processors"] if OUT.is_file() else []
    others = [one for one in known if one["flags"] != row["flags"]]
    found = {"steps": ROUNDS * STEPS, "processors": [*others, row]}
    OUT.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    print(json.dumps(row))


def timed(dtype: str) -> list[dict[str, float]]:
    """Seconds of rollout and update of every step of one run."""
    with tempfile.TemporaryDirectory() as folder:
        words = ["train", str(RECIPE), "--run", f"{folder}/run", f"model.dtype={dtype}", *SMALL]
        subprocess.run([sys.executable, "-m", "neuromas.cli", *words], check=True, capture_output=True)
        lines = (Path(folder) / "run" / "metrics.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line)["seconds"] for line in lines]


if __name__ == "__main__":
    main()
