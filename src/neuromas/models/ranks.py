"""The processes that train one run together, by torch.distributed; a single process imports nothing of it.

``torchrun`` starts them and says in the environment who is who. All run the same program on the same numbers
and make the same decisions; what is costly is dealt out, and what each computed is told to all. Process 0
alone writes.

Objects travel between the processes as pickles (``torch.distributed.all_gather_object``). Whoever can take
part in that exchange was started as a part of the run, or is in the private network that torchrun needs.
"""

from __future__ import annotations

import atexit
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from neuromas.core.errors import ConfigError, ElsewhereError, RunError, one_line, shown

if TYPE_CHECKING:
    from torch import Tensor, device

T = TypeVar("T")
P = TypeVar("P")
_NEEDED = ("RANK", "MASTER_ADDR", "MASTER_PORT")
_PATIENCE = timedelta(hours=6)  # with one who is there; an evaluation on a CPU may take one process long
_START = "torchrun --nproc-per-node N -m neuromas.cli train CONFIG run.directory=DIR"


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process, number ``rank`` of ``size``. Every method but ``leads`` is to be called by all of them.

    Rollouts are cut into ``pieces``; ``ordered`` says that gradients are added micro-batch after micro-batch
    in one order, whoever computed them. ``sharded``: each process holds a part of the backbone, so that all
    make every forward pass together.
    """

    rank: int = 0
    size: int = 1
    pieces: int = 1
    ordered: bool = True
    sharded: bool = False

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes and tells."""
        return self.rank == 0

    def own(self, count: int) -> range:
        """Which of ``count`` pieces are this process's."""
        return range(self.rank, count, self.size)

    def deal(self, pieces: Sequence[P], work: Callable[[P], T], each: Any = map) -> list[T]:
        """``work(piece)`` for every piece, in their order, each computed by one process and told to all.

        ``each`` is a ``map``. Where the backbone is sharded all work on every piece, and the first process's
        result counts. An error of one process is raised there; the others raise ElsewhereError.
        """
        if self.size == 1:
            return list(each(work, pieces))
        places = range(len(pieces)) if self.sharded else self.own(len(pieces))
        found: dict[int, T] = {}
        failure: Exception | None = None
        try:
            found = dict(zip(places, each(work, [pieces[i] for i in places]), strict=True))
        except Exception as error:  # raised again below, once the others know
            failure = error
        told = found if self.leads or not self.sharded else {}
        everyone = self._gather((told, None if failure is None else one_line(failure)), failure)
        results = {place: result for results, _ in everyone for place, result in results.items()}
        return [results[i] for i in range(len(pieces))]

    def led(self, work: Callable[[], T]) -> T:
        """What ``work()`` returns in the first process, which alone does it. Errors are those of ``deal``."""
        if self.size == 1:
            return work()
        result: T | None = None
        failure: Exception | None = None
        if self.leads:
            try:
                result = work()
            except Exception as error:  # raised again below, once the others know
                failure = error
        everyone = self._gather((result, None if failure is None else one_line(failure)), failure)
        first: T = everyone[0][0]
        return first

    def any(self, flag: bool) -> bool:
        """Whether the flag is up in some process. Whatever one wrote before it, all can read after it."""
        return flag if self.size == 1 else any(up for up, _ in self._gather((flag, None), None))

    def alike(self, value: Any) -> bool:
        """Whether the value is the same in all."""
        if self.size == 1:
            return True
        return len({one for one, _ in self._gather((value, None), None)}) == 1

    def wait(self) -> None:
        """Until all are here."""
        self.any(False)

    def _gather(self, told: tuple[Any, str | None], failure: Exception | None) -> list[tuple[Any, Any]]:
        """What every process tells. Raises its own ``failure``, or ElsewhereError for that of another."""
        import torch.distributed as dist

        everyone: list[Any] = [None] * self.size
        with _together():
            dist.all_gather_object(everyone, told)
        if failure is not None:
            raise failure
        for number, (_, cause) in enumerate(everyone):
            if cause is not None:
                raise ElsewhereError(f"process {number} of {self.size} failed: {cause}")
        return everyone

    def in_turn(self, own: Iterator[Tensor], lengths: Sequence[int], place: device) -> Iterator[Tensor]:
        """Flat fp32 tensors of these lengths in order: ``own`` are those of this process, see ``own()``.

        A process computes its next one before it waits for those of the others.
        """
        import torch
        import torch.distributed as dist

        for first in range(0, len(lengths), self.size):
            mine = next(own, None)
            for number, length in enumerate(lengths[first : first + self.size]):
                ours = mine if number == self.rank else None
                flat = torch.empty(length, device=place) if ours is None else ours
                with _together():
                    dist.broadcast(flat, number)
                yield flat

    def add(self, values: Tensor) -> None:
        """Replace the tensor by the sum over all processes."""
        if self.size > 1:
            import torch.distributed as dist

            with _together():
                dist.all_reduce(values)


ALONE = Ranks()


@contextmanager
def _together() -> Iterator[None]:
    """What torch raises where another process has gone is one line."""
    try:
        yield
    except RuntimeError as error:
        cause = re.sub(r"^\[[^]]*\] *", "", one_line(error)).partition(". ")[0][:120]  # not where in gloo
        raise RunError(
            f"another process of this run is gone ({cause}), so this one ends, too; `neuromas train "
            "--resume` goes on from the last checkpoint, with as many processes or others"
        ) from error


def place(environment: Mapping[str, str] = os.environ) -> tuple[int, int]:
    """Number of this process and how many there are, as torchrun's environment says; (0, 1) without it.

    Raises ConfigError where that says half of it.
    """
    size = _number(environment, "WORLD_SIZE", 1, None)
    if size == 1:
        return 0, 1
    if missing := [name for name in _NEEDED if not environment.get(name)]:
        raise ConfigError(
            f"WORLD_SIZE = {size} in the environment without {', '.join(missing)}: start the processes with "
            f"'{_START}', or unset WORLD_SIZE"
        )
    return _number(environment, "RANK", 0, size - 1), size


def _number(environment: Mapping[str, str], name: str, least: int, most: int | None) -> int:
    """A whole number of the environment; ``least`` if it is not there."""
    text = environment.get(name) or str(least)
    number = int(text) if text.isdecimal() and len(text) < 10 else -1
    if number < least or (most is not None and number > most):
        upto = f"to {most}" if most is not None else "on"
        raise ConfigError(f"{name} = {shown(text)} in the environment is no whole number from {least} {upto}")
    return number


@contextmanager
def joined(device: str) -> Iterator[Ranks]:
    """Within the block this process is one of those that torchrun started; ``ALONE`` where it started none.

    ``device`` is ``model.device``: each process of a machine takes a GPU of its own. Raises ConfigError,
    RunError.
    """
    rank, size = place()
    if size == 1:
        yield ALONE
        return
    import torch.distributed as dist

    if not dist.is_available():
        raise RunError(f"WORLD_SIZE = {size}, and this torch was built without torch.distributed")
    backend = _backend(device)
    if not dist.is_initialized():  # by an earlier run, or by the script that called us
        try:
            dist.init_process_group(backend, timeout=_PATIENCE)
        except (RuntimeError, ValueError) as error:
            raise RunError(
                f"the {size} processes did not find each other: {one_line(error)[:300]}"
            ) from error
        atexit.register(leave)  # not sooner: a group is not made twice by one rendezvous
    ranks = Ranks(rank, size)
    yield ranks
    ranks.wait()  # what the first has written is there for all that follows


def leave() -> None:
    """Let go of the other processes; without it torch's threads abort the process at its end."""
    import torch.distributed as dist

    if dist.is_initialized():
        dist.destroy_process_group()


def _backend(device: str) -> str:
    """Who carries tensors: gloo those of the CPU, NCCL those of GPUs. Raises ConfigError."""
    import torch

    if device == "cpu" or not torch.cuda.is_available():
        return "gloo"
    if ":" in device:
        raise ConfigError(
            f"model.device = {device!r} with several processes would put all on one GPU; valid: 'auto', "
            "'cuda' (one for each process), 'cpu'"
        )
    local, there = _number(os.environ, "LOCAL_RANK", 0, None), torch.cuda.device_count()
    if local >= there:
        raise ConfigError(
            f"process {local} of this machine (from 0) has no GPU of its own, as there are {there}; start "
            f"{there} with --nproc-per-node, or set model.device = 'cpu'"
        )
    torch.cuda.set_device(local)
    return "cpu:gloo,cuda:nccl"
