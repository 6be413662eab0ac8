"""What the arms of an experiment would take on a device, before anything is run. An estimate.

Hours are floating-point operations by ``system.cost``, an upper bound by budgets, divided by what the device
is assumed to sustain over sampling and learning together. That figure is the user's: while single tokens are
drawn a device waits for its memory and for its host, so that it lies far below the peak of a data sheet.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from neuromas.config import Config, at_stage
from neuromas.core.errors import ModelError
from neuromas.core.task import Task
from neuromas.growth.stages import goals
from neuromas.models.dims import TINY, Dims, read_dims
from neuromas.models.precision import chosen
from neuromas.system.cost import Cost, Load, estimate, pieces
from neuromas.system.network import assign
from neuromas.system.prompting import choose_template
from neuromas.tasks import make_task
from neuromas.topology.graph import Topology

if TYPE_CHECKING:
    from neuromas.experiment.cells import Cell

TERA = 1e12
_HOUR = 3600.0
_READ = 64  # training problems whose questions are counted


@dataclass(frozen=True, slots=True)
class Forecast:
    """An arm on a task, all its seeds and stages together.

    ``nodes`` and ``parameters`` (trainable ones) are those with which each stage ends, ``training`` the calls
    of training, ``flops`` those of training and of its evaluations. ``unknown`` says why a figure is None.
    """

    task: str
    arm: str
    seeds: int
    nodes: tuple[int, ...]
    parameters: tuple[int, ...] | None = None
    training: int | None = None
    flops: float | None = None
    unknown: str = ""

    def hours(self, rate: float) -> float | None:
        """Hours of a device that sustains ``rate`` operations a second."""
        return None if self.flops is None else self.flops / rate / _HOUR


def forecasts(cells: Sequence[Cell]) -> list[Forecast]:
    """One for every arm of every task that trains or evaluates a network; seeds differ in nothing.

    Arms made of another are left out: what they read and write depends on the method.
    Raises NeuromasError for a task or shape that cannot be made.
    """
    seeds: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        if not cell.arm.of:
            seeds.setdefault((cell.task, cell.arm.name), []).append(cell)
    lengths: dict[str, float] = {}
    return [_forecast(found[0], len(found), lengths) for found in seeds.values()]


def _forecast(cell: Cell, seeds: int, lengths: dict[str, float]) -> Forecast:
    """The forecast of an arm of which ``cell`` is one of ``seeds`` equal ones."""
    graphs, config = goals(cell.config), cell.config
    stages = [(at_stage(config, index), steps) for index, (_, steps) in enumerate(config.shapes)]
    nodes = tuple(len(graph.nodes) for graph in graphs)
    plain = ("shared", "reinforce", 1)
    if any((one.train.credit, one.train.algorithm, one.train.passes) != plain for one, _ in stages):
        why = "its credit, algorithm or passes take more than one playing and learning of an episode"
        return Forecast(cell.task, cell.arm.name, seeds, nodes, unknown=why)
    episodes = [steps * one.train.batch * one.train.samples for one, steps in stages]
    calls = seeds * sum(map(math.prod, zip(episodes, nodes, strict=True)))
    try:
        dims = read_dims(config.model.backbone)
    except ModelError as error:
        return Forecast(cell.task, cell.arm.name, seeds, nodes, training=calls, unknown=str(error))
    flops, parameters = 0.0, []
    for graph, (one, steps) in zip(graphs, stages, strict=True):
        cost = _cost(graph, one, dims, lengths)
        parameters.append(cost.trainable)
        flops += steps * one.train.accumulate * cost.step_flops + _answered(one, steps) * cost.answer_flops
    return Forecast(cell.task, cell.arm.name, seeds, nodes, tuple(parameters), calls, seeds * flops)


def _answered(config: Config, steps: int) -> int:
    """Questions answered greedily in a stage: its validations, and the test before and after it."""
    every, tests = config.evaluate.every, 2 if steps else 1
    validations = -(-steps // every) if every else 0
    return validations * config.evaluate.validation + tests * config.evaluate.test


def _cost(graph: Topology, config: Config, dims: Dims, lengths: dict[str, float]) -> Cost:
    """What a network of a stage costs on questions as long as those it is trained on."""
    asked = repr((config.task.name, config.task.options))
    if asked not in lengths:
        lengths[asked] = _question(make_task(config.task.name, config.task.options), dims)
    assignment = assign(graph, config.network.share)
    adapters = max(assignment) + 1
    load = Load(
        question_tokens=round(lengths[asked]),
        message_tokens=config.network.message_tokens,
        answer_tokens=config.network.answer_tokens,
        problems=config.train.problems,
        samples=config.train.samples,
        template=choose_template(config, [graph]),
        examples=config.network.examples,
        style=config.network.style,
    )
    return estimate(
        graph,
        dims,
        assignment=assignment,
        ranks=list(config.model.ranks[:adapters]) or [config.model.rank] * adapters,
        targets=config.model.targets,
        load=load,
        dtype=chosen(config.model.dtype, config.model.device),
    )


def _question(task: Task, dims: Dims) -> float:
    """Mean tokens of the first training questions."""
    size = task.size("train")
    texts = [task.problem("train", i).question for i in range(_READ if size is None else min(_READ, size))]
    count = (lambda text: len(text.encode())) if dims == TINY else pieces
    return statistics.fmean(map(count, texts))
