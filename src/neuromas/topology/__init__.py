"""Who reads whom: the graph as a value, shapes written as text, graphs from and to files.

Nothing of models, prompts or training: a topology is drawn, counted and compared without a network.
"""
