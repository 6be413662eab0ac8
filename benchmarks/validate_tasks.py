"""Checks every task with its default options, every generator among them, without a model.

python benchmarks/validate_tasks.py [--items 20] [NAME ...]   writes results/validate.json
python benchmarks/readme.py                                  puts the table into docs/tasks.md

One core is enough: about a quarter of an hour, half of it for intermediate_integration, whose scorer is slow.
With names only those are checked anew; the other rows stay as they are.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from neuromas.tasks import make_task, task_names, validate
from neuromas.tasks.cheats import Cheat

OUT = Path(__file__).parent / "results" / "validate.json"
LEFT_OUT = ("file", "hub")  # they have no problems of their own
FEWER = 6  # problems of each split, where drawing or scoring one takes about a second
SLOW = ("futoshiki", "intermediate_integration", "knight_swap", "simple_integration")
OPTIONS: dict[str, tuple[dict[str, Any], ...]] = {
    "arithmetic": ({}, {"depth": 1, "ask": True, "max_operand": 99}, {"modulo": 10}, {"levels": "*+"}),
    "pick": ({}, {"rules": "smaller,larger", "depth": 3}, {"rules": "later"}, {"read": "last"}),
    "lookup": ({}, {"hops": 4, "people": 8}),
    "max": ({}, {"rank": 2}),
    "hier": ({}, {"m": 8}, {"kind": "random", "H": 3}, {"kind": "max", "H": 3}, {"kind": "cont"}),
}


def main() -> int:
    """Check the named tasks, or all; keeps the file up to date after each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--items", type=int, default=20, help="problems of each split")
    args = parser.parse_args()
    names = args.names or [name for name in task_names() if name not in LEFT_OUT]
    rows = {row["task"]: row for row in _stored()} if args.names else {}
    for name in names:
        for options in OPTIONS.get(name, ({},)):
            items = min(args.items, FEWER) if name.removeprefix("gym/") in SLOW else args.items
            row = check(name, options, items)
            rows[row["task"]] = row
            print(f"{row['task']:50}", "ok" if row["ok"] else f"FAILS {', '.join(row['failed'])}", flush=True)
            OUT.write_text(_text(list(rows.values()), args.items), "utf-8")
    return 0


def check(name: str, options: dict[str, Any], items: int) -> dict[str, Any]:
    """One row: the verdict, the bars and the worst cheat."""
    start = time.perf_counter()
    report = validate(make_task(name, options), items, 0)
    given = (f"{key}={'true' if value is True else value}" for key, value in options.items())
    shown = " ".join([name, *given])
    row: dict[str, Any] = {"task": shown, "ok": report.ok, "failed": list(report.failed)}
    row["items_per_split"] = items
    row["checks"] = {one.name: one.detail for one in report.checks if one.ok is not None}
    if report.played:
        played = report.played
        row["constant"] = _short(played.constants[0])
        row["echo"] = _short(max(played.echoes, key=lambda cheat: cheat.earned))
        row["worst"] = _short(max(played.all, key=lambda cheat: cheat.unearned))
        row["other"] = _short(max(played.constants, key=lambda cheat: cheat.other))
        row["cheats"] = len(played.all)
    return row | {"seconds": round(time.perf_counter() - start, 1)}


def _short(cheat: Cheat) -> dict[str, Any]:
    found = asdict(cheat)
    return {key: value[:60] if isinstance(value, str) else round(value, 4) for key, value in found.items()}


def _stored() -> list[dict[str, Any]]:
    return list(json.loads(OUT.read_text("utf-8"))["tasks"]) if OUT.is_file() else []


def _text(rows: list[dict[str, Any]], items: int) -> str:
    from importlib.metadata import version

    facts = {
        "items_per_split": items,
        "seconds": round(sum(row["seconds"] for row in rows), 0),
        "reasoning_gym": version("reasoning-gym"),
        "python": platform.python_version(),
    }
    return json.dumps({**facts, "tasks": rows}, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    raise SystemExit(main())
