"""A backbone, with one adapter in its weights or without, as a folder that transformers loads by itself.

``W + (alpha / r) B A`` is added in fp32 to the very weights the adapter was trained over. The folder has all
that ``AutoModelForCausalLM`` and ``AutoTokenizer`` ask for; tokens that end a message are in its generation
config.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from neuromas.core.errors import ModelError, one_line
from neuromas.models.adapters import AdapterBank
from neuromas.models.backbone import Backbone
from neuromas.models.tiny import tiny_model

_NOISE = (  # where and how a file was read: nothing of that concerns who gets it
    *("_name_or_path", "name_or_path", "_model_name_or_path", "is_local", "local_files_only", "backend"),
)
_SAFE: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
_END = "<end>"  # how the tiny model's end token is written


@dataclass(frozen=True, slots=True)
class Speech:
    """How it is spoken to: a chat template ("" for none), tokens that end it, most tokens it writes."""

    template: str
    ends: Collection[int]
    budget: int


def write_model(
    folder: Path,
    backbone: Backbone,
    speech: Speech | None = None,
    adapter: tuple[AdapterBank, int] | None = None,
) -> None:
    """Write model and tokenizer into the folder that is there; ``adapter`` is a bank and its row.

    Without ``speech`` the model keeps what its own folder says of that. Weights are written in the
    backbone's dtype. Raises ModelError.
    """
    from transformers.utils import logging

    logging.disable_progress_bar()
    model, tokenizer = _open(backbone), tokenizer_of(backbone)
    model.to(torch.float32)
    if adapter is not None:
        _add(model, *adapter)
    model.to(backbone.dtype)
    model.config.dtype = backbone.dtype
    if speech is not None:
        from transformers import GenerationConfig

        pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else min(speech.ends)
        model.generation_config = GenerationConfig(
            do_sample=False, max_new_tokens=speech.budget, eos_token_id=sorted(speech.ends), pad_token_id=pad
        )
        tokenizer.chat_template = speech.template or None
    try:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    except (ValueError, RuntimeError, SafetensorError) as error:
        raise ModelError(f"backbone {backbone.name!r} cannot be written: {one_line(error)[:300]}") from error
    for path in folder.glob("*config.json"):
        table = json.loads(path.read_text("utf-8"))
        path.write_text(
            json.dumps({k: v for k, v in table.items() if k not in _NOISE}, indent=1) + "\n", "utf-8"
        )


def _add(model: Any, bank: AdapterBank, row: int) -> None:
    """Add the adapter to the fp32 weights of its layers."""
    scale = bank.spec.alpha / bank.ranks[row]
    with torch.no_grad():
        for slot, down, up in bank.factors(row):
            weight = model.get_submodule(slot.path).weight
            weight.add_((up @ down).to(weight.device), alpha=scale)


def _open(backbone: Backbone) -> Any:
    """The model as transformers reads it, untouched by us."""
    from transformers import AutoModelForCausalLM

    if backbone.folder is None:
        return tiny_model()
    return AutoModelForCausalLM.from_pretrained(backbone.folder, use_safetensors=True, dtype="auto", **_SAFE)


def tokenizer_of(backbone: Backbone) -> Any:
    """The backbone's tokenizer as transformers has it."""
    from transformers import AutoTokenizer

    if backbone.folder is None:
        return _byte_tokenizer()
    return AutoTokenizer.from_pretrained(backbone.folder, **_SAFE)


def _byte_tokenizer() -> Any:
    """``ByteCodec`` as a tokenizer of transformers: token i is byte i, 256 ends."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    # byte-level tokenizers write bytes as characters: printable Latin-1 as itself, others from U+0100 on
    plain = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    letters = {chr(byte if byte in plain else next(others)): byte for byte in range(256)}
    tokenizer = Tokenizer(models.BPE(vocab=letters, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(_END, special=True, normalized=False)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=_END, pad_token=_END)
