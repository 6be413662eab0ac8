"""Backbones in fewer bits: the restored weight is what is multiplied by, with gradients and without."""

from __future__ import annotations

import importlib.util
import json
import sys

import pytest
import torch
from families import NEVER, requests

import neuromas
from neuromas.config import make_config
from neuromas.core.errors import ConfigError, ModelError
from neuromas.engines.local.sampler import generate
from neuromas.learner.gradient import logprobs
from neuromas.learner.scorer import Message, pack, score
from neuromas.models.adapters import LoraSpec
from neuromas.models.backbone import load_backbone
from neuromas.models.resident import ResidentModel
from neuromas.training.run import start

PACKAGES = {"int8": "torchao", "nf4": "bitsandbytes"}
# mean difference of a sampled token's log-probability from the backbone that is not quantised, in nats
MOVED = {"int8": 0.02, "nf4": 1.0}  # of a random model, whose logits are far apart
pytestmark = pytest.mark.filterwarnings("ignore")  # of kernels for machines that this one is not


@pytest.fixture(params=["int8", "nf4"])
def way(request):
    if importlib.util.find_spec(PACKAGES[request.param]) is None:
        pytest.skip(f"needs {PACKAGES[request.param]}: make test-quantise")
    return request.param


def resident(way, dtype="float32"):
    made = ResidentModel.around(load_backbone("tiny", dtype, "cpu", way), LoraSpec(4, 6.0), 2, 0)
    generator = torch.Generator().manual_seed(1)
    for row in range(2):
        for _, _, up in made.bank.factors(row):
            up.copy_(torch.randn(up.shape, generator=generator) * 0.3)
    return made


def written(made):
    batch = requests()
    out = generate(made.backbone, made.bank, batch, 1.0, NEVER)
    messages = [
        Message(i, r.adapter, r.prefix, r.suffix, o.ids)
        for i, (r, o) in enumerate(zip(batch, out, strict=True))
    ]
    return messages, torch.tensor([logprob for o in out for logprob in o.logprobs])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_sampler_and_scorer_agree(way, dtype):
    made = resident(way, dtype)
    messages, drawn = written(made)
    scored = logprobs(made, messages, 1.0)
    assert float((scored - drawn).abs().mean()) < (1e-5 if dtype == "float32" else 0.02)


def test_gradients_are_those_of_the_restored_weights(way):
    made = resident(way)
    messages, _ = written(made)
    plain = resident("none")
    for (_, one), (_, other) in zip(linears(plain), linears(made), strict=True):
        one.weight.data.copy_(other.whole if way == "nf4" else other.weight.dequantize())
    found = []
    for model in (made, plain):
        scores = score(model.backbone, model.bank, pack(messages), torch.ones(len(messages)))
        found.append(torch.autograd.grad(scores.logprobs.sum(), model.bank.parameters))
    for mine, theirs in zip(*found, strict=True):
        assert bool(mine.any())
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-3)


def linears(made):
    return [
        (name, one)
        for name, one in made.backbone.model.model.named_modules()
        if isinstance(one, torch.nn.Linear)
    ]


def test_quantising_moves_little_and_takes_less_room(way):
    made, plain = resident(way), resident("none")
    messages, drawn = written(plain)
    moved = float((logprobs(made, messages, 1.0) - drawn).abs().mean())
    assert 0 < moved < MOVED[way]
    assert len(linears(made)) == len(linears(plain)) == 14
    assert torch.equal(made.backbone.model.lm_head.weight, plain.backbone.model.lm_head.weight)


def test_bf16_layers_are_not_packed_a_second_time(way):
    made = load_backbone("tiny", "bfloat16", "cpu", way)
    packed = [name for name, one in made.model.named_modules() if hasattr(one, "packed") and way == "int8"]
    assert packed in ([], ["lm_head"])  # [] where this CPU has no packed products


def test_a_run_trains_over_it_and_is_read_again(way, tmp_path):
    config = make_config(
        {
            "model": {"backbone": "tiny", "dtype": "float32", "device": "cpu", "rank": 2, "quantise": way},
            "train": {"steps": 2, "problems": 2, "samples": 2},
            "evaluate": {"every": 0, "test": 2},
            "network": {"topology": "2-1", "message_tokens": 3, "answer_tokens": 3},
        }
    )
    start(config, tmp_path / "run")
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text("utf-8").splitlines()]
    assert len(rows) == 2
    assert max(row["sampler_drift"] for row in rows) < 1e-5
    kept = neuromas.load(tmp_path / "run").assembly.model.backbone.model
    quantised = [one for one in kept.model.modules() if type(one).__name__ == "NF4Linear"]
    assert len(quantised) == (14 if way == "nf4" else 0)


@pytest.mark.parametrize("missing", ["int8", "nf4"])
def test_a_missing_package_is_one_line(missing, monkeypatch):
    for name in [one for one in sys.modules if one.partition(".")[0] == PACKAGES[missing]]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, PACKAGES[missing], None)
    with pytest.raises(
        ModelError, match=rf"needs the package {PACKAGES[missing]}: pip install 'neuromas\[quant"
    ) as e:
        load_backbone("tiny", "float32", "cpu", missing)
    assert len(str(e.value).splitlines()) == 1


def test_another_way_is_named():
    with pytest.raises(ModelError, match=r"unknown model.quantise 'int3'.*int8"):
        load_backbone("tiny", "float32", "cpu", "int3")
    with pytest.raises(ConfigError, match=r"model.quantise"):
        make_config({"model": {"quantise": "int3"}})
