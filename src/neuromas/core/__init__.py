"""What everything stands on: errors, hashed seeds, tasks and episodes as values, choices, parts by name.

Also how a user's file is opened and how a signal ends the work. No torch, no numpy, no disk layout and no
configuration: a value here is understood without the rest.
"""
