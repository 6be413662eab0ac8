"""The bench of a network that runs: what its methods answer with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from neuromas.core.task import Task
from neuromas.methods.base import Allowance, Bench
from neuromas.system.assemble import Assembly


@contextmanager
def bench(assembly: Assembly, task: Task | None = None, calls: int = 0) -> Iterator[Bench]:
    """The bench of a network, on its own task or another; ``calls`` is the most a question may take.

    While it is open the model has one adapter more, of zeros.
    """
    network, bank = assembly.network, assembly.model.bank
    adapted = network.engine.capabilities.adapters
    parameters = sum(parameter.numel() for parameter in bank.parameters) if adapted else 0
    row = bank.append(torch.zeros(bank.per_adapter()))
    assembly.publish()
    try:
        yield Bench(
            network=network,
            task=task or assembly.task,
            frozen=row,
            parameters=parameters,
            allowance=Allowance(calls, network.message_tokens, network.answer_tokens),
            seed=assembly.config.seed,
        )
    finally:
        for kept in (bank.parameters, bank.ranks, bank.versions):
            kept.pop(row)
        assembly.publish()
