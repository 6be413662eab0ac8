"""Which problems a run trains on: an endless stream, a function of the seed and the place."""

from __future__ import annotations

import random

from neuromas.core.seeds import derive
from neuromas.core.task import Problem, Task

_PLACES = 2**31  # of an endless split; any generator takes such an index


def training_problems(task: Task, seed: int, start: int, count: int) -> list[Problem]:
    """Problems ``start`` to ``start + count`` of the endless training stream of this seed.

    A finite split is passed through once an epoch, each time in an order of its own. Of an endless one every
    seed meets problems of its own, so that runs differ by the data they see as well as by their draws.
    """
    size = task.size("train")
    if size is None:
        places = (derive(seed, "problem", i) % _PLACES for i in range(start, start + count))
        return [task.problem("train", place) for place in places]
    orders: dict[int, list[int]] = {}
    chosen = []
    for i in range(start, start + count):
        epoch, place = divmod(i, size)
        if epoch not in orders:
            orders[epoch] = list(range(size))
            random.Random(derive(seed, "epoch", epoch)).shuffle(orders[epoch])
        chosen.append(task.problem("train", orders[epoch][place]))
    return chosen
