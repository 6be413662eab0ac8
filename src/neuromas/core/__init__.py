"""What everything stands on: errors, hashed seeds, tasks and episodes as values, how a user's file is opened.

No torch, no numpy, no disk layout and no configuration: a value here is understood without the rest.
"""
