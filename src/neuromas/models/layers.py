"""In what a family's layer differs from Llama's: fused or missing maps, norms, biases. No torch.

Read from transformers' classes; a test holds the count of weights to that of models built from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_FUSED = {
    "phi3": ("qkv_proj", "gate_up_proj"),
    "glm": ("gate_up_proj",),
    "glm4": ("gate_up_proj",),
}
_UNGATED = {
    "starcoder2": ("c_fc", "c_proj"),
    "apertus": ("up_proj", "down_proj"),
    "arcee": ("up_proj", "down_proj"),
}
_HEAD_NORMS = ("qwen3", "gemma3", "exaone4", "apertus")  # of queries and keys, one weight for all heads
_WIDE_NORMS = ("olmo2", "olmo3")  # of queries and keys, over all heads
_FOUR_NORMS = ("gemma2", "gemma3", "glm4")  # before and after attention and feed-forward
_ONE_NORM = ("cohere",)
_QKV_BIAS = ("qwen2", "starcoder2")  # whatever the configuration says
_QKV_BIAS_BY_DEFAULT = ("seed_oss",)
_NO_OUTPUT_BIAS = ("glm", "glm4", "seed_oss")
# where transformers' default of ``tie_word_embeddings`` is True
_TIED = ("gemma", "cohere", "smollm3", "starcoder2", "ernie4_5")
# where it is width / heads; elsewhere the class has a number of its own
_HEADS_SHARE_WIDTH = (
    "llama",
    "qwen2",
    "mistral",
    "phi3",
    "smollm3",
    "granite",
    "olmo",
    "starcoder2",
    "exaone4",
)


@dataclass(frozen=True, slots=True)
class Form:
    """A layer's maps, and the numbers that stand beside their matrices."""

    fused: tuple[str, ...] = ()
    ungated: tuple[str, str] | None = None
    extra: int = 0  # a layer, beyond maps and two norms
    last: int = 0  # beyond the last norm's weight


LLAMA = Form()


def tied_by_default(family: str) -> bool:
    """Whether embedding and head are one matrix where a configuration is silent."""
    return family.startswith(_TIED)


def shares_width(family: str) -> bool:
    """Whether a head is width / heads wide where a configuration is silent."""
    return not family or family.startswith(_HEADS_SHARE_WIDTH)


def form(family: str, data: Mapping[str, Any], sizes: tuple[int, int, int, int, int]) -> Form:
    """The form of a family's layers; ``sizes`` are width, feed-forward, queries, keys, width of a head."""
    width, inner, queries, keys, head = sizes
    extra = last = 0
    if family.startswith(_HEAD_NORMS):
        extra += 2 * head
    if family.startswith(_WIDE_NORMS):
        extra += queries + keys
    if family.startswith(_FOUR_NORMS):
        extra += 2 * width
    if family.startswith(_ONE_NORM):
        extra -= width
    if family == "starcoder2":  # its norms have biases
        extra, last = extra + 2 * width, width
    if family == "apertus":  # two numbers of its activation
        extra += 2
    ungated = _UNGATED.get(family)
    extra += _biases(family, data, (width, inner, queries + 2 * keys), ungated is None)
    return Form(_FUSED.get(family, ()), ungated, extra, last)


def _biases(family: str, data: Mapping[str, Any], sizes: tuple[int, int, int], gated: bool) -> int:
    """Biases of a layer; ``sizes`` are width, feed-forward, queries with keys and values."""
    width, inner, qkv = sizes
    everywhere = bool(data.get("use_bias", family == "starcoder2"))
    attention = bool(data.get("attention_bias", family.startswith(_QKV_BIAS_BY_DEFAULT)))
    output = attention and not family.startswith(_NO_OUTPUT_BIAS)
    found = 0
    if everywhere or attention or family.startswith(_QKV_BIAS):
        found += qkv
    if everywhere or output or data.get("attention_out_bias"):
        found += width
    if everywhere or data.get("mlp_bias"):
        found += (2 if gated else 1) * inner + width
    return found
