"""Which sandbox works on this machine: asked by running a program in it, never by what is installed."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from neuromas.core.errors import ConfigError, SandboxError, unknown
from neuromas.sandbox.base import Limits, Sandbox
from neuromas.sandbox.bubblewrap import Bubblewrap
from neuromas.sandbox.landlock import Landlock

AUTO = "auto"
KINDS: dict[str, Callable[[], Sandbox]] = {"bubblewrap": Bubblewrap, "landlock": Landlock}
SANDBOXES = (AUTO, *KINDS)

# what must be impossible is tried, and what is left open is named; the last line must not be missing
_PROBE = """
import os, socket
def tries(what, act):
    try:
        act()
    except OSError:
        return
    print("open:", what)
tries("the network", lambda: socket.socket())
tries("new processes", os.fork)
tries("writing", lambda: open("/tmp/neuromas-probe", "x"))
tries("files of the machine", lambda: open("/etc/passwd"))
tries("other processes", lambda: open("/proc/1/status"))
print("end")
"""


@cache
def probed(name: str) -> Sandbox | str:
    """The sandbox of that name if a program runs in it and is held, else why not. Asked once a process."""
    try:
        sandbox = KINDS[name]()
        found = sandbox.run(_PROBE, limits=Limits(wall=60))
    except SandboxError as error:
        return str(error)
    if found.stdout.strip() == "end":
        return sandbox
    left = [line.removeprefix("open: ") for line in found.stdout.splitlines() if line.startswith("open: ")]
    if left:
        return f"{name} leaves open: {', '.join(left)}"
    return f"{name} runs no program ({found.ended} {found.code}: {found.stderr.strip()[-200:]})"


def find_sandbox(name: str = AUTO) -> Sandbox:
    """The sandbox of that name, or the first that works. Raises ConfigError for other names.

    Raises SandboxError, in one line with the reasons, where none works: nothing is ever run without.
    """
    if name not in SANDBOXES:
        raise ConfigError(unknown("sandbox", name, SANDBOXES))
    reasons = []
    for one in KINDS if name == AUTO else (name,):
        found = probed(one)
        if isinstance(found, Sandbox):
            return found
        reasons.append(found)
    raise SandboxError(f"no sandbox works here, so no program is run: {'; '.join(reasons)}")


def standing() -> dict[str, str]:
    """Of every sandbox why it does not work, empty where it does."""
    found = {name: probed(name) for name in KINDS}
    return {name: one if isinstance(one, str) else "" for name, one in found.items()}
