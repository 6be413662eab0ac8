"""The shipped checks: there for everybody, light, and listed."""

from __future__ import annotations

import subprocess
import sys

import pytest

from neuromas import testing


@pytest.mark.parametrize("name", [name for name in testing.__all__ if name.startswith("check_")])
def test_every_check_is_there_and_says_what_it_holds_to(name):
    assert "Raises AssertionError" in getattr(testing, name).__doc__
    assert name in dir(testing)
    assert name in testing._WHERE


def test_importing_the_checks_loads_nothing_heavy():
    code = "import sys, neuromas.testing; print({'torch', 'numpy', 'pytest'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_check_that_is_none():
    with pytest.raises(AttributeError, match="check_nothing"):
        testing.check_nothing  # noqa: B018
