"""bubblewrap: namespaces of its own for processes, files, network and users (https://github.com/containers/bubblewrap).

Inside there are the system's libraries, read-only, and four devices; everything else is empty and cannot be
written to, shared memory included.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from neuromas.core.errors import SandboxError
from neuromas.sandbox.base import NOBODY, Sandbox
from neuromas.sandbox.interpreter import system_python
from neuromas.sandbox.syscalls import filter_for

_NAMESPACES = (
    "--unshare-all",
    "--unshare-user",
    "--disable-userns",
    "--uid",
    str(NOBODY),
    "--gid",
    str(NOBODY),
)
_LIFE = ("--die-with-parent", "--new-session", "--cap-drop", "ALL", "--hostname", "sandbox")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")
_LIBRARIES = ("/bin", "/lib", "/lib32", "/lib64", "/libx32")


class Bubblewrap(Sandbox):
    """Runs programs through ``bwrap``. Raises SandboxError where it or an interpreter is missing."""

    name = "bubblewrap"

    def __init__(self) -> None:
        program = shutil.which("bwrap", path=os.environ.get("PATH", "") + ":/usr/bin:/usr/local/bin")
        if program is None:
            raise SandboxError("bubblewrap is not installed (apt install bubblewrap, dnf install bubblewrap)")
        self.program, self._calls = program, filter_for()
        self.python, self.prefix = system_python()

    def calls(self) -> bytes:
        """See ``syscalls``."""
        return self._calls

    def identity(self) -> dict[str, Any]:
        """The user; nobody in the place of the superuser, whom some limits of the kernel do not bind."""
        return {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}

    def command(self, interpreter: Sequence[str], filter_at: int) -> list[str]:
        """``bwrap``, its options, and what it runs."""
        files = ["--ro-bind", "/usr", "/usr"]
        for place in map(Path, _LIBRARIES):
            if place.is_symlink():
                files += ["--symlink", os.readlink(place), str(place)]
            elif place.is_dir():
                files += ["--ro-bind", str(place), str(place)]
        files += ["--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache"]
        if self.prefix:
            files += ["--ro-bind", self.prefix, self.prefix]
        for device in _DEVICES:
            files += ["--dev-bind", device, device]
        closed = ["--remount-ro", "/", "--seccomp", str(filter_at), "--chdir", "/"]
        return [self.program, *_NAMESPACES, *_LIFE, *files, *closed, "--", *interpreter]
