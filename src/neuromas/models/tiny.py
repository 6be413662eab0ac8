"""A random two-layer Llama with one token a byte: small enough for tests that run the real code."""

from __future__ import annotations

from typing import Any

from neuromas.prompts.codec import ByteCodec


def tiny_model(seed: int = 0, hidden: int = 32, layers: int = 2) -> Any:
    """A ``LlamaForCausalLM`` with grouped-query attention, fp32, drawn from ``seed``."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=ByteCodec.VOCABULARY,
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=2048,
        initializer_range=0.2,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=ByteCodec.END,
        pad_token_id=ByteCodec.END,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlamaForCausalLM(config).eval()
