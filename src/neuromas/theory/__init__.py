"""Theory that can be computed: what a terminal reward tells one node, and the law of products.

Toys of their own, for docs/method.md: nothing here trains a language model.
"""
