"""Families of decoders: tiny random models of each, what must be right for them, and what is refused.

The same table is tested, measured by benchmarks/architectures.py and printed in docs/architectures.md.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

import torch
from reference import SIZES, Twins, around
from torch import Tensor

from neuromas.engines.base import Request
from neuromas.engines.local.sampler import generate
from neuromas.learner.scorer import Message, pack, score
from neuromas.models import architecture
from neuromas.models.adapters import LoraSpec

QKVO = ("q_proj", "k_proj", "v_proj", "o_proj")
NEVER: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Family:
    """A ``model_type`` of transformers, a name to show, and what its tiny configuration needs."""

    kind: str
    shown: str
    options: dict[str, Any] = field(default_factory=dict)
    targets: tuple[str, ...] = QKVO
    refused: str = ""  # what the one line says where it is not served


HEADS, MIXED = {"head_dim": 8}, ["sliding_attention", "full_attention"]
SLIDING = {"sliding_window": 5, "layer_types": MIXED}
FAMILIES = (
    Family("llama", "Llama 2, 3", HEADS),
    Family("qwen2", "Qwen2, Qwen2.5", {"use_sliding_window": True, **SLIDING}),
    Family("qwen3", "Qwen3", HEADS),
    Family("gemma", "Gemma", HEADS),
    Family("gemma3_text", "Gemma3", {**HEADS, **SLIDING, "query_pre_attn_scalar": 8}),
    Family("mistral", "Mistral", {**HEADS, "sliding_window": 5}),
    Family("phi3", "Phi-3, Phi-4", {"sliding_window": 5}, ("qkv_proj", "o_proj", "gate_up_proj")),
    Family("smollm3", "SmolLM3", {"num_hidden_layers": 4}),
    Family("olmo2", "OLMo2"),
    Family("olmo3", "OLMo3", SLIDING),
    Family("glm4", "GLM4", HEADS, (*QKVO, "gate_up_proj")),
    Family(
        "granite",
        "Granite 3",
        {
            "logits_scaling": 8.0,
            "embedding_multiplier": 6.0,
            "residual_multiplier": 0.5,
            "attention_multiplier": 0.3,
        },
    ),
    Family("cohere2", "Command R7B, A", {**HEADS, **SLIDING, "logit_scale": 0.25}),
    Family("exaone4", "EXAONE 4", SLIDING),
    Family("starcoder2", "StarCoder2"),
    Family("seed_oss", "Seed-OSS", HEADS),
    Family("ernie4_5", "ERNIE 4.5"),
    Family("apertus", "Apertus", {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4}}),
    Family("qwen3_moe", "Qwen3 MoE", {**HEADS, "num_experts": 4, "num_experts_per_tok": 2}),
)
REFUSED = (
    Family("gemma2", "Gemma2", {**HEADS, **SLIDING}, refused="attn_logit_softcapping"),
    Family("qwen3_5_text", "Qwen3.5", HEADS, refused="linear_attention"),
    Family("qwen3_next", "Qwen3-Next", HEADS, refused="linear_attention"),
    Family(
        "llama",
        "dynamic rotary positions",
        {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}},
        refused="'dynamic'",
    ),
    Family("gpt_oss", "gpt-oss", {**HEADS, "num_local_experts": 4}, refused="attention sinks"),
    Family("mamba", "Mamba", refused="linear_attention"),
    Family("bloom", "BLOOM", {"n_head": 4, "n_layer": 2}, refused="are off by"),
    Family("falcon", "Falcon", refused="are off by"),
    Family(
        "deepseek_v3",
        "DeepSeek-V3",
        {"num_key_value_heads": 4, "q_lora_rank": 8, "kv_lora_rank": 8, "n_routed_experts": 8},
        refused="cannot be given our attention",
    ),
)


def plain(family: Family, seed: int = 5, device: str = "cpu") -> Any:
    """A random model of the family in fp32, with transformers' own attention; no weight is at 0 or 1.

    On "meta" it has shapes and no numbers.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    sizes = {key: value for key, value in SIZES.items() if key != "head_dim"}
    config = AutoConfig.for_model(family.kind, **{"num_hidden_layers": 2, **sizes, **family.options})
    with torch.random.fork_rng(devices=[]), torch.device(device):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config).float().eval().requires_grad_(False)
        for parameter in model.parameters():
            if parameter.dim() == 1:  # norms and biases, which begin at 0 or 1
                parameter.add_(torch.randn_like(parameter) * 0.1)
    return model


def served(family: Family) -> Twins:
    """The family's model as NeuroMAS runs it, with adapters, beside the untouched one."""
    return around(plain(family), family.kind, 2, 0.3, LoraSpec(4, 6.0, family.targets))


def loaded_error(model: Any) -> float:
    """What the check at loading measures for an untouched model. Raises ModelError where it refuses."""
    from neuromas.models.attention import IMPLEMENTATION, register
    from neuromas.models.norms import freeze_norms

    register()
    architecture.check_config(model.config, "random")
    model = copy.deepcopy(model)
    expected = architecture.reference(model, "random")
    model.set_attn_implementation(IMPLEMENTATION)
    freeze_norms(model)

    def run(ids: Tensor, position: Tensor, plan: Any) -> Tensor:
        out = model.get_decoder()(input_ids=ids, position_ids=position, use_cache=False, plan=plan)
        return architecture.scaled(model.get_output_embeddings()(out.last_hidden_state), model.config)

    return architecture.agree(model, expected, run, "random")


def requests() -> list[Request]:
    """Two adapters; prompts that share beginnings and do not; longer than the windows of the tiny models."""
    prompts = [((7, 9, 11, 13, 8, 6, 3), (4, 2)), ((7, 9, 11, 20), (5,)), ((40, 41), ())]
    return [
        Request(adapter, prefix, suffix, 8, 10 * adapter + place)
        for adapter in range(2)
        for place, (prefix, suffix) in enumerate(prompts)
    ]


def logprob_error(pair: Twins) -> float:
    """Largest difference of a sampled token's log-probability from transformers' own forward pass."""
    batch, worst = requests(), 0.0
    for request, out in zip(
        batch, generate(pair.model.backbone, pair.model.bank, batch, 1.0, NEVER), strict=True
    ):
        prompt = request.prefix + request.suffix
        expected = pair.logprobs(pair.vector(request.adapter).detach(), prompt, out.ids)
        worst = max(worst, float((torch.tensor(out.logprobs) - expected).abs().max()))
    return worst


def greedy_equal(pair: Twins) -> tuple[int, int]:
    """How many greedy messages equal transformers' ``generate`` with the adapter merged, and of how many."""
    batch, equal = requests(), 0
    for adapter in range(2):
        merged = copy.deepcopy(pair.plain)
        merged.load_state_dict(pair.merged(pair.vector(adapter).detach()), strict=False)
        mine = [request for request in batch if request.adapter == adapter]
        written = generate(pair.model.backbone, pair.model.bank, mine, 0.0, NEVER)
        for request, out in zip(mine, written, strict=True):
            ids = torch.tensor([request.prefix + request.suffix])
            # an end token that is never drawn: messages here have no end either
            own = merged.generate(ids, do_sample=False, max_new_tokens=request.max_new, eos_token_id=10**6)
            equal += out.ids == tuple(own[0, ids.shape[1] :].tolist())
    return equal, len(batch)


def gradient_error(pair: Twins) -> float:
    """Largest difference of a LoRA gradient from PEFT's, relative to the largest gradient."""
    batch = [request for request in requests() if request.adapter == 1]
    written = generate(pair.model.backbone, pair.model.bank, batch, 1.0, NEVER)
    messages = [
        Message(i, 1, r.prefix, r.suffix, out.ids)
        for i, (r, out) in enumerate(zip(batch, written, strict=True))
    ]
    found = score(pair.model.backbone, pair.model.bank, pack(messages), torch.ones(len(messages)))
    (flat,) = torch.autograd.grad(found.logprobs.sum(), [pair.model.bank.parameters[1]])
    theirs = _peft_gradient(pair, messages)
    return float((flat - theirs).abs().max() / theirs.abs().max())


def _peft_gradient(pair: Twins, messages: list[Message]) -> Tensor:
    """The same gradient by PEFT over the untouched model, as one flat vector in our order."""
    from peft import LoraConfig, get_peft_model

    bank, names = pair.model.bank, sorted({slot.path for slot in pair.model.bank.slots})
    config = LoraConfig(r=bank.spec.rank, lora_alpha=bank.spec.alpha, target_modules=names)
    model = get_peft_model(copy.deepcopy(pair.plain), config)
    layers = [(model.get_submodule(f"base_model.model.{slot.path}"), a, b) for slot, a, b in bank.factors(1)]
    for layer, down, up in layers:
        layer.lora_A["default"].weight.data.copy_(down)
        layer.lora_B["default"].weight.data.copy_(up)
    for message in messages:
        prompt = message.prefix + message.suffix
        logits = model(input_ids=torch.tensor([prompt + message.ids]), use_cache=False).logits[0]
        every = torch.log_softmax(logits[len(prompt) - 1 : -1].float(), dim=-1)
        every.gather(1, torch.tensor(message.ids)[:, None]).sum().backward()
    pieces = [
        layer[side]["default"].weight.grad.flatten()
        for layer in ({"A": one.lora_A, "B": one.lora_B} for one, _, _ in layers)
        for side in ("A", "B")
    ]
    return torch.cat(pieces)
