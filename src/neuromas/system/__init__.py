"""A network that runs: nodes, adapters and engine, one layered rollout, its bundle, what it may open.

No learning: everything here leaves the adapters as they are.
"""
