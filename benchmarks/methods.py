"""What methods that talk with the frozen model take, against the network's own calls.

    python benchmarks/methods.py            a tiny model, seconds; writes results/methods.json
    python benchmarks/methods.py --real     SmolLM2-135M, some minutes; adds it to the file

Each method answers the same questions as a network whose pass is as many calls: debate 3x2 and the network
3-2-1 (6), Mixture-of-Agents 3-3-1 and the network 3-3-1 (7). Both are sampled at temperature 0.7, with texts
of at most 16 tokens, and take turns; a ratio is that of median seconds in one run. Prompts are not equally
long, so tokens read and written stand beside it.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuromas.models.process import prepare

if TYPE_CHECKING:
    from neuromas.methods.base import Bench, Method

OUT = Path(__file__).parent / "results" / "methods.json"
PAIRS = (("debate", "3-2-1"), ("mixture-of-agents", "3-3-1"))
MODELS = {"tiny": (32, 9), "smollm2-135m": (16, 5)}  # questions and repetitions
MOST = 1.3  # a method may take so many times what the network's calls take


def main() -> int:
    """Measure, write, and say whether all ratios are within the limit."""
    prepare()
    model = "smollm2-135m" if "--real" in sys.argv else "tiny"
    found = json.loads(OUT.read_text("utf-8")) if OUT.exists() else {}
    found[model] = [measured(model, *pair) for pair in PAIRS]
    OUT.write_text(json.dumps({key: found[key] for key in MODELS if key in found}, indent=1) + "\n", "utf-8")
    for row in found[model]:
        print(json.dumps(row))
    return int(any(row["ratio"] > MOST for row in found[model]))


def measured(model: str, name: str, shape: str) -> dict[str, Any]:
    """Seconds of a method and of a network of as many calls, in turns, after one pass of each to warm up."""
    from neuromas.config import make_config
    from neuromas.methods.bench import bench
    from neuromas.methods.running import make_method
    from neuromas.system.assemble import assemble

    questions, times = MODELS[model]
    config = make_config(
        {
            "model": {"backbone": model, "device": "cpu"},
            "network": {"topology": shape, "message_tokens": 16, "answer_tokens": 16},
            "task": {"name": "max", "options": {"n": 4}},
        }
    )
    sides = (make_method(name), make_method("network", {"temperature": 0.7}))
    with bench(assemble(config)) as where:
        assert len({side.calls(where) for side in sides}) == 1, "as many calls on both sides"
        for side in sides:
            passed(where, side, questions)
        taken = [[passed(where, side, questions) for side in sides] for _ in range(times)]
    seconds, tokens = (
        [statistics.median(one[side][fact] for one in taken) for side in (0, 1)] for fact in (0, 1)
    )
    return {
        "method": name,
        "network": shape,
        "calls": sides[0].calls(where),
        "questions": questions,
        "seconds": [round(one, 3) for one in seconds],
        "ratio": round(seconds[0] / seconds[1], 2),
        "tokens": tokens,
    }


def passed(where: Bench, method: Method, questions: int) -> tuple[float, int]:
    """Seconds of one answer to each question, and the tokens read and written for them."""
    problems = [where.task.problem("test", index) for index in range(questions)]
    start = time.perf_counter()
    episodes = [group.episodes[0] for group in method.answer(where, problems)]
    seconds = time.perf_counter() - start
    return seconds, sum(one.prompt_tokens + one.new_tokens for one in episodes)


if __name__ == "__main__":
    sys.exit(main())
