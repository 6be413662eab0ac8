"""Shares of which some are not known.

In ``core``, not in ``statistics``: whoever only looks at a run loads no numpy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence


def product(shares: Sequence[float | None]) -> float | None:
    """Of all shares, in [0, 1]; None if there is none, or one is not known.

    A share of 0 makes it 0, whatever is not known of others.
    """
    known = [share for share in shares if share is not None]
    if 0.0 in known:
        return 0.0
    return math.prod(known) if known and len(known) == len(shares) else None
