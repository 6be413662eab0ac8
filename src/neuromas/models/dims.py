"""The measures of a backbone, read from its config.json: no weights, no network.

And no torch, unless the file leaves out what only transformers knows by default (head counts of Gemma3).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neuromas.core.errors import ModelError, unknown
from neuromas.core.files import at_home, read_text
from neuromas.models.embedded import cache_root, find_gguf
from neuromas.models.layers import LLAMA, Form, form, shares_width, tied_by_default
from neuromas.prompts.codec import ByteCodec

EMBEDDED, TINY_NAME = "smollm2-135m", "tiny"  # backbones that need no download
_NEEDED = (
    *("hidden_size", "num_attention_heads", "num_hidden_layers", "intermediate_size", "vocab_size"),
    "max_position_embeddings",
)


@dataclass(frozen=True, slots=True)
class Dims:
    """A decoder as Llama, Qwen or Gemma; ``form`` is in what its layers differ from Llama's."""

    name: str
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocabulary: int
    tied: bool
    context: int
    form: Form = LLAMA

    @property
    def linears(self) -> dict[str, tuple[int, int]]:
        """(in, out) of every linear map of one layer, by the name that adapters target."""
        d, f, q, k = self.hidden, self.intermediate, self.heads * self.head_dim, self.kv_heads * self.head_dim
        fused = self.form.fused
        maps = {"qkv_proj": (d, q + 2 * k)} if "qkv_proj" in fused else {"q_proj": (d, q)}
        if "qkv_proj" not in fused:
            maps |= {"k_proj": (d, k), "v_proj": (d, k)}
        maps["o_proj"] = (q, d)
        if self.form.ungated is not None:
            up, down = self.form.ungated
            return {**maps, up: (d, f), down: (f, d)}
        gated = (
            {"gate_up_proj": (d, 2 * f)}
            if "gate_up_proj" in fused
            else {"gate_proj": (d, f), "up_proj": (d, f)}
        )
        return {**maps, **gated, "down_proj": (f, d)}

    @property
    def body(self) -> int:
        """Weights that multiply every token: all linear maps of all layers, without embeddings."""
        return self.layers * sum(inputs * outputs for inputs, outputs in self.linears.values())

    @property
    def weights(self) -> int:
        """All weights: body, norms, biases, embedding, and the head if it is not tied."""
        norms = (2 * self.layers + 1) * self.hidden + self.layers * self.form.extra + self.form.last
        return self.body + norms + (1 if self.tied else 2) * self.vocabulary * self.hidden

    def per_rank(self, targets: tuple[str, ...]) -> int:
        """Parameters of an adapter of rank 1. Raises ModelError for an unknown target."""
        for target in targets:
            if target not in self.linears:
                raise ModelError(unknown("adapter target", target, sorted(self.linears)))
        return self.layers * sum(sum(self.linears[target]) for target in set(targets))


# ``models.tiny``; a test holds the two together
TINY = Dims(TINY_NAME, 32, 2, 4, 2, 8, 64, ByteCodec.VOCABULARY, True, 2048)


def read_dims(name: str) -> Dims:
    """Measures of a backbone by the names of ``models.backbone``.

    Raises ModelError, one line that says what is missing; nothing is downloaded or unpacked.
    """
    if name == TINY_NAME:
        return TINY
    path = _config(name)
    try:
        data = json.loads(read_text(path))
        text = {**data, **data["text_config"]} if isinstance(data.get("text_config"), dict) else data
        return _dims(name, {**_defaults(data), **_given(text)} if _incomplete(text) else text)
    except OSError as error:
        raise ModelError(f"backbone {name!r}: {path} cannot be read ({error.strerror or error})") from error
    except (ValueError, AttributeError, RecursionError) as error:
        raise ModelError(f"backbone {name!r}: {path} is not a model's configuration") from error


def _config(name: str) -> Path:
    """Where the configuration of a named backbone lies on this disk."""
    if name == EMBEDDED:
        found = sorted(cache_root().glob(f"{find_gguf().stem.lower()}-*/config.json"))
        if not found:
            raise ModelError(f"backbone {name!r} is not unpacked yet: 'neuromas doctor' does it once")
        return found[-1]
    folder = at_home(name)
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise ModelError(f"backbone {name!r}: the folder has no config.json")
        return folder / "config.json"
    if folder.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1:
        raise ModelError(f"backbone {name!r}: no such folder")
    if name.count("/") != 1:
        raise ModelError(
            unknown("backbone", name, (EMBEDDED, TINY_NAME, "a local folder", "a Hugging Face id"))
        )
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        cached = try_to_load_from_cache(name, "config.json")
    except HFValidationError as error:
        raise ModelError(f"backbone {name!r} is no Hugging Face id") from error
    if not isinstance(cached, str):
        raise ModelError(f"backbone {name!r} is not downloaded: its config.json is not in the cache")
    return Path(cached)


def _dims(name: str, data: Mapping[str, Any]) -> Dims:
    """Read the fields that transformers' decoders share, with its defaults."""
    if any(key in data for key in ("num_experts", "num_local_experts", "n_routed_experts")):
        raise ModelError(f"backbone {name!r} is a mixture of experts, whose cost is not estimated here")

    def number(key: str, default: int | None = None) -> int:
        value = data.get(key)
        value = default if value is None else value
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ModelError(f"backbone {name!r}: config.json has no number {key!r}")
        return value

    hidden, heads = number("hidden_size"), number("num_attention_heads")
    kv_heads, inner = number("num_key_value_heads", heads), number("intermediate_size")
    head = number("head_dim", max(1, hidden // heads))
    tied = data.get("tie_word_embeddings")
    family = str(data.get("model_type", ""))
    return Dims(
        name=name,
        hidden=hidden,
        layers=number("num_hidden_layers"),
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head,
        intermediate=inner,
        vocabulary=number("vocab_size"),
        tied=tied_by_default(family) if tied is None else bool(tied),
        context=number("max_position_embeddings"),
        form=form(family, data, (hidden, inner, heads * head, kv_heads * head, head)),
    )


def _given(text: Mapping[str, Any]) -> dict[str, Any]:
    """What is given; null says nothing."""
    return {key: value for key, value in text.items() if value is not None}


def _incomplete(text: Mapping[str, Any]) -> bool:
    """Whether a number is left to the defaults of transformers' class."""
    given, family = _given(text), str(text.get("model_type", ""))
    heads = "num_key_value_heads" in given or family.startswith("llama")
    width = "head_dim" in given or shares_width(family)
    return not (heads and width and given.keys() >= set(_NEEDED))


def _defaults(data: Mapping[str, Any]) -> dict[str, Any]:
    """What transformers' class of this configuration fills in; nothing where it knows none."""
    family = data.get("model_type")
    if not isinstance(family, str):
        return {}
    from transformers import AutoConfig

    try:
        whole: dict[str, Any] = AutoConfig.for_model(**data).get_text_config().to_dict()
    except Exception:  # an unknown class, or values it refuses: what is missing is said by name
        return {}
    return whole
