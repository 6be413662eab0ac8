"""A network with prompts of its user's own outlives their file; `neuromas prompts` shows every token."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest

from neuromas.cli import main
from neuromas.storage import Run

SMALL = [
    *("model.backbone=tiny", "model.dtype=float32", "model.device=cpu", "train.steps=2", "train.problems=2"),
    *("train.samples=2", "evaluate.test=2", "evaluate.validation=2", "evaluate.every=1", "task.options.n=4"),
    *("network.message_tokens=3", "network.answer_tokens=3", "run.checkpoint_every=1"),
]
OWN = """
examples = ["sink"]
[plain]
system = "Be brief."
hidden_cue = "Note:"
stop = ["line", "."]
[chat]
system = "Be brief."
[nodes.leaves]
role = "You are the careful one."
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working directory with a prompt file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.toml").write_text(OWN)
    return tmp_path


@pytest.fixture(scope="module", params=["plain", "chat"])
def trained(request, tmp_path_factory):
    """A folder with a run in either style that was interrupted, lost its prompt file, and went on."""
    from neuromas.core.interrupt import Interrupt

    folder = tmp_path_factory.mktemp("prompts")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        (folder / "own.toml").write_text(OWN)
        patch.setattr(Interrupt, "__enter__", lambda self: setattr(self, "asked", True) or self)
        words = [*SMALL, f"network.style={request.param}", "network.prompt=own.toml", "network.examples=2"]
        assert main(["train", *words, "--run", "run"]) == 130
        patch.undo()
        patch.chdir(folder)
        (folder / "own.toml").rename(folder / "gone.toml")
        assert main(["train", "--resume", "run"]) == 0
    return folder


@pytest.fixture
def copy(trained, tmp_path, monkeypatch):
    """A copy of that folder as the working directory."""
    folder = shutil.copytree(trained, tmp_path / "copy")
    monkeypatch.chdir(folder)
    return folder


def test_a_network_outlives_its_prompt_file_and_its_data(copy, cli):
    run = Run.open(copy / "run")
    assert run.finished
    assert (run.path / "prompt.toml").read_text() == OWN
    manifest = json.loads((run.handed_on / "network.json").read_text())
    assert manifest["prompts"] == "roles (own.toml)"
    assert len(manifest["examples"]) == 2
    assert "prompt.toml" in manifest["files"]
    (status, out, err) = cli("ask", "run", "What is it?", "--trace")
    assert (status, err) == (0, "")
    assert "answer" in out
    status, out, err = cli("prompts", "run")
    assert status == 0, err
    assert out.count("You are the careful one.") == 2
    assert "2 worked examples, shown to sink" in out
    assert cli("prune", "run", "--node", "1.1", "--out", "small")[0] == 0
    assert (copy / "small" / "prompt.toml").read_text() == OWN
    assert cli("ask", "small", "What is it?")[0] == 0
    assert cli("prompts", "small")[1].count("You are the careful one.") == 1
    status, _, err = cli("grow", "run", "--to", "2-2-1", "--steps", "1", "--run", "grown")
    assert status == 0, err
    grown = json.loads((Run.open(copy / "grown").handed_on / "network.json").read_text())
    assert [grown[key] for key in ("template", "examples")] == [
        manifest[key] for key in ("template", "examples")
    ]


def test_a_run_without_a_checkpoint_goes_on_with_its_copy(here, cli, monkeypatch):
    """The whole way in one run: interrupted before its first checkpoint, and the file moved away."""
    from neuromas.core.interrupt import Interrupt

    words = [*SMALL, "network.prompt=own.toml", "network.examples=1"]
    with monkeypatch.context() as patch:
        patch.setattr(Interrupt, "__enter__", lambda self: setattr(self, "asked", True) or self)
        assert cli("train", *words, "--run", "run")[0] == 130
    (here / "own.toml").unlink()
    shutil.rmtree(here / "run" / "checkpoints" / "step-000000")
    status, _, err = cli("train", "--resume", "run")
    assert status == 0, err
    assert json.loads((Run.open(here / "run").handed_on / "network.json").read_text())["prompts"]


def test_every_report_says_that_there_are_roles(copy, cli):
    mark = "prompts: roles (own.toml)"
    for words in (
        ["report", "run", "--page", "run"],
        ["runs", "."],
        ["show", "run"],
        ["compare", "run:test-before", "run"],
        ["lineage", "run"],
        ["prompts", "run"],
        ["topology", "2-1", "--prompt", "gone.toml", "--backbone", "tiny"],
    ):
        status, out, err = cli(*words)
        assert status == 0, err
        assert (mark if words[0] != "topology" else "prompts: roles (gone.toml)") in out, words
    assert "roles (own.toml)" in cli("evaluate", "run", "--items", "2")[1]
    assert cli("topology", "2-1", "--prompt", "gone.toml", "--svg", "net.svg")[0] == 0
    assert "prompts: roles (gone.toml)" in (copy / "net.svg").read_text()
    assert cli("lineage", "run", "--svg", "past.svg")[0] == 0
    assert mark in (copy / "past.svg").read_text()


def test_a_changed_file_or_copy_is_refused(copy, cli):
    """One line that says which file; nothing is trained."""
    (copy / "run" / "status.json").write_text('{"finished": false, "step": 2}')
    (copy / "own.toml").write_text(OWN + "# changed")
    status, out, err = cli("train", "--resume", "run")
    assert (status, out) == (2, "")
    assert err.startswith("neuromas: 'own.toml' was changed since run began")
    (copy / "own.toml").unlink()
    (copy / "run" / "prompt.toml").write_text(OWN + "# changed")
    assert "'run/prompt.toml' was changed since run began" in cli("train", "--resume", "run")[2]
    (copy / "run" / "prompt.toml").write_text(OWN)
    assert cli("train", "--resume", "run")[0] == 0
    checkpoint = Run.open(copy / "run").handed_on
    (checkpoint / "prompt.toml").write_text(OWN + "# changed")
    for words in (["ask", "run", "What?"], ["prompts", "run"], ["ask", str(checkpoint), "What?"]):
        status, out, err = cli(*words)
        assert (status, out) == (2, ""), words
        assert "prompt.toml is damaged or was changed" in err


def test_a_child_has_its_parents_prompts(copy, cli):
    style = json.loads((copy / "run" / "config.json").read_text())["network"]["style"]
    child = ["train", *SMALL, f"network.style={style}", "growth.parent=run"]
    stages = 'growth.stages=[["2-1", 1]]'
    words = [word for word in child if not word.startswith("train.steps")]
    status, _, err = cli(*words, stages, "--run", "a")
    assert status == 2
    assert "were trained with network.examples = 2, not 0" in err
    status, _, err = cli(*words, stages, "network.examples=2", "--run", "a")
    assert status == 2
    assert "were trained with other prompts" in err
    assert "go on with network.prompt = 'run/checkpoints/" in err
    assert not (copy / "a").exists()
    own = ["network.examples=2", "network.prompt=run/prompt.toml"]
    assert cli(*words, stages, *own, "--run", "a")[0] == 0


@pytest.mark.parametrize("what", ["template", "examples", "file", "control"])
def test_a_strangers_network_is_data(copy, cli, what):
    """Texts that are not those it was trained with, or no prompt file at all, are refused in one line."""
    path = Run.open(copy / "run").handed_on
    manifest = json.loads((path / "network.json").read_text())
    if what == "template":
        manifest["template"] = "e24cc39a1dd7"
    elif what == "examples":
        manifest["examples"] = [{"id": "x", "question": ["q"], "answer": "a"}]
    elif what == "file":
        del manifest["files"]["prompt.toml"]
    else:
        text = '[plain]\nmessage = "{text.__class__}\\n"\n'
        (path / "prompt.toml").write_text(text)
        manifest["files"]["prompt.toml"] = hashlib.sha256(text.encode()).hexdigest()
    (path / "network.json").write_text(json.dumps(manifest))
    for words in (["ask", "run", "What?"], ["prompts", "run"]):
        status, out, err = cli(*words)
        assert (status, out) == (2, "")
        assert len(err.splitlines()) == 1


def recorded(words, message):
    """Id of the second test problem and what an engine gets for it, node by node, all writing ``message``."""
    from neuromas.config import load_config
    from neuromas.engines.scripted import ScriptedEngine
    from neuromas.system.assemble import assemble
    from neuromas.system.rollout import Sampling, rollout

    assembly = assemble(load_config(None, words))
    engine = ScriptedEngine(lambda prompt, adapter: message)
    problem = assembly.task.problem("test", 1)
    rollout(replace(assembly.network, engine=engine), assembly.task, [problem], 1, Sampling(0.0, 0))
    requests = sorted((one for call in engine.calls for one in call.requests), key=lambda one: one.adapter)
    return problem.id, [(list(one.prefix), list(one.suffix)) for one in requests]


def test_prompts_prints_token_ids_that_a_rollout_sends(here, cli):
    """Through the command line: the ids of every node, and those that the engine got for the same problem."""
    for style in ("plain", "chat"):
        words = [*SMALL, f"network.style={style}", "network.prompt=own.toml", "network.examples=2"]
        status, out, err = cli(
            "prompts", *words, "--split", "test", "--item", "2", "--message", "x", "--json"
        )
        assert status == 0, err
        said = json.loads(out)
        problem, sent = recorded(words, "x")
        assert said["problem"] == problem
        assert [(n["prefix_ids"], n["suffix_ids"]) for n in said["nodes"]] == sent
        assert [n["tokens"] for n in said["nodes"]] == [len(a) + len(b) for a, b in sent]
        assert [sum(s["tokens"] for s in n["sections"]) for n in said["nodes"]] == [
            n["tokens"] for n in said["nodes"]
        ]


def test_prompts_shows_greedy_messages_of_a_run(copy, cli):
    status, out, err = cli("prompts", "run", "--greedy", "--json")
    assert status == 0, err
    sink = json.loads(out)["nodes"][-1]
    assert sink["suffix_ids"]
    assert sink["messages_at_most"] == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["prompts", "--greedy"], "--greedy, --device and --trust are for a RUN"),
        (["prompts", "none.toml"], "none.toml"),
        (["prompts", "network.prompt=none.toml"], "network.prompt = 'none.toml': No such file"),
        (["prompts", "--item", "0"], "not a whole number of at least 1"),
        (["prompts", "--split", "tset"], "invalid choice"),
        (["prompts", *SMALL, "network.prompt=own.toml", "network.topology=1-2"], "2-1|1-2"),
        (["train", *SMALL, "network.prompt=none.toml"], "network.prompt = 'none.toml': No such file"),
        (["train", *SMALL, "network.examples=65"], "network.examples = 65"),
        (
            ["train", *SMALL, "network.examples=1", "network.question=first"],
            "no node that reads the question",
        ),
        (["topology", "2-1", "--prompt", "none.toml"], "none.toml"),
        (["topology", "2-1", "--examples", "65"], "'65' is more than 64"),
    ],
)
def test_what_is_wrong_is_one_line_and_leaves_nothing(here, cli, words, says):
    status, out, err = cli(*words)
    assert (status, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert re.search(says, err), err
    assert [path.name for path in here.iterdir()] == ["own.toml"]


def test_prompts_too_long_are_found_before_training(here, cli):
    (here / "own.toml").write_text(f'[plain]\nsystem = "{"long " * 600}"\n')
    status, _, err = cli("train", *SMALL, "network.prompt=own.toml", "--run", "run")
    assert status == 2
    assert "node '1.1': a prompt of 3087 tokens" in err
    assert not (here / "run").exists()
    status, out, _ = cli("prompts", *SMALL, "network.prompt=own.toml")
    assert status == 0
    assert "exceed the context of 2048" in out


def test_a_command_that_prints_prompts_loads_no_weights(here):
    code = """
import sys
from neuromas.cli import main
main(["prompts", "model.backbone=tiny", "network.prompt=own.toml"])
assert not {"torch", "transformers", "numpy"} & set(sys.modules), sorted(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
