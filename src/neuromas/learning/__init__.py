"""Joint REINFORCE as pure functions: what a reward is worth to a node, the loss, schedules, alarms.

No model, no network and no state: numbers in, numbers out.
"""
