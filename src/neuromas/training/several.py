"""A run of several processes: how it is begun and opened by all of them, and written by the first."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from neuromas.config import Config, in_precision
from neuromas.core.errors import ConfigError, DivergedError
from neuromas.models.backbone import Backbone, load_backbone, pick_device
from neuromas.models.precision import AUTO, chosen
from neuromas.models.ranks import Ranks
from neuromas.models.sharded import load_sharded
from neuromas.storage import FollowedRun, Run
from neuromas.system.assemble import Assembly
from neuromas.training.state import TrainState


def cut_for(config: Config, ranks: Ranks) -> Config:
    """The configuration of a run that begins, with the pieces its rollouts are cut into for good.

    Where ``train.chunks`` says nothing, these are as many as there are processes now.
    """
    if ranks.size == 1 or config.train.chunks:
        return config
    return config.model_copy(update={"train": config.train.model_copy(update={"chunks": ranks.size})})


def described(ranks: Ranks, config: Config) -> Ranks:
    """The processes, with what the configuration says of their work. Raises ConfigError."""
    if config.model.shard and ranks.size == 1:
        raise ConfigError(
            "model.shard = true divides the backbone among processes, and here is one; start several with "
            "torchrun, or leave it out"
        )
    ordered = config.train.reduce == "ordered"
    return replace(ranks, pieces=config.train.chunks or 1, ordered=ordered, sharded=config.model.shard)


def idle(ranks: Ranks) -> list[str]:
    """A line where some processes have nothing to do while messages are written."""
    if ranks.sharded or ranks.pieces >= ranks.size:
        return []
    return [
        f"rollouts of this run are cut into {ranks.pieces} piece(s) (train.chunks), so that "
        f"{ranks.size - ranks.pieces} of {ranks.size} processes wait while the others write"
    ]


def backbone_for(ranks: Ranks, config: Config, given: Backbone | None, dtype: str = AUTO) -> Backbone | None:
    """The backbone of a run where more than its configuration decides; else the one that was given.

    That is one which the processes share, or whose precision is known where the configuration leaves it
    open: ``dtype``, in which the run goes on, or of several processes the first one's choice.
    """
    model = in_precision(config, dtype).model
    if model.dtype == AUTO and ranks.size > 1:
        agreed = ranks.led(lambda: chosen(AUTO, pick_device(model.device).type))
        model = in_precision(config, agreed).model
    if ranks.sharded:
        if given is not None:
            raise ConfigError("model.shard = true, and the backbone was given as an object; choose one")
        return load_sharded(model.backbone, model.dtype, model.device, ranks.size)
    if given is not None or model.dtype == config.model.dtype:
        return given
    return load_backbone(model.backbone, model.dtype, model.device, model.quantise)


def shared_by(ranks: Ranks, assembly: Assembly) -> Assembly:
    """The assembly as one process's part of a run. Raises ConfigError where its engine serves one alone."""
    network = assembly.network
    if ranks.size > 1 and not network.engine.capabilities.several:
        raise ConfigError(
            f"engine.name = {assembly.config.engine.name!r} serves one process, and there are {ranks.size}; "
            "train in one process, or with engine.name = 'local'"
        )
    return replace(
        assembly, network=replace(network, ranks=ranks), model=replace(assembly.model, ranks=ranks)
    )


def check_alike(state: TrainState) -> None:
    """Raises DivergedError if the adapters of the processes are not the same bit for bit."""
    if state.ranks.size == 1:
        return
    digest = hashlib.blake2b(digest_size=16)
    for parameter in state.base.model.bank.parameters:
        digest.update(parameter.detach().cpu().numpy().tobytes())
    if not state.ranks.alike(digest.hexdigest()):
        raise DivergedError(
            f"after step {state.step} the {state.ranks.size} processes have adapters that differ: they must "
            "run on machines of one kind; the last checkpoint is from before that"
        )


@contextmanager
def entered(ranks: Ranks, run: AbstractContextManager[Run | None], path: Path) -> Iterator[Run]:
    """The run in ``path`` as this process sees it; the first enters ``run`` before the others go on.

    What that yields is the run; where it yields nothing, it holds the lock of one that is there.
    """
    with ExitStack() as stack:
        found: list[Run | None] = []
        ranks.led(lambda: found.append(stack.enter_context(run)))
        yield (found[0] or Run(path)) if ranks.leads else FollowedRun(path)
