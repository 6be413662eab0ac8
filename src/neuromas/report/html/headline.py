"""The headline of a run: before and after, the controls of messages, and what a reader must know."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from neuromas.report.blocks import Cell, Shown, Table, percent, points, share
from neuromas.report.html.kept import Evaluated, Kept, Row, below, interval, number, rows, scored, text
from neuromas.report.html.parts import Lead, Note, Part, Stat, Stats
from neuromas.report.tables import paired

FEW = 100  # questions; below this an interval is wider than most effects
_CONTROLS = (("blank", "messages blanked"), ("shuffle", "messages shuffled"))


@dataclass(frozen=True, slots=True)
class Found:
    """The evaluations a headline speaks of."""

    before: Evaluated | None
    after: Evaluated | None
    controls: Mapping[str, Evaluated]

    @property
    def gain(self) -> float | None:
        """After minus before, over whole evaluations."""
        ends = [accuracy(one) for one in (self.before, self.after)]
        return None if None in ends else (ends[1] or 0.0) - (ends[0] or 0.0)


def accuracy(one: Evaluated | None) -> float | None:
    """An evaluation's accuracy; None where there is none."""
    value = None if one is None else number(one.summary.get("accuracy"))
    return value if value is not None and 0 <= value <= 1 else None


def headline_parts(run: Kept, alone: bool) -> list[Part]:
    """The figures of one run. ``alone``: no other seed stands beside it on the page."""
    found = Found(
        run.evaluations.get("test-before"),
        run.evaluations.get("test-after"),
        {
            word: run.evaluations[f"test-after-{key}"]
            for key, word in _CONTROLS
            if f"test-after-{key}" in run.evaluations
        },
    )
    parts: list[Part] = [*([] if alone else [Lead(about(run))]), *_state(run)]
    if found.before is None and found.after is None:
        return [*parts, Note("no evaluation on test questions yet: training may not have come so far")]
    test, words = _test(found)
    parts += [Stats(tuple(_stats(found))), _table(found)]
    if words:
        parts.append(Lead(words))
    return [*parts, *(Note(line, "warn") for line in _warnings(run, found, test, alone))]


def named(run: Kept) -> str:
    """A run's name with its two figures, for a line that stands for it."""
    ends = [accuracy(run.evaluations.get(name)) for name in ("test-before", "test-after")]
    return run.label if None in ends else f"{run.label}: {percent(ends[0])} → {percent(ends[1])}"


def about(run: Kept) -> str:
    """One line: task, network, model, seed, steps and which state was tested."""
    config, status = run.config, run.status
    shapes = [text(below(one).get("shape")) for one in rows(config.get("stages"))]
    network = " → ".join(filter(None, shapes)) or text(below(config, "network").get("topology")) or "unknown"
    done = number(status.get("step"))
    steps = done if done is not None else float(len(run.lines["metrics.jsonl"]))
    best = number(status.get("best"))
    words = [
        text(below(config, "task").get("name")) or "unknown task",
        f"network {network[:200]}",
        text(below(config, "model").get("backbone")) or "unknown model",
        f"seed {config.get('seed', 'unknown')}"[:40],
        f"{steps:.0f} steps" + ("" if best is None else f", checkpoint of step {best:.0f}"),
    ]
    seconds = number(status.get("seconds"))
    return " · ".join([*words, *([] if seconds is None else [f"{seconds:.0f} s of training"])])


def _state(run: Kept) -> Iterator[Note]:
    """Whether the run is still at work, or was left half-way."""
    if run.busy:
        yield Note("A process is working on this run: what follows is as far as it has come.", "info")
    elif not run.finished:
        yield Note(
            "This run is not finished, and nobody is working on it: what follows is as far as it came.",
            "warn",
        )


def _stats(found: Found) -> Iterator[Stat]:
    """Before, after, the controls, and the constant answer."""
    yield _stat("before training", found.before)
    yield _stat("after training", found.after, "lead")
    for word, one in found.controls.items():
        yield _stat(word, one)
    last = found.after or found.before
    constant = below(last.summary if last else {}, "majority")
    value = number(constant.get("accuracy"))
    if value is not None:
        yield Stat("constant answer", percent(value), f"always “{text(constant.get('answer'))[:40]}”")


def _stat(label: str, one: Evaluated | None, tone: str = "") -> Stat:
    value = accuracy(one)
    if one is None or value is None:
        return Stat(label, "–", "not evaluated")
    ends = interval(one.summary)
    count = number(one.summary.get("items"))
    detail = "" if ends is None else f"{100 * ends['low']:.1f} – {100 * ends['high']:.1f} %"
    return Stat(label, percent(value), detail + ("" if count is None else f" · n = {count:.0f}"), tone)


def _table(found: Found) -> Table:
    """Every evaluation of the headline, a row each, with what it cost a question."""
    named = [("before training", found.before), ("after training", found.after), *found.controls.items()]
    body: list[tuple[Cell, ...]] = []
    for word, one in named:
        if one is None:
            continue
        summary, gain = one.summary, found.gain
        kept = accuracy(one)
        cost = None
        if word in found.controls and gain and gain > 0 and kept is not None:
            after = accuracy(found.after) or 0.0
            cost = Shown(f"{100 * (after - kept) / gain:.0f} %", (after - kept) / gain)
        body.append(
            (
                *(word, share(kept, interval(summary)), _percent(summary.get("parse_failures"))),
                *(_plain(summary.get(key), digits) for key, digits in _COLUMNS),
                cost,
            )
        )
    columns = (
        *("evaluation", "accuracy [95 %]", "parse failures", "failed", "calls", "tokens read"),
        *("tokens written", "share of the gain lost"),
    )
    return Table(columns, tuple(body), "test questions")


_COLUMNS = (("failed", 0), ("calls", 1), ("prompt_tokens", 1), ("new_tokens", 1))


def _percent(value: object) -> Shown | None:
    found = number(value)
    return None if found is None else Shown(percent(found), found)


def _plain(value: object, digits: int) -> Shown | None:
    found = number(value)
    return None if found is None else Shown(f"{found:.{digits}f}", found)


def _test(found: Found) -> tuple[Any, str]:
    """The paired test of before and after, and its words; nothing where they share no question."""
    if found.before is None or found.after is None:
        return None, ""
    test, ends, count = paired(scored(found.before.items), scored(found.after.items))
    gain = points(test.difference, None if ends is None else asdict(ends))
    return test, (
        f"Gain {gain} on {count} shared questions: won {test.wins}, lost {test.losses}, tied {test.ties}; "
        f"p = {test.p_value:.2g} ({test.method})."
    )


def _warnings(run: Kept, found: Found, test: Any, alone: bool) -> Iterator[str]:
    """What a careful reader needs beside the figures."""
    if alone:
        yield (
            "One seed: intervals and test speak of other questions to this very network, and say nothing of "
            "networks trained anew. Give several seeds to this page for that."
        )
    last = found.after or found.before
    count = number(last.summary.get("items")) if last else None
    if count is not None and count < FEW:
        yield f"Small n: {count:.0f} questions; differences of a few points cannot be told from chance."
    if test is not None and test.p_value > 0.05:
        yield "The difference between before and after is not distinguishable from chance (p > 0.05)."
    after, gain = accuracy(found.after), found.gain
    constant = number(below(last.summary if last else {}, "majority").get("accuracy"))
    if after is not None and constant is not None and after <= constant:
        yield "The trained network is no better than answering the most frequent gold answer every time."
    for word, one in found.controls.items():
        value = accuracy(one)
        if value is not None and after is not None and gain and gain > 0 and after - value < 0.1 * gain:
            yield f"With {word} hardly anything of the gain is lost: nodes may not need the messages."
    if found.before is not None and found.after is not None:
        sizes = [number(one.summary.get("nodes")) for one in (found.before, found.after)]
        if None not in sizes and sizes[0] != sizes[1]:
            yield (
                f"Nodes before training: {sizes[0]:.0f}, after it: {sizes[1]:.0f}; the gain is that of "
                "growth and training together, with more calls a question."
            )
    yield from _alarms(run, last.summary if last else {})


def _alarms(run: Kept, last: Row) -> Iterator[str]:
    """Alarms of training in one line, failures of the last test in another."""
    names: dict[str, int] = {}
    for row in run.lines["events.jsonl"]:
        if row.get("event") == "alarm":
            name = text(row.get("name"))[:40] or "unnamed"
            names[name] = names.get(name, 0) + 1
    if names:
        said = ", ".join(f"{name} ({count})" if count > 1 else name for name, count in names.items())
        yield f"Alarms went off in training: {said}. See “Training health”."
    failed, unasked = number(last.get("failed")), number(last.get("unasked"))
    if failed:
        of = "" if not unasked else f", {unasked:.0f} of them never asked and in no mean"
        yield f"{failed:.0f} questions failed in the last test{of}."
