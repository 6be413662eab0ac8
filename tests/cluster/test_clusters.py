"""Experiments on a real Ray and a real Slurm: ``make test-cluster`` runs these, with the cluster there is.

Every test starts the command line as a process and kills or interrupts something that really runs.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from neuromas.storage import Run

CLUSTERS = "NEUROMAS_TEST_CLUSTER"  # names with commas between them; set by make test-cluster
OPTIONS = {"ray": [], "slurm": ["--launcher-options", "time=30"]}
HERE = os.environ.get(CLUSTERS, "").split(",")
PATIENCE = 600  # seconds: machines that run tests are busy

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc"),
]


@pytest.fixture(params=OPTIONS)
def cluster(request):
    if request.param not in HERE:
        pytest.skip(f"needs {request.param}: make test-cluster, see docs/clusters.md")
    return request.param


PLAN = """
name = "cluster"
seeds = [0]
[base]
model = { backbone = "tiny", dtype = "float32", device = "cpu", rank = 4 }
network = { question = "first", message_tokens = 3, answer_tokens = 3 }
task = { name = "max", options = { n = 4 } }
train = { problems = 2, samples = 4, lr = 0.01, warmup = 1 }
evaluate = { every = 0, validation = 6, test = 12 }
[[arms]]
name = "long"
stages = [["1-1", 60], ["1-1", STEPS]]
[[arms]]
name = "clones"
of = "long:1"
votes = 3
"""


class Experiment:
    """One experiment as a process, the run of its network, and what it said."""

    def __init__(self, folder: Path, cluster: str, options: list[str], steps: int = 60) -> None:
        (folder / "plan.toml").write_text(PLAN.replace("STEPS", str(steps)))
        self.out, self.steps = folder / "out", steps + 60
        words = ["experiment", "plan.toml", "--out", "out", "--launcher", cluster, *options]  # relative
        self.command = [sys.executable, "-P", "-m", "neuromas.cli", *words]
        self.folder, self.log = folder, folder / "said.txt"
        self.run = Run(self.out / "cells" / "max" / "long" / "seed-0")

    def start(self) -> subprocess.Popen:
        with self.log.open("a") as log:
            return subprocess.Popen(self.command, cwd=self.folder, stdout=log, stderr=subprocess.STDOUT)

    @property
    def said(self) -> str:
        return self.log.read_text()

    def reached(self) -> int:
        return max((row["step"] for row in self.run.lines("metrics.jsonl")), default=-1)

    def cells(self) -> list[int]:
        """The processes that work on its run."""
        mark = b"neuromas.cli.cell\0"
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            try:
                words = (path / "cmdline").read_bytes()
            except OSError:
                continue
            if mark in words and b"seed-0" in words and (path / "cwd").resolve() == self.folder.resolve():
                found.append(int(path.name))
        return found

    def check(self) -> None:
        """Everything was run, and every step once."""
        assert "[2/2] max/clones/seed-0  in " in self.said, self.said
        assert [row["step"] for row in self.run.lines("metrics.jsonl")] == list(range(self.steps))
        assert not (self.out / "failures.json").exists()


def until(true, process, what):
    end = time.monotonic() + PATIENCE
    while not true():
        assert process.poll() is None, what
        assert time.monotonic() < end, what
        time.sleep(0.05)


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.fixture
def experiment(tmp_path, cluster):
    return Experiment(tmp_path, cluster, OPTIONS[cluster])


def test_a_cell_that_was_killed_or_whose_worker_was_is_tried_again(experiment):
    process = experiment.start()
    until(lambda: experiment.reached() >= 2, process, "it trains")
    (cell,) = experiment.cells()
    os.kill(parent(cell), signal.SIGKILL)
    until(lambda: "tried again (1 of 2)" in experiment.said, process, experiment.said)
    until(lambda: cell not in experiment.cells(), process, "without its worker a cell ends")
    before = experiment.reached()
    until(lambda: experiment.cells() and experiment.reached() != before, process, "it trains again")
    (cell,) = experiment.cells()
    os.kill(cell, signal.SIGKILL)
    until(lambda: "killed by signal 9" in experiment.said, process, experiment.said)
    assert process.wait(PATIENCE) == 0, experiment.said
    experiment.check()


def test_ctrl_c_saves_and_the_experiment_goes_on(experiment):
    process = experiment.start()
    until(lambda: experiment.reached() >= 2, process, "it trains")
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE) == 130, experiment.said
    assert re.search("stopped; 0 of 2 cells are finished; continue with: .* --launcher ", experiment.said)
    assert not experiment.cells()
    log = experiment.run.path.with_suffix(".log").read_text()
    assert "interrupted; checkpoint of step" in log
    assert "Traceback" not in log
    assert 0 < experiment.run.read("status.json")["step"] < experiment.steps
    assert experiment.start().wait(PATIENCE) == 0, experiment.said
    experiment.check()


def test_a_second_ctrl_c_waits_for_nobody(experiment):
    process = experiment.start()
    until(lambda: experiment.reached() >= 2, process, "it trains")
    (cell,) = experiment.cells()
    os.kill(cell, signal.SIGSTOP)  # it will never save
    process.send_signal(signal.SIGINT)
    time.sleep(2)
    assert process.poll() is None, "it waits for what is saved"
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE) == 130, experiment.said
    with suppress(ProcessLookupError):  # Ray kills what its workers leave
        os.kill(cell, signal.SIGCONT)
    until_gone = time.monotonic() + PATIENCE
    while experiment.cells():
        assert time.monotonic() < until_gone
        time.sleep(0.1)


def test_an_experiment_that_was_killed_is_gone_on_with(experiment):
    process = experiment.start()
    until(lambda: experiment.reached() >= 2, process, "it trains")
    process.kill()
    process.wait()
    again = experiment.start()
    assert again.wait(PATIENCE) == 0, experiment.said
    experiment.check()


def test_no_file_of_the_current_directory_is_imported(experiment):
    for name in (*sys.stdlib_module_names, "torch", "numpy", "neuromas", "submitit", "cloudpickle", "ray"):
        mark = str(experiment.folder / "ran")
        (experiment.folder / f"{name}.py").write_text(f"open({mark!r}, 'a').write({name + ' '!r})\n")
    assert experiment.start().wait(PATIENCE) == 0, experiment.said
    experiment.check()
    assert not (experiment.folder / "ran").exists(), (experiment.folder / "ran").read_text()


def test_the_error_of_a_cell_is_its_own_and_not_tried_again(experiment):
    experiment.run.path.mkdir(parents=True)
    (experiment.run.path / "mine.txt").write_text("not a run")
    process = experiment.start()
    assert process.wait(PATIENCE) == 1
    assert "is not empty and not a run" in experiment.said
    assert "tried again" not in experiment.said
    assert "max/long/seed-0 failed" in experiment.said


@pytest.mark.skipif("slurm" not in HERE, reason="needs slurm: make test-cluster, see docs/clusters.md")
def test_a_cell_at_the_end_of_its_time_saves_and_goes_on_in_another_job(tmp_path):
    one = Experiment(tmp_path, "slurm", ["--launcher-options", "time=3", "grace=30"], steps=100_000)
    process = one.start()
    until(lambda: "tried again (1 of 2)" in one.said, process, one.said)
    log = one.run.path.with_suffix(".log").read_text()
    assert "interrupted; checkpoint of step" in log, "it was told before its time was over"
    saved = one.run.read("status.json")["step"]
    until(lambda: one.reached() > saved, process, "it goes on")
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE) == 130
