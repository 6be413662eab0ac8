"""How a sandbox is ended, so that nothing of it is left."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

_STOPPING = 1.0  # seconds until a process has stopped
_LAST_WORDS = 2.0


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a sandbox with what it has started.

    A leader that dies while it sets its sandbox up leaves the first process inside, which has not yet asked
    to die with it. So the leader is stopped, and that process, with which all others inside end, dies first.
    """
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGSTOP)
    until = time.monotonic() + _STOPPING
    while (found := _stat(process.pid)) is not None and found[0] not in "TtZ" and time.monotonic() < until:
        time.sleep(0.001)
    for child in _children(process.pid):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(child, signal.SIGKILL)
    process.kill()


def last_words(process: subprocess.Popen[bytes], most: int) -> bytes:
    """The errors of a process that was killed, without a long wait for others who hold them open."""
    said, until = b"", time.monotonic() + _LAST_WORDS
    assert process.stderr is not None
    with selectors.DefaultSelector() as waiting:
        waiting.register(process.stderr, selectors.EVENT_READ)
        while len(said) < most and waiting.select(max(0.0, until - time.monotonic())):
            piece = os.read(process.stderr.fileno(), most)
            if not piece:
                break
            said += piece
    return said[:most]


def ended(process: subprocess.Popen[bytes]) -> int:
    """End a process if it still runs, and close our ends of its streams. Its exit status."""
    kill(process)
    status = process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            stream.close()
    return status


def _children(parent: int) -> list[int]:
    """The processes that it started and that are not gone."""
    numbers = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
    return [number for number in numbers if (found := _stat(number)) is not None and found[1] == parent]


def _stat(number: int) -> tuple[str, int] | None:
    """State and parent of a process; None if it is gone."""
    try:
        text = Path(f"/proc/{number}/stat").read_text("utf-8", "replace")
    except OSError:
        return None
    state, parent = text.rpartition(")")[2].split()[:2]  # before it stands a name, which may hold anything
    return state, int(parent)
