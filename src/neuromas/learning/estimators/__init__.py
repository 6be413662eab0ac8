"""Advantage estimators: what a reward is worth to a node. One file is one formula with its source.

The gradient of node v is E[(R - b_v) grad log pi_v], unbiased for every baseline b_v that does not depend on
v's own message (Williams 1992, "Simple statistical gradient-following algorithms"). ``base`` says what an
estimator is; a new one is a file here and a line in ``core.parts.ESTIMATORS``.
"""
