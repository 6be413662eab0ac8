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
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
os.environ.setdefault("OMP_NUM_THREADS", "1")

import harness
from cases import Case, kinds
from harness import Outcome, judge, trained
from hypothesis import HealthCheck, Phase, given, seed, settings

ROOT = Path(__file__).resolve().parents[2]
VERDICTS = ("refused", "accepted", "traceback", "unclear", "late")
BEGIN, END = "<!-- fuzz: written by make fuzz -->", "<!-- end of fuzz -->"


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


def table(report: dict[str, Any]) -> str:
    """The counts as a Markdown table, a row for each kind."""
    heads = [
        "tried",
        "refused with status 2",
        "accepted",
        "tracebacks",
        "unclear",
        f"over {report['limit']:g} s",
    ]
    names = ["tried", *VERDICTS]
    rows = [(kind, [row[name] for name in names]) for kind, row in report["kinds"].items()]
    rows.append(("**all**", [sum(row[name] for row in report["kinds"].values()) for name in names]))
    lines = ["| kind of input | " + " | ".join(heads) + " |", "|---|" + "---:|" * len(heads)]
    return "\n".join([*lines, *(f"| {kind} | " + " | ".join(map(str, row)) + " |" for kind, row in rows)])


def write_table(path: Path, report: dict[str, Any]) -> None:
    """Put the table between its two marks."""
    before, _, rest = path.read_text("utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    path.write_text(f"{before}{BEGIN}\n{table(report)}\n{END}{after}", "utf-8")


def run_all(args: argparse.Namespace, run: Path) -> dict[str, Any]:
    """Every kind in turn, as plain data: counts, and the cases that should not have been."""
    wanted = args.kind or list(kinds(run))
    rows: dict[str, dict[str, float]] = {}
    faults: list[dict[str, str]] = []
    started = time.monotonic()
    for kind in wanted:
        results = explore(kind, run, args.inputs // len(wanted), args.seed)
        counts = Counter(outcome.verdict for _, outcome in results)
        slowest = max(outcome.seconds for _, outcome in results)
        rows[kind] = {"tried": len(results), **{v: counts[v] for v in VERDICTS}, "slowest": round(slowest, 1)}
        print(f"{kind:18}", "  ".join(f"{name} {value}" for name, value in rows[kind].items()), flush=True)
        for case, outcome in results:
            if outcome.verdict not in ("refused", "accepted"):
                detail = outcome.detail.replace(f"{ROOT}{os.sep}", "")[:1500]
                faults.append({"verdict": outcome.verdict, "case": repr(case)[:3000], "detail": detail})
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    report = {"inputs": sum(row["tried"] for row in rows.values()), "seed": args.seed, "limit": args.limit}
    return {
        **report,
        "kinds": rows,
        "seconds": round(time.monotonic() - started),
        "peak_mb": peak,
        "faults": faults,
    }


def main() -> int:
    """Run, print, and write what was asked for; status 1 if anything should not have been."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--inputs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", action="append", help="only this kind")
    parser.add_argument("--limit", type=float, default=harness.LIMIT, help="seconds a command may take")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--docs", type=Path, help="page whose table is written anew")
    args = parser.parse_args()
    harness.LIMIT = args.limit
    with tempfile.TemporaryDirectory() as folder:
        report = run_all(args, trained(Path(folder)))
    print(f"{report['seconds']} s, at most {report['peak_mb']} MB")
    if args.out:
        args.out.write_text(json.dumps(report, indent=1, ensure_ascii=True) + "\n")
    if args.docs:
        write_table(args.docs, report)
    for fault in report["faults"][:40]:
        print("\n" + fault["verdict"], fault["case"][:600], fault["detail"], sep="\n")
    return 1 if report["faults"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
