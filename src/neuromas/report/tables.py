"""Evaluations as lines for people: one summary, and two compared item by item."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from neuromas.core.errors import RunError
from neuromas.report.blocks import percent, points
from neuromas.report.reading import readable
from neuromas.report.terminal import quoted, visible
from neuromas.statistics import Interval, PairedTest, mcnemar, paired_difference_interval, paired_permutation

Items = Sequence[Mapping[str, Any]]


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
    if summary.get("oracle"):
        lines.insert(0, "oracle bound      gold answers decide what counts: what no method can know")
    if summary.get("prompts"):
        lines.insert(0, f"prompts           {quoted(str(summary['prompts']), 120)}")
    if "method" in summary:
        lines.insert(0, f"method            {_answered(summary)}")
    if summary.get("altered"):
        who, heard = ", ".join(map(str, summary["altered"])), summary["heard"]
        lines.append(f"altered messages  of {who}; they could reach the output in {heard} items")
    if summary.get("endpoint"):
        lines.append(f"endpoint          {_endpoint(summary['endpoint'])}")
    return [
        *lines,
        f"parse failures    {percent(summary['parse_failures'])}",
        f"failed rollouts   {failures(summary)}",
        f"calls a question  {summary['calls']:.1f}",
        f"tokens a question {summary['prompt_tokens']:.1f} read, {summary['new_tokens']:.1f} written",
        *([f"runs a question   {summary['tool_calls']:.2f} programs"] if summary.get("tool_calls") else []),
        *([f"FLOPs a question  {summary['flops']:.3g}"] if summary.get("flops") else []),
        f"tokens a message  {tokens} (node by node; truncated {cut})",
        f"answers given     {answers}",
    ]


def _endpoint(facts: Mapping[str, Any]) -> str:
    """``'m' (2 builds), 9 messages, 8 of them with their tokens counted there; ended: 'stop' 9``."""
    models = ", ".join(quoted(name or "no name", 60) for name in facts["models"])
    builds = len([name for name in facts["fingerprints"] if name])
    ends = ", ".join(f"{quoted(name or 'not said', 30)} {count}" for name, count in facts["endings"].items())
    text = f"{models or 'nothing'}{f' ({builds} builds)' if builds > 1 else ''}, {facts['messages']} messages"
    if facts["counted"] < facts["messages"]:
        text += f", {facts['counted']} of them with their tokens counted there"
    return f"{text}; ended: {ends}" if ends else text


def _answered(summary: Mapping[str, Any]) -> str:
    """``debate agents=3, 0 trained parameters; searched with 40 calls and 2100 tokens``."""
    named = [summary["method"], *(f"{key}={value}" for key, value in summary["options"].items())]
    text = f"{' '.join(named)}, {summary['parameters']} trained parameters"
    if searched := summary.get("search"):
        tokens = searched["prompt_tokens"] + searched["new_tokens"]
        text += f"; searched with {searched['calls']} calls and {tokens} tokens"
    return text


def failures(summary: Mapping[str, Any]) -> str:
    """``7 of 100, 2 of them never asked; most often "…" (5)``; what an old run does not hold is left out."""
    text = str(summary["failed"])
    if not summary["failed"]:
        return text
    text += f" of {summary['items']}"
    missing = (summary.get("endpoint") or {}).get("missing", 0)
    if summary.get("unasked"):
        what = "without an answer of the endpoint" if missing == summary["unasked"] else "never asked"
        text += f", {summary['unasked']} of them {what} and left out of the accuracy"
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
