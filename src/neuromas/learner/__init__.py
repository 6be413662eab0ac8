"""Who learns: log-probabilities of messages, the loss over packed batches, gradients, the update of adapters.

Given messages and their weights; where these come from is the business of training.
"""
