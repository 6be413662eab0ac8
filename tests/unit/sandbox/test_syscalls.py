"""The filter of system calls, read as the kernel reads it."""

from __future__ import annotations

import errno
import struct

import pytest

from neuromas.core.errors import SandboxError
from neuromas.sandbox.syscalls import filter_for

ALLOW, KILL, EPERM, ENOSYS = 0x7FFF0000, 0x80000000, 0x50000 | errno.EPERM, 0x50000 | errno.ENOSYS
X86, ARM = 0xC000003E, 0xC00000B7


def verdict(code, number, machine=X86, first=0):
    """What the filter says of a call, by the rules of linux/filter.h."""
    data = struct.pack("=iIQ6Q", number, machine, 0, first, *[0] * 5)
    program, at, held = [struct.unpack_from("=HBBI", code, 8 * i) for i in range(len(code) // 8)], 0, 0
    while True:
        kind, yes, no, value = program[at]
        at += 1
        if kind == 0x20:
            held = struct.unpack_from("=I", data, value)[0]
        elif kind == 0x06:
            return value
        else:
            holds = {0x15: held == value, 0x35: held >= value, 0x45: bool(held & value)}[kind]
            at += yes if holds else no


@pytest.mark.parametrize(("machine", "audit", "column"), [("x86_64", X86, 0), ("aarch64", ARM, 1)])
def test_what_is_refused_and_what_is_not(machine, audit, column):
    code = filter_for(machine)

    def said(numbers, first=0):
        return verdict(code, numbers[column], audit, first)

    calls = {
        "read": (0, 63),
        "write": (1, 64),
        "execve": (59, 221),
        "mmap": (9, 222),
        "exit_group": (231, 94),
    }
    assert {said(numbers) for numbers in calls.values()} == {ALLOW}
    refused = {
        "socket": (41, 198),
        "shmget": (29, 194),
        "unshare": (272, 97),
        "ptrace": (101, 117),
        "bpf": (321, 280),
    }
    assert {said(numbers) for numbers in refused.values()} == {EPERM}
    clone, clone3, prlimit = (56, 220), (435, 435), (302, 261)
    assert said(clone, 0x11) == EPERM
    assert said(clone, 0x3D0F00) == ALLOW  # a thread, as the C library asks for one
    assert said(clone3) == ENOSYS
    assert said(prlimit, 0) == ALLOW
    assert said(prlimit, 4321) == EPERM


def test_other_tables_of_calls_are_no_way_around():
    code = filter_for("x86_64")
    assert verdict(code, 0x40000000 | 1) == EPERM
    assert verdict(code, 1, 0x40000003) == KILL  # 32-bit calls of the same processor
    assert verdict(code, 57) == EPERM  # fork, which is another call on other machines


def test_a_machine_without_a_table_is_refused():
    with pytest.raises(SandboxError, match=r"riscv64.*x86_64, aarch64"):
        filter_for("riscv64")
