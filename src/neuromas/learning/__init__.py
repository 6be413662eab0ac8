"""Joint REINFORCE as pure functions: what a reward is worth to a node, and the loss it gives."""
