"""Theory that can be computed: what the reward of a whole tree still tells one of its nodes.

Toys of their own, for docs/method.md: nothing here trains a language model.
"""
