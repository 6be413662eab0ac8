"""The model itself: backbones and where they come from, resident adapters, how tokens share a forward pass.

What it computes and how it lies on disk; who asks it to write is an engine, who asks for gradients a learner.
"""
