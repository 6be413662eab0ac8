"""What runs have of parameters, for what they and their answers cost."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from neuromas.config.sections import ModelConfig
from neuromas.core.errors import ModelError
from neuromas.models.dims import read_dims

if TYPE_CHECKING:
    from neuromas.evaluation.evaluate import Evaluation

_FORWARD = 2.0  # operations for each weight that multiplies a token, see ``system.cost``


@dataclass(frozen=True, slots=True)
class Size:
    """``weights`` multiply every token: body and head. ``adapter`` is one of the run's adapters, or None.

    With ``ranks`` of their own, ``adapter`` is the mean. None: not known on this machine.
    """

    weights: int | None = None
    adapter: float | None = None


UNKNOWN = Size()
ELSEWHERE = ("openai",)  # engines that write with a model whose parameters are not told


def size_of(model: ModelConfig) -> Size:
    """Parameters of a backbone and of an adapter; none of one whose measures are not on this disk."""
    try:
        dims = read_dims(model.backbone)
        each = dims.per_rank(model.targets)
    except ModelError:
        return UNKNOWN
    rank = sum(model.ranks) / len(model.ranks) if model.ranks else model.rank
    return Size(dims.body + dims.vocabulary * dims.hidden, each * rank)


def priced(found: Evaluation, model: ModelConfig) -> Evaluation:
    """An evaluation whose summary has the ``flops`` of a question: 2 for each weight and token, or None.

    None, too, where an endpoint answered, whose model is not this one.
    """
    summary = found.summary
    weights = None if "endpoint" in summary else size_of(model).weights
    tokens = summary["prompt_tokens"] + summary["new_tokens"]
    flops = None if weights is None else _FORWARD * weights * tokens
    return replace(found, summary={**summary, "flops": flops})
