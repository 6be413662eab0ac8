"""Who writes messages: ``base`` is the contract of an engine, one module or package is one engine.

Rewards, credit and gradients have no place here.
"""
