"""Runs the examples with the real model; keeps what they print and how long they took, for docs/examples.md.

    python benchmarks/examples.py                        # all, with two threads
    python benchmarks/examples.py grow_a_network         # one; the others stay as they were
    python benchmarks/examples.py --docs                 # only put what is kept into the page

An example that was not run on this version has no output on the page.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
EXAMPLES, PAGE = HERE.parent / "examples", HERE.parent / "docs" / "examples.md"
RESULTS = HERE / "results" / "examples.json"
_LONGEST = 60  # lines of an output on the page


def main() -> int:
    """Run, keep, and rewrite the page."""
    names = sorted(path.stem for path in EXAMPLES.glob("*.py"))
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(names))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--machine", default="two CPU cores", help="what it ran on, in words")
    parser.add_argument("--docs", action="store_true")
    given = parser.parse_args()
    if unknown := sorted(set(given.names) - set(names)):
        parser.error(f"no example {unknown[0]!r} (valid: {', '.join(names)})")
    kept = load()
    for name in [] if given.docs else given.names or names:
        kept[name] = run(name, given.threads) | {"threads": given.threads, "machine": given.machine}
        RESULTS.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", "utf-8")
        print(f"{name}: {kept[name]['seconds']:.0f} s, {kept[name]['cpu_seconds']:.0f} s of CPU time")
    PAGE.write_text(render(PAGE.read_text("utf-8"), kept), "utf-8")
    return 0


def load() -> dict[str, Any]:
    """What is kept, by example."""
    return json.loads(RESULTS.read_text("utf-8")) if RESULTS.is_file() else {}


def run(name: str, threads: int) -> dict[str, Any]:
    """One example in a process of its own; its output without the folder it wrote into."""
    env = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(HERE.parent / "src")}
    with tempfile.TemporaryDirectory() as folder:
        out, began, before = Path(folder) / "out", time.monotonic(), _used()
        words = [sys.executable, str(EXAMPLES / f"{name}.py"), "--out", str(out)]
        done = subprocess.run(words, env=env, capture_output=True, text=True, check=True)
        text = done.stdout.replace(str(out), f"runs/{name}")
        return {"output": text, "seconds": time.monotonic() - began, "cpu_seconds": _used() - before}


def _used() -> float:
    """CPU time of all processes that this one waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def render(page: str, kept: dict[str, Any]) -> str:
    """The page with each example's output between its marks."""

    def block(found: re.Match[str]) -> str:
        one = kept.get(found[1])
        return f"<!-- example {found[1]} -->\n{_shown(one) if one else ''}<!-- /example -->"

    return re.sub(r"<!-- example (\w+) -->\n.*?<!-- /example -->", block, page, flags=re.DOTALL)


def _shown(one: dict[str, Any]) -> str:
    """An output as the page has it, and what it took."""
    lines = one["output"].rstrip().split("\n")
    if len(lines) > _LONGEST:
        lines = [*lines[: _LONGEST - 20], f"… {len(lines) - _LONGEST} lines …", *lines[-20:]]
    body = "\n".join(lines)
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", body)), default=0))
    took = f"{one['seconds']:.0f} s on {one['machine']} with {one['threads']} thread(s), "
    return f"{took}{one['cpu_seconds']:.0f} s of CPU time:\n\n{fence}\n{body}\n{fence}\n\n"


if __name__ == "__main__":
    sys.exit(main())
