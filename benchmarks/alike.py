"""Seconds of a training step's rollouts where samples share rows while they are alike, against before.

    python benchmarks/alike.py RUN --before OLD/src      writes results/alike.json

``RUN`` is a trained network, such as that of ``make demo`` (runs/story/cells/arithmetic/network/seed-0);
``OLD`` a checkout of the commit before, where every sample was a row of its own. The same network untrained
is timed as well: the more certain its nodes are, the more its samples share. Processes take turns; seconds
of every round are kept, as the speed of a machine with others at work drifts.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve()
OUT = HERE.parent / "results" / "alike.json"
ROUNDS, PROBLEMS, SAMPLES, TEMPERATURE = 3, 16, 8, 0.7


def main() -> None:
    """Time both in turn; written are seconds, rows and messages."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--before", type=Path, help="folder that holds the earlier package")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print(json.dumps({which: _timed(args.run, which) for which in ("trained", "untrained")}))
        return
    sides = {"before": args.before.resolve(), "now": HERE.parents[1] / "src"}
    seen: dict[str, list[Any]] = {side: [] for side in sides}
    for _ in range(ROUNDS):
        for side, source in sides.items():
            environment = {**os.environ, "PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"}
            words = [sys.executable, str(HERE), str(args.run), "--child"]
            done = subprocess.run(words, check=True, capture_output=True, text=True, env=environment)
            seen[side].append(json.loads(done.stdout.splitlines()[-1]))
    found: dict[str, Any] = {"problems": PROBLEMS, "samples": SAMPLES, "temperature": TEMPERATURE}
    for which in ("trained", "untrained"):
        seconds = {side: [one[which]["seconds"] for one in rows] for side, rows in seen.items()}
        same = all(one[which]["messages"] == seen["now"][0][which]["messages"] for one in seen["before"])
        rows = {key: seen["now"][0][which][key] for key in ("tokens", "distinct")}
        found[which] = {"seconds": seconds, **rows, "same_messages": same}
    OUT.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    print(json.dumps(found))


def _timed(path: Path, which: str) -> dict[str, Any]:
    """One rollout after one for warming up, and what was written."""
    import neuromas

    trained = neuromas.load(path)
    if which == "untrained":
        for parameter in trained.assembly.model.bank.parameters:
            parameter.data.copy_(trained.assembly.model.bank.fresh(0))
    problems = trained.problems("train", PROBLEMS)
    neuromas.rollout(trained, problems[:1], 2, temperature=TEMPERATURE)
    start = time.perf_counter()
    groups = neuromas.rollout(trained, problems, SAMPLES, temperature=TEMPERATURE)
    seconds = time.perf_counter() - start
    turns = [turn for group in groups for episode in group.episodes for turn in episode.turns]
    wrote = [(turn.adapter, turn.prefix_ids + turn.suffix_ids, turn.ids) for turn in turns]
    # forwarded while decoding: every token but a message's last, and those alike so far once
    shared = {(a, prompt, ids[:k]) for a, prompt, ids in wrote for k in range(1, len(ids))}
    return {
        "seconds": seconds,
        "tokens": sum(len(ids) - 1 for _, _, ids in wrote),
        "distinct": len(shared),
        "messages": [list(ids) for _, _, ids in wrote],
    }


if __name__ == "__main__":
    main()
