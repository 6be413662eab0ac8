"""Where the cells of an experiment run: this machine, a Ray cluster, Slurm, or a place of the user's own.

``base`` is the contract, ``worker`` what runs beside a cell on another machine. No launcher decides what runs
next, how often, or whether a cell is done: that is ``experiment.running``, alike for all. What a launcher
needs beyond the standard library is imported when it begins.
"""
