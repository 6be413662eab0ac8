"""``neuromas engine start``: the right flags for the configuration's networks, or one line."""

from __future__ import annotations

import shlex
import sys

import pytest

from neuromas.cli import main
from neuromas.core.errors import ConfigError
from neuromas.engines.served.command import RANKS, Server, command


@pytest.fixture
def model(tmp_path):
    """A folder that looks like a model's."""
    (tmp_path / "config.json").write_text("{}")
    return tmp_path


def printed(capsys, *words):
    """Environment and flags of the command that is printed."""
    assert main(["engine", "start", "--print", "engine.name=vllm", *words]) == 0
    first, *rest = shlex.split(capsys.readouterr().out)
    assert first == "VLLM_ALLOW_RUNTIME_LORA_UPDATING=1"
    assert rest[1:3] == ["-m", "vllm.entrypoints.openai.api_server"]
    return {flag: value for flag, value in zip(rest, [*rest[1:], ""], strict=True) if flag.startswith("--")}


def test_the_flags_are_those_of_the_configuration(capsys, model):
    where = f"model.backbone={model}"
    flags = printed(capsys, where, "network.topology=3-2-1", "model.rank=12", "model.dtype=float32")
    assert flags["--model"] == str(model)
    assert (flags["--max-loras"], flags["--max-lora-rank"]) == ("7", "16")  # six nodes and the frozen model
    assert (flags["--dtype"], flags["--port"], flags["--host"]) == ("float32", "8000", "127.0.0.1")
    assert flags["--logprobs-mode"] == "processed_logprobs"
    assert flags["--generation-config"] == "vllm"
    assert "--max-model-len" not in flags
    assert "--no-enable-chunked-prefill" in printed(capsys, where, "model.device=cpu")
    assert printed(capsys, where, "network.topology=3-1", "network.share=all")["--max-loras"] == "2"
    grown = printed(capsys, where, 'growth.stages=[["2-1", 3], ["4-1", 3]]')
    assert grown["--max-loras"] == "6"


def test_each_of_several_servers_has_its_port(capsys, model):
    urls = 'engine.options.urls=["http://127.0.0.1:8001", "http://127.0.0.1:8002/v1"]'
    words = (f"model.backbone={model}", urls, "--context", "512")
    assert printed(capsys, *words)["--port"] == "8001"
    flags = printed(capsys, *words, "--server", "2")
    assert (flags["--port"], flags["--max-model-len"]) == ("8002", "512")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["engine.name=local"], "engine.name = 'local' needs no server"),
        (["model.backbone=tiny"], "'tiny' has no files"),
        (["--server", "2"], "--server 2: engine.options.urls is ['http://127.0.0.1:8000']"),
        (["engine.options.urls=[]"], "--server 1: engine.options.urls is []"),
        (["engine.options.urls=['nowhere']"], "'nowhere' is no server's address"),
        (["model.backbone=/no/such/place"], "no such folder"),
    ],
)
def test_what_cannot_be_served_is_one_line(capsys, model, words, says):
    given = ["engine.name=vllm", f"model.backbone={model}", *words]
    assert main(["engine", "start", "--print", *given]) == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1


def test_an_interpreter_without_vllm_is_named(capsys, model):
    words = ["engine", "start", "engine.name=vllm", f"model.backbone={model}"]
    assert main([*words, "--python", sys.executable]) == 2
    assert f"{sys.executable} has no vLLM" in capsys.readouterr().err
    assert main([*words, "--python", "/no/python"]) == 2
    assert "'/no/python' cannot be run" in capsys.readouterr().err


def test_the_largest_rank_is_rounded_up_to_one_that_vllm_knows():
    def largest(rank):
        words = command("python", Server("folder", "bfloat16", 3, rank))
        return int(words[words.index("--max-lora-rank") + 1])

    assert [largest(rank) for rank in (1, 2, 8, 9, 257, 321, 512)] == [1, 8, 8, 16, 320, 512, 512]
    assert all(largest(rank) == rank for rank in RANKS)
    assert "--no-enable-chunked-prefill" not in command("python", Server("folder", "bfloat16", 3, 8))
    with pytest.raises(ConfigError, match="up to 512, not 513"):
        largest(513)
