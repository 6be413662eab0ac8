"""The engine of vLLM servers, against a stub that speaks their protocol with our own sampler behind it."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

pytest.importorskip("openai", reason="needs pip install 'neuromas[endpoint]'")

from neuromas.config import make_config
from neuromas.core.errors import ConfigError, DivergedError, ModelError
from neuromas.engines.base import Request
from neuromas.engines.build import make_engine
from neuromas.engines.served.client import Access, Completion, Drawing, Servers, plain_url
from neuromas.learner import conformance
from neuromas.system import assemble as assembling
from neuromas.testing import check_engine, tiny_resident_model
from neuromas.training.run import start
from parity import Parity
from stub_vllm import StubVllm
from watched import lines

FREE = Drawing(1.0, frozenset())


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def model():
    return tiny_resident_model()


@pytest.fixture
def parity(monkeypatch):
    """A task that pays random answers half of the time."""
    monkeypatch.setattr(assembling, "make_task", lambda name, options: Parity())


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def settings(*urls, **options):
    """A configuration with these servers, tried once."""
    options = {"urls": list(urls), "retries": 0, **options}
    return make_config({"model": {"dtype": "float32"}, "engine": {"name": "vllm", "options": options}})


def engine_of(model, *urls, **options):
    return make_engine(settings(*urls, **options), model)


def requests(model, count=4):
    prompt = model.backbone.codec.encode("Question: 2 + 3\n")
    return [Request(i % 2, prompt, (), 5, 100 + i) for i in range(count)]


def test_it_keeps_the_contract_of_an_engine(monkeypatch, model):
    monkeypatch.setattr(conformance, "_DRAWS", 32)
    with StubVllm() as stub:
        check_engine("vllm", {"urls": [stub.url], "probe": "start"}, model)
    names, paths = zip(*stub.loaded, strict=True)
    assert len(set(names)) == len(set(paths)) == len(stub.loaded)


def run_of(path, engine):
    data = {
        "model": {"backbone": "tiny", "dtype": "float32", "rank": 4, "alpha": 6.0},
        "engine": engine,
        "network": {"topology": "2-1", "message_tokens": 6, "answer_tokens": 5},
        "train": {"steps": 2, "problems": 2, "samples": 3, "lr": 0.01},
        "evaluate": {"every": 0, "validation": 2, "test": 2},
    }
    start(make_config(data), path)
    kept = [lines(path / f"{name}.jsonl") for name in ("episodes", "metrics")]
    return [[{key: value for key, value in row.items() if key != "seconds"} for row in rows] for rows in kept]


def test_a_run_is_the_same_as_with_the_local_engine(tmp_path, parity):
    with StubVllm() as stub:
        served = run_of(tmp_path / "served", {"name": "vllm", "options": {"urls": [stub.url]}})
    episodes, metrics = run_of(tmp_path / "local", {"name": "local"})
    assert served[0] == episodes
    for mine, theirs in zip(served[1], metrics, strict=True):
        assert mine.keys() == theirs.keys()
        same = {key: value for key, value in theirs.items() if key not in ("sampler_drift", "phases")}
        assert {key: mine[key] for key in same} == same
        assert mine["sampler_drift"] < 1e-5
    assert len(stub.loaded) == 2 + 3 * 3  # the probe's pair, and three nodes at the start and after each step
    assert stub.most > 1


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("base", "the adapters do nothing there"),
        ("swap", "the adapter of another node"),
        ("hot", "before the temperature, or ignores it"),
        ("cut", r"here: start .* --dtype float32, or train with model\.dtype=bfloat16"),
        ("unseeded", "two equal requests with one seed differently"),
        ("deaf", "seed or temperature is ignored"),
        ("short", "stopped at neither an end token nor its limit of 8"),
        ("lost", "was read as another of"),
        ("old", "without token ids and log-probabilities"),
        ("garbled", "answers what cannot be read|without token ids"),
        ("no-runtime", "VLLM_ALLOW_RUNTIME_LORA_UPDATING=1"),
    ],
)
def test_the_probe_at_the_start_names_what_is_wrong(model, fault, says):
    with StubVllm(fault) as bad, StubVllm() as good:
        engine = engine_of(model, good.url, bad.url)
        with pytest.raises(ModelError, match=says) as caught:
            engine.publish(model.bank)
        assert bad.url in str(caught.value)
        assert "\n" not in str(caught.value)


def changed(bank, row, size):
    """Moves one adapter."""
    with torch.no_grad():
        bank.parameters[row] += size * torch.randn(bank.parameters[row].shape)
    bank.versions[row] += 1


def test_an_adapter_that_stays_old_is_found_when_it_is_published():
    model = tiny_resident_model()
    with StubVllm("stale") as stub:
        engine = engine_of(model, stub.url)
        engine.publish(model.bank)
        changed(model.bank, 1, 0.1)
        with pytest.raises(ModelError, match="still writes with an earlier version"):
            engine.publish(model.bank)


def test_drift_in_training_is_explained_by_a_probe(tmp_path, parity):
    with StubVllm("stale") as stub:
        options = {"urls": [stub.url], "probe": "start"}
        data = {"name": "vllm", "options": options}
        with pytest.raises(DivergedError, match=r"disagree by .*; server http.*nats a token from what"):
            run_with_drift(tmp_path / "run", data)


def run_with_drift(path, engine):
    data = {
        "model": {"backbone": "tiny", "dtype": "float32", "rank": 4, "alpha": 6.0},
        "engine": engine,
        "network": {"topology": "1", "answer_tokens": 5},
        "train": {"steps": 4, "problems": 4, "samples": 4, "lr": 0.05, "max_kl": 0},
        "alarms": {"drift": 1e-4},
        "evaluate": {"every": 0, "validation": 2, "test": 2},
    }
    start(make_config(data), path)


def test_only_what_changed_is_published_and_nothing_stays_behind(place):
    model = tiny_resident_model(adapters=3)
    with StubVllm() as stub:
        engine = engine_of(model, stub.url, probe="off")
        engine.publish(model.bank)
        engine.publish(model.bank)
        assert [name.split("-")[2] for name, _ in stub.loaded] == ["0", "1", "2"]
        changed(model.bank, 1, 0.1)
        engine.publish(model.bank)
        path = stub.loaded[-1][1]
        assert (len(stub.loaded), engine.version(1), engine.version(0)) == (4, 1, 0)
        assert stub.unloaded == [stub.loaded[1][0]]
        folder = Path(path).parent
        assert folder.stat().st_mode & 0o077 == 0
        assert sorted(one.name for one in folder.iterdir()) == sorted(stub.paths)
        del model.bank.parameters[2:], model.bank.ranks[2:], model.bank.versions[2:]
        engine.publish(model.bank)
        assert len(stub.paths) == 2
        del engine
        gc.collect()
        assert list(place.iterdir()) == []


def test_a_publishing_that_failed_is_done_again(place):
    model = tiny_resident_model()
    with StubVllm("no-runtime") as stub:
        engine = engine_of(model, stub.url, probe="off")
        with pytest.raises(ModelError, match="refuses /load_lora_adapter"):
            engine.publish(model.bank)
        stub.fault = ""
        engine.publish(model.bank)
        assert len(engine.generate(requests(model), 1.0, frozenset())) == 4


def ids(messages):
    """What was drawn; probabilities are rounded by what else is in the batch."""
    return [message.ids for message in messages]


def test_servers_share_the_work_and_stand_in_for_one_that_is_gone(model):
    asked = [Completion("served", (65 + i,), 3, i) for i in range(8)]
    with StubVllm() as one, StubVllm() as other:
        servers = Servers(Access((one.url, other.url), concurrency=2, retries=0))
        whole = ids(servers.complete(asked, FREE))
        assert (len(one.asked), len(other.asked)) == (4, 4)
        assert max(one.most, other.most) <= 2
        other.failing = [500] * 4
        assert ids(servers.complete(asked, FREE)) == whole
        gone = Servers(Access((one.url, "http://127.0.0.1:9"), retries=0))
        assert ids(gone.complete(asked, FREE)) == whole
        lost = Servers(Access(("http://127.0.0.1:9",), retries=0)).attempt(asked, FREE)
        assert all("http://127.0.0.1:9 cannot be reached" in str(error) for error in lost)


def test_a_server_in_trouble_is_tried_again_and_then_named(model):
    asked = [Completion("served", (65,), 3, 1)]
    with StubVllm() as stub:
        servers = Servers(Access((stub.url,), retries=2))
        stub.failing = [500, 429]
        assert len(servers.complete(asked, FREE)) == 1
        stub.failing = [503] * 3
        with pytest.raises(ModelError, match=rf"server {stub.url} fails at /completions: .*503"):
            servers.complete(asked, FREE)
        with pytest.raises(ModelError, match=r"refuses /completions: .*does not exist"):
            servers.complete([Completion("gone", (65,), 3, 1)], FREE)
        stub.hold = 0.5
        slow = Servers(Access((stub.url,), timeout=0.05, retries=0))
        with pytest.raises(ModelError, match=rf"server {stub.url} did not answer within 0.05 seconds"):
            slow.complete(asked, FREE)


def test_ctrl_c_ends_a_wait_at_once():
    with StubVllm() as stub:
        servers = Servers(Access((stub.url,), retries=0))
        stub.hold = 3.0
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
        started = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            servers.complete([Completion("served", (65,), 3, 1)], FREE)
        assert time.monotonic() - started < 2.0


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"urls": []}, "urls is empty"),
        ({"urls": ["localhost:8000"]}, "is no server's address"),
        ({"urls": [7]}, "7 is no server's address"),
        ({"urls": ["http://me:secret@host"]}, "no password"),
        ({"concurrency": 0}, r"concurrency = 0 is less than 1"),
        ({"timeout": float("nan")}, r"timeout = nan"),
        ({"retries": -1}, r"retries = -1"),
        ({"limit": -0.1}, r"limit = -0.1"),
        ({"probe": "never"}, r"unknown value of probe 'never'"),
        ({"key_env": "NO_SUCH_KEY"}, r"key_env = 'NO_SUCH_KEY': there is no such"),
        ({"folder": "/no/such/folder"}, r"engine.options.folder: nothing can be written"),
        ({"model": "other"}, r"unknown model 'other'"),
        ({"url": "x"}, r"unknown option 'url'; did you mean 'urls'"),
    ],
)
def test_wrong_options_are_one_line(model, options, says):
    with StubVllm() as stub:
        data = {"name": "vllm", "options": {"urls": [stub.url], **options}}
        with pytest.raises((ConfigError, ModelError), match=says) as caught:
            make_engine(make_config({"engine": data}), model)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_key_comes_from_the_environment_and_is_told_to_nobody(model, monkeypatch):
    monkeypatch.setenv("SOME_KEY", "s3cret-key")
    with StubVllm(key="s3cret-key") as stub:
        engine = engine_of(model, stub.url, key_env="SOME_KEY")
        engine.publish(model.bank)
        assert len(engine.generate(requests(model), 1.0, frozenset())) == 4
        monkeypatch.setenv("SOME_KEY", "wrong-key")
        with pytest.raises(ModelError, match="wrong key") as caught:
            engine_of(model, stub.url, key_env="SOME_KEY")
    assert "wrong-key" not in str(caught.value)


def test_a_temperature_that_vllm_would_raise_is_refused(model):
    with StubVllm() as stub:
        engine = engine_of(model, stub.url, probe="off")
        engine.publish(model.bank)
        with pytest.raises(ModelError, match=r"temperature 0\.005: vLLM takes 0, or at least 0\.01"):
            engine.generate(requests(model), 0.005, frozenset())
        stub.rows.clear()  # a server that was started anew
        with pytest.raises(ModelError, match="does not exist"):
            engine.generate(requests(model), 1.0, frozenset())


def test_an_address_may_end_as_the_protocol_has_it():
    assert plain_url("http://host:8000/v1/") == plain_url("http://host:8000") == "http://host:8000"


def test_without_the_package_one_line_says_what_to_install(model, monkeypatch):
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(ConfigError, match=r"needs the package openai: pip install 'neuromas\[endpoint\]'"):
        engine_of(model, "http://127.0.0.1:9")


def test_importing_the_engines_loads_no_client():
    code = "import sys, neuromas.engines.served; print({'torch', 'openai'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
