"""Every family that is served against transformers' own forward pass, ``generate`` and PEFT's gradients."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from families import (
    FAMILIES,
    REFUSED,
    gradient_error,
    greedy_equal,
    loaded_error,
    logprob_error,
    plain,
    served,
)
from reference import SIZES
from transformers import AutoModelForCausalLM

from neuromas.core.errors import ModelError
from neuromas.models import architecture
from neuromas.models.adapters import AdapterBank, LoraSpec
from neuromas.models.backbone import load_backbone
from neuromas.models.dims import read_dims
from neuromas.models.embedded import embedded_folder
from neuromas.models.prefix_tree import TreePlan


# PEFT 0.21 asks transformers for an attribute under its old name
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.kind)
def test_a_family_is_right(family):
    pair = served(family)
    assert loaded_error(pair.plain) < 1e-5
    assert logprob_error(pair) < 1e-4
    equal, count = greedy_equal(pair)
    assert equal == count
    assert gradient_error(pair) < 1e-4


@pytest.mark.parametrize("family", REFUSED, ids=lambda family: family.shown)
def test_a_family_that_is_not_served_is_refused_in_one_line(family):
    with pytest.raises(ModelError, match=family.refused) as caught:
        loaded_error(plain(family))
    assert len(str(caught.value).splitlines()) == 1
    assert "'random'" in str(caught.value)


def test_a_wrong_number_in_the_forward_pass_is_found(monkeypatch):
    """The check sees what a family forgets: a scale of the logits, positions, the mask of a branch."""
    granite = next(family for family in FAMILIES if family.kind == "granite")
    with monkeypatch.context() as patch:
        patch.setattr(architecture, "scaled", lambda logits, config: logits)
        with pytest.raises(
            ModelError, match=r"'random': this architecture \(granite\) is not served.* off by"
        ):
            loaded_error(plain(granite))
    llama = plain(FAMILIES[0])
    with monkeypatch.context() as patch:
        patch.setattr(TreePlan, "_bias", lambda self, window, dtype: torch.zeros((), dtype=dtype))
        with pytest.raises(ModelError, match="off by"):
            loaded_error(llama)
    llama.lm_head.weight.fill_(torch.nan)
    with pytest.raises(ModelError, match="off by nan%"):
        loaded_error(llama)


def test_frequencies_of_positions_stay_in_fp32():
    """As transformers keeps them; rounded to bf16 the second one is off by more than a radian at 1000."""
    model = plain(next(family for family in FAMILIES if family.kind == "gemma3_text"))
    before = {name: buffer.clone() for name, buffer in model.named_buffers() if name.endswith("inv_freq")}
    architecture.cast(model, torch.bfloat16)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    after = dict(model.named_buffers())
    assert len(before) == 4  # own and original ones of two kinds of layers
    assert all(torch.equal(after[name], buffer) for name, buffer in before.items())
    second = torch.tensor(1e5 ** (-2 / 64))  # SmolLM2's
    assert 1000 * float((second.bfloat16() - second).abs()) == pytest.approx(1.4, abs=0.05)
    wide = load_backbone("tiny", "bfloat16", "cpu").model.model.rotary_emb.inv_freq
    assert wide.dtype == torch.float32


def test_positions_past_where_longrope_changes_are_not_used():
    family = next(family for family in FAMILIES if family.kind == "phi3")
    factors = {"short_factor": [1.0] * 4, "long_factor": [2.0] * 4}
    table = {"rope_type": "longrope", "rope_theta": 1e4, **factors}
    options = {**family.options, "rope_parameters": table, "original_max_position_embeddings": 512}
    config = plain(replace(family, options=options), device="meta").config
    assert (config.max_position_embeddings, architecture.usable_context(config)) == (2048, 512)
    assert architecture.usable_context(plain(family, device="meta").config) == 2048


def test_a_model_that_also_sees_is_adapted_in_its_decoder_alone(tmp_path):
    from transformers import AutoModelForCausalLM, Gemma3Config

    text = {key: value for key, value in SIZES.items() if key != "vocab_size"}
    kinds = ["sliding_attention", "full_attention"]
    text |= {"vocab_size": 300, "num_hidden_layers": 2, "sliding_window": 5, "layer_types": kinds}
    eyes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    special = {"image_token_index": 299, "boi_token_index": 297, "eoi_token_index": 298}
    config = Gemma3Config(
        text_config=text,
        vision_config={**eyes, "image_size": 28, "patch_size": 14},
        mm_tokens_per_image=4,
        **special,
    )
    model = AutoModelForCausalLM.from_config(config).eval().requires_grad_(False)
    assert loaded_error(model) < 1e-5
    bank = AdapterBank(model, LoraSpec(4), 1, 0)
    assert len(bank.slots) == 8
    assert all(".language_model." in slot.path for slot in bank.slots)
    config.save_pretrained(tmp_path)
    assert bank.per_adapter() == 4 * read_dims(str(tmp_path)).per_rank(LoraSpec().targets)


@pytest.mark.real
def test_the_embedded_model_agrees_though_it_is_not_checked_at_each_load():
    plain_one = AutoModelForCausalLM.from_pretrained(embedded_folder(), dtype="auto").eval().float()
    assert loaded_error(plain_one.requires_grad_(False)) < 1e-4
