"""Where cells run, without a model: what is tried again, GPUs, options, submitit's jobs on this machine."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import pytest

from neuromas.cli import main
from neuromas.core.errors import ConfigError, RunError
from neuromas.core.parts import LAUNCHERS
from neuromas.experiment import running
from neuromas.experiment.cells import Cell, lay_out
from neuromas.experiment.launchers import base, local, slurm, worker
from neuromas.experiment.launchers.base import Ended, Job, Launcher, make_launcher
from neuromas.experiment.launchers.local import Local
from neuromas.experiment.plan import make_plan
from neuromas.experiment.running import Limits, run_cells
from neuromas.storage import Run

FINISH = """
import json, pathlib, sys
run = pathlib.Path(sys.argv[1])
run.mkdir(parents=True, exist_ok=True)
(run / "config.json").write_text("{}")
(run / "status.json").write_text(json.dumps({"finished": True}))
"""


def cells(out, device="cpu", seeds=(0,), arms=(("a", {}),)):
    return lay_out(
        make_plan(
            {
                "name": "x",
                "seeds": list(seeds),
                "base": {"model": {"backbone": "tiny", "device": device}, "task": {"name": "max"}},
                "arms": [{"name": name, **(more or {"stages": [["1-1", 2]]})} for name, more in arms],
            }
        ),
        out,
    )


def begin(cell):
    if not (cell.run / "config.json").exists():
        Run.create(cell.run, cell.config.model_dump(mode="json"), {})


def finish(cell):
    begin(cell)
    Run(cell.run).write("status.json", {"finished": True})


@dataclass
class Scripted(Launcher):
    """A launcher of a user's own: each try of a cell ends as ``script`` says, in order."""

    pause: ClassVar[float] = 0.0
    script: dict[str, list] = field(default_factory=dict)
    room: int = 9
    events: list = field(default_factory=list)
    known: dict = field(default_factory=dict)

    def begin(self, out, cells):
        self.events.append("begin")
        return self.room

    def start(self, cell):
        self.events.append(f"start {cell.arm.name}")
        if sum(job.ended is None for job in self.known.values()) >= self.room:
            raise RunError("the queue is full")
        return self._job(cell)

    def _job(self, cell):
        steps = self.script.get(cell.arm.name) or [Ended(0)]
        self.known[cell.name] = job = Planned(self, cell, steps.pop(0) if len(steps) > 1 else steps[0])
        return job

    def left(self, cell):
        return self._job(cell) if cell.arm.name in self.script.get("left", ()) else None

    def end(self):
        self.events.append("end")


class Planned(Job):
    def __init__(self, launcher, cell, ends):
        self.launcher, self.cell, self.ends, self.ended = launcher, cell, ends, None

    def poll(self):
        found = self.ends(self.cell) if callable(self.ends) else self.ends
        if found is not None and found.status == 0 and not found.said:
            finish(self.cell)
        self.ended = found
        return found

    def interrupt(self, at_once):
        self.launcher.events.append(f"interrupt {self.cell.arm.name} {at_once}")
        self.ends = Ended(130, lost=True)


def run(tmp_path, launcher, limits=None, arms=(("a", {}),), **how):
    said = []
    tmp_path.mkdir(exist_ok=True)
    made = cells(tmp_path, arms=arms, **how)
    outcome = run_cells(made, launcher, limits or Limits(), tmp_path, said.append)
    return outcome, said, launcher.events


# -- what is tried again


def test_a_killed_cell_is_tried_again_and_its_own_error_is_not(tmp_path):
    lost = [Ended(-9, lost=True), Ended(None, lost=True, said="node gone")]
    script = {"a": [*lost, Ended(0)], "b": [Ended(2)]}
    outcome, said, events = run(tmp_path, Scripted(script=script), arms=[("a", {}), ("b", {})])
    assert outcome.failures == {"max/b/seed-0": "exit status 2"}
    assert [(e["cause"], e["again"]) for e in said if "again" in e] == [
        ("killed by signal 9", "1 of 2"),
        ("node gone", "2 of 2"),
    ]
    assert (events.count("start a"), events.count("start b")) == (3, 1)
    assert (events[0], events[-1]) == ("begin", "end")


def test_a_cell_that_is_always_killed_fails_after_its_retries(tmp_path):
    script = {"a": [Ended(-9, lost=True)]}
    outcome, said, events = run(tmp_path, Scripted(script=script), Limits(retries=3))
    assert events.count("start a") == 4
    why = "killed by signal 9 (4 times since it last saved anything)"
    assert outcome.failures == {"max/a/seed-0": why} == json.loads((tmp_path / "failures.json").read_text())
    assert [event["done"] for event in said] == [0, 0, 0, 1]
    outcome, _, events = run(tmp_path / "none", Scripted(script=script), Limits(retries=0))
    assert (events.count("start a"), outcome.failures) == (1, {"max/a/seed-0": "killed by signal 9"})


def test_a_cell_that_gets_on_is_tried_as_often_as_it_takes(tmp_path):
    """A time limit of four hours does not end a run of forty."""
    steps = iter(range(1, 7))

    def save(cell):
        begin(cell)
        folder = Run(cell.run).checkpoint(next(steps))
        folder.mkdir(parents=True)
        (folder / "network.json").write_text("{}")
        return Ended(130, lost=True, said="time is over")

    launcher = Scripted(script={"a": [*[save] * 6, Ended(0)]})
    outcome, said, events = run(tmp_path, launcher, Limits(retries=1))
    assert (outcome.failures, events.count("start a")) == ({}, 7)
    assert {event["again"] for event in said if "again" in event} == {"1 of 1"}


def test_a_lost_cell_waits_for_the_process_that_still_works_on_its_run(tmp_path):
    """On another node it may take a while until the old one is gone."""
    (cell,) = cells(tmp_path)
    cell.run.mkdir(parents=True)
    lock = Run(cell.run).lock()
    lock.__enter__()
    launcher = Scripted(script={"a": [Ended(0)]})
    timer = threading.Timer(0.3, lock.__exit__, (None, None, None))
    timer.start()
    began = time.monotonic()
    outcome, said, _ = run(tmp_path, launcher)
    timer.join()
    assert time.monotonic() - began > 0.25
    assert [event.get("busy", False) for event in said] == [True, False]
    assert outcome.failures == {}


def test_a_cell_whose_answers_its_run_has_already_is_told_of_after_that_run(tmp_path):
    looks = []

    def ends(cell):
        finish(cell)
        Run(cell.run).write("evaluations/test-after-blank.json", {"items": cell.config.evaluate.test})
        looks.append(cell)
        return Ended(0) if len(looks) > 2 else None  # its files are there before its process has gone

    arms = (("silent", {"of": "a", "messages": "blank"}), ("a", {}))
    outcome, said, events = run(tmp_path, Scripted(script={"a": [ends]}), Limits(jobs=2), arms=arms)
    assert (outcome.failures, events[:2]) == ({}, ["begin", "start a"])
    assert [event["cell"].arm.name for event in said] == ["a", "silent"]


def test_what_a_node_wrote_may_be_seen_late(tmp_path, monkeypatch):
    looks = []

    class Late(Planned):
        def poll(self):
            return Ended(0)

    monkeypatch.setattr(Scripted, "_job", lambda self, cell: Late(self, cell, None))
    seen = property(lambda cell: looks.append(1) or len(looks) > 5)
    monkeypatch.setattr(Cell, "finished", seen)
    monkeypatch.setattr(Scripted, "lag", 60.0)
    assert run(tmp_path, Scripted())[0].failures == {}
    looks.clear()
    monkeypatch.setattr(Scripted, "lag", 0.0)
    failures = run(tmp_path / "other", Scripted())[0].failures
    assert failures == {"max/a/seed-0": "it ended well without its last evaluation"}


def test_a_full_queue_waits_and_one_that_takes_nothing_is_an_error(tmp_path):
    arms = [("a", {}), ("b", {}), ("c", {})]
    ends = iter([None, None, None])

    def later(cell):
        return next(ends, Ended(0))

    launcher = Scripted(script={name: [later] for name, _ in arms}, room=1)
    outcome, _, events = run(tmp_path, launcher, Limits(jobs=3), arms=arms)
    assert outcome.failures == {}
    assert events.count("start b") == 2, "refused once, and again only when the other had ended"
    with pytest.raises(RunError, match="the queue is full"):
        run(tmp_path / "none", Scripted(room=0), Limits(jobs=1))


def test_jobs_that_an_earlier_experiment_left_are_taken_over(tmp_path):
    arms = [("a", {}), ("b", {})]
    outcome, said, events = run(tmp_path, Scripted(script={"left": ("a",)}), arms=arms)
    assert (outcome.failures, events.count("start a"), events.count("start b")) == ({}, 0, 1)
    assert len(said) == 2
    _, _, events = run(tmp_path, Scripted(script={"left": ("a",)}), arms=arms)
    assert events == ["begin", "end"], "finished cells are passed over"


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_reaches_every_job_and_nothing_more_begins(tmp_path, times):
    asked = []

    def at_work(cell):
        if len(asked) < times:
            asked.append(1)
            os.kill(os.getpid(), signal.SIGINT)

    class Slow(Planned):
        def interrupt(self, at_once):
            self.launcher.events.append(f"interrupt {self.cell.arm.name} {at_once}")
            if at_once or times == 1:
                self.ends = Ended(130, lost=True)

    launcher = Scripted(script={"a": [at_work], "b": [lambda cell: None]})
    launcher._job = lambda cell: Slow(launcher, cell, launcher.script[cell.arm.name][0])
    arms = [("a", {}), ("b", {}), ("c", {"start": "a"})]
    outcome, said, events = run(tmp_path, launcher, arms=arms)
    assert (outcome.interrupted, outcome.failures, said) == (True, {}, [])
    assert events.count("start c") == 0
    for name in "ab":
        seen = [event for event in events if event.startswith(f"interrupt {name}")]
        assert seen == [f"interrupt {name} {at_once}" for at_once in (False, True)[:times]]
    assert not (tmp_path / "failures.json").exists()


# -- this machine and its GPUs


@pytest.mark.parametrize(
    ("given", "count", "names"),
    [
        (None, 3, ("0", "1", "2")),
        ("5,7", 2, ("5", "7")),
        ("GPU-aa,GPU-bb", 2, ("GPU-aa", "GPU-bb")),
        ("1,9", 1, ("1",)),  # the driver takes what comes before the first that is not there
        ("", 0, ()),
        ("-1", 0, ()),
    ],
)
def test_the_gpus_are_those_the_user_shows(monkeypatch, given, count, names):
    import torch

    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    if given is None:
        monkeypatch.delenv(local.VISIBLE, raising=False)
    else:
        monkeypatch.setenv(local.VISIBLE, given)
    assert local.devices() == names


class Pretended:
    stdin = None

    def __init__(self):
        self.status = None

    def poll(self):
        return self.status


def placed(monkeypatch, names, made, cpus=1):
    """A launcher with such GPUs, and what the environment of each started cell adds."""
    added, jobs = [], []
    monkeypatch.setattr(local, "devices", lambda: names)
    monkeypatch.setattr(local, "launch", lambda cell, extra: added.append(dict(extra)) or Pretended())
    launcher = Local(cpus)
    room = launcher.begin(Path("out"), made)
    jobs = [launcher.start(cell) for cell in made]
    return launcher, room, [extra.get(local.VISIBLE) for extra in added], jobs, added


def test_every_cell_gets_a_gpu_of_its_own_while_there_are_some(monkeypatch, tmp_path):
    made = cells(tmp_path, device="auto", seeds=range(4))
    launcher, room, seen, jobs, added = placed(monkeypatch, ("4", "6", "7"), made)
    assert (room, seen) == (3, ["4", "6", "7", "4"]), "more than there are share, which only --jobs asks for"
    jobs[1].process.status = 0
    assert jobs[1].poll() == Ended(0)
    jobs[2].process.status = -9
    assert jobs[2].poll() == Ended(-9, lost=True)
    launcher.start(made[0])
    launcher.start(made[0])
    assert [extra[local.VISIBLE] for extra in added[4:]] == ["6", "7"], "those that are free"


def test_cells_of_the_cpu_and_cells_that_name_a_gpu_are_left_as_they_are(monkeypatch, tmp_path):
    monkeypatch.setattr(local, "_cores", lambda: 5)
    _, room, seen, *_ = placed(monkeypatch, ("0", "1"), cells(tmp_path, device="cpu"))
    assert (room, seen) == (5, [None])
    _, room, seen, *_ = placed(monkeypatch, (), cells(tmp_path, device="auto"))
    assert (room, seen) == (5, [None]), "a machine without a GPU"
    arms = [("a", {}), *[(name, {"model": {"device": "cuda"}}) for name in "bc"]]
    made = cells(tmp_path, device="cuda:0", arms=arms)
    _, room, seen, *_ = placed(monkeypatch, ("8", "9"), made)
    assert (room, seen) == (2, [None, "9", "8"]), "GPU 0 is taken by the one that names it"


def test_cells_take_as_many_threads_as_asked_for_and_as_few_cells_begin(monkeypatch, tmp_path):
    monkeypatch.setattr(local, "_cores", lambda: 5)
    for cpus, least in ((1, 5), (2, 2), (5, 1)):
        _, room, _, _, added = placed(monkeypatch, (), cells(tmp_path, device="cpu"), cpus)
        assert room == least
        assert {extra["OMP_NUM_THREADS"] for extra in added} == {str(cpus)}
    with pytest.raises(RunError, match=r"a cell wants cpus = 6 threads, here are 5 cores"):
        Local(6).begin(tmp_path, [])


def test_the_environment_says_one_thread_and_which_gpu(monkeypatch, tmp_path):
    text = "import os, sys; sys.stderr.write(repr(dict(os.environ)))"
    monkeypatch.setattr(Cell, "command", lambda cell: script(cell, text))
    (cell,) = cells(tmp_path)
    process = local.launch(cell, {local.VISIBLE: "3"})
    assert process.wait() == 0
    worker.let_go(process)
    text = cell.log.read_text()
    assert f"'{local.VISIBLE}': '3'" in text
    assert "'OMP_NUM_THREADS': '1'" in text


# -- options


def script(cell, text=FINISH):
    cell.log.parent.mkdir(parents=True, exist_ok=True)
    return [sys.executable, "-S", "-c", text, str(cell.run.absolute())]


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("rya", {}, "unknown launcher 'rya'; did you mean 'ray'? (valid: local, ray, slurm)"),
        ("local", {"gpus": 2}, "option of launcher 'local' 'gpus'; did you mean 'cpus'? (valid: cpus)"),
        ("local", {"cpus": 0}, "launcher option cpus = 0: should be a whole number of at least 1"),
        ("slurm", {"partitoin": "x"}, "did you mean 'partition'?"),
        ("slurm", {}, "needs the time of a job"),
        ("slurm", {"time": "soon"}, "launcher option time = 'soon': should be minutes"),
        ("slurm", {"time": 0}, "needs the time of a job"),
        ("slurm", {"time": 5, "cpus": "x"}, "cpus = 'x': should be a whole number of at least 1"),
        ("slurm", {"time": 5, "gpus": -1}, "gpus = -1: should be a whole number of at least 0"),
        ("slurm", {"time": 5, "cpus": True}, "cpus = True"),
        ("slurm", {"time": 5, "memory": "8GB"}, "memory = '8GB': should be a number"),
        ("slurm", {"time": 5, "partition": "a\nb"}, "should be text on one line"),
        ("slurm", {"time": 5, "partition": 3}, "should be text on one line"),
        ("slurm", {"time": 5, "setup": "module load x"}, "should be a list of lines of shell"),
        ("slurm", {"time": 5, "setup": ["a", 3]}, "setup[2] = 3"),
        ("slurm", {"time": 5, "sbatch": 3}, "should be a table"),
        ("slurm", {"cluster": "lcoal"}, "did you mean 'local'?"),
        ("ray", {"adress": "x"}, "did you mean 'address'?"),
        ("ray", {"gpus": "x"}, "gpus = 'x': should be a number"),
        ("ray", {"cpus": 0}, "cpus = 0"),
        ("ray", {}, "needs the package ray, which is not installed: pip install 'neuromas[ray]'"),
        ("slurm", {"time": 5}, "--launcher slurm needs the package submitit, which is not installed"),
        ("no_such_module:Name", {}, "launcher 'no_such_module:Name' cannot be imported"),
        ("fractions:Fraction", {}, "is no Launcher"),
    ],
)
def test_what_cannot_be_is_one_line(monkeypatch, name, options, says):
    monkeypatch.setattr(importlib.util, "find_spec", lambda package: None)
    with pytest.raises(ConfigError) as caught:
        make_launcher(name, options)
    assert says in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_typing_error_is_told_before_anything_is_written(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plan = tmp_path / "x.toml"
    plan.write_text('name = "x"\nseeds = [0]\nbase.task.name = "max"\n[[arms]]\nname = "a"\n')
    assert main(["experiment", "x.toml", "--launcher", "slurm", "--launcher-options", "tmie=3"]) == 2
    assert "did you mean 'time'?" in capsys.readouterr().err
    assert os.listdir() == ["x.toml"]


@pytest.mark.parametrize(
    ("given", "found"),
    [
        *((90, 90), ("90", 90), ("90:30", 91), ("4:00:00", 240), ("1-12", 36 * 60)),
        *(("2-0:30", 2 * 1440 + 30), ("1-12:00:01", 36 * 60 + 1), ("0:00:01", 1)),
    ],
)
def test_times_are_read_as_slurm_reads_them(given, found):
    assert slurm.minutes(given) == found
    from neuromas.cli.options import read_pairs

    assert slurm.minutes(read_pairs(["time=04:30:00"])["time"]) == 270, "which TOML takes for a time of day"


NO_TIMES = ("", "-", "1-", "-5", "1:2:3:4", "1-2-3", "x", "0", "4h", "٣", "1-1:1:1:1", 1.5)


@pytest.mark.parametrize("given", NO_TIMES)
def test_what_is_no_time_is_refused(given):
    with pytest.raises(ConfigError, match="should be minutes"):
        slurm.minutes(given)


def test_a_launcher_of_ones_own_has_a_name(tmp_path):
    made = make_launcher("test_experiment_launchers:Scripted", {"room": 2})
    assert (type(made).__name__, made.room) == ("Scripted", 2)
    assert LAUNCHERS.names()[:3] == ("local", "ray", "slurm")


# -- beside a cell on a node

WAITS = """
import pathlib, signal, sys, time
seen = []
for kind in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2):
    signal.signal(kind, lambda number, frame: seen.append(number))
pathlib.Path(sys.argv[1]).write_text("ready")
end = time.monotonic() + 20
while not seen and time.monotonic() < end:
    time.sleep(0.02)
time.sleep(0.3)
sys.stderr.write(repr(seen))
sys.exit(130)
"""
WORKER = """
import os, pathlib, sys
from neuromas.experiment.launchers.worker import Order, work
print(work(Order(tuple(sys.argv[3:]), sys.argv[1], sys.argv[2], (("MARK", "7"),))), "torch" in sys.modules)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR2])
def test_a_worker_passes_a_request_to_leave_on_once(tmp_path, number):
    """Whatever the cluster sends, and to how many of its processes: the cell is interrupted once."""
    ready, log = tmp_path / "ready", tmp_path / "log"
    child = [sys.executable, "-S", "-c", WAITS, str(ready)]
    command = [sys.executable, "-c", WORKER, str(log), str(tmp_path), *child]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    until = time.monotonic() + 30
    while not ready.exists() and time.monotonic() < until:
        time.sleep(0.01)
    every, mark = Path("/proc").glob("[0-9]*/cmdline"), str(ready).encode()
    cells = [int(path.parent.name) for path in every if mark in read(path)]
    for _ in range(2):
        process.send_signal(number)
        for pid in cells:
            if pid != process.pid and number != signal.SIGINT:
                os.kill(pid, number)
    assert process.communicate(timeout=30)[0].split("\n")[0] == "(130, True) False"
    assert log.read_text() == "[2]"


def read(path):
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_a_worker_tells_how_the_cell_ended_and_leaves_signals_as_they_were(tmp_path):
    text = "import os, sys; sys.stderr.write(os.getcwd() + os.environ['MARK']); sys.exit(3)"
    before = [signal.getsignal(kind) for kind in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)]
    here = os.getcwd()
    command, log = (sys.executable, "-S", "-c", text), tmp_path / "log"
    task = worker.Order(command, str(log), str(tmp_path), (("MARK", "7"),))
    try:
        assert worker.work(task) == (3, False)
    finally:
        os.chdir(here)
    assert (tmp_path / "log").read_text() == f"{tmp_path}7"
    assert [signal.getsignal(kind) for kind in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)] == before


def test_an_order_holds_no_keys(monkeypatch, tmp_path):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("HF_TOKEN", "hf-secret")
    monkeypatch.setenv("NEUROMAS_STATE", "/notes")
    task = worker.order(["x"], tmp_path / "log", 4)
    assert "secret" not in repr(task)
    assert {("NEUROMAS_STATE", "/notes"), ("OMP_NUM_THREADS", "4")} <= set(task.environment)


# -- submitit's jobs on this machine


def test_jobs_of_submitit_run_and_one_whose_worker_is_killed_is_tried_again(tmp_path, monkeypatch):
    pytest.importorskip("submitit")
    kill_first = (
        "import os, pathlib, signal, sys\nmark = pathlib.Path(sys.argv[1] + '-tried')\n"
        "if not mark.exists():\n    mark.write_text('')\n    os.kill(os.getppid(), signal.SIGKILL)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    monkeypatch.setattr(Cell, "command", lambda cell: script(cell, kill_first + FINISH))
    monkeypatch.setattr(slurm.Slurm, "pause", 0.05)
    said = []
    made = cells(tmp_path)
    launcher = make_launcher("slurm", {"cluster": "local"})
    outcome = run_cells(made, launcher, Limits(), tmp_path, said.append)
    assert outcome.failures == {}
    assert [event.get("again") for event in said] == ["1 of 2", None]
    assert "ended without a result" in said[0]["cause"]
    assert not list((tmp_path / "cells").rglob("*.job.json")), "no job is left to be taken over"


def test_a_machine_without_slurm_says_so(tmp_path, monkeypatch):
    pytest.importorskip("submitit")
    monkeypatch.setenv("PATH", "")
    launcher = make_launcher("slurm", {"time": 5})
    with pytest.raises(RunError, match="srun") as caught:
        run_cells(cells(tmp_path), launcher, Limits(), tmp_path, lambda event: None)
    assert len(str(caught.value).splitlines()) == 1


def test_need_names_the_extra():
    base.need("json", "ray")
    with pytest.raises(ConfigError, match=r"pip install 'neuromas\[ray\]'"):
        base.need("no_such_package_here", "ray")


def test_the_cause_is_the_launchers_where_it_knows_one(tmp_path):
    (cell,) = cells(tmp_path)
    assert running.cause_of(cell, Ended(None, lost=True, said="node 3 is gone")) == "node 3 is gone"
