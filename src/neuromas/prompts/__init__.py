"""What a node is told: texts and prompt files, worked examples, chat templates, the tokenizer's boundary.

Nothing that generates or scores: from structure, question and messages to token ids.
"""
