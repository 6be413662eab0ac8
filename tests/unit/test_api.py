"""The Python interface: five lines from import to a trained network that answers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import neuromas
from neuromas import api
from neuromas.config import make_config
from neuromas.core.errors import ConfigError, NeuromasError, RunError
from neuromas.system.asking import read_question
from neuromas.training import loop

SMALL = [
    "model.backbone=tiny",
    "model.dtype=float32",
    "model.device=cpu",
    "train.steps=2",
    "train.problems=2",
    "train.samples=2",
    "evaluate.test=4",
    "evaluate.every=0",
    "network.message_tokens=3",
    "network.answer_tokens=3",
    "network.question=split",
]
QUESTION = "What is the largest number? | 3, 17 | 12, 8"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return neuromas.train(neuromas.load_config(None, SMALL), tmp_path_factory.mktemp("api") / "run")


def test_five_lines(trained):
    answer = trained.ask(QUESTION)
    assert answer == trained.trace(QUESTION).turns[-1].text.strip()
    assert "gain" in trained.report()
    assert len(trained.evaluate(items=3).items) == 3
    assert trained.evaluate("validation", 2, "blank").summary["intervention"] == "blank"


def test_a_trained_network_is_found_again(trained):
    again = neuromas.load(trained.path)
    assert again.ask(QUESTION) == trained.ask(QUESTION)
    checkpoint = neuromas.load(trained.path / "checkpoints" / "step-000002")
    assert checkpoint.ask(QUESTION) == trained.ask(QUESTION)


def test_every_public_name_is_there():
    assert all(getattr(neuromas, name) is not None for name in neuromas.__all__)
    with pytest.raises(AttributeError, match="nonsense"):
        _ = neuromas.nonsense


def test_train_again_returns_what_is_there(trained, monkeypatch):
    monkeypatch.setattr(loop, "train_step", lambda *a: pytest.fail("trained again"))
    events = []
    again = neuromas.train(trained.assembly.config, str(trained.path), events.append)
    assert events == []
    assert again.ask(QUESTION) == trained.ask(QUESTION)
    other = neuromas.load_config(None, [*SMALL, "seed=1"])
    with pytest.raises(RunError, match="another configuration"):
        neuromas.train(other, trained.path)


def test_a_precision_that_is_left_open_is_that_of_the_run_that_is_there(trained, tmp_path):
    """What earlier versions wrote names bfloat16, which was the default."""
    path = shutil.copytree(trained.path, tmp_path / "run")
    settings = json.loads((path / "config.json").read_text())
    settings["model"]["dtype"] = "bfloat16"
    (path / "config.json").write_text(json.dumps(settings))
    left_open = [word for word in SMALL if not word.startswith("model.dtype")]
    assert neuromas.train(neuromas.load_config(None, left_open), path).path == path
    with pytest.raises(RunError, match=r"model.dtype = 'bfloat16' there, 'float32' here"):
        neuromas.train(neuromas.load_config(None, [*SMALL, "model.dtype=float32"]), path)


def test_naming_the_precision_a_run_chose_for_itself_changes_nothing(trained, tmp_path):
    path = shutil.copytree(trained.path, tmp_path / "run")
    settings = json.loads((path / "config.json").read_text())
    settings["model"]["dtype"] = "auto"
    (path / "config.json").write_text(json.dumps(settings))
    assert neuromas.train(neuromas.load_config(None, SMALL), path).path == path
    with pytest.raises(RunError, match=r"model.dtype = 'float32' there, 'bfloat16' here"):
        neuromas.train(neuromas.load_config(None, [*SMALL, "model.dtype=bfloat16"]), path)


def test_ctrl_c_is_not_taken_for_the_end(tmp_path):
    import os
    import signal

    config, path = neuromas.load_config(None, SMALL), tmp_path / "run"

    def watch(event):
        if event["event"] == "step":
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt, match="call it again"):
        neuromas.train(config, path, watch)
    assert neuromas.train(config, path).evaluate(items=1).summary["items"] == 1


@pytest.mark.parametrize("task", ["lookup", "arithmetic", "hier", "gym/chain_sum", "gym/letter_counting"])
def test_a_question_of_ones_own_is_answered_whatever_the_task_makes_of_it(task):
    """There is no gold answer to score against; a scorer that fails on that must not cost the answer."""
    changes = ["network.question=all", f"task.name={task}"]
    config = neuromas.load_config(None, [*SMALL, *changes])
    network = api.Trained(None, api.Assembly(config, *_parts(config)))
    episode = network.trace("How many?")
    assert len(episode.turns) == 3
    assert network.ask("How many?") == episode.turns[-1].text.strip()


def _parts(config):
    from neuromas.system.assemble import assemble

    assembly = assemble(config)
    return assembly.network, assembly.model, assembly.task


def test_questions_and_their_parts():
    assert read_question("a | b", 0).question == "a | b"
    problem = read_question(" what? | 1, 2 |3", 2)
    assert (problem.stem, problem.parts, problem.answer) == ("what?", ("1, 2", "3"), "")
    assert read_question("what? | 1 | 2 | 3", 2).parts == ("1", "2", "3")
    for text in ("", "  \n"):
        with pytest.raises(ConfigError, match="empty"):
            read_question(text, 0)
    with pytest.raises(ConfigError, match="in 3 parts; write it as 'what is asked"):
        read_question("what? | 1 | 2", 3)


def test_mistakes_are_neuromas_errors(trained, tmp_path):
    with pytest.raises(ConfigError, match="unknown split 'tset'"):
        trained.evaluate("tset")
    with pytest.raises(ConfigError, match="did you mean 'shuffle'"):
        trained.evaluate(messages="shufle", items=2)
    with pytest.raises(RunError, match="does not exist"):
        neuromas.load(tmp_path / "none")
    with pytest.raises(NeuromasError, match="did you mean 'max'"):
        neuromas.train(make_config({"task": {"name": "maxx"}}), tmp_path / "run")
    with pytest.raises(NeuromasError, match="do not fit"):
        trained.ask("x" * 3000 + " | 1 | 2")


@pytest.mark.parametrize("ask", [True, False])
def test_parts_that_stood_alone_in_training_are_asked_alone(ask):
    from neuromas.api import Trained
    from neuromas.system.assemble import assemble

    config = neuromas.make_config(
        {
            "model": {"backbone": "tiny", "dtype": "float32"},
            "network": {"question": "split"},
            "task": {"name": "arithmetic", "options": {"ask": ask}},
        }
    )
    trained = Trained(Path("none"), assemble(config))
    turn = trained.trace("What is A + B? | What is 1 + 2? | What is 3 + 4?").turns[0]
    prompt = trained.assembly.network.engine.codec.decode(turn.prefix_ids + turn.suffix_ids)
    assert "What is 1 + 2?" in prompt
    assert ("What is A + B?" in prompt) != ask
