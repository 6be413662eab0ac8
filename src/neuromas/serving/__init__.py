"""A trained network as a service: one rollout for all that wait, answers sent while they are written.

What plays and what writes down (``playing``, ``draft``, ``batching``, ``limits``, ``schema``) needs no web
framework; ``app``, ``gate``, ``streaming`` and ``server`` need the extra ``serve``. Nothing here trains.
"""
