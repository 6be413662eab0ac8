"""What the runs of an experiment have of parameters, for what they cost."""

from __future__ import annotations

from dataclasses import dataclass

from neuromas.config.sections import ModelConfig
from neuromas.core.errors import ModelError
from neuromas.models.dims import read_dims


@dataclass(frozen=True, slots=True)
class Size:
    """``weights`` multiply every token: body and head. ``adapter`` is one of the run's adapters, or None.

    With ``ranks`` of their own, ``adapter`` is the mean. None: not known on this machine.
    """

    weights: int | None = None
    adapter: float | None = None


UNKNOWN = Size()


def size_of(model: ModelConfig) -> Size:
    """Parameters of a backbone and of an adapter; none of one whose measures are not on this disk."""
    try:
        dims = read_dims(model.backbone)
        each = dims.per_rank(model.targets)
    except ModelError:
        return UNKNOWN
    rank = sum(model.ranks) / len(model.ranks) if model.ranks else model.rank
    return Size(dims.body + dims.vocabulary * dims.hidden, each * rank)
