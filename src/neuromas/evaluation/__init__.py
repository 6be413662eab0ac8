"""How good answers are: held-out problems, statistics of answers, controls of messages."""
