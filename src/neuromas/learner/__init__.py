"""Who scores messages and gives adapters their gradients: log-probabilities, the loss over packed batches.

Given messages and their weights; where these come from is the business of training.
"""
