"""What networks learned: the benchmark and its demo, seven nodes trained on, local steps before training."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from neuromas.report.experiment import points

from . import cells


def demo(text: str) -> str:
    """The end of `make demo`, as the learning benchmark stored it for seed 0."""
    return "```\n" + text.rstrip() + "\n```"


def demo_short(text: str) -> str:
    """The same without what the README has no room for: the first question, and fewer rows."""
    head, _, rest = text.partition('\nquestion "')
    rows = ("before  ", "accuracy", "constant", "gain", "messages")
    table = [line for line in head.splitlines() if line.strip().startswith(rows)]
    question = 'question "' + rest.partition('\nquestion "')[0].rstrip()
    return "\n".join(["```", *table, "", question, "```"])


def learning(files: Iterable[dict[str, Any]]) -> str:
    """Every seed, and the mean gain over seeds."""
    rows, gains = [], []
    tests = ("test-before", "test-after", "test-after-blank", "test-after-shuffle")
    for data in files:
        for row in data["rows"]:
            told = (row["recipe"], row["seed"], row["items"], *(cells.accuracy(row[name]) for name in tests))
            end = (cells.share(row["majority"]), f"{row['p_value']:.1g}", f"{row['training_seconds']:.0f} s")
            rows.append((*told, *end))
        gains += [gain(entry, data["rows"]) for entry in data["over_seeds"]]
    heads = ("recipe", "seed", "items", "before", "after", "blanked", "shuffled", "constant answer", "p")
    lines = [
        "Held-out accuracy in percent with 95 % Wilson intervals; p from the exact McNemar test of this one "
        "network before and after (see [what the numbers mean](numbers.md)).",
        "",
        *cells.table((*heads, "training"), rows),
    ]
    return "\n".join([*lines, "", *gains])


def gain(entry: dict[str, Any], rows: Sequence[dict[str, Any]]) -> str:
    """Mean gain of a recipe over seeds; files of 0.1.0 kept no items, so theirs is shown by seed alone."""
    gains = [row["gain"] for row in rows if row["recipe"] == entry["recipe"]]
    each = ", ".join(map(cells.points, gains))
    found = entry.get("trainings")
    mean = points(entry["mean_gain"], found and found["interval"])
    if found and found["p_value"] is not None:
        mean += f", p = {found['p_value']:.1g} by question and seed"
    return f"- `{entry['recipe']}`: mean gain {mean} ({each} with {len(gains)} seed(s))."


def seven(data: dict[str, Any]) -> str:
    """Seven grown nodes trained on: every variant and seed."""
    rows = []
    for run in data["runs"]:
        validated = [(0, run["first"]), *run["validation"]]
        trail = ", ".join(f"{100 * accuracy:.0f} %" for _, accuracy in validated)
        before, after = (f"{cells.share(run[key])} %" for key in ("before", "after"))
        best, gained = f"step {run['best']}", cells.points(run["gain"])
        rows.append((run["variant"], run["seed"], before, trail, best, after, gained))
    heads = ("settings", "seed", "before", "validation at 0, 20, 25 steps", "handed on", "after", "gain")
    return "\n".join(cells.table(heads, rows))


def local_steps(data: dict[str, Any]) -> str:
    """What the frozen model does of the local steps, with no and with four worked examples."""
    rows = []
    for step in data["steps"]:
        shares = (step["with_0"], step["with_4"], step["constant"]["accuracy"])
        options = " ".join(f"{key}={value}" for key, value in step["options"].items())
        rows.append((f"`{step['task']} {options}`", *(f"{100 * share:.0f} %" for share in shares)))
    return "\n".join(cells.table(("question", "no example", "4 examples", "best constant"), rows))
