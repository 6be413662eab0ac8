"""Many inputs: what became of them by kind, and everything that should not have been.

python tests/fuzz/long.py --inputs 2000 --seed 0 --out fuzz.json
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
os.environ.setdefault("OMP_NUM_THREADS", "1")

import harness
from cases import Case, kinds
from harness import Outcome, judge, trained
from hypothesis import HealthCheck, Phase, given, seed, settings

VERDICTS = ("refused", "accepted", "traceback", "unclear", "late")


def explore(kind: str, run: Path, count: int, number: int) -> list[tuple[Case, Outcome]]:
    """``count`` inputs of a kind and what became of them; every seed has its own."""
    found: list[tuple[Case, Outcome]] = []

    @seed(number)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=kinds(run)[kind])
    def each(case: Case) -> None:
        found.append((case, judge(case, run)))

    each()
    return found


def main() -> int:
    """Run, print, and write what was asked for; status 1 if anything should not have been."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", action="append", help="only this kind")
    parser.add_argument("--limit", type=float, default=harness.LIMIT, help="seconds a command may take")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    harness.LIMIT = args.limit
    with tempfile.TemporaryDirectory() as folder:
        run = trained(Path(folder))
        wanted = args.kind or list(kinds(run))
        rows, faults, started = {}, [], time.monotonic()
        for kind in wanted:
            results = explore(kind, run, args.inputs // len(wanted), args.seed)
            counts = Counter(outcome.verdict for _, outcome in results)
            slowest = max(outcome.seconds for _, outcome in results)
            rows[kind] = {
                "tried": len(results),
                **{v: counts[v] for v in VERDICTS},
                "slowest": round(slowest, 1),
            }
            print(
                f"{kind:18}", "  ".join(f"{name} {value}" for name, value in rows[kind].items()), flush=True
            )
            for case, outcome in results:
                if outcome.verdict not in ("refused", "accepted"):
                    faults.append(
                        {
                            "case": repr(case)[:3000],
                            "verdict": outcome.verdict,
                            "detail": outcome.detail[:1500],
                        }
                    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"{time.monotonic() - started:.0f} s, at most {peak} MB")
    if args.out:
        report = {"inputs": sum(row["tried"] for row in rows.values()), "seed": args.seed, "kinds": rows}
        report |= {"seconds": round(time.monotonic() - started), "peak_mb": peak, "faults": faults}
        args.out.write_text(json.dumps(report, indent=1, ensure_ascii=True) + "\n")
    for fault in faults[:40]:
        print("\n" + fault["verdict"], fault["case"][:600], fault["detail"], sep="\n")
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
