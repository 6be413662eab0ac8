"""Which sandboxes the tests have: a test that needs one skips, visibly, where none works."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

from neuromas.sandbox import standing

ROOT = Path(__file__).parents[1]


WHOLE = os.environ.get("NEUROMAS_SANDBOX_TESTS") == "1"  # set by make test-sandbox


def each_sandbox(quick=True):
    """A parameter for every sandbox, skipped with the reason where it does not work.

    What is not ``quick`` runs in the first that works, unless everything is to be run.
    """
    found, works = standing(), False
    marks = {}
    for name, why in found.items():
        reason = f"sandbox: {why}" if why else "takes seconds: make test-sandbox"
        marks[name] = pytest.mark.skipif(bool(why) or not (quick or WHOLE or not works), reason=reason)
        works = works or not why
    return [pytest.param(name, marks=mark) for name, mark in marks.items()]


def needs_sandbox():
    """The mark of a test that any sandbox will do for."""
    found = standing()
    return pytest.mark.skipif(all(found.values()), reason=f"needs a sandbox: {'; '.join(found.values())}")


def attacks():
    """The committed list, ``benchmarks/attacks.py``."""
    path = ROOT / "benchmarks" / "attacks.py"
    spec = importlib.util.spec_from_file_location("attacks", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
