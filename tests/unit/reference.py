"""The plain way to compute what NeuroMAS computes fast: one sequence at a time, in Hugging Face's own code.

Adapters are merged into the weights (W + alpha / r * B A) of an untouched copy of the model, so none of
the code under test takes part. Gradients flow to the flat adapter vector.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from neuromas.engines.local.engine import LocalEngine
from neuromas.models.adapters import LoraSpec
from neuromas.models.attention import IMPLEMENTATION, register
from neuromas.models.backbone import Backbone
from neuromas.models.norms import FrozenRMSNorm, freeze_norms
from neuromas.models.resident import ResidentModel
from neuromas.models.tiny import tiny_model
from neuromas.prompts.codec import ByteCodec

SIZES = {
    "vocab_size": ByteCodec.VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 2048,
    "initializer_range": 0.2,
    "bos_token_id": None,
    "eos_token_id": ByteCodec.END,
    "pad_token_id": ByteCodec.END,
}


def plain_model(family: str) -> Any:
    """A random model of the family, fp32, with Hugging Face's own attention."""
    torch.manual_seed(5)
    if family == "llama":
        return tiny_model()
    if family == "qwen3":
        from transformers import Qwen3Config, Qwen3ForCausalLM

        return Qwen3ForCausalLM(Qwen3Config(num_hidden_layers=2, **SIZES)).eval()
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    kinds = ["sliding_attention", "full_attention", "sliding_attention"]
    config = Gemma3TextConfig(
        num_hidden_layers=3,
        layer_types=kinds,
        sliding_window=6,
        query_pre_attn_scalar=8,
        final_logit_softcapping=4.0,  # rare, but legal
        **SIZES,
    )
    return Gemma3ForCausalLM(config).eval()


class Brief(ByteCodec):
    """Bytes whose every eighth ends a line, so that random messages often end before their limit."""

    line_end_ids = ByteCodec.line_end_ids | frozenset(range(0, 256, 8))


@dataclass(frozen=True, slots=True)
class Twins:
    """A model with adapters and the untouched model it was made from."""

    model: ResidentModel
    plain: Any

    @property
    def engine(self) -> LocalEngine:
        """The engine that writes with the model."""
        return LocalEngine(self.model)

    def vector(self, row: int) -> Tensor:
        """A copy of an adapter's flat vector that collects its own gradient."""
        return self.model.bank.parameters[row].detach().clone().requires_grad_()

    def logits(self, vector: Tensor | None, ids: Sequence[int]) -> Tensor:
        """(L, V) logits of one whole sequence under one adapter, or under none."""
        weights = {} if vector is None else self.merged(vector)
        inputs = {"input_ids": torch.tensor([list(ids)]), "use_cache": False}
        out = torch.func.functional_call(self.plain, weights, (), inputs)
        return out.logits[0]

    def merged(self, vector: Tensor) -> dict[str, Tensor]:
        """The weights that the adapter changes, with it taken in."""
        bank, merged, start = self.model.bank, {}, 0
        for slot in bank.slots:
            rank = bank.spec.rank
            middle = start + rank * slot.inputs
            end = middle + rank * slot.outputs
            down = vector[start:middle].view(rank, slot.inputs)
            up = vector[middle:end].view(slot.outputs, rank)
            weight = self.plain.get_submodule(slot.path).weight.detach()
            merged[f"{slot.path}.weight"] = weight + bank.spec.alpha / rank * up @ down
            start = end
        assert start == len(vector)
        return merged

    def distributions(
        self, vector: Tensor | None, prompt: Sequence[int], ids: Sequence[int], temperature: float = 1.0
    ) -> Tensor:
        """(T, V) log-probabilities of the next token at every place where one of ``ids`` was drawn."""
        logits = self.logits(vector, [*prompt, *ids])
        return torch.log_softmax(logits[len(prompt) - 1 : -1] / temperature, dim=-1)

    def logprobs(
        self, vector: Tensor | None, prompt: Sequence[int], ids: Sequence[int], temperature: float = 1.0
    ) -> Tensor:
        """(T,) log-probabilities of ``ids`` after ``prompt``."""
        every = self.distributions(vector, prompt, ids, temperature)
        return every[torch.arange(len(ids)), torch.tensor(list(ids))]


def twins(
    family: str = "llama",
    adapters: int = 3,
    spread: float = 0.3,
    spec: LoraSpec | None = None,
) -> Twins:
    """Random adapters over a random model, and its untouched twin."""
    pair = around(plain_model(family), family, adapters, spread, spec)
    frozen = [module for module in pair.model.backbone.model.modules() if isinstance(module, FrozenRMSNorm)]
    assert len(frozen) == {"llama": 5, "qwen3": 9}.get(family, 0)  # Gemma's are of another form
    return pair


def around(plain: Any, name: str, adapters: int, spread: float, spec: LoraSpec | None = None) -> Twins:
    """Random adapters over a copy of the model, beside itself."""
    torch.set_num_threads(1)
    plain.requires_grad_(False)
    model = copy.deepcopy(plain)
    register()
    model.set_attn_implementation(IMPLEMENTATION)
    freeze_norms(model)
    cpu = torch.device("cpu")
    backbone = Backbone(
        name=name,
        digest="-",
        model=model,
        codec=Brief(),
        context=2048,
        vocabulary=ByteCodec.VOCABULARY,
        dtype=torch.float32,
        device=cpu,
        rows=256,
        tokens=4096,
    )
    made = ResidentModel.around(backbone, spec or LoraSpec(4, 6.0), adapters, 0)
    generator = torch.Generator().manual_seed(1)
    for row in range(adapters):
        for _, _, up in made.bank.factors(row):
            up.copy_(torch.randn(up.shape, generator=generator) * spread)
    return Twins(made, plain)


def bounded(model: ResidentModel, **limits: int) -> Backbone:
    """The model's backbone under other limits of rows or tokens."""
    return replace(model.backbone, **limits)


class Watch:
    """Counts what passes through the decoder: shapes of the token ids of every forward call."""

    def __init__(self, model: ResidentModel) -> None:
        self.shapes: list[tuple[int, int]] = []
        self._handle = model.backbone.model.get_decoder().register_forward_pre_hook(
            self._note, with_kwargs=True
        )

    def _note(self, module, args, kwargs):
        self.shapes.append(tuple(kwargs["input_ids"].shape))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._handle.remove()
