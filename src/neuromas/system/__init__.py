"""A network that runs: nodes, adapters and engine, its prompts, one layered rollout, its bundle and export.

Also what it may open, what it depends on and what it costs. No learning: adapters stay as they are.
"""
