"""What a node is told: the template, the prompt of a node as tokens, the tokenizer's boundary.

Nothing that generates or scores: from structure, question and messages to token ids.
"""
