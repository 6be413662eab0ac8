"""One program apart: what comes back, what is held, and what is refused where nothing works."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.sandboxes import attacks, each_sandbox, needs_sandbox

from neuromas.core.errors import ConfigError, SandboxError
from neuromas.sandbox import Limits, choosing, find_sandbox
from neuromas.sandbox.base import Inside
from neuromas.sandbox.bubblewrap import Bubblewrap
from neuromas.sandbox.ending import ended

SHORT = Limits(seconds=1.0, wall=20.0, memory=256, output=20_000)


@pytest.mark.parametrize("name", each_sandbox())
def test_a_program_has_its_input_and_its_output_comes_back(name):
    run = find_sandbox(name).run
    found = run("import sys\nprint(sys.stdin.read()[::-1])\nprint('!', file=sys.stderr)", "größe\n")
    assert (found.stdout, found.stderr, found.ended, found.code, found.fine) == (
        "\neßörg\n",
        "!\n",
        "exited",
        0,
        True,
    )
    assert run("import sys; sys.exit(7)").code == 7
    failed = run("print(1)\n1/0")
    assert (failed.stdout, failed.stderr, failed.code) == ("1\n", "ZeroDivisionError: division by zero\n", 1)
    assert run("if").stderr.startswith("SyntaxError")
    killed = run("import os; os.abort()")
    assert (killed.ended, killed.code) == ("killed", 6)


@needs_sandbox()
def test_one_that_is_killed_while_it_sets_itself_up_leaves_nothing():
    """Their limit of memory, which nothing else has, stands in the command lines of what would be left."""
    sandbox, megabytes = find_sandbox(), 257
    for pause in range(24):
        given, held = os.pipe()
        inside = Inside("plain", Limits(memory=megabytes), (given, held))
        null = subprocess.DEVNULL
        process = sandbox.spawn(inside, stdin=null, stdout=null, stderr=null)
        os.close(given)
        os.close(held)
        time.sleep(pause / 1000)
        ended(process)
    mark, until = str(megabytes * 2**20).encode(), time.monotonic() + 5.0
    while (left := _with(mark)) and time.monotonic() < until:
        time.sleep(0.01)
    assert left == []


def _with(mark):
    """Living processes that have this in their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdecimal() and mark in (entry / "cmdline").read_bytes():
                found.append(entry.name)
    return found


@pytest.mark.parametrize("name", each_sandbox(quick=False))
def test_limits_hold(name):
    run = find_sandbox(name).run
    programs = (
        "while True: pass",
        "import time; time.sleep(60)",
        "while True: print('x' * 999)",
        "' ' * 10**9",
    )
    limits = (SHORT, Limits(wall=1.0), SHORT, SHORT)
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda one: run(one[0], limits=one[1]), zip(programs, limits, strict=True)))
    assert [one.ended for one in found] == ["time", "time", "output", "exited"]
    assert len(found[2].stdout) == SHORT.output
    assert found[3].stderr == "MemoryError\n"


@pytest.mark.parametrize("name", each_sandbox(quick=False))
def test_attacks_are_held(name):
    sandbox = find_sandbox(name)

    def one(attack):
        found = sandbox.run(attack.program, limits=SHORT)
        return attack.name, found.stdout.strip() or found

    listed = attacks().ATTACKS
    with ThreadPoolExecutor(2) as pool:
        found = dict(pool.map(one, listed))
    assert found == {attack.name: attack.held for attack in listed}


@pytest.mark.parametrize("name", each_sandbox(quick=False))
def test_nothing_of_ours_goes_in_and_nothing_stays(name, monkeypatch):
    monkeypatch.setenv("NEUROMAS_SECRET", "do-not-tell")
    before = len(os.listdir("/proc/self/fd"))
    found = find_sandbox(name).run(
        "import os, sys; print(sorted(os.environ), sys.argv, hash('a'), os.getcwd())"
    )
    again = find_sandbox(name).run(
        "import os, sys; print(sorted(os.environ), sys.argv, hash('a'), os.getcwd())"
    )
    assert "SECRET" not in found.stdout
    assert found.stdout == again.stdout
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("name", each_sandbox(quick=False))
def test_a_program_is_gone_when_its_time_is_up(name):
    """Also one that has closed its output, and threads of it."""
    text = "import os, threading, time\nos.close(1)\nos.close(2)\n"
    text += "threading.Thread(target=time.sleep, args=(60,)).start()"
    began = time.monotonic()
    assert find_sandbox(name).run(text, limits=Limits(wall=1.0)).ended == "time"
    assert time.monotonic() - began < 20


def test_no_sandbox_no_run(monkeypatch):
    """Both are missing: one line says why of each, and nothing runs."""
    choosing.probed.cache_clear()
    monkeypatch.setattr("shutil.which", lambda *args, **more: None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    try:
        with pytest.raises(SandboxError) as caught:
            find_sandbox()
        assert set(choosing.standing()) == {"bubblewrap", "landlock"}
        assert all(choosing.standing().values())
    finally:
        choosing.probed.cache_clear()
    said = str(caught.value)
    assert "apt install bubblewrap" in said
    assert "pip install 'neuromas[sandbox]'" in said
    assert "\n" not in said


def test_a_name_that_is_none():
    with pytest.raises(ConfigError, match=r"unknown sandbox 'docker'.*auto, bubblewrap, landlock"):
        find_sandbox("docker")


def test_what_holds_nothing_is_no_sandbox(monkeypatch):
    """The probe tries what must not be possible: a command that runs a program as it is does not pass."""

    class Open(Bubblewrap):
        name = "open"

        def __init__(self):
            self._calls, self.prefix = b"", ""
            self.python = "/usr/bin/python3"

        def command(self, interpreter, filter_at):
            return list(interpreter)

        def identity(self):
            return {}

    if not os.path.exists("/usr/bin/python3"):
        pytest.skip("needs the system's Python")
    choosing.probed.cache_clear()
    monkeypatch.setitem(choosing.KINDS, "bubblewrap", Open)
    try:
        assert "leaves open: the network, new processes" in str(choosing.probed("bubblewrap"))
    finally:
        choosing.probed.cache_clear()


@pytest.mark.parametrize("name", each_sandbox(quick=False))
def test_a_sandbox_that_breaks_is_an_error_and_not_an_outcome(name, monkeypatch):
    sandbox = find_sandbox(name)
    monkeypatch.setattr(sandbox, "python", "/usr/bin/no-such-python", raising=True)
    with pytest.raises(
        SandboxError, match=rf"{name} broke before the program began: .*(no-such-python|No such file)"
    ):
        sandbox.run("print(1)")
