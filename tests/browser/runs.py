"""Runs of the tiny model for the page's tests, and the page of each.

One real training is paid for; the rest are copies of it in which what models and data wrote is replaced,
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
    "\u202eevil\u202c \u2066bidi\u2069 \x1b[31mred\x1b[0m \x1b]0;title\x07 nul\x00 line\u2028end \ud800",
    '<form action="https://example.com"><input name=theme autofocus onfocus=alert(2)>',
    "<base href=https://example.com/><meta http-equiv=refresh content=0;url=https://example.com/>",
)


NAMED = '<img src=x onerror=alert("folder")>'
PAGES = {
    "grown": ["seed-0"],
    "several": ["seed-0", "seed-1"],
    "half": ["half"],
    "hostile": [NAMED, "seed-0", "attack"],
    "large": ["large"],
    "experiment": ["experiment"],
}


def make(folder: Path) -> None:
    """The runs of all pages, in ``folder``."""
    from neuromas.cli import main

    (folder / "grown.toml").write_text(RECIPE, "utf-8")
    assert main(["train", str(folder / "grown.toml"), "--run", str(folder / "seed-0")]) == 0
    told(folder / "seed-0")
    derived(folder)


def page(folder: Path, name: str) -> Path:
    """NAME.html of ``PAGES`` in ``folder``, written by the command."""
    from neuromas.cli import main

    file = folder / f"{name}.html"
    words = ["report", *(str(folder / path) for path in PAGES[name])]
    assert main([*words, "--out", str(file)]) == 0
    return file


def derived(folder: Path) -> None:
    """The runs that are made of the first."""
    first = folder / "seed-0"
    another_seed(shutil.copytree(first, folder / "seed-1"))
    attacked(shutil.copytree(first, folder / NAMED), folder / "attack")
    enlarge(shutil.copytree(first, folder / "large"))
    halved(shutil.copytree(first, folder / "half"))
    (folder / "experiment").mkdir()
    shutil.copy(GOLDEN, folder / "experiment" / "results.json")


def another_seed(run: Path) -> None:
    """As if trained from another seed: it loses what the first wins."""
    change(run / "config.json", lambda config: config | {"seed": 1})
    for file in (run / "evaluations").glob("*-after.jsonl"):
        save(file, [row | {"score": 1.0 - row["score"]} for row in lines(file)])


def halved(run: Path) -> None:
    """A training that ended in the middle of a line, before any test."""
    shutil.rmtree(run / "evaluations")
    for name in ("status.json", "growth.jsonl"):
        (run / name).unlink()
    text = (run / "metrics.jsonl").read_text("utf-8")
    (run / "metrics.jsonl").write_text(text[:-20], "utf-8")


def attacked(run: Path, experiment: Path) -> None:
    """Every text of a run and of an experiment that somebody else may have chosen attacks its reader."""
    for file in [*run.glob("*.jsonl"), *(run / "evaluations").glob("*.jsonl")]:
        save(file, [planted(row, at) for at, row in enumerate(lines(file))])
    change(
        run / "config.json",
        lambda config: config | {"task": {"name": SCRIPT, "options": {SCRIPT: HOSTILE[1]}}},
    )
    change(run / "run.json", lambda told: told | {"commit": HOSTILE[2], "versions": {HOSTILE[1]: SCRIPT}})
    experiment.mkdir()
    text = GOLDEN.read_text("utf-8")
    for name, attack in (("small", HOSTILE[2]), ("grown", HOSTILE[1]), ("depth", SCRIPT)):
        text = text.replace(json.dumps(name), json.dumps(attack))
    (experiment / "results.json").write_text(text, "utf-8")


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


def change(file: Path, changed: Callable[[Row], Row]) -> None:
    """A file of one JSON object, changed."""
    file.write_text(json.dumps(changed(json.loads(file.read_text("utf-8")))), "utf-8")


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
