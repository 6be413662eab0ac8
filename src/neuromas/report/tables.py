"""A run and its evaluations as text for people. Reads run directories only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from neuromas.config import make_config
from neuromas.core.errors import RunError
from neuromas.report.reading import read_evaluation, readable
from neuromas.report.terminal import quoted, visible
from neuromas.statistics import Interval, PairedTest, mcnemar, paired_difference_interval, paired_permutation
from neuromas.storage import MANIFEST, Run, read_json

Items = Sequence[Mapping[str, Any]]
_EXAMPLES = 3
_EVENTS = 12
_SUMMARY = (  # what a run's report shows
    *("accuracy", "interval", "majority", "first_option", "parse_failures", "calls"),
    *("prompt_tokens", "new_tokens", "message_tokens"),
)
_ITEM = ("id", "question", "score", "gold", "messages")


def percent(value: float | None, interval: Mapping[str, Any] | Interval | None = None) -> str:
    """``97.5 % [94.3, 98.9]``; a dash where there is nothing to say."""
    if value is None:
        return "–"
    text = f"{100 * value:.1f} %"
    if interval is None:
        return text
    bounds = interval if isinstance(interval, Mapping) else {"low": interval.low, "high": interval.high}
    return f"{text} [{100 * bounds['low']:.1f}, {100 * bounds['high']:.1f}]"


def points(difference: float, interval: Mapping[str, Any] | None) -> str:
    """``+3.5 points [-1.0, +8.0]``."""
    bounds = "" if interval is None else f" [{100 * interval['low']:+.1f}, {100 * interval['high']:+.1f}]"
    return f"{100 * difference:+.1f} points{bounds}"


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns as wide as their widest cell."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def summary_lines(summary: Mapping[str, Any]) -> list[str]:
    """One evaluation, a fact a line. Raises RunError if it is none."""
    with readable("this evaluation"):
        return [visible(line) for line in _summary_lines(summary)]


def _summary_lines(summary: Mapping[str, Any]) -> list[str]:
    """The same, of a summary that has its keys."""
    majority = summary["majority"]
    lines = [
        f"accuracy          {percent(summary['accuracy'], summary['interval'])} on {summary['items']} items",
        f"constant answer   {percent(majority['accuracy'])} (always {quoted(majority['answer'], 30)})",
    ]
    if "rewards" in summary:
        parts = ", ".join(f"{quoted(name, 40)} {value:.3f}" for name, value in summary["rewards"].items())
        lines.append(f"mean reward       {summary['reward']:.3f} ({parts})")
    if summary["first_option"] is not None:
        lines.append(f"first option      {percent(summary['first_option'])}")
    tokens = ", ".join(f"{count:.1f}" for count in summary["message_tokens"])
    cut = ", ".join(f"{100 * share:.0f} %" for share in summary["truncated"])
    answers = ", ".join(f"{quoted(k, 20)} {n}" for k, n in summary["labels"].items())
    return [
        *lines,
        f"parse failures    {percent(summary['parse_failures'])}",
        f"failed rollouts   {failures(summary)}",
        f"calls a question  {summary['calls']:.1f}",
        f"tokens a question {summary['prompt_tokens']:.1f} read, {summary['new_tokens']:.1f} written",
        f"tokens a message  {tokens} (node by node; truncated {cut})",
        f"answers given     {answers}",
    ]


def failures(summary: Mapping[str, Any]) -> str:
    """``7 of 100, 2 of them never asked; most often "…" (5)``; what an old run does not hold is left out."""
    text = str(summary["failed"])
    if not summary["failed"]:
        return text
    text += f" of {summary['items']}"
    if summary.get("unasked"):
        text += f", {summary['unasked']} of them never asked and left out of the accuracy"
    causes = summary.get("causes") or {}
    if causes:
        cause = max(causes, key=lambda name: causes[name])
        text += f"; most often {quoted(cause, 80)} ({causes[cause]})"
    return text


def paired(first: Items, second: Items) -> tuple[PairedTest, Interval | None, int]:
    """Paired test and difference (second minus first) on the items both have scores for.

    McNemar's exact test where every score is 0 or 1, else a paired permutation test.
    """
    with readable("an evaluation"):
        return _paired(first, second)


def _paired(first: Items, second: Items) -> tuple[PairedTest, Interval | None, int]:
    """The same, of items that have their keys."""
    left = {item["id"]: item for item in first if item["score"] is not None}
    right = {item["id"]: item for item in second if item["score"] is not None}
    shared = [name for name in left if name in right]
    if not shared:
        raise RunError("the two evaluations have no items in common")
    if any(left[name]["question"] != right[name]["question"] for name in shared):
        raise RunError("the two evaluations ask different questions under the same ids")
    a = [float(left[name]["score"]) for name in shared]
    b = [float(right[name]["score"]) for name in shared]
    binary = all(value in (0.0, 1.0) for value in a + b)
    test = mcnemar(b, a) if binary else paired_permutation(b, a)
    return test, paired_difference_interval(b, a), len(shared)


def paired_line(test: PairedTest, interval: Interval | None, count: int) -> str:
    """``+72.5 points [66.0, 78.5] on 200 items, p = 1e-40 (…)``."""
    bounds = None if interval is None else asdict(interval)
    return (
        f"{points(test.difference, bounds)} on {count} items, p = {test.p_value:.2g} "
        f"({test.method}; won {test.wins}, lost {test.losses}, tied {test.ties})"
    )


def run_report(run: Run) -> str:
    """Before and after, the message controls, three examples, and where the run is.

    Raises RunError with one line if the run is not finished or what it holds is damaged.
    """
    with readable(f"run {str(run.path)!r}"):
        return "\n".join(map(visible, _run_lines(run)))


def _run_lines(run: Run) -> list[str]:
    """The lines of a report."""
    config = make_config(run.read("config.json"))
    before, items_before = read_evaluation(run, "test-before", _SUMMARY, _ITEM)
    after, items_after = read_evaluation(run, "test-after", _SUMMARY, _ITEM)
    status = {"best": None, "step": 0, "seconds": 0.0, **run.read("status.json")}
    best = status["best"] if status["best"] is not None else status["step"]
    shapes = [shape for shape, _ in config.growth.stages] or [config.network.topology]
    names = [config.task.name, " -> ".join(shapes), config.model.backbone]
    task, topology, backbone = names
    return [
        f"{task} · network {topology} (question: {config.network.question}) · {backbone} · "
        f"seed {config.seed} · {status['step']} steps, checkpoint of step {best} · "
        f"{status['seconds']:.0f} s of training",
        "",
        *_table(before, after),
        "",
        "gain      " + paired_line(*paired(items_before, items_after)),
        *_controls(run, before, after),
        *(
            f"failed {when}: {failures(s)}"
            for when, s in (("before", before), ("after", after))
            if s["failed"]
        ),
        *_events(run),
        "",
        *_examples(items_before, items_after, origins(run)),
        f"run directory: {run.path}",
    ]


def _events(run: Run) -> list[str]:
    """Alarms and what was done about them, and stages that ended below their start."""
    rows = list(run.lines("events.jsonl"))
    shown = [f"step {row['step']}: {row['text']}" for row in rows[:_EVENTS]]
    more = len(rows) - len(shown)
    return [*shown, f"and {more} more in events.jsonl"] if more else shown


def _table(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Before and after, side by side."""
    rows = [
        ("", "before", "after"),
        ("accuracy", *(percent(s["accuracy"], s["interval"]) for s in (before, after))),
        ("constant answer", *(percent(s["majority"]["accuracy"]) for s in (before, after))),
        ("parse failures", *(percent(s["parse_failures"]) for s in (before, after))),
        ("calls a question", *(f"{s['calls']:.1f}" for s in (before, after))),
        ("tokens read", *(f"{s['prompt_tokens']:.1f}" for s in (before, after))),
        ("tokens written", *(f"{s['new_tokens']:.1f}" for s in (before, after))),
        ("tokens by node", *(", ".join(f"{n:.1f}" for n in s["message_tokens"]) for s in (before, after))),
    ]
    if before["first_option"] is not None:
        rows.insert(3, ("first option", *(percent(s["first_option"]) for s in (before, after))))
    return aligned(rows)


def _controls(run: Run, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """What is left of the gain when the messages say nothing, or belong to another question."""
    lines = []
    for name, words in (("blank", "blanked"), ("shuffle", "shuffled")):
        if not (run.path / "evaluations" / f"test-after-{name}.json").is_file():
            continue
        summary, _ = read_evaluation(run, f"test-after-{name}")
        gain = (after["accuracy"] or 0.0) - (before["accuracy"] or 0.0)
        kept = ""
        if gain > 0 and summary["accuracy"] is not None:
            share = (after["accuracy"] - summary["accuracy"]) / gain
            kept = f", which costs {100 * share:.0f} % of the gain"
        lines.append(f"messages {words}: {percent(summary['accuracy'], summary['interval'])}{kept}")
    return lines


def origins(run: Run) -> dict[int, int] | None:
    """Which node of the network before training each node of the trained one was; None if none is known.

    The lineage of the network that was handed on holds the growths that led to it and none that was undone.
    """
    growths = list(run.lines("growth.jsonl"))
    if not growths or not run.checkpoints():
        return None
    manifest = read_json(run.handed_on / MANIFEST)
    first, here = growths[0]["topology"], manifest["topology"]
    last = [node["name"] for node in here["nodes"]]
    was = {name: name for name in last}
    for entry in reversed(manifest["lineage"]):
        if here == first:  # what is older happened in runs before this one
            break
        here = entry["topology"]
        was = {now: entry["origin"][name] for now, name in was.items() if name in entry["origin"]}
    rows = {node["name"]: row for row, node in enumerate(first["nodes"])}
    return {row: rows[was[name]] for row, name in enumerate(last) if name in was}


def _examples(before: Items, after: Items, origin: Mapping[int, int] | None) -> list[str]:
    """The first test questions (not chosen), with every node's message before and after."""
    later = {item["id"]: item for item in after}
    lines = []
    for item in list(before)[:_EXAMPLES]:
        new = later.get(item["id"])
        if new is None:
            continue
        lines.append(f"question {quoted(item['question'], 90)}  gold {quoted(item['gold'], 30)}")
        said, nodes = item["messages"], len(new["messages"])
        for node, now in enumerate(new["messages"]):
            name = "output" if node == nodes - 1 else f"node {node + 1}"
            was = _before(node, nodes, len(said), origin)
            shown = quoted(said[was], 40) if was is not None and was < len(said) else ""
            lines.append(f"    {name:7} before {shown:42} after {quoted(now, 40)}")
        lines.append("")
    return lines


def _before(node: int, nodes: int, had: int, origin: Mapping[int, int] | None) -> int | None:
    """The place of a node's message before training; None for a node that was not there."""
    if origin is not None:
        return origin.get(node)
    if nodes == had:
        return node
    return had - 1 if node == nodes - 1 else None  # grown, and nothing says how: the output is the output
