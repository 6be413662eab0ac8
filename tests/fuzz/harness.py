"""Run one case in this process through the real command line, with a time limit, and judge what came."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
import re
import resource
import shutil
import signal
import tempfile
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from cases import NEWEST, QUICK, Case
from damage import Entry

LIMIT = 20  # seconds
SHELF = (
    "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
)  # commands sync what they write; here that is free
MEMORY = 2 << 30  # bytes that one command may take
LONGEST = 2100  # characters of the line: 2,000 and what stands around them
MANY_NODES = 12
BASE = [
    *QUICK,
    "train.steps=1",
    "train.problems=1",
    "train.samples=2",
    "evaluate.test=2",
    "evaluate.validation=1",
]
BASE += ["evaluate.every=1", "network.message_tokens=2", "network.answer_tokens=2", "task.options.n=4"]
BASE += ["network.question=split"]


class TooLateError(BaseException):
    """The time is up. Not an Exception, so that nothing takes it for its own."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """``verdict``: refused, accepted, traceback, late, or unclear (refused, but not in one plain line)."""

    verdict: str
    detail: str
    seconds: float


def trained(folder: Path) -> Path:
    """A run of one step that would have another one to go, so that every command has work to do on it."""
    from neuromas.cli import main

    path = folder / "run"
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        assert main(["train", *BASE, "--run", str(path)]) == 0
    for file in (path / "config.json", path / NEWEST / "network.json"):
        data = json.loads(file.read_text("utf-8"))
        data.get("config", data)["train"]["steps"] = 2
        if "state" in data:
            data["state"]["stage"]["steps"] = 2
        file.write_text(json.dumps(data))
    status = json.loads((path / "status.json").read_text("utf-8"))
    (path / "status.json").write_text(json.dumps({**status, "finished": False}))
    return path


def judge(case: Case, run: Path) -> Outcome:
    """What the command line makes of a case, in a folder of its own that is gone afterwards."""
    home, folder = Path.cwd(), Path(tempfile.mkdtemp(prefix="neuromas-fuzz-", dir=SHELF))
    try:
        if case.run:
            shutil.copytree(run, folder / "run")
        for name, entry in case.files.items():
            put(folder / name, entry)
        os.chdir(folder)
        before = names(folder)
        outcome = _judged(case)
        left = names(folder) - before
        beside = {name for name in left if not name.startswith("run/")} if case.run else left
        if outcome.verdict == "refused" and beside:
            return Outcome("unclear", f"left behind: {sorted(beside)[:3]}; {outcome.detail}", outcome.seconds)
        return outcome
    finally:
        os.chdir(home)
        shutil.rmtree(folder, ignore_errors=True)


def names(folder: Path) -> set[str]:
    """Everything below a folder; links are not followed."""
    found = [os.path.join(place, name) for place, dirs, files in os.walk(folder) for name in (*dirs, *files)]
    return {name[len(str(folder)) + 1 :] for name in found}


def put(path: Path, entry: Entry) -> None:
    """Put an entry in its place, instead of what was there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    if entry.kind == "pipe":
        os.mkfifo(path)
    elif entry.kind == "folder":
        path.mkdir()
    elif entry.kind == "link":
        path.symlink_to(entry.target or path)
    else:
        path.write_bytes(entry.content)


def _judged(case: Case) -> Outcome:
    """Status and output of a command line as a verdict."""
    from neuromas.cli import main

    out, err = io.StringIO(), io.StringIO()
    started = time.monotonic()
    trace = ""
    status: Any = None
    with _alarm(), _bounded(), _brief(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = main(list(case.words))
        except SystemExit as left:
            status = left.code
        except TooLateError:
            status = "late"
        except Exception:
            trace = traceback.format_exc(limit=-4)
    seconds = time.monotonic() - started
    if trace:
        return Outcome("traceback", trace, seconds)
    if status == "late" or seconds > LIMIT:
        return Outcome("late", f"{seconds:.0f} s", seconds)
    fault = unclear(status, out.getvalue(), err.getvalue())
    if status == 2 and case.says and not any(word in err.getvalue() for word in case.says):
        fault = fault or f"none of {case.says} in: {err.getvalue()[:300]!r}"
    if fault:
        return Outcome("unclear", fault, seconds)
    return Outcome(
        "refused" if status == 2 else "accepted", err.getvalue()[:300] if status == 2 else "", seconds
    )


def unclear(status: Any, out: str, err: str) -> str:
    """What is wrong with the way in which something was said; empty if nothing is."""
    raw = re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", out + err)
    if raw:
        return f"raw {raw[0]!r} in {(out + err)[:200]!r}"
    if status not in (0, 1, 2):  # 1: a task or a cell was found wanting
        return f"status {status!r}"
    if status != 2:
        return ""
    if "out of memory" in err:
        return f"more than {MEMORY >> 30} GB"
    lines = err.splitlines()
    last = [line for line in lines if line.startswith("neuromas")]
    if len(last) != 1 or last[0] != lines[-1]:
        return f"status 2 and {len(lines)} lines: {err[:300]!r}"
    return f"a line of {len(last[0])} characters" if len(last[0]) > LONGEST else ""


@contextlib.contextmanager
def _alarm() -> Iterator[None]:
    """Raises TooLateError in the main thread when the time is up."""

    def ring(number: int, frame: object) -> None:
        raise TooLateError

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, LIMIT, 1)  # again and again: the first may be lost in a destructor
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def _bounded() -> Iterator[None]:
    """No more than ``MEMORY`` beyond what is in use: what takes gigabytes without a word is an error here."""
    _draw_once()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@functools.cache
def _draw_once() -> None:
    """V8 reserves 33 GB of addresses for its first drawing, and keeps them."""
    from neuromas.report.charts.drawing import svg
    from neuromas.report.charts.frame import Chart

    svg(Chart("first", "first", {"data": {"values": []}, "mark": "point"}))


@contextlib.contextmanager
def _brief() -> Iterator[None]:
    """Whatever is accepted runs for a step or two, on the tiny model alone; no cell of an experiment runs."""
    from neuromas.experiment import running
    from neuromas.training import run as training

    start = training.start

    def begin(config: Any, directory: Path, *callbacks: Any) -> Any:
        small = shortened(config)
        if small is None:
            raise SystemExit(0)
        return start(small, directory, *callbacks)

    nothing = running.Outcome()
    with (
        mock.patch.object(training, "start", begin),
        mock.patch.object(running, "run_cells", return_value=nothing),
        mock.patch.dict(os.environ, {"HF_HUB_OFFLINE": "1"}),
    ):
        yield


def shortened(config: Any) -> Any:
    """The configuration with less to do; None where even that would be much. What is odd in it stays."""
    from neuromas.topology.files import load_topology

    def less(section: Any, **most: int) -> Any:
        now = {key: min(getattr(section, key), value) for key, value in most.items()}
        return section.model_copy(update=now)

    shapes = [shape for shape, _ in config.growth.stages] or [config.network.topology]
    sizes = [len(load_topology(shape, config.network.question).nodes) for shape in shapes]
    if max(sizes) > MANY_NODES or len(sizes) > 3 or config.model.backbone == "smollm2-135m":
        return None
    if config.network.share == "node" and max([config.model.rank, *config.model.ranks]) > 64:
        return None
    stages = tuple((shape, min(steps, 2)) for shape, steps in config.growth.stages)
    steps = sum(steps for _, steps in stages) if stages else min(config.train.steps, 1)
    train = less(config.train, problems=2, samples=3, warmup=3, accumulate=2, passes=2).model_copy(
        update={"steps": steps}
    )
    return config.model_copy(
        update={
            "train": train,
            "network": less(config.network, message_tokens=3, answer_tokens=3),
            "growth": less(config.growth, restate=1).model_copy(update={"stages": stages}),
            "evaluate": less(config.evaluate, validation=2, test=2),
            "run": less(config.run, episodes=2),
        }
    )
