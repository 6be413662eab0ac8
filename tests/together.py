"""Several processes that do one job together, as torchrun would start them, forked from one that has torch.

A job is a function of a module of the tests: it is called in every process, with the arguments given, and
what it returns (or raises) comes back as a list, one for each process.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import socket
import sys
import traceback
from collections.abc import Callable, Sequence
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from typing import Any

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["warm"])


class Died:
    """What comes back from a process that ended without a word; its exit code."""

    def __init__(self, code: int | None) -> None:
        self.code = code


def together(size: int, job: Callable[..., Any], *given: Any, seconds: float = 600.0) -> list[Any]:
    """What the job returned in each of ``size`` processes: a result, an exception, or ``Died``."""
    _server()
    started = [_start(rank, size, port, job, given) for port in [_free_port()] for rank in range(size)]
    found: list[Any] = []
    for process, pipe in started:
        try:
            there = pipe.poll(seconds)  # bytes, as tensors would travel in files that go with their process
            found.append(pickle.loads(pipe.recv_bytes()) if there else TimeoutError(f"after {seconds} s"))
        except EOFError:
            process.join(5)
            found.append(Died(process.exitcode))
    for process, _ in started:
        process.join(5)
        if process.is_alive():
            process.kill()
    return found


def _server() -> None:
    """Start the process to fork from, where it does not run; it finds what it imports as we do."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)
    try:
        forkserver.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


def results(size: int, job: Callable[..., Any], *given: Any) -> list[Any]:
    """The same where nothing may fail."""
    found = together(size, job, *given)
    for one in found:
        if isinstance(one, BaseException):
            raise one
        assert not isinstance(one, Died), one.code
    return found


def _start(rank: int, size: int, port: int, job: Any, given: Sequence[Any]) -> tuple[Any, Connection]:
    here, there = _CONTEXT.Pipe(duplex=False)
    environment = {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size),
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
    }  # fmt: skip
    process = _CONTEXT.Process(target=_work, args=(environment, there, job, given), daemon=True)
    process.start()
    there.close()
    return process, here


def _work(environment: dict[str, str], pipe: Connection, job: Any, given: Sequence[Any]) -> None:
    import torch

    from neuromas.models.ranks import leave

    os.environ.update(environment)
    torch.set_num_threads(1)
    try:
        pipe.send_bytes(pickle.dumps(job(*given)))
    except Exception as error:
        error.add_note("".join(traceback.format_exception(error)))
        pipe.send_bytes(pickle.dumps(error))
    leave()  # multiprocessing's processes end without what was registered for that


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
