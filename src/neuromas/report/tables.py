"""A run and its evaluations as text for people. Reads run directories only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from neuromas.config import make_config
from neuromas.errors import RunError
from neuromas.report.reading import read_evaluation
from neuromas.report.terminal import quoted, visible
from neuromas.statistics import Interval, PairedTest, mcnemar, paired_difference_interval, paired_permutation
from neuromas.store import Run

Items = Sequence[Mapping[str, Any]]
_EXAMPLES = 3
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


def summary_lines(summary: Mapping[str, Any]) -> list[str]:
    """One evaluation, a fact a line."""
    majority = summary["majority"]
    lines = [
        f"accuracy          {percent(summary['accuracy'], summary['interval'])} on {summary['items']} items",
        f"constant answer   {percent(majority['accuracy'])} (always {quoted(majority['answer'], 30)})",
    ]
    if summary["first_option"] is not None:
        lines.append(f"first option      {percent(summary['first_option'])}")
    tokens = ", ".join(f"{count:.1f}" for count in summary["message_tokens"])
    cut = ", ".join(f"{100 * share:.0f} %" for share in summary["truncated"])
    answers = ", ".join(f"{quoted(k, 20)} {n}" for k, n in summary["labels"].items())
    return [
        *lines,
        f"parse failures    {percent(summary['parse_failures'])}",
        f"failed rollouts   {summary['failed']}",
        f"calls a question  {summary['calls']:.1f}",
        f"tokens a question {summary['prompt_tokens']:.1f} read, {summary['new_tokens']:.1f} written",
        f"tokens a message  {tokens} (node by node; truncated {cut})",
        f"answers given     {answers}",
    ]


def paired(first: Items, second: Items) -> tuple[PairedTest, Interval | None, int]:
    """Paired test and difference (second minus first) on the items both have scores for.

    McNemar's exact test where every score is 0 or 1, else a paired permutation test.
    """
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
    bounds = "" if interval is None else f" [{100 * interval.low:+.1f}, {100 * interval.high:+.1f}]"
    return (
        f"{100 * test.difference:+.1f} points{bounds} on {count} items, p = {test.p_value:.2g} "
        f"({test.method}; won {test.wins}, lost {test.losses}, tied {test.ties})"
    )


def run_report(run: Run) -> str:
    """Before and after, the message controls, three examples, and where the run is."""
    config = make_config(run.read("config.json"))
    before, items_before = read_evaluation(run, "test-before", _SUMMARY, _ITEM)
    after, items_after = read_evaluation(run, "test-after", _SUMMARY, _ITEM)
    status = {"best": None, "step": 0, "seconds": 0.0, **run.read("status.json")}
    best = status["best"] if status["best"] is not None else status["step"]
    shapes = [shape for shape, _ in config.growth.stages] or [config.network.topology]
    names = [config.task.name, " -> ".join(shapes), config.model.backbone]
    task, topology, backbone = (visible(name) for name in names)
    lines = [
        f"{task} · network {topology} (question: {config.network.question}) · {backbone} · "
        f"seed {config.seed} · {status['step']} steps, checkpoint of step {best} · "
        f"{status['seconds']:.0f} s of training",
        "",
        *_table(before, after),
        "",
        "gain      " + paired_line(*paired(items_before, items_after)),
        *_controls(run, before, after),
        "",
        *_examples(items_before, items_after),
        f"run directory: {visible(str(run.path))}",
    ]
    return "\n".join(lines)


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
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


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


def _examples(before: Items, after: Items) -> list[str]:
    """The first test questions (not chosen), with every node's message before and after."""
    later = {item["id"]: item for item in after}
    lines = []
    for item in list(before)[:_EXAMPLES]:
        new = later.get(item["id"])
        if new is None:
            continue
        lines.append(f"question {quoted(item['question'], 90)}  gold {quoted(item['gold'], 30)}")
        grown = len(new["messages"]) != len(item["messages"])
        for node, now in enumerate(new["messages"], start=1):
            name = "output" if node == len(new["messages"]) else f"node {node}"
            # nodes of a grown network had other numbers before; only the output is surely the same
            known = name == "output" or not grown
            shown = quoted(item["messages"][-1 if grown else node - 1], 40) if known else ""
            lines.append(f"    {name:7} before {shown:42} after {quoted(now, 40)}")
        lines.append("")
    return lines
