"""Evaluations side by side: two item by item, pairs over seeds, or any number against the first."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from neuromas.core.errors import ConfigError, shown
from neuromas.report.blocks import Block, Cell, Shown, Table, Text, difference, percent, share
from neuromas.report.comparing import compare_pairs
from neuromas.report.experiment import comparison_lines, comparison_table
from neuromas.report.pages import Page
from neuromas.report.reading import (
    marked,
    named_evaluation,
    precision_of,
    prompt_mark,
    read_evaluation,
    readable,
)
from neuromas.report.results import as_json
from neuromas.report.same_data import check_same_data
from neuromas.report.tables import paired, paired_line
from neuromas.statistics import holm

WAYS = ("auto", "pairs", "first")
_OWN = ("seed", "run")  # of a configuration: what two seeds of one arm may differ in


@dataclass(frozen=True, slots=True)
class Side:
    """One evaluation: its name as given, its summary and items, and what it is an evaluation of.

    ``label`` is the name with what must not be overlooked: prompts of the user's own, and roles.
    """

    name: str
    label: str
    summary: Mapping[str, Any]
    items: Sequence[Mapping[str, Any]]
    arm: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """Blocks for people, and plain data for machines."""

    blocks: Sequence[Block]
    data: str


def in_memory(summary: Mapping[str, Any], items: Sequence[Mapping[str, Any]]) -> Side:
    """An evaluation that lies in no run: its name is that of the method that answered, with its options."""
    options = dict(summary.get("options", {}))
    told = [f"{key}={value}" for key, value in options.items()]
    messages = summary.get("intervention", "none")
    told += [] if messages == "none" else [f"messages={messages}"]
    told += [f"nodes={'+'.join(summary['altered'])}"] if summary.get("altered") else []
    name = " ".join([str(summary.get("method", "network")), *told])
    if summary.get("oracle"):
        raise _oracle(name)
    return Side(name, name, summary, items, json.dumps([name]))


def compare_sides(names: Sequence[str | Side], way: str = "auto") -> Comparison:
    """Compare evaluations named RUN or RUN:EVALUATION, or ``in_memory``.

    Two are compared item by item. More are pairs (first and second of every seed) with ``pairs``, each
    against the first with ``first``; ``auto`` takes them for pairs where the configurations say so. Raises
    RunError where one is missing, ConfigError where the names make no comparison, or where one is an oracle
    bound.
    """
    if way not in WAYS:
        raise ConfigError(f"way {shown(way)} of comparing (valid: {', '.join(WAYS)})")
    if len(names) < 2:
        raise ConfigError("give at least two evaluations to compare")
    if way == "pairs" and len(names) % 2:
        raise ConfigError(f"{len(names)} evaluations are not pairs; give FIRST SECOND for every seed")
    if way == "auto" and len(names) == 2:
        _refuse_same(zip(names[::2], names[1::2], strict=True))
        return _two([_side(name) for name in names])
    sides = [_side(name) for name in names]
    if way == "pairs" or (way == "auto" and _are_pairs(sides)):
        _refuse_same(zip(names[::2], names[1::2], strict=True))
        return _pairs(sides)
    _refuse_same(combinations(names, 2))
    return _against_first(sides)


def _refuse_same(pairs: Iterable[tuple[str | Side, str | Side]]) -> None:
    for first, second in pairs:
        if first == second:
            name = first if isinstance(first, str) else first.name
            raise ConfigError(f"{shown(name)} is compared with itself; give FIRST SECOND of different runs")


def _oracle(name: str) -> ConfigError:
    return ConfigError(
        f"{shown(name)} is an oracle bound: gold answers decided what counts; it cannot be compared"
    )


def _side(text: str | Side) -> Side:
    """An evaluation named as RUN or RUN:EVALUATION."""
    if isinstance(text, Side):
        return text
    run, name = named_evaluation(text)
    summary, items = read_evaluation(run, name)
    if summary.get("oracle"):
        raise _oracle(text)
    with readable(f"{run.path}/config.json"):
        config = {key: value for key, value in run.read("config.json").items() if key not in _OWN}
        model = config.get("model")
        if isinstance(model, dict) and model.get("dtype") == "auto":
            # what a run chose for itself is the arm of one that named it
            config["model"] = {**model, "dtype": precision_of(run) or "auto"}
        config["growth"] = {k: v for k, v in dict(config.get("growth", {})).items() if k != "parent"}
    return Side(
        text,
        marked(text, prompt_mark(run, summary)),
        summary,
        items,
        json.dumps([config, name], sort_keys=True),
    )


def _are_pairs(sides: Sequence[Side]) -> bool:
    """Whether every other evaluation is the same arm with another seed, and there are two arms."""
    first, second = ({side.arm for side in sides[start::2]} for start in (0, 1))
    return len(sides) % 2 == 0 and len(first) == len(second) == 1 and first != second


def _accuracies(sides: Sequence[Side]) -> tuple[str, ...]:
    return tuple(
        f"{percent(side.summary['accuracy'], side.summary['interval'])}  {side.label}" for side in sides
    )


def _check(first: Side, second: Side) -> None:
    """Raises RunError if they are of different data."""
    check_same_data((first.name, first.summary, first.items), (second.name, second.summary, second.items))


def _two(sides: Sequence[Side]) -> Comparison:
    """Second minus first."""
    _check(*sides)
    test, interval, count = paired(sides[0].items, sides[1].items)
    ends = None if interval is None else asdict(interval)
    data = json.dumps({"test": asdict(test), "interval": ends, "items": count})
    text = Text((*_accuracies(sides), f"difference {paired_line(test, interval, count)}"))
    return Comparison([text, _table(sides, aside=True)], data)


def _pairs(sides: Sequence[Side]) -> Comparison:
    """Second minus first over seeds and questions."""
    for first, second in zip(sides[::2], sides[1::2], strict=True):
        _check(first, second)
    found = compare_pairs([side.items for side in sides])
    text = Text((*_accuracies(sides), *comparison_lines(found)))
    rows = tuple((side.label, share(side.summary["accuracy"], side.summary["interval"])) for side in sides)
    accuracies = Table(("evaluation", "accuracy"), rows, "evaluations", aside=True)
    return Comparison([text, accuracies, comparison_table([found])], as_json(found))


def _against_first(sides: Sequence[Side]) -> Comparison:
    """Every other evaluation minus the first, with Holm's correction over all of them."""
    for side in sides[1:]:
        _check(sides[0], side)
    tests = [paired(sides[0].items, side.items) for side in sides[1:]]
    adjusted = holm([test.p_value for test, _, _ in tests])
    note = (
        "difference: minus the first, on the items both have a score for (shared); p: paired test on them; "
        f"p Holm: corrected over {len(tests)} comparisons"
    )
    data = [
        {
            "evaluation": side.name,
            "accuracy": side.summary["accuracy"],
            "test": asdict(test),
            "interval": None if interval is None else asdict(interval),
            "items": count,
            "holm": p,
        }
        for side, (test, interval, count), p in zip(sides[1:], tests, adjusted, strict=True)
    ]
    first = {"evaluation": sides[0].name, "accuracy": sides[0].summary["accuracy"]}
    return Comparison([_table(sides), Text((note,))], as_json({"first": first, "others": data}))


def _table(sides: Sequence[Side], aside: bool = False) -> Table:
    """A row an evaluation, each against the first."""
    tests = [paired(sides[0].items, side.items) for side in sides[1:]]
    adjusted = holm([test.p_value for test, _, _ in tests])
    heads = [(s.label, share(s.summary["accuracy"], s.summary["interval"]), len(s.items)) for s in sides]
    rows: list[tuple[Cell, ...]] = [(*heads[0], *[Shown("", None)] * 7)]
    for head, (test, interval, count), p in zip(heads[1:], tests, adjusted, strict=True):
        gain = difference(test.difference, None if interval is None else asdict(interval))
        chances = (Shown(f"{value:.2g}", value) for value in (test.p_value, p))
        rows.append((*head, gain, count, *chances, test.wins, test.losses, test.ties))
    columns = (
        "evaluation",
        "accuracy",
        "items",
        "difference",
        "shared",
        "p",
        "p Holm",
        "won",
        "lost",
        "tied",
    )
    return Table(columns, tuple(rows), aside=aside)


def _build(paths: Sequence[Path], options: Mapping[str, str]) -> Sequence[Block]:
    return compare_sides([str(path) for path in paths], options.get("way", "auto")).blocks


PAGE = Page(
    "compare",
    "evaluations, each RUN or RUN:EVALUATION",
    _build,
    {"way": "pairs: first and second of every seed; first: each against the first; auto: as they are"},
)
