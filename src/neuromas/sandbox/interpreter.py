"""Which Python runs inside: the system's, as what lies in a home is out of reach for who runs programs."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

from neuromas.core.errors import SandboxError

_SYSTEM = ("/usr/bin/python3", "/usr/local/bin/python3")
_OLDEST = (3, 9)


@cache
def system_python() -> tuple[str, str]:
    """An interpreter and the folder that has to be readable for it, empty where that is the system's own.

    Raises SandboxError if there is none of Python 3.9 or newer.
    """
    for path in _SYSTEM:
        if _fits(path):
            return path, ""
    home = Path(sys.base_prefix)
    own = home / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    if own.is_file() and os.geteuid() != 0:
        return str(own), str(home)
    places = ", ".join(_SYSTEM)
    raise SandboxError(f"no Python of the system for programs to run under ({places}; 3.9 or newer)")


def _fits(path: str) -> bool:
    """Whether this is a Python that is new enough."""
    asked = f"import sys; sys.exit(sys.version_info < {_OLDEST})"
    command = [path, "-I", "-S", "-c", asked]
    try:
        found = subprocess.run(command, timeout=30, capture_output=True, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return found.returncode == 0
