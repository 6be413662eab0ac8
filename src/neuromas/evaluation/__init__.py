"""How good a network is: held-out problems, controls of messages, constant answers, votes."""
