"""What an experiment would take, before it is run: every figure is an estimate, and says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from neuromas.report.blocks import Block, Cell, Shown, Table, Text

_PREFIXES = ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"))
COLUMNS = ("task", "arm", "seeds", "nodes", "trainable", "calls of training", "FLOP", "GPU hours")


def forecast_blocks(rows: Sequence[Mapping[str, Any]], tflops: float) -> list[Block]:
    """A row for every arm that trains or evaluates a network, their sum, and what the hours assume.

    ``rows`` have the fields of ``experiment.forecast.Forecast`` and ``hours``; None is not known, and
    ``unknown`` says why.
    """
    known = [row["hours"] for row in rows if row["hours"] is not None]
    reasons = dict.fromkeys(row["unknown"] for row in rows if row["unknown"])
    left_out = f", {len(rows) - len(known)} of {len(rows)} arms left out" if len(known) < len(rows) else ""
    return [
        Table(COLUMNS, tuple(map(_row, rows))),
        Text((f"estimate: {sum(known):.1f} GPU hours in all{left_out}",)),
        Text(
            (
                f"assumed, not measured: a device that sustains {tflops:g} TFLOP/s over sampling and "
                "learning (--tflops N); every message is as long as it may be; methods of frozen models and "
                "votes, whose cost depends on the method, are not in it",
            )
        ),
        *[Text((f"not known: {reason}",)) for reason in reasons],
    ]


def _row(row: Mapping[str, Any]) -> tuple[Cell, ...]:
    """The cells of an arm; what stages differ in stands behind each other."""
    sizes = row["parameters"]
    return (
        row["task"],
        row["arm"],
        row["seeds"],
        _each(row["nodes"]),
        None if sizes is None else _each([f"{size:,}" for size in sizes]),
        row["training"],
        _flop(row["flops"]),
        Shown("–" if row["hours"] is None else f"{row['hours']:.2f}", row["hours"]),
    )


def _each(values: Sequence[Any]) -> str:
    return " -> ".join(map(str, values))


def _flop(value: float | None) -> Shown:
    """``12.3 P``."""
    for size, prefix in _PREFIXES:
        if value is not None and value >= size:
            return Shown(f"{value / size:.3g} {prefix}", value)
    return Shown("–" if value is None else f"{value:g}", value)
