"""Evaluations are compared on questions that both were asked, and on none that only have a name in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from neuromas.core.errors import RunError, shown

Row = Mapping[str, Any]
Named = tuple[str, Row, Sequence[Row]]  # its name as typed, its summary, its items


def check_same_data(first: Named, second: Named) -> None:
    """Raises RunError, naming the data of both, unless they share questions, and these with their answers."""
    asked = {item["id"]: (item["question"], item.get("gold")) for item in first[2]}
    both = [item for item in second[2] if item["id"] in asked]
    if both and all(asked[item["id"]] == (item["question"], item.get("gold")) for item in both):
        return
    why = "ask different questions under the same ids" if both else "have no items in common"
    what = " and ".join(f"{shown(name)} is of {_data(summary)}" for name, summary, _ in (first, second))
    raise RunError(f"{what}: the two evaluations {why}")


def _data(summary: Row) -> str:
    """What an evaluation asked, as far as it says."""
    data = summary.get("data")
    if not isinstance(data, Mapping) or "task" not in data:
        return f"the {summary.get('split', 'unnamed')} split of its run's task"
    options = data.get("options")
    given = f" {shown(options)}" if options else ""
    return f"task {shown(data['task'])}{given} (digest {shown(data.get('digest'))})"
