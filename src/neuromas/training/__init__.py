"""A run from first to last step: its state, a step, the loop, stages, alarms, checkpoints, evaluations.

Also how it goes on, and who hears of it: callbacks and trackers. What a step computes is ``learner``'s.
"""
