"""Loading backbones: local folders, safetensors only, one clear line for everything that is wrong."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

from neuromas.core.errors import ModelError
from neuromas.models.backbone import Backbone, load_backbone
from neuromas.models.dims import EMBEDDED
from neuromas.models.embedded import embedded_folder
from neuromas.models.identity import fingerprint
from neuromas.models.tiny import tiny_model


@pytest.fixture
def folder(tmp_path):
    """A local model: tiny weights under a vocabulary as large as its real tokenizer's."""
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(embedded_folder())
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        eos_token_id=2,
        pad_token_id=2,
    )
    LlamaForCausalLM(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    return tmp_path


@pytest.fixture
def words(tmp_path):
    """``words(tokens, room)``: a model of ``room`` tokens, a tokenizer of ``tokens``, no chat template."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    def make(tokens: int, room: int) -> str:
        table = {"<end>": 0, **{f"w{i}": i for i in range(1, tokens)}}
        tokenizer = Tokenizer(models.WordLevel(table, unk_token="w1"))
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>").save_pretrained(tmp_path)
        small = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
        LlamaForCausalLM(LlamaConfig(vocab_size=room, eos_token_id=0, **small)).save_pretrained(tmp_path)
        return str(tmp_path)

    return make


def test_a_tokenizer_larger_than_its_model_is_refused(words):
    assert load_backbone(words(20, 20), "float32", "cpu").codec.encode("w3 w19") == (3, 19)
    with pytest.raises(ModelError, match=r"its tokenizer has a token 20, its model only tokens 0 to 19"):
        load_backbone(words(21, 20), "float32", "cpu")


def test_an_architecture_that_is_not_served_is_one_line_at_loading(words):
    name = words(20, 20)
    path = Path(name) / "config.json"
    config = json.loads(path.read_text("utf-8"))
    config["rope_parameters"] = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}
    path.write_text(json.dumps(config), "utf-8")
    with pytest.raises(ModelError, match="rotary positions of the type 'dynamic'") as caught:
        load_backbone(name, "float32", "cpu")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_backbone_whose_logits_are_not_transformers_is_refused_at_loading(words, monkeypatch, dtype):
    name = words(20, 20)
    load_backbone(name, dtype, "cpu")
    monkeypatch.setattr(Backbone, "logits", lambda self, hidden: 2 * self.model.lm_head(hidden))
    with pytest.raises(ModelError, match=r"\(llama\) is not served: .* off by 1[0-9][0-9]"):
        load_backbone(name, dtype, "cpu")


def test_a_chat_without_a_chat_template_is_one_line(words):
    from neuromas.config import make_config
    from neuromas.system.assemble import assemble

    model = {"backbone": words(20, 20), "dtype": "float32", "device": "cpu", "rank": 2}
    assert assemble(make_config({"model": model})).network.style == "plain"
    with pytest.raises(
        ModelError, match=r"network.style = 'chat': .* no chat template .* valid here: 'plain'"
    ) as caught:
        assemble(make_config({"model": model, "network": {"style": "chat"}}))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.real
def test_a_local_folder_loads_with_its_tokenizer(folder):
    backbone = load_backbone(str(folder), "float32", "cpu")
    assert backbone.codec.decode(backbone.codec.encode("the largest number")) == "the largest number"
    assert backbone.codec.end_ids == {2}
    assert not any(p.requires_grad for p in backbone.model.parameters())


@pytest.mark.real
def test_only_safetensors_are_loaded(folder):
    (weights,) = folder.glob("*.safetensors")
    weights.unlink()
    torch.save(tiny_model().state_dict(), folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"no \*\.safetensors"):
        load_backbone(str(folder))


@pytest.mark.real
def test_remote_code_is_never_run(folder):
    config = json.loads((folder / "config.json").read_text("utf-8"))
    config["auto_map"] = {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"}
    config["model_type"] = "evil"
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    (folder / "evil.py").write_text("import sys; sys.modules['was_run'] = sys\n", "utf-8")
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_backbone(str(folder))
    assert "was_run" not in sys.modules


@pytest.mark.real
def test_the_digest_tells_weights_apart(folder):
    from safetensors.torch import load_file, save_file

    before = load_backbone(str(folder)).digest
    assert fingerprint(folder) == before, "nothing but the files"
    (path,) = folder.glob("*.safetensors")
    tensors = load_file(path)
    tensors["model.norm.weight"] += 1.0
    save_file(tensors, path, metadata={"format": "pt"})
    assert load_backbone(str(folder)).digest != before


@pytest.mark.parametrize("name", ["smollm", "./nowhere", "/no/such/folder", "a/b/c"])
def test_an_unknown_backbone_names_the_three_ways(name):
    with pytest.raises(ModelError) as caught:
        load_backbone(name)
    text = str(caught.value)
    assert name in text
    assert all(way in text for way in ("(1)", "(2)", "(3)"))
    assert "\n" not in text


def test_an_unreachable_hub_id_names_the_three_ways(monkeypatch):
    import huggingface_hub

    def unreachable(*args, **options):
        raise OSError("no route")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", unreachable)
    with pytest.raises(ModelError, match=r"'Qwen/Qwen3-0.6B' cannot be reached .*\(1\).*\(2\).*\(3\)"):
        load_backbone("Qwen/Qwen3-0.6B")


def test_bad_dtype_and_device_are_named():
    with pytest.raises(ModelError, match=r"unknown dtype 'float16'.*bfloat16"):
        load_backbone("tiny", dtype="float16")
    with pytest.raises(ModelError, match="unknown device 'gpu'"):
        load_backbone("tiny", device="gpu")


@pytest.mark.real
def test_the_embedded_model_speaks_english():
    """A greedy continuation that random or badly unpacked weights would not produce."""
    from neuromas.engines.base import Request
    from neuromas.engines.local.engine import LocalEngine
    from neuromas.models.adapters import LoraSpec
    from neuromas.models.resident import ResidentModel

    model = ResidentModel.around(load_backbone(EMBEDDED, "float32", "cpu"), LoraSpec(), 1, 0)
    engine = LocalEngine(model)
    prompt = engine.codec.encode("The capital of France is")
    (out,) = engine.generate([Request(0, prompt, (), 2, 0)], 0.0, frozenset())
    assert engine.codec.decode(out.ids).strip().startswith("Paris")
