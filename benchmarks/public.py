"""Where the small model stands on public sets before training: ``neuromas probe`` on every file of a folder.

    python benchmarks/public.py DATA runs/public

DATA holds files such as boolq_test.jsonl (docs/tasks.md says how they are read). Each probe's JSON is kept
in the other folder, and one that is there is not run again. Writes results/public.json: accuracy of greedy
answers with no and two worked examples, its lower bound, and what the best constant answer earns there.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

from neuromas.report.results import as_json
from neuromas.storage import read_json, write_atomic

OUT = Path(__file__).parent / "results" / "public.json"
LETTERS = ("arc_challenge", "mmlu_physics")  # with letters among their choices
OPTIONS = ("--items", "64", "--samples", "1", "--examples", "0,2")


def main() -> None:
    """Probe what was not probed yet, and write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("data", type=Path)
    parser.add_argument("kept", type=Path)
    args = parser.parse_args()
    args.kept.mkdir(parents=True, exist_ok=True)
    rows, refused = list[dict[str, Any]](), dict[str, str]()
    for path in sorted(args.data.glob("*_test.jsonl")):
        name = path.stem.removesuffix("_test")
        kept = args.kept / f"{name}.json"
        if not kept.exists() or not kept.stat().st_size:
            task = ("file", f"path={path}", *(["answer_is=letter"] if name in LETTERS else []))
            command = [sys.executable, "-m", "neuromas.cli", "probe", *task, *OPTIONS, "--json"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                refused[name] = done.stderr.strip().splitlines()[-1].partition(f"{path} ")[2]
                continue
            write_atomic(kept, done.stdout)
        rows += [{"set": name, **row} for row in standing(read_json(kept))]
    write_atomic(OUT, as_json({"options": list(OPTIONS), "rows": rows, "refused": refused}) + "\n")


def standing(probe: dict[str, Any]) -> list[dict[str, Any]]:
    """The whole question with each number of worked examples."""
    kept = ("examples", "items", "greedy", "constant", "constant_text")
    whole = [one for one in probe["standings"] if one["kind"] == "whole"]
    return [{**{key: one[key] for key in kept}, "low": one["low"][0]} for one in whole]


if __name__ == "__main__":
    main()
