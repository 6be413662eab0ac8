"""Checks to be run on parts of one's own, in one's own tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from neuromas.engines.base import Engine


def check_engine(engine: Engine, adapters: Sequence[int] = (0,)) -> None:
    """Raises AssertionError, saying what is wrong, if ``engine`` breaks the contract of ``Engine``."""
    from neuromas.engines.conformance import check_engine as check

    check(engine, adapters)
