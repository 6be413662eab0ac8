"""Confines its own process by Landlock and a filter of system calls, then becomes an interpreter.

Runs under the Python that has sandlock. Arguments: the descriptor of the filter, the user to become or -1,
folders and files that may be read (joined by ``:``), the command.
"""

from __future__ import annotations

import ctypes
import os
import sys

_SET_SECCOMP, _FILTER = 22, 2  # prctl's


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_void_p))


def main(filter_at: int, user: int, readable: str, command: list[str]) -> None:
    """Become the user, confine, execute. What fails is said in one line, and nothing is executed."""
    from sandlock import Sandbox, confine

    if user >= 0:
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
    code = os.read(filter_at, 2**16)
    os.close(filter_at)
    confine(Sandbox(fs_readable=[place for place in readable.split(":") if os.path.exists(place)]))
    text = ctypes.create_string_buffer(code, len(code))
    program = _Program(len(code) // 8, ctypes.cast(text, ctypes.c_void_p))
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(_SET_SECCOMP, _FILTER, ctypes.byref(program), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "the filter of system calls is refused")
    os.execv(command[0], command)


if __name__ == "__main__":
    try:
        main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:])
    except Exception as error:
        sys.exit(f"{type(error).__name__}: {error}")
