"""What a sandbox is, what a program may use in it, and what is known of a program that was run."""

from __future__ import annotations

import json
import math
import os
import selectors
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from neuromas.core.errors import SandboxError
from neuromas.sandbox.ending import ended, kill

NOBODY = (
    65534  # who runs programs where the superuser would: limits of the kernel bind him, files are not his
)
PACKAGE = "neuromas.sandbox.inside"
STARTING = 60.0  # seconds after which a sandbox that has not begun counts as broken
Ending = Literal["exited", "killed", "time", "output"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a program may use. It has one process; nothing can be written to, and there is no network.

    ``seconds`` are of the processor, ``wall`` those that pass; ``memory`` is address space in MB, threads
    included; ``output`` the most bytes of what it writes to its output and to its errors, each.
    """

    seconds: float = 5.0
    wall: float = 30.0
    memory: int = 512
    output: int = 65_536

    def resources(self) -> dict[str, int]:
        """The same as limits of the kernel, by name."""
        return {
            "RLIMIT_CPU": math.ceil(self.seconds),
            "RLIMIT_AS": self.memory * 2**20,
            "RLIMIT_FSIZE": 0,
            "RLIMIT_CORE": 0,
            "RLIMIT_NOFILE": 32,
            "RLIMIT_MSGQUEUE": 0,
            "RLIMIT_MEMLOCK": 0,
        }


DEFAULT = Limits()


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a program ended: by itself with a ``code``, by a signal (``code``), out of time, or too loud.

    ``seconds`` passed from its beginning. Bytes that are no UTF-8 are shown as such.
    """

    ended: Ending
    code: int
    stdout: str
    stderr: str
    seconds: float

    @property
    def fine(self) -> bool:
        """Whether it came to its end without an error."""
        return self.ended == "exited" and self.code == 0


@dataclass(frozen=True, slots=True)
class Inside:
    """What the interpreter in a sandbox is told to run: a text of ``inside``, and what else it needs.

    ``passed`` are descriptors of ours that it gets, under the same numbers.
    """

    script: str
    limits: Limits
    arguments: tuple[int, ...] = ()
    modules: tuple[str, ...] = ()

    def order(self) -> str:
        """The argument of ``inside.start``."""
        names = [(f"{PACKAGE}.{name}", inside_text(name)) for name in self.modules]
        modules = [*names, ("__main__", inside_text(self.script))]
        arguments = [str(one) for one in self.arguments]
        return json.dumps({"limits": self.limits.resources(), "modules": modules, "arguments": arguments})


@cache
def inside_text(name: str) -> str:
    """The text of a module of ``inside``."""
    return (files(PACKAGE) / f"{name}.py").read_text("utf-8")


class Sandbox(ABC):
    """A way to run a program apart. ``command`` is what differs between sandboxes."""

    name: str
    python: str

    @abstractmethod
    def command(self, interpreter: Sequence[str], filter_at: int) -> list[str]:
        """The command that runs ``interpreter`` inside; ``filter_at`` holds the filter of system calls."""

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """As whom the command is started, as ``subprocess.Popen`` is told."""

    @abstractmethod
    def calls(self) -> bytes:
        """The filter of system calls, see ``syscalls``."""

    def spawn(self, inside: Inside, **streams: int) -> subprocess.Popen[bytes]:
        """Start a text of ``inside``; ``streams`` are stdin, stdout and stderr as ``Popen`` knows them.

        Raises SandboxError if the command itself cannot be started.
        """
        guard = memory_file(self.calls())
        interpreter = [self.python, "-s", "-S", "-B", "-c", inside_text("start"), inside.order()]
        told: dict[str, Any] = {**streams, **self.identity(), "start_new_session": True}
        try:
            process: subprocess.Popen[bytes] = subprocess.Popen(
                self.command(interpreter, guard),
                pass_fds=(guard, *inside.arguments),
                cwd="/",
                env=ENVIRONMENT,
                **told,
            )
            return process
        except OSError as error:
            raise SandboxError(f"{self.name} cannot be started: {error.strerror or error}") from error
        finally:
            os.close(guard)

    def run(self, program: str, stdin: str = "", limits: Limits = DEFAULT) -> Outcome:
        """Run a Python program to its end, with this text at its input.

        The same program has the same output, as far as it asks neither clock nor chance: hashes of text are
        seeded alike. Raises SandboxError if the sandbox breaks before the program has begun.
        """
        source, given = memory_file(encoded(program)), memory_file(encoded(stdin))
        begun, begin = os.pipe()
        inside = Inside("plain", limits, (source, begin))
        try:
            process = self.spawn(inside, stdin=given, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        except SandboxError:
            os.close(begun)
            raise
        finally:
            for one in (source, given, begin):
                os.close(one)
        try:
            return _watched(self.name, process, begun, limits)
        finally:
            os.close(begun)
            ended(process)


ENVIRONMENT: Mapping[str, str] = {
    "PATH": "/usr/bin:/bin",
    "LC_ALL": "C.UTF-8",
    "PYTHONHASHSEED": "0",
    "PYTHONUTF8": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
}


def encoded(text: str) -> bytes:
    """Text as bytes, also where it holds half a character."""
    return text.encode("utf-8", "surrogatepass")


def memory_file(content: bytes) -> int:
    """A descriptor of a file in memory that holds this, open at its beginning."""
    descriptor = os.memfd_create("neuromas", 0)
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def broken(name: str, said: bytes) -> SandboxError:
    """The error of a sandbox that did not begin, with the last line it wrote."""
    lines = said.decode("utf-8", "replace").strip().splitlines()
    return SandboxError(f"{name} broke before the program began: {lines[-1][:300] if lines else 'no word'}")


def _watched(name: str, process: subprocess.Popen[bytes], begun: int, limits: Limits) -> Outcome:
    """Read what a program writes until it ends or is over a limit."""
    assert process.stdout is not None
    assert process.stderr is not None
    texts = {process.stdout.fileno(): bytearray(), process.stderr.fileno(): bytearray(), begun: bytearray()}
    out, err = list(texts)[:2]
    started, ending = time.monotonic(), ""
    until = started + STARTING
    with selectors.DefaultSelector() as waiting:
        for one in texts:
            waiting.register(one, selectors.EVENT_READ)
        while waiting.get_map() and not ending:
            for key, _ in waiting.select(max(0.0, until - time.monotonic())):
                piece = os.read(key.fd, 65_536)
                if not piece:
                    waiting.unregister(key.fd)
                elif key.fd == begun:
                    started = time.monotonic()
                    until = started + limits.wall
                texts[key.fd] += piece
            if max(len(texts[out]), len(texts[err])) > limits.output:
                ending = "output"
            elif time.monotonic() >= until:
                ending = "time"
    if not texts[begun]:
        raise broken(name, bytes(texts[err]))
    outcome = _outcome(process, ending, limits, until)
    shown = [bytes(texts[one])[: limits.output].decode("utf-8", "backslashreplace") for one in (out, err)]
    return replace(outcome, stdout=shown[0], stderr=shown[1], seconds=time.monotonic() - started)


def _outcome(process: subprocess.Popen[bytes], ending: str, limits: Limits, until: float) -> Outcome:
    """How it ended. Who has closed its output may still run, and who wrote it all may have to be killed."""
    try:
        status = None if ending else process.wait(max(0.0, until - time.monotonic()))
    except subprocess.TimeoutExpired:
        ending, status = "time", None
    if status is None:
        kill(process)
        return Outcome("output" if ending == "output" else "time", process.wait(), "", "", 0.0)
    if 0 <= status <= 128:
        return Outcome("exited", status, "", "", 0.0)
    number = status - 128 if status > 128 else -status  # bubblewrap tells a signal as a shell does
    return Outcome("time" if number == signal.SIGXCPU else "killed", number, "", "", 0.0)
