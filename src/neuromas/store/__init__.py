"""The run directory: what a run writes, atomically or by appending, and how it is read back.

    config.json      the frozen configuration          metrics.jsonl     one line a step
    run.json         versions, commit, machine, inputs episodes.jsonl    sampled episodes
    status.json      finished or not, best checkpoint  evaluations/      NAME.json and NAME.jsonl
    checkpoints/step-000040/                           network (PEFT folders), optimisers, state

Nothing here loads torch; tensors are written by ``models.bundle``. ``disk`` knows how a file or folder
comes into being whole, ``run`` what a run is made of.
"""

from neuromas.store.disk import read_json, replace_folder, sweep, write_atomic
from neuromas.store.run import MANIFEST, Run, reading

__all__ = ["MANIFEST", "Run", "read_json", "reading", "replace_folder", "sweep", "write_atomic"]
