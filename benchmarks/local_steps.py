"""What the frozen model does of the local steps of the built-in families, before any training.

    python benchmarks/local_steps.py      writes results/local_steps.json

One node reads the question, greedily, on the first 100 test problems, with no and with 4 worked examples. Two
minutes on one core. ``neuromas probe`` measures one task so, and in more detail.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from neuromas.models.process import prepare

OUT = Path(__file__).parent / "results" / "local_steps.json"
ITEMS = 100
STEPS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("arithmetic", {"depth": 1, "operators": "+", "max_operand": 50, "parts": 1}),
    ("arithmetic", {"depth": 1, "operators": "*", "max_operand": 50, "parts": 1}),
    ("max", {"n": 2, "parts": 1}),
    ("pick", {"depth": 1, "rules": "larger", "parts": 1}),
    ("pick", {"depth": 1, "rules": "smaller", "parts": 1}),
    ("pick", {"depth": 1, "rules": "later", "parts": 1}),
    ("pick", {"depth": 1, "rules": "earlier", "parts": 1}),
    ("lookup", {"hops": 1}),
    ("recall", {"facts": 3, "parts": 1}),
    ("pick", {"depth": 2, "rules": "smaller,larger"}),
)


def main() -> None:
    """Measure every step; keeps the file up to date after each."""
    prepare()
    from neuromas.config import make_config
    from neuromas.evaluation.evaluate import evaluate
    from neuromas.system.assemble import assemble

    rows: list[dict[str, Any]] = []
    for name, options in STEPS:
        row: dict[str, Any] = {"task": name, "options": options}
        start = time.perf_counter()
        for examples in (0, 4):
            config = make_config(
                {
                    "model": {"backbone": "smollm2-135m"},
                    "network": {"topology": "1", "examples": examples, "answer_tokens": 8},
                    "task": {"name": name, "options": options},
                }
            )
            built = assemble(config)
            result = evaluate(built.network, built.task, "test", ITEMS).summary
            row[f"with_{examples}"] = result["accuracy"]
            row["question"] = built.task.problem("test", 0).question
            row["items"], row["constant"] = result["items"], result["majority"]
        row["seconds"] = round(time.perf_counter() - start, 1)
        rows.append(row)
        print(json.dumps(row), flush=True)
        OUT.write_text(json.dumps({"model": "smollm2-135m", "steps": rows}, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
