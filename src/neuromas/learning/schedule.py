"""The learning rate over the steps of a stage, as a pure function of the step.

The values are those of torch.optim.lr_scheduler (LinearLR as warm-up, then ConstantLR, LinearLR to 0 or
CosineAnnealingLR to 0), to which a test holds them. Torch's own objects count their calls; a function of the
step needs no state in a checkpoint, and a run that resumes cannot be at another place of its schedule.
"""

from __future__ import annotations

import math


def factor(kind: str, step: int, steps: int, warmup: int) -> float:
    """What the learning rate is multiplied with at ``step`` (from 0) of a stage of ``steps``.

    It rises linearly over ``warmup`` steps to 1, and then stays, or falls linearly or as half a cosine, so
    that it would be 0 at the step after the last.
    """
    if step < warmup:
        return (step + 1) / warmup
    if kind == "constant" or steps <= warmup:
        return 1.0
    done = min(1.0, (step - warmup) / (steps - warmup))
    return 1.0 - done if kind == "linear" else 0.5 * (1.0 + math.cos(math.pi * done))
