"""The model itself: backbones and where they come from, tokenizers, resident adapters, shared forward passes.

What it computes and how it lies on disk; who asks it to write is an engine, who asks for gradients a learner.
"""
