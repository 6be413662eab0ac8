"""The engine ``vllm`` on real vLLM servers: ``make test-engines`` installs vLLM for CPUs and runs these."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from neuromas.config import make_config
from neuromas.core.errors import ModelError
from neuromas.engines.base import Request
from neuromas.engines.build import make_engine
from neuromas.engines.served.command import ENVIRONMENT, Server, command
from neuromas.models.adapters import LoraSpec
from neuromas.models.backbone import load_backbone
from neuromas.models.resident import ResidentModel
from neuromas.system import assemble as assembling
from neuromas.testing import check_engine
from neuromas.training.run import start
from parity import Parity
from watched import lines
from wide import wide_folder

PYTHON = os.environ.get("NEUROMAS_VLLM", "")
pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(not PYTHON, reason="needs vLLM in an environment of its own: make test-engines"),
]
PATIENCE = 300.0


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@contextmanager
def running(words, port, log):
    """The server of this command, once it answers; ended as Ctrl-C ends it."""
    environment = {**os.environ, **ENVIRONMENT, "VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1"}
    with log.open("w") as stream:
        server = subprocess.Popen(
            words, stdout=stream, stderr=stream, env=environment, start_new_session=True
        )
    try:
        until = time.monotonic() + PATIENCE
        while True:
            assert server.poll() is None, log.read_text()[-3000:]
            assert time.monotonic() < until, log.read_text()[-3000:]
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/models", timeout=2):
                    break
            except OSError:
                time.sleep(0.5)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.send_signal(signal.SIGINT)
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def started(config, log):
    """What ``neuromas engine start`` runs for a configuration, given as key=value."""
    port = free_port()
    urls = f'engine.options.urls=["http://127.0.0.1:{port}"]'
    words = [sys.executable, "-m", "neuromas.cli", "engine", "start", "--python", PYTHON, "--context", "1024"]
    return running([*words, "engine.name=vllm", urls, *config], port, log)


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    return wide_folder(tmp_path_factory.mktemp("wide"))


@pytest.fixture(scope="module")
def served(wide, tmp_path_factory):
    """A server of the wide tiny model in full precision, with room for three nodes."""
    config = [f"model.backbone={wide}", "model.dtype=float32", "network.topology=2-1", "model.rank=4"]
    with started(config, tmp_path_factory.mktemp("log") / "wide.log") as url:
        yield url


def resident(wide):
    model = ResidentModel.around(load_backbone(str(wide), "float32", "cpu"), LoraSpec(4, 6.0), 2, 0)
    generator = torch.Generator().manual_seed(0)
    for row in range(2):
        for _, _, up in model.bank.factors(row):
            up.copy_(torch.randn(up.shape, generator=generator) * 0.1)
    return model


def test_real_servers_keep_the_contract_of_an_engine(served, wide):
    check_engine("vllm", {"urls": [served]}, resident(wide))


def test_many_long_prompts_at_once_leave_a_server_alive(served, wide):
    """More than it reads in one step: with prompts in pieces, seeds ended a server on a CPU."""
    model = resident(wide)
    data = {"model": {"dtype": "float32"}, "engine": {"name": "vllm", "options": {"urls": [served]}}}
    engine = make_engine(make_config(data), model)
    engine.publish(model.bank)
    asked = [Request(i % 2, tuple(range(i, 190 + i // 2)) * 2, (), 1, i) for i in range(64)]
    assert len(engine.generate(asked, 1.0, frozenset())) == 64


def trained(path, backbone, dtype, url, **train):
    """Metrics of a short run on a task that pays random answers half of the time."""
    data = {
        "model": {"backbone": str(backbone), "dtype": dtype, "rank": 4, "alpha": 6.0},
        "engine": {"name": "vllm", "options": {"urls": [url]}},
        "network": {"topology": "2-1", "message_tokens": 8, "answer_tokens": 8},
        "train": {"steps": 3, "problems": 4, "samples": 4, "lr": 0.005, **train},
        "evaluate": {"every": 0, "validation": 2, "test": 2},
    }
    start(make_config(data), path)
    return lines(path / "metrics.jsonl")


@pytest.fixture
def parity(monkeypatch):
    monkeypatch.setattr(assembling, "make_task", lambda name, options: Parity())


def test_training_in_full_precision_learns_what_was_sampled(served, wide, tmp_path, parity):
    rows = trained(tmp_path / "run", wide, "float32", served)
    assert len(rows) == 3
    assert max(row["sampler_drift"] for row in rows) < 1e-4
    assert max(norm for row in rows for norm in row["gradient_norm"]) > 0


def test_log_probabilities_before_the_temperature_are_found_at_the_start(wide, tmp_path):
    port = free_port()
    words = command(PYTHON, Server(str(wide), "float32", 3, 8, port=port, context=1024, cpu=True))
    at = words.index("--logprobs-mode")
    del words[at : at + 2]
    with running(words, port, tmp_path / "raw.log") as url:
        model = resident(wide)
        data = {"model": {"dtype": "float32"}, "engine": {"name": "vllm", "options": {"urls": [url]}}}
        engine = make_engine(make_config(data), model)
        with pytest.raises(ModelError, match="before the temperature, or ignores it"):
            engine.publish(model.bank)


@pytest.mark.real
def test_smollm2_in_bf16_trains_with_little_drift(tmp_path, parity):
    config = ["model.backbone=smollm2-135m", "network.topology=2-1", "model.rank=4"]
    with started(config, Path(tmp_path) / "smol.log") as url:
        rows = trained(tmp_path / "run", "smollm2-135m", "bfloat16", url, steps=2, lr=1e-4)
    assert 0 < max(row["sampler_drift"] for row in rows) < 0.15
