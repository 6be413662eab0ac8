"""An experiment through the real command line on the tiny model: whole, continued, interrupted, repeated."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import torch

from neuromas.cli import main
from neuromas.experiment import fitting
from neuromas.experiment.launchers import local
from neuromas.report.charts import drawing
from neuromas.storage import Run
from neuromas.system import assemble
from parity import Parity

HEAD = """
name = "mini"
seeds = [0, 1]
[base]
model = { backbone = "tiny", dtype = "float32", device = "cpu", rank = 4 }
network = { question = "first", message_tokens = 3, answer_tokens = 3 }
task = { name = "max", options = { n = 4 } }
train = { problems = 2, samples = 4, lr = 0.01, warmup = 1 }
evaluate = { every = 1, validation = 6, test = 12 }
"""
MINI = (
    HEAD
    + """
[[arms]]
name = "small"
stages = [["1-1", 2], ["1-1", 1]]
[[arms]]
name = "grown"
stages = [["1-1", 2], ["2-1", 1]]
growth.init = "clone"
[[arms]]
name = "clones"
of = "small:1"
votes = 3
temperature = 1.0
[[compare]]
first = "small:2"
second = "grown:2"
why = "equal steps"
[[compare]]
first = "clones"
second = "grown"
"""
)


class Inline:
    """A cell's process, in ours: a process of its own would load torch anew."""

    stdin = None

    def __init__(self, cell, environment) -> None:
        command = cell.command()
        words = command[command.index("-m") + 2 :]
        with cell.log.open("w") as log, contextlib.redirect_stderr(log), contextlib.redirect_stdout(log):
            self.status = main(words)

    def poll(self) -> int:
        return self.status


@pytest.fixture(autouse=True)
def one_thread():
    """As every cell has; the tiny model gains nothing from more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def cells(monkeypatch):
    """Cells run in our process, on a task that random text solves half the time; their names."""
    began = []

    def launch(cell, environment):
        began.append(cell.name)
        return Inline(cell, environment)

    monkeypatch.setattr(local, "launch", launch)
    for module in (assemble, fitting):
        monkeypatch.setattr(module, "make_task", lambda name, options: Parity())
    return began


@pytest.fixture
def mini(tmp_path):
    path = tmp_path / "mini.toml"
    path.write_text(MINI)
    return path


def numbers(out: Path) -> dict:
    """What must be equal between runs: all but birth and seconds."""
    found = json.loads((out / "results.json").read_text())
    found.pop("about")
    for point in found["points"]:
        for spent in (point["spent"], *(seed["spent"] for seed in point["seeds"])):
            spent.pop("seconds")
    return found


def test_a_whole_experiment_again_and_in_parts(mini, tmp_path, cells, cli, monkeypatch):
    out = tmp_path / "out"
    status, said, err = cli("experiment", mini, "--out", out)
    assert (status, err) == (0, "")
    assert len(cells) == 6
    assert [name.rpartition("-")[2] for name in cells] == ["0"] * 3 + ["1"] * 3
    first_line, _, rest = said.partition("\n")
    assert first_line.startswith("smallest difference between two arms that 12 test questions show")
    assert "of ways to train none, which takes 3 seeds" in first_line
    assert rest.startswith("[1/6] max/small/seed-0  in 0:0")
    assert "small:2 -> grown:2 (equal steps)" in said
    assert "with Holm" in said
    first = numbers(out)
    (small, _, _, grown, clones) = first["points"]
    assert 0 < small["accuracy"] < 1
    assert small["spent"] == {"steps": 2, "calls": 32, **{k: small["spent"][k] for k in TOKENS}}
    assert (grown["spent"]["steps"], grown["spent"]["calls"]) == (3, 32 + 24)
    assert (clones["votes"], clones["calls_a_question"], clones["spent"]) == (3, 6, small["spent"])
    assert json.loads((out / "results.json").read_text())["about"]["versions"]["neuromas"]
    ET.fromstring((out / "figure.svg").read_text())

    # a cell that is gone, and with it the votes of its network, are made again; the rest stays
    shutil.rmtree(out / "cells" / "max" / "small" / "seed-1")
    cells.clear()
    status, said, _ = cli("experiment", mini, "--out", out)
    assert status == 0
    assert cells == ["max/small/seed-1", "max/clones/seed-1"]
    assert said.count("was already finished") == 4
    assert numbers(out) == first

    cells.clear()
    (out / "results.json").unlink()
    status, again, _ = cli("experiment", mini, "--out", out, "--report")
    assert cells == []
    assert again.strip() in said
    assert numbers(out) == first, "a report writes what it says"
    status, table, _ = cli("experiment", mini, "--out", out, "--report", "--csv")
    costs = "steps,calls,read,written,FLOPs,trainable,calls/question"
    assert table.startswith(f"arm:stage,network,nodes,{costs},accuracy,each seed\n")
    assert "small:2,grown:2,2,12," in table, "comparisons, too"
    assert cli("report", out, "--page", "experiment")[1].split("\ncomparisons: ")[0] in again
    assert "--csv goes with --report" in cli("experiment", mini, "--out", out, "--csv")[2]
    assert cli("experiment", mini, "--out", tmp_path / "other")[0] == 0
    assert numbers(tmp_path / "other") == first, "from scratch"

    (out / "figure.svg").write_text("of before")
    drawing._check_room.cache_clear()
    monkeypatch.setattr(drawing.resource, "getrlimit", lambda which: (8 << 30, -1))
    status, said, _ = cli("experiment", mini, "--out", out, "--report")
    assert status == 0
    assert "small:2 -> grown:2 (equal steps)" in said, "the tables are there all the same"
    assert "results.json; no figure: charts need 66 GB of addresses" in said
    assert "(that of an earlier report stays: figure.svg)\n" in said
    assert (out / "figure.svg").read_text() == "of before"


TOKENS = ("prompt_tokens", "new_tokens")


def test_the_votes_are_those_of_the_stages_network(mini, tmp_path, cells, cli):
    out = tmp_path / "out"
    mini.write_text(MINI.replace("seeds = [0, 1]", "seeds = [0]"))
    assert cli("experiment", mini, "--out", out)[0] == 0
    run = out / "cells" / "max" / "small" / "seed-0"
    kept = Run(run).evaluation("vote-3-at-1.0-stage-1-of-12")[1]
    # greedily, the network of that stage gives what the stage's own evaluation holds
    status, _, err = cli("evaluate", run, "--stage", 1, "--items", 12, "--name", "greedy")
    assert status == 0, err
    assert Run(run).evaluation("greedy")[1] == Run(run).evaluation("stage-1")[1]
    status, said, _ = cli("evaluate", run, "--stage", 1, "--items", 12, "--votes", 3, "--temperature", 1)
    assert "kept as 'test-12-votes-3-1.0-stage-1'" in said
    assert Run(run).evaluation("test-12-votes-3-1.0-stage-1")[1] == kept


def test_a_cell_that_fails_is_named_and_the_rest_is_compared(mini, tmp_path, cells, cli, monkeypatch):
    out = tmp_path / "out"
    mini.write_text(MINI.replace("seeds = [0, 1]", "seeds = [0]").replace('"2-1", 1', '"2-1", 2'))
    (out / "cells" / "max" / "grown" / "seed-0").mkdir(parents=True)
    (out / "cells" / "max" / "grown" / "seed-0" / "mine.txt").write_text("not a run")
    status, said, _ = cli("experiment", mini, "--out", out)
    assert status == 1
    assert "grown/seed-0  failed: " in said
    assert "is not empty and not a run" in json.loads((out / "failures.json").read_text())["max/grown/seed-0"]
    assert "not run of max: grown\n" in said
    assert "comparisons that wait for what was not run: " in said
    assert "name another directory" in said.splitlines()[-2]
    assert len(cells) == 3


def test_ctrl_c_saves_every_cell_and_the_experiment_goes_on(tmp_path, cli, monkeypatch):
    """With real processes: each saves a checkpoint, says nothing of a crash, and is continued."""
    path, out = tmp_path / "long.toml", tmp_path / "my out"
    path.write_text(
        HEAD.replace("every = 1", "every = 0").replace("seeds = [0, 1]", "seeds = [0]")
        + '[[arms]]\nname = "long"\nstages = [["1-1", 30], ["1-1", 30]]\n'
    )
    command = [sys.executable, "-m", "neuromas.cli", "experiment", str(path), "--out", str(out)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    run = out / "cells" / "max" / "long" / "seed-0"
    until = time.monotonic() + 90
    while not (run / "metrics.jsonl").is_file() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    said, err = process.communicate(timeout=90)
    assert process.returncode == 130, (said, err)
    assert err == ""
    assert f"stopped; 0 of 1 cells are finished; continue with: neuromas experiment {path}" in said
    assert f"--out '{out}'" in said
    log = run.with_suffix(".log").read_text()
    assert "Traceback" not in log
    assert "interrupted; checkpoint of step" in log
    assert not (out / "failures.json").exists()
    born, reached = Run(run).read("run.json"), Run(run).read("status.json")["step"]
    assert 0 < reached < 60
    monkeypatch.setattr(local, "launch", Inline)
    status, said, _ = cli("experiment", path, "--out", out)
    assert status == 0
    assert Run(run).read("run.json") == born
    assert [row["step"] for row in Run(run).lines("metrics.jsonl")] == list(range(60))


LONG = HEAD.replace("every = 1", "every = 0").replace("seeds = [0, 1]", "seeds = [0]") + (
    '[[arms]]\nname = "long"\nstages = [["1-1", 20], ["1-1", 20]]\n'
)


def poisoned(folder: Path) -> Path:
    """A folder of modules with the names of everything that is imported; ``ran`` is there once one was."""
    folder.mkdir()
    others = ("torch", "numpy", "neuromas", "sitecustomize", "filelock", "wandb")
    for name in (*sys.stdlib_module_names, *others):
        (folder / f"{name}.py").write_text(f"open({str(folder / 'ran')!r}, 'a').write({name + ' '!r})\n")
    return folder


def stat(pid: int) -> list[str]:
    """State, parent and more of a process; a zombie is as good as gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ["X", "0"]


def children(pid: int) -> list[int]:
    every = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    return [child for child in every if stat(child)[1] == str(pid)]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
@pytest.mark.skipif(not os.environ.get("NEUROMAS_KILLS"), reason="waits for whole processes: make kill")
def test_a_killed_experiment_takes_its_cells_along_and_is_started_again_at_once(tmp_path):
    """With real processes, from a folder whose files nobody may import."""
    here, out = poisoned(tmp_path / "here"), tmp_path / "out"
    (here / "long.toml").write_text(LONG)
    command = [sys.executable, "-P", "-m", "neuromas.cli", "experiment", "long.toml", "--out", str(out)]
    run = out / "cells" / "max" / "long" / "seed-0"
    process = subprocess.Popen(command, cwd=here, stdout=subprocess.DEVNULL)
    until = time.monotonic() + 90
    while not (run / "metrics.jsonl").is_file() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    cells = children(process.pid)
    assert len(cells) == 1, run.with_suffix(".log").read_text()
    process.kill()
    process.wait()
    again = subprocess.run(command, cwd=here, capture_output=True, text=True, timeout=90, check=False)
    assert all(stat(cell)[0] in "ZX" for cell in cells)
    assert (again.returncode, again.stderr) == (0, ""), again.stdout
    assert "failed" not in again.stdout
    assert [row["step"] for row in Run(run).lines("metrics.jsonl")] == list(range(40))
    assert not (here / "ran").exists(), (here / "ran").read_text()


def test_a_cell_whose_run_another_process_works_on_waits(tmp_path, cells, cli):
    path, out = tmp_path / "long.toml", tmp_path / "out"
    path.write_text(LONG.replace("20", "1"))
    run = Run(out / "cells" / "max" / "long" / "seed-0")
    run.path.mkdir(parents=True)
    lock = run.lock()
    lock.__enter__()
    timer = threading.Timer(0.5, lock.__exit__, (None, None, None))
    timer.start()
    status, said, err = cli("experiment", path, "--out", out)
    timer.join()
    assert (status, err) == (0, "")
    waits, ends = said.split("\n")[1:3]
    assert waits.startswith("[0/1] max/long/seed-0  waits: another process is working on its run")
    assert ends.startswith("[1/1] max/long/seed-0  in 0:0")


def test_cells_that_are_compared_have_read_the_same(mini, tmp_path, cells, cli):
    data, out = tmp_path / "data.jsonl", tmp_path / "out"
    data.write_text("{}\n")
    task = f'{{ name = "file", options = {{ path = "{data}" }} }}'
    mini.write_text(MINI.replace('{ name = "max", options = { n = 4 } }', task).replace("[0, 1]", "[0]"))
    assert cli("experiment", mini, "--out", out)[0] == 0
    shutil.rmtree(out / "cells" / "file" / "grown")
    data.write_text("{} \n")
    cells.clear()
    status, said, err = cli("experiment", mini, "--out", out)
    assert (status, cells) == (2, [])
    assert said.startswith("smallest difference"), said
    assert len(said.splitlines()) == 1
    assert f"'{data}' was changed since" in err
    assert len(err.splitlines()) == 1
    data.write_text("{}\n")
    assert cli("experiment", mini, "--out", out)[0] == 0


def test_two_at_once_are_refused(mini, tmp_path, cli):
    out = tmp_path / "out"
    out.mkdir()
    with Run(out).lock():
        status, _, err = cli("experiment", mini, "--out", out)
    assert status == 2
    assert "another process is working on" in err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("experiment", "required: EXPERIMENT.toml"),
        ("experiment none.toml", "experiment 'none.toml': No such file"),
        ("experiment mini.toml --jobs 0", "not a whole number of at least 1"),
        ("experiment mini.toml --out mini.toml", "is not a folder"),
        ("experiment bad.toml", "unknown arm 'smal'; did you mean 'small'?"),
        ("evaluate none --votes 0", "not a whole number of at least 1"),
        ("evaluate none --votes 3", "run 'none' does not exist"),
        ("evaluate none --temperature 1", "--temperature is that of --votes"),
        ("evaluate none --votes 2 --messages blank", "--votes and --messages blank do not go together"),
        ("evaluate none --stage 1", "run 'none' does not exist"),
    ],
)
def test_what_cannot_be_is_one_line(mini, cli, monkeypatch, words, says):
    monkeypatch.chdir(mini.parent)
    Path("bad.toml").write_text(MINI.replace('first = "small:2"', 'first = "smal"'))
    status, out, err = cli(*words.split())
    assert (status, out) == (2, "")
    assert says in err
    assert len(err.splitlines()) == 1
    assert not [name for name in os.listdir() if name not in ("mini.toml", "bad.toml")]


ORGANISED = """
name = "organised"
seeds = [0]
[base]
model = { backbone = "tiny", dtype = "float32", device = "cpu", rank = 4 }
network = { message_tokens = 3, answer_tokens = 3 }
task = { name = "arithmetic", options = { operators = "+", ask = true, depth = 1, parts = 1 } }
train = { problems = 2, samples = 4, lr = 0.01, warmup = 1 }
growth = { init = "copy" }
evaluate = { every = 1, validation = 4, test = 6 }
[[arms]]
name = "grown"
start = "step:1"
stages = [{ shape = "2-1", steps = 1, view = ["split", "all"], task = { depth = 2, parts = 2 } }]
[[arms]]
name = "step"
stages = [{ shape = "1", steps = 2, task = { depth = 1 } }, { shape = "1", steps = 1, task = { depth = 1 } }]
[[arms]]
name = "copies"
start = "step:1"
stages = [{ shape = "2-1", steps = 0, question = "split", task = { depth = 2, parts = 2 } }]
[[arms]]
name = "other"
stages = [["1", 1]]
[[arms]]
name = "swapped"
of = "grown"
messages = "blank"
positions = "swapped"
"""


@pytest.fixture
def inline(monkeypatch):
    """Cells run in our process; their names as they begin."""
    began = []

    def launch(cell, environment):
        began.append(cell.name.split("/")[1])
        return Inline(cell, environment)

    monkeypatch.setattr(local, "launch", launch)
    return began


def test_arms_start_where_others_ended_in_parts_and_again_after_a_kill(tmp_path, inline, cli):
    file, out = tmp_path / "organised.toml", tmp_path / "out"
    file.write_text(ORGANISED)
    status, said, err = cli("experiment", file, "--out", out, "--arms", "swapped")
    assert (status, err) == (0, "")
    assert inline == ["step", "grown", "swapped"], "what it needs, in the order it is needed"
    assert "[3/3] arithmetic/swapped/seed-0" in said
    status, said, _ = cli("experiment", file, "--out", out, "--tasks", "arithmetic", "--seeds", "0")
    assert (status, inline[3:]) == (0, ["copies", "other"]), "the rest, into the same folder"
    points = {f"{p['arm']}:{p['stage']}": p for p in json.loads((out / "results.json").read_text())["points"]}
    calls = {name: point["spent"]["calls"] for name, point in points.items()}
    assert calls["grown:1"] == calls["step:1"] + 8 * 3, "2 problems, 4 samples, 3 nodes"
    assert calls["copies:1"] == calls["step:1"]
    assert points["grown:1"]["trainable"] == 3 * points["step:1"]["trainable"]
    run = Run(out / "cells" / "arithmetic" / "grown" / "seed-0")
    assert "step" in run.read("config.json")["growth"]["parent"]
    summary = run.read("evaluations/asked-blank-swapped-stage-1-of-6.json")
    assert (summary["intervention"], summary["positions"]) == ("blank", "swapped")
    first = numbers(out)

    # killed before its end: the run goes on from its checkpoint and says the same
    shutil.rmtree(run.path / "evaluations")
    run.write("status.json", {**run.read("status.json"), "finished": False})
    assert cli("experiment", file, "--out", out)[0] == 0
    assert inline[5:] == ["grown", "swapped"]
    assert numbers(out) == first


BLANK_AND_SHUFFLED = """
[[arms]]
name = "silent"
of = "grown"
messages = "blank"
[[arms]]
name = "mixed"
of = "grown"
messages = "shuffle"
"""


def test_what_a_run_asked_at_its_end_is_not_asked_again(tmp_path, inline, cli):
    file, out = tmp_path / "organised.toml", tmp_path / "out"
    file.write_text(ORGANISED + BLANK_AND_SHUFFLED)
    both = ["experiment", file, "--out", out, "--arms", "silent,mixed"]
    assert cli(*both)[0] == 0
    assert inline == ["step", "grown"], "blanked and shuffled messages are part of a run's own final tests"
    kept = out / "cells" / "arithmetic" / "grown" / "seed-0" / "evaluations"
    first = numbers(out)
    for way in ("blank", "shuffle"):
        (kept / f"test-after-{way}.json").unlink()
    assert cli(*both)[0] == 0
    assert inline[2:] == ["silent", "mixed"], "of a run that did not, each is"
    assert numbers(out) == first
    for way in ("blank", "shuffle"):
        told = (kept / f"test-after-{way}.jsonl").read_text()
        assert told == (kept / f"asked-{way}-own-stage-1-of-6.jsonl").read_text()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--arms", "grwn"], "unknown arm of the experiment 'grwn'; did you mean 'grown'?"),
        (["--tasks", "sums"], "unknown task of the experiment 'sums'"),
        (["--seeds", "7"], "unknown seed of the experiment '7' (valid: 0)"),
        (["--seeds", "x"], "--seeds 'x': a seed is a whole number"),
    ],
)
def test_a_part_that_is_not_there_is_one_line_and_nothing_is_written(tmp_path, cli, words, says, monkeypatch):
    def slow(*_):
        raise AssertionError("every arm is gone through before a name is refused")

    monkeypatch.setattr("neuromas.experiment.plan.rehearse_plan", slow)
    monkeypatch.setattr("neuromas.experiment.cells.lay_out", slow)
    file, out = tmp_path / "organised.toml", tmp_path / "out"
    file.write_text(ORGANISED)
    status, said, err = cli("experiment", file, "--out", out, *words)
    assert (status, said) == (2, "")
    assert says in err
    assert len(err.splitlines()) == 1
    assert not out.exists()
