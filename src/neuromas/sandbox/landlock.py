"""Landlock and seccomp, for machines that allow no user namespaces; sandlock speaks Landlock.

The process itself gives up what it may do: reading anything but the system's libraries, writing, sockets,
other processes. Names and sizes of files outside can still be asked for.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Sequence
from typing import Any

from neuromas.core.errors import SandboxError
from neuromas.sandbox.base import NOBODY, Sandbox, inside_text
from neuromas.sandbox.interpreter import system_python
from neuromas.sandbox.syscalls import filter_for

_READABLE = ("/usr", "/bin", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache", "/dev/urandom")


class Landlock(Sandbox):
    """Runs programs that confined themselves first. Raises SandboxError where that cannot be."""

    name = "landlock"

    def __init__(self) -> None:
        if importlib.util.find_spec("sandlock") is None:
            raise SandboxError("landlock needs the package sandlock: pip install 'neuromas[sandbox]'")
        from sandlock import landlock_abi_version, min_landlock_abi

        found, least = landlock_abi_version(), min_landlock_abi()
        if found < least:
            raise SandboxError(
                f"landlock needs Linux 6.12 or newer and its security module (ABI {least}; here {found})"
            )
        self._calls = filter_for()
        self.python, self.prefix = system_python()

    def calls(self) -> bytes:
        """See ``syscalls``."""
        return self._calls

    def identity(self) -> dict[str, Any]:
        """Our own: it is given up inside, after the package is read."""
        return {}

    def command(self, interpreter: Sequence[str], filter_at: int) -> list[str]:
        """Our Python, which confines itself and becomes the interpreter."""
        user = NOBODY if os.geteuid() == 0 else -1
        readable = ":".join([*_READABLE, *([self.prefix] if self.prefix else [])])
        confining = [inside_text("confine"), str(filter_at), str(user), readable]
        return [sys.executable, "-I", "-c", *confining, *interpreter]
