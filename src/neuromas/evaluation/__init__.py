"""How good answers are: held-out problems, and statistics of answers with or without altered messages.

Whoever gave the answers; tests between evaluations are ``statistics``, their tables ``report``.
"""
