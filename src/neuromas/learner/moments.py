"""What AdamW remembers of adapters, where a network grows out of copies of its own."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping, Sequence

from torch.optim import AdamW

from neuromas.learner.update import Learner


def copied_optimisers(
    learner: Learner, kept: Sequence[AdamW], copied: Mapping[int, int], replaced: Collection[int] = ()
) -> list[AdamW]:
    """An optimiser for every adapter of the learner's bank: those ``kept``, in order, then new ones.

    ``copied`` maps new adapters to those they copy: the moments of a copy are a copy of its original's, if
    that was kept. All others begin anew, as do rows in which another adapter has ``replaced`` the one before.
    """
    parameters = learner.model.bank.parameters
    optimisers = [*kept, *map(learner.optimiser, parameters[len(kept) :])]
    for row in replaced:
        optimisers[row] = learner.optimiser(parameters[row])
    for row, original in copied.items():
        if len(kept) <= row and original < len(kept):
            state = copy.deepcopy(kept[original].state_dict()["state"])
            optimisers[row].load_state_dict({**optimisers[row].state_dict(), "state": state})
    return optimisers
