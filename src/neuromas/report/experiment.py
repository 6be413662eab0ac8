"""An experiment as blocks: a table a task, then what was to be compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from neuromas.report.blocks import Block, Cell, Shown, Table, Text, difference, number, percent, points, share
from neuromas.report.budgets import EQUAL, NOTE, budget_table, count
from neuromas.report.reading import marked
from neuromas.report.terminal import visible
from neuromas.report.writers import as_text
from neuromas.statistics import MIN_SEEDS

Row = Mapping[str, Any]
_HEAD = ("arm:stage", "network", "nodes", "steps", "calls", "read", "written")
_SIZE = ("FLOPs", "trainable")  # of results since 0.4.0
_SIDES = ("first", "second")
MANY = 5  # seeds; with fewer, every seed is shown
NOT_KEPT = "items were not kept with these results, so there is no test over questions and seeds"


def experiment_text(found: Row) -> str:
    """The tables and comparisons of ``results`` as plain text."""
    return as_text(experiment_blocks(found))


def experiment_blocks(found: Row) -> list[Block]:
    """The tables and comparisons of ``results``.

    Of results without scores by question (version 0.1.0) only seeds are shown: what was tested there took
    answers of one question under several seeds for independent.
    """
    kept = "items" in found
    seeds = max((len(point["seeds"]) for point in found["points"]), default=0)
    few = seeds < MANY or not kept
    sized = any(_size(point) != (None, None) for point in found["points"])
    broken = ("failed",) if any(map(_failed, found["points"])) else ()
    last = (*broken, "accuracy", "each seed" if few else "range")
    head = (*_HEAD, *(_SIZE if sized else ()), "calls/question", *last)
    blocks: list[Block] = []
    run = [point for point in found["points"] if point["seeds"]]
    some = {(point["task"], point["arm"], point["stage"]) for point in run}
    waiting = [one for one in found["comparisons"] if not {(one["task"], *one[s]) for s in _SIDES} <= some]
    for task in dict.fromkeys(point["task"] for point in run):
        mine = [point for point in run if point["task"] == task]
        for level in dict.fromkeys(point.get("level", "") for point in mine):
            points = [point for point in mine if point.get("level", "") == level]
            rows = tuple(_cells(point, kept, few, sized, bool(broken)) for point in points)
            title = f"{task}, {level}" if level else task
            blocks.append(Table(head, rows, title))
            if all("method" in point for point in points):
                blocks.append(budget_table(points, f"{title}: budgets"))
        compared = [one for one in found["comparisons"] if one["task"] == task and one not in waiting]
        blocks += [Text(tuple(comparison_lines(one, kept))) for one in compared]
        if compared and kept:
            blocks.append(comparison_table(compared, f"{task}: comparisons"))
    return [*blocks, Text((*_not_run(found, waiting), *_notes(found, kept, few)))]


def _not_run(found: Row, waiting: Sequence[Row]) -> list[str]:
    """What there is nothing of: arms task by task, and how many comparisons wait for them."""
    arms: dict[str, list[str]] = {}
    for task, arm in dict.fromkeys((point["task"], point["arm"]) for point in found["points"]):
        if not any(one["seeds"] for one in found["points"] if (one["task"], one["arm"]) == (task, arm)):
            arms.setdefault(task, []).append(arm)
    lines = [f"not run of {visible(task)}: {', '.join(map(visible, names))}" for task, names in arms.items()]
    return [*lines, f"comparisons that wait for what was not run: {len(waiting)}"] if waiting else lines


def comparison_table(compared: Sequence[Row], title: str = "comparisons") -> Table:
    """What ``comparison_lines`` says, a comparison a row; left out of plain text."""
    claimed = any(one.get("equal") for one in compared)
    columns = (
        *("first", "second", "seeds", "questions", "all trainings", "p", "p Holm"),
        *("these networks", "p networks", "p networks Holm"),
        *(("equal",) if claimed else ()),
    )
    rows = tuple((*_compared(one), *((_claimed(one),) if claimed else ())) for one in compared)
    return Table(columns, rows, title, aside=True)


def _claimed(one: Row) -> str | None:
    """What is equal of the two, or why they are not compared."""
    if one.get("refused"):
        return f"refused: {'; '.join(one['refused'])}"
    return ", ".join(one.get("equal", ())) or None


def _compared(one: Row) -> tuple[Cell, ...]:
    """A row of the table of comparisons."""
    trainings, networks = one["trainings"] or {}, one["networks"] or {}
    return (
        *(f"{one[side][0]}:{one[side][1]}" for side in _SIDES),
        *(len(one["seeds"]["differences"]), one["count"]),
        difference(trainings.get("mean"), trainings.get("interval")),
        *(trainings.get(name) for name in ("p_value", "holm")),
        difference(networks.get("difference"), networks.get("interval")),
        *(networks.get(name) for name in ("p_value", "holm")),
    )


def _notes(found: Row, kept: bool, few: bool) -> list[str]:
    """What the columns and lines are."""
    last = "each seed: its accuracy in percent" if few else "range: lowest and highest seed (number of seeds)"
    interval = " [95 % interval by question and seed]" if kept else ""
    lines = [
        f"accuracy: mean of seeds on the test questions{interval}; {last}; steps, calls and tokens (read and "
        "written) are those of training until then, of what it started with, too"
    ]
    if any(_size(point) != (None, None) for point in found["points"]):
        lines.append(
            "FLOPs: 2 x parameters of body and head x tokens, a forward pass of all tokens read and written "
            "(a training step takes about four times as many, and shares what samples have in common); "
            "trainable: parameters of all adapters, those held still included"
        )
    if any(map(_failed, found["points"])):
        lines.append(
            "failed: questions of all seeds on which an episode broke off; they are wrong, but for those "
            "that could not be asked, which are in no mean"
        )
    if any("method" in point for point in found["points"]):
        lines.append(NOTE)
    if any(one.get("equal") for one in found["comparisons"]):
        lines.append(EQUAL)
    if found["comparisons"] and kept:
        lines.append(
            "comparisons: second minus first, the same questions and seeds in both. all trainings: would it "
            "be so with other questions and networks trained anew; these networks: with other questions "
            f"alone. Holm: over all {len(found['comparisons'])} comparisons, those that wait among them. "
            "What this does not say: docs/numbers.md"
        )
    elif found["comparisons"]:
        lines.append(f"comparisons: second minus first, seed by seed; {NOT_KEPT}")
    return [*lines, *_mixed(found)]


def _mixed(found: Row) -> list[str]:
    """A line where the cells of a comparison were not all computed in one precision, as far as is known."""
    computed: dict[tuple[str, str, int], set[str]] = {}
    for point in found["points"]:
        said = {seed["precision"] for seed in point["seeds"] if "precision" in seed}
        computed[point["task"], point["arm"], point["stage"]] = said
    mixed: set[str] = set()
    names: dict[str, None] = {}
    for one in found["comparisons"]:
        first, second = ((one["task"], *one[side]) for side in _SIDES)
        found_in = computed.get(first, set()) | computed.get(second, set())
        if len(found_in) > 1:
            mixed |= found_in
            names[" -> ".join(f"{arm}:{stage}" for _, arm, stage in (first, second))] = None
    if not mixed:
        return []
    both, which = visible(" and ".join(sorted(mixed))), visible(", ".join(names))
    return [f"warning: cells in {both} are compared ({which}): they differ by rounding, too (model.dtype)"]


def _size(point: Row) -> tuple[float | None, float | None]:
    """Operations and trainable parameters; None where they were not kept."""
    return point.get("flops"), point.get("trainable")


def _failed(point: Row) -> int:
    """Questions that failed, of all seeds."""
    return sum(seed.get("failed", 0) for seed in point["seeds"])


def _failures(point: Row) -> Shown:
    """``7 of 8``, or 0."""
    failed, items = _failed(point), sum(seed.get("items", 0) for seed in point["seeds"])
    return Shown(f"{failed} of {items}" if failed else "0", failed)


def _cells(point: Row, kept: bool, few: bool, sized: bool, broken: bool) -> tuple[Cell, ...]:
    """One line of the table."""
    spent = point["spent"]
    counts = [spent[name] for name in ("steps", "calls", "prompt_tokens", "new_tokens")]
    mark = next((seed["prompts"] for seed in point["seeds"] if "prompts" in seed), "")
    last = "–"
    if point["lowest"] is not None:
        last = f"{100 * point['lowest']:.1f}–{100 * point['highest']:.1f} ({len(point['seeds'])})"
        if few:
            last = ", ".join(percent(one["accuracy"]).removesuffix(" %") for one in point["seeds"])
    return (
        f"{point['arm']}:{point['stage']}",
        marked(point["method"] if point.get("frozen") else point["shape"], mark),
        point["nodes"],
        *(count(each) for each in (*counts, *(_size(point) if sized else ()))),
        number(point["calls_a_question"]),
        *((_failures(point),) if broken else ()),
        share(point["accuracy"], point["interval"] if kept else None),
        last,
    )


def comparison_lines(one: Row, kept: bool = True) -> list[str]:
    """What is compared and why, then on all trainings, on these networks, and seed by seed."""
    first, second = (f"{one[side][0]}:{one[side][1]}" for side in _SIDES)
    why = f" ({visible(one['why'])})" if one["why"] else ""
    equal = f", equal {' and '.join(one['equal'])}" if one.get("equal") else ""
    lines = [f"{visible(first)} -> {visible(second)}{equal}{why}"]
    if one.get("refused"):
        return [*lines, *(f"    refused: {visible(reason)}" for reason in one["refused"])]
    each = one["seeds"]["differences"]
    if not each:
        return [*lines, "    not compared: no seed has both"]
    if kept:
        left = f", {one['left_out']} left out" if one["left_out"] else ""
        trainings, networks = one["trainings"], one["networks"]
        if trainings is None:
            lines.append(f"    all trainings   not tested: {len(each)} of at least {MIN_SEEDS} seeds")
        else:
            degrees = "" if trainings["degrees"] is None else f"; t with {trainings['degrees']:.1f} degrees"
            what = f"{len(each)} seeds x {one['count']} questions{left}{degrees}"
            lines.append(
                f"    all trainings   {points(trainings['mean'], trainings['interval'])}, "
                f"{chance(trainings)} ({what})"
            )
        lines.append(
            f"    these networks  {points(networks['difference'], networks['interval'])}, {chance(networks)} "
            f"({one['count']} questions{left}; {networks['method']})"
        )
    numbers = ", ".join(f"{100 * value:+.1f}" for value in each)
    mean = "" if kept else f"mean {points(one['seeds']['mean'], None)}: "
    return [*lines, f"    each seed       {mean}{numbers}"]


def chance(test: Row) -> str:
    """``p = 0.03, with Holm 0.06``; without what was not computed."""
    if test["p_value"] is None:
        return "no test: all differences are the same"
    return f"p = {test['p_value']:.2g}" + (f", with Holm {test['holm']:.2g}" if "holm" in test else "")
