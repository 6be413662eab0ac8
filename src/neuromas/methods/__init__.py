"""Ways to answer a question: the network itself and its rivals, one file each, in one form.

A method is given a ``Bench`` (network, frozen model, task) and problems, and gives episodes of the network's
own type, so that evaluation, statistics, traces and budgets are written once. ``base`` says what a method is,
``dialogue`` lets one that talks with the frozen model be written for a single problem. A new method is a file
here, or anywhere, and a line in ``core.parts.METHODS``, or an entry point. Votes, debates and searches belong
here; what trains the network does not.
"""
