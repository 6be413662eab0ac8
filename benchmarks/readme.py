"""Puts the figures of benchmarks/results/*.json into README.md and pages of docs/, between their markers.

python benchmarks/readme.py            rewrite them, and the experiments' drawings in docs/
python benchmarks/readme.py --check    exit 1 if a page is not up to date (a test does this)
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PAGES = [HERE.parent / "README.md", *(HERE.parent / "docs" / name for name in ("growth.md", "durability.md"))]
EXPERIMENTS = ("depth", "growth", "remedies")
WORDS = {
    "rollout": "rollout, new tokens/s against PEFT `generate` switched node by node",
    "step": "training step against PEFT node by node, logits everywhere",
    "memory": "peak memory, 7 nodes over 1 node (lower is better)",
    "trl": "whole step, sampled tokens/s against TRL GRPO",
    "comlrl": "whole step, sampled tokens/s against CoMLRL MAGRPO, 2 agents",
}


def main() -> int:
    """Rewrite or check."""
    wanted = {page: render(page.read_text("utf-8")) for page in PAGES}
    if "--check" in sys.argv:
        return int(any(page.read_text("utf-8") != text for page, text in wanted.items()))
    for page, text in wanted.items():
        page.write_text(text, "utf-8")
    from neuromas.report.chart import experiment_svg

    for name in EXPERIMENTS:
        drawing = experiment_svg(_load(f"{name}.json"), name)
        (HERE.parent / "docs" / f"{name}.svg").write_text(drawing, "utf-8")
    return 0


def render(text: str) -> str:
    """A page's text with every marked part made anew from the results."""
    parts: dict[str, Callable[[], str]] = {
        "demo": _demo,
        "learning": _learning,
        "speed": _speed,
        "kills": _kills,
    }
    for name in EXPERIMENTS:
        parts[name] = partial(_experiment, name)
        parts[f"{name}-report"] = partial(_report, name)
    for name, make in parts.items():
        mark = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        if mark.search(text):
            made = make()
            text = mark.sub(lambda found, made=made: found[1] + made + "\n" + found[2], text)
    return text


def _load(name: str) -> dict[str, Any]:
    return dict(json.loads((HERE / "results" / name).read_text("utf-8")))


def _kills() -> str:
    """Runs by what was done to them, and how they ended."""
    if not (HERE / "results" / "kills.json").exists():
        return "Not counted yet for this version: `make kill`."
    found = _load("kills.json")
    lines = ["| done to the run | runs | hits | ended bit-identical | faults |", "|---|---|---|---|---|"]
    for kind, counts in found["counts"].items():
        hits = counts.get("hit", 0) + counts.get("stopped with one line", 0)
        lines.append(
            f"| {kind} | {counts['runs']} | {hits} | {counts['bit-identical']} | {counts.get('faults', 0)} |"
        )
    phases = sum((Counter(counts) for counts in found["counts"].values()), Counter())
    where = ", ".join(f"{phases[key]} {key}" for key in sorted(phases) if key.startswith("in "))
    return "\n".join([*lines, "", f"Kills by where they struck: {where}.", "", f"`{found['command']}`"])


def _demo() -> str:
    """The end of `make demo`, as the learning benchmark stored it for seed 0."""
    return "```\n" + (HERE / "results" / "demo-0.txt").read_text("utf-8").rstrip() + "\n```"


def _percent(entry: dict[str, Any]) -> str:
    low, high = entry["interval"]["low"], entry["interval"]["high"]
    return f"{100 * entry['accuracy']:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def _learning() -> str:
    """Every seed, and the mean gain over seeds."""
    files = [_load(path.name) for path in sorted((HERE / "results").glob("learning*.json"))]
    lines = [
        "Held-out accuracy in percent with 95 % Wilson intervals; p from the exact McNemar test.",
        "",
        "| recipe | seed | items | before | after | blanked | shuffled | constant answer | p | training |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in [row for data in files for row in data["rows"]]:
        tests = ("test-before", "test-after", "test-after-blank", "test-after-shuffle")
        cells = [_percent(row[name]) for name in tests]
        lines.append(
            f"| {row['recipe']} | {row['seed']} | {row['items']} | {' | '.join(cells)} | "
            f"{100 * row['majority']:.1f} | {row['p_value']:.1g} | {row['training_seconds']:.0f} s |"
        )
    lines.append("")
    for entry in [entry for data in files for entry in data["over_seeds"]]:
        bounds = entry["interval"]
        spread = "" if bounds is None else f", 95 % t interval [{100 * bounds[0]:.1f}, {100 * bounds[1]:.1f}]"
        lines.append(
            f"- `{entry['recipe']}`: mean gain {100 * entry['mean_gain']:+.1f} points over "
            f"{entry['seeds']} seed(s){spread}."
        )
    return "\n".join(lines)


def _experiment(name: str) -> str:
    """The networks an experiment compares, one line each, and its comparisons over seeds."""
    data = _load(f"{name}.json")
    compared = {tuple(pair[side]) for pair in data["comparisons"] for side in ("first", "second")}
    lines = [
        "| way:stage | network | calls in training | accuracy, mean of seeds | each seed |",
        "|---|---|---|---|---|",
    ]
    for point in data["points"]:
        if (point["arm"], point["stage"]) in compared:
            each = ", ".join(f"{100 * one['accuracy']:.0f}" for one in point["seeds"])
            what = f"{point['votes']} votes of {point['shape']}" if point["votes"] else point["shape"]
            lines.append(
                f"| {point['arm']}:{point['stage']} | {what} | {point['spent']['calls']:.0f} | "
                f"{100 * point['accuracy']:.1f} % | {each} |"
            )
    lines.append("")
    for pair in data["comparisons"]:
        (one, at), (other, later), found = pair["first"], pair["second"], pair["seeds"]
        bounds = found["interval"]
        spread = "" if bounds is None else f" [{100 * bounds['low']:+.0f}, {100 * bounds['high']:+.0f}]"
        lines.append(
            f"- {one}:{at} → {other}:{later} ({pair['why']}): {100 * found['mean']:+.1f} points{spread}; "
            f"pooled answers p = {pair['items']['holm']:.1g} with Holm's correction."
        )
    return "\n".join(lines)


def _report(name: str) -> str:
    """The tables and comparisons of an experiment, as the command printed them."""
    from neuromas.report.experiment import experiment_text

    return "```\n" + experiment_text(_load(f"{name}.json")).rstrip() + "\n```"


def _speed() -> str:
    """Ratios within one run on one machine."""
    data = _load("cpu.json")
    lines = [
        "Ratios of two processes run in turn on the same two cores (bf16).",
        "",
        "| what | threads | ours | theirs | ratio | ratio of CPU time | bar |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, entry in data["results"].items():
        bar = ("≤ " if name == "memory" else "≥ ") + str(entry["bar"])
        if name == "memory":
            ours, theirs = (f"{entry[side]['peak_rss_gb']:.2f} GB" for side in ("seven_nodes", "one_node"))
        elif name == "step":
            ours, theirs = (f"{entry[side]['seconds_per_step']:.1f} s" for side in ("ours", "peer"))
        else:
            ours, theirs = (f"{entry[side]['tokens_per_second']:.0f}" for side in ("ours", "peer"))
        cpu = f"{entry['ratio_of_cpu_time']:.2f}" if "ratio_of_cpu_time" in entry else ""
        threads = entry["one_node" if name == "memory" else "ours"]["sizes"]["threads"]
        found = f"{entry['ratio']:.2f} | {cpu} | {bar}"
        lines.append(f"| {WORDS[name]} | {threads} | {ours} | {theirs} | {found} |")
    repaired = [
        f"{name} {entry['ratio_improved']:.2f}"
        for name, entry in data["results"].items()
        if "ratio_improved" in entry
    ]
    lines += [
        "",
        "Peers run as they come. `generate` loses much of its time to one strided product (see "
        "[the peers' page](benchmarks/peers/README.md)); with that repaired "
        f"(where it was timed) the ratios are {', '.join(repaired)}.",
        "",
        str(data.get("note", "")),
    ]
    for name, entry in data["results"].items():
        if "peer_one_thread" in entry:  # a peer may be at its best with fewer threads than ours
            alone, both = (entry[side]["tokens_per_second"] for side in ("peer_one_thread", "peer"))
            lines += [
                "",
                f"The {name} peer makes {alone:.1f} tokens/s with one thread and {both:.1f} with "
                f"{entry['peer']['sizes']['threads']}; against its one thread the ratio is "
                f"{entry['ours']['tokens_per_second'] / alone:.1f}.",
            ]
    late = [n for n, e in data["results"].items() if (e["ratio"] > e["bar"]) == (n == "memory")]
    if late:
        lines += ["", f"Not reached yet: {', '.join(late)}."]
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
