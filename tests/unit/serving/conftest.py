"""One tiny network and one server over it for all tests of the service."""

from __future__ import annotations

import pytest
from servers import make_player, serving


@pytest.fixture(scope="session")
def player():
    return make_player()


@pytest.fixture(scope="session")
def server(player):
    """One that takes what it takes by default."""
    with serving(player) as running:
        yield running
