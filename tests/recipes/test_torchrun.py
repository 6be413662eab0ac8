"""The command as it is typed: torchrun, a key for the directory, one process lost, Ctrl-C, and going on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from neuromas.cli import main
from neuromas.storage import Run

pytestmark = pytest.mark.processes
SMALL = ["model.backbone=tiny", "model.dtype=float32", "model.rank=2", "network.message_tokens=4",
         "network.answer_tokens=4", "train.problems=2", "train.samples=2", "evaluate.every=0",
         "evaluate.test=2", "alarms.zero=0"]  # fmt: skip


def torchrun(*given):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    return subprocess.Popen(
        [*command, "-m", "neuromas.cli", "train", *map(str, given)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def stepped(run, more=3):
    """Wait until so many steps were logged."""
    end = time.monotonic() + 300
    while time.monotonic() < end:
        log = run / "metrics.jsonl"
        if log.is_file() and len(log.read_text().splitlines()) >= more:
            return
        time.sleep(0.2)
    raise TimeoutError


def workers(parent):
    """Process ids below torchrun, by their rank."""
    found = {}
    for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
        environment = Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
        found[next(one for one in environment if one.startswith(b"RANK="))] = int(child)
    return found[b"RANK=0"], found[b"RANK=1"]


def ours(output):
    return [line for line in output.splitlines() if line.startswith(("neuromas:", "neuromas ("))]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads /proc")
def test_one_process_is_killed_then_ctrl_c_then_the_run_ends(tmp_path):
    run = tmp_path / "run"
    started = torchrun(*SMALL, "train.steps=400", "run.checkpoint_every=2", f"run.directory={run}")
    stepped(run)
    os.kill(workers(started.pid)[1], signal.SIGKILL)
    output = started.communicate(timeout=120)[0]
    assert started.returncode
    assert len(ours(output)) == 1
    assert ours(output)[0].startswith("neuromas (process 0 of 2): another process of this run is gone")
    assert Run.open(run).checkpoints()

    before = len((run / "metrics.jsonl").read_text().splitlines())
    again = torchrun("--resume", run)
    stepped(run, before + 3)
    again.send_signal(signal.SIGINT)  # as a terminal's Ctrl-C, which torchrun passes on
    output = again.communicate(timeout=120)[0]
    step = json.loads((run / "status.json").read_text())["step"]
    assert f"stopped after step {step}; continue with: neuromas train --resume {run}" in output
    assert Run.open(run).checkpoints()[-1].name == f"step-{step:06d}"

    assert main(["train", "--resume", str(run), f"train.steps={step + 1}"]) == 0  # one process finishes it
    assert Run.open(run).finished


def test_errors_are_a_line_of_each_process_and_the_report_is_told_once(tmp_path):
    wrong = torchrun(*SMALL, "train.steps=1", "train.stpes=2")
    output = wrong.communicate(timeout=120)[0]
    assert all("unknown key 'train.stpes'" in line for line in ours(output))
    assert len(ours(output)) in (1, 2)  # torchrun may end one before it can say the same
    right = torchrun(*SMALL, "train.steps=1", f"run.directory={tmp_path / 'run'}")
    output = right.communicate(timeout=120)[0]
    assert right.returncode == 0
    assert output.count("run directory: ") == 1
    assert not ours(output)
    assert json.loads((tmp_path / "run/config.json").read_text())["train"]["chunks"] == 2
    # the same configuration finds its run, though it says nothing of pieces
    assert main(["train", *SMALL, "train.steps=1", f"run.directory={tmp_path / 'run'}", "--continue"]) == 0
