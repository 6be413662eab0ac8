"""Whether a task of one's own keeps the contract: for one's own tests, see ``neuromas.testing``."""

from __future__ import annotations

from neuromas.core.errors import NeuromasError, one_line
from neuromas.core.task import Task
from neuromas.tasks.own import own, probe
from neuromas.tasks.validate import ValidationReport, validate

_NODES = 3


def check_task(task: Task, items: int = 50) -> ValidationReport:
    """Raises AssertionError in one line that says what is wrong; else returns the figures of the cheats.

    The task has its members, takes any text and gives the same problems each time; ``items`` problems of each
    split pass ``neuromas.validate``: gold answers earn 1, empty and swapped ones and cheats nothing.
    """
    try:
        checked = own(task)
        probe(checked, _NODES)
        report = validate(checked, items, 0)
    except NeuromasError as error:
        raise AssertionError(one_line(error)) from error
    wrong = "; ".join(f"{check.name}: {check.detail}" for check in report.checks if check.ok is False)
    if wrong:
        raise AssertionError(f"task {report.task!r}: {wrong}")
    return report
