"""One program before tests that it cannot see, by two sandboxes: the program's, and the judge's.

The judge runs the tests; of the program's functions it has names, and what a call comes to arrives as plain
values. So a program can neither read the tests nor change what they compare with, nor say in their place
that they hold: the verdict comes from the judge alone, with a word that only the judge was told. What tests
of other problems have been fooled by is in ``benchmarks/sandbox_attacks.py``.
"""

from __future__ import annotations

import json
import os
import secrets
import selectors
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from neuromas.core.errors import SandboxError
from neuromas.sandbox.base import (
    DEFAULT,
    STARTING,
    Inside,
    Limits,
    Sandbox,
    broken,
    encoded,
    memory_file,
)
from neuromas.sandbox.ending import ended, kill, last_words

_GRACE = 10.0  # seconds the judge has for its verdict once the program is no more
_MOST = 65_536  # bytes of a verdict, and of what a broken sandbox says


@dataclass(frozen=True, slots=True)
class Checks:
    """What judges: ``given`` is text of the problem that the tests may use, ``entry`` the function asked for.

    Names that nobody else defines are the program's. With ``graded`` every assertion is tried and counted.
    """

    given: str
    entry: str
    tests: str
    graded: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether all tests hold, why not (empty if they do), and the share of assertions that do.

    Where they are not counted one by one, the share is 0 or 1.
    """

    passed: bool
    share: float
    cause: str = ""


@dataclass(slots=True)
class _Bench:
    """The two processes, our end of the judge's verdict, and the lines of it so far."""

    program: subprocess.Popen[bytes]
    judge: subprocess.Popen[bytes]
    verdict: int
    word: str
    said: bytes = b""

    def line(self, until: float) -> dict[str, Any] | None:
        """The judge's next line; None if none comes in time, or the judge is no more."""
        with selectors.DefaultSelector() as waiting:
            waiting.register(self.verdict, selectors.EVENT_READ)
            while b"\n" not in self.said:
                if not waiting.select(max(0.0, until - time.monotonic())) or len(self.said) > _MOST:
                    return None
                piece = os.read(self.verdict, _MOST)
                if not piece:
                    return None
                self.said += piece
        first, _, self.said = self.said.partition(b"\n")
        found = json.loads(first)
        return found if found.get("word") == self.word else None


def judge(sandbox: Sandbox, program: str, tests: Checks, limits: Limits = DEFAULT) -> Verdict:
    """Whether the program passes the tests.

    Whatever happens once the program has begun counts against it, and if the judge is silent a harmless
    program must still run, else the sandbox is to blame. Raises SandboxError for that, for one that does not
    start, and for tests that cannot be used: the program has then no verdict.
    """
    with _bench(sandbox, program, tests, limits) as bench:
        ready = bench.line(time.monotonic() + STARTING)
        if ready is None:
            raise _trouble(sandbox, bench)
        if "trouble" in ready:
            kill(bench.program)
            raise SandboxError(f"the tests cannot be used: {ready['trouble']}")
        found = bench.line(time.monotonic() + limits.wall)
        if found is None:
            kill(bench.program)
            late = bench.judge.poll() is None
            found = bench.line(time.monotonic() + _GRACE)
            if found is not None and late:
                found["cause"] = f"no end after {limits.wall:g} seconds"
    if found is None:
        sandbox.run("", limits=Limits(wall=limits.wall))
        return Verdict(False, 0.0, "the tests came to no end")
    return Verdict(found["passed"] and not found["cause"], float(found["share"]), str(found["cause"]))


@contextmanager
def _bench(sandbox: Sandbox, program: str, tests: Checks, limits: Limits) -> Iterator[_Bench]:
    """The program and its judge, side by side; both are gone afterwards."""
    word = secrets.token_hex(16)
    order = {
        "word": word,
        "given": tests.given,
        "entry": tests.entry,
        "tests": tests.tests,
        "graded": tests.graded,
    }
    with ExitStack() as stack:
        # our copies of what the two hold have to be closed before we wait, else nobody sees an end
        with ExitStack() as lent:

            def kept(descriptor: int, by: ExitStack) -> int:
                by.callback(os.close, descriptor)
                return descriptor

            calls, asking = (kept(one, lent) for one in os.pipe())
            answers, answering = (kept(one, lent) for one in os.pipe())
            verdict, telling = os.pipe()
            kept(verdict, stack), kept(telling, lent)
            source = kept(memory_file(encoded(program)), lent)
            given = kept(memory_file(encoded(json.dumps(order))), lent)
            judging = Limits(limits.seconds + 30, limits.wall, limits.memory + 512)
            inside = Inside("judge", judging, (asking, answers, telling), ("values",))
            null = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
            judge_ = sandbox.spawn(inside, stdin=given, **null)
            stack.callback(ended, judge_)
            inside = Inside("candidate", limits, (source, calls, answering), ("values",))
            run = sandbox.spawn(inside, stdin=subprocess.DEVNULL, **null)
            stack.callback(ended, run)
        yield _Bench(run, judge_, verdict, word)


def _trouble(sandbox: Sandbox, bench: _Bench) -> SandboxError:
    """Why nothing could be judged: what the sandbox that broke said last."""
    said = b""
    for process in (bench.program, bench.judge):
        kill(process)
        said = said or last_words(process, _MOST)
    return broken(sandbox.name, said)
