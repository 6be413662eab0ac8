"""Runs of the tiny model for the page's tests, and the page of each.

Two real trainings are paid for; the rest are copies of them in which what models and data wrote is replaced,
since a tiny model never wins and writes nothing to read.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Row = dict[str, Any]
GOLDEN = Path(__file__).parents[1] / "golden" / "experiment-0.1.0.json"
RECIPE = """
model = { backbone = "tiny", dtype = "float32", device = "cpu", rank = 4 }
network = { question = "first", message_tokens = 6, answer_tokens = 3 }
task = { name = "max", options = { n = 4 } }
train = { problems = 2, samples = 4, lr = 0.01, warmup = 1 }
evaluate = { every = 1, validation = 3, test = 12 }
[[stages]]
shape = "1-1"
steps = 2
[[stages]]
shape = "2-1-1"
steps = 2
"""
OUTCOMES = ("won", "lost", "tied", "failed")
LARGE_ITEMS = 12 * 60
SCRIPT = "<script>alert('script')</script></script><!--<script>"
HOSTILE = (
    SCRIPT,
    "<svg onload=\"alert('svg')\"><animate onbegin=alert(1)>",
    '"><img src="https://example.com/x.png" onerror="alert(\'img\')">',
    "javascript:alert('link') {{ 7 * 7 }} {% raw %} ${alert(1)}",
    "</textarea></title></style></details><iframe src=//example.com></iframe>",
    "\u202eevil\u202c \u2066bidi\u2069 \x1b[31mred\x1b[0m \x1b]0;title\x07 nul\x00 line\u2028end\u2029 \ud800",
    '<form action="https://example.com"><input name=theme autofocus onfocus=alert(2)>',
    "<base href=https://example.com/><meta http-equiv=refresh content=0;url=https://example.com/>",
)


def make(folder: Path) -> None:
    """``folder``: the runs and NAME.html of each of them."""
    from neuromas.cli import main

    (folder / "grown.toml").write_text(RECIPE, "utf-8")
    for seed in (0, 1):
        run = folder / f"seed-{seed}"
        assert main(["train", str(folder / "grown.toml"), f"seed={seed}", "--run", str(run)]) == 0
        told(run)
    derived(folder)
    for name, paths in {
        "grown": ["seed-0"],
        "several": ["seed-0", "seed-1"],
        "half": ["half"],
        "hostile": ["hostile"],
        "large": ["large"],
        "experiment": ["experiment"],
    }.items():
        words = ["report", *(str(folder / path) for path in paths)]
        assert main([*words, "--out", str(folder / f"{name}.html")]) == 0


def derived(folder: Path) -> None:
    """The runs that are made of the first."""
    first = folder / "seed-0"
    hostile = shutil.copytree(first, folder / "hostile")
    rewrite(hostile, planted)
    shutil.copytree(first, folder / "large")
    enlarge(folder / "large")
    half = shutil.copytree(first, folder / "half")
    for name in ("status.json", "evaluations", "growth.jsonl"):
        path = half / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    text = (half / "metrics.jsonl").read_text("utf-8")
    (half / "metrics.jsonl").write_text(text[:-20], "utf-8")
    (folder / "experiment").mkdir()
    shutil.copy(GOLDEN, folder / "experiment" / "results.json")


def told(run: Path) -> None:
    """Readable messages, and every outcome there is, a quarter of the questions each."""
    for file in sorted((run / "evaluations").glob("*.jsonl")):
        if file.name.endswith(".prompts.jsonl"):
            continue
        rows = list(lines(file))
        for number, row in enumerate(rows):
            outcome, late = OUTCOMES[number * len(OUTCOMES) // len(rows)], "before" not in file.name
            right = (outcome == "won" and late) or (outcome == "lost" and not late)
            answer = row["gold"] if right else "41"
            said = "after" if late else "before"
            row["messages"] = [f"node {at} wrote {said} {number}" for at in range(len(row["messages"]))]
            row["messages"][-1] = row["answer"] = answer
            row.update(parsed=answer, score=float(right), truncated=[False] * len(row["messages"]))
            if outcome == "failed" and late:
                row.update(failure="prompt of node 2.1 too long", score=0.0)
        save(file, rows)


def rewrite(run: Path, change: Callable[[Row, int], Row]) -> None:
    """Every line of every log and evaluation, changed."""
    for file in [*run.glob("*.jsonl"), *(run / "evaluations").glob("*.jsonl")]:
        save(file, [change(row, at) for at, row in enumerate(lines(file))])


def planted(row: Row, at: int) -> Row:
    """A line in which everything that a model or a file of data wrote attacks its reader."""
    attack = HOSTILE[at % len(HOSTILE)]
    for key in ("messages", "prompts"):
        if key in row:
            row[key] = [HOSTILE[(at + n) % len(HOSTILE)] for n, _ in enumerate(row[key])]
    for key in ("question", "gold", "answer", "parsed", "failure", "text"):
        if row.get(key) is not None or (key == "failure" and at == 0 and "failure" in row):
            row[key] = attack
    if "labels" in row:
        row["labels"] = {attack: 1}
    return row


def enlarge(run: Path, times: int = LARGE_ITEMS // 12) -> None:
    """A test of hundreds of questions with messages of a thousand characters."""
    for file in (run / "evaluations").glob("*.jsonl"):
        rows = []
        for copy in range(times):
            for row in lines(file):
                row["id"] = f"{row['id']}-{copy}"
                for key in ("messages", "prompts"):
                    if key in row:
                        row[key] = [f"{text} " + "word " * 200 for text in row[key]]
                rows.append(row)
        save(file, rows)


def lines(file: Path) -> Iterator[Row]:
    """The rows of a file of JSON lines."""
    for line in file.read_text("utf-8").split("\n")[:-1]:
        yield json.loads(line)


def save(file: Path, rows: list[Row]) -> None:
    """Write them back."""
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
