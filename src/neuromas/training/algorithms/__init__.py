"""How a network is trained: one file an algorithm.

``base`` says what an algorithm is; a new one is a file here and a line in ``core.parts.ALGORITHMS``. All
share the pieces of a step (``training.step``), the learner and its bounds, seeds, checkpoints and reports.
"""
