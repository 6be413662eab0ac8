"""A run from first to last step: data, a step, stages, alarms, checkpoints, resuming, its evaluations."""
