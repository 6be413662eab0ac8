"""Theory that can be computed: what the reward of a whole tree still tells one of its nodes."""
