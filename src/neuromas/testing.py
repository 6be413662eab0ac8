"""Conformance checks for parts of your own: one call in a test tells whether a part keeps its contract.

>>> from neuromas.testing import check_estimator
>>> from my_estimators import Mine
>>> check_estimator(Mine())

Each raises AssertionError in one line that says what is broken. Importing this loads nothing heavy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neuromas.learner.conformance import check_engine, tiny_resident_model
    from neuromas.learning.conformance import check_estimator
    from neuromas.methods.conformance import check_method
    from neuromas.report.pages.conformance import check_page
    from neuromas.tasks.conformance import check_task
    from neuromas.training.algorithms.conformance import check_algorithm

_WHERE = {
    "check_algorithm": "neuromas.training.algorithms.conformance",
    "check_engine": "neuromas.learner.conformance",
    "check_estimator": "neuromas.learning.conformance",
    "check_method": "neuromas.methods.conformance",
    "check_page": "neuromas.report.pages.conformance",
    "check_task": "neuromas.tasks.conformance",
    "tiny_resident_model": "neuromas.learner.conformance",
}

__all__ = [
    "check_algorithm",
    "check_engine",
    "check_estimator",
    "check_method",
    "check_page",
    "check_task",
    "tiny_resident_model",
]


def __getattr__(name: str) -> Any:
    """Load a check when it is first asked for."""
    if name not in _WHERE:
        raise AttributeError(f"module 'neuromas.testing' has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    """The checks there are."""
    return sorted(__all__)
