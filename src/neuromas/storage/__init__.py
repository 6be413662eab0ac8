"""The run directory: what a run writes, atomically or by appending, and how it is read back.

    config.json      the frozen configuration          metrics.jsonl     one line a step
    run.json         versions, commit, machine, inputs validation.jsonl  one line a validation
    status.json      finished or not, best checkpoint  growth.jsonl      one line a growth
    evaluations/     NAME.json, .jsonl, .prompts.jsonl events.jsonl      alarms and what came of stages
    prompt.toml      the prompt file, if there is one  episodes.jsonl    sampled episodes
    checkpoints/step-000040/                           network (PEFT folders), optimisers, state
    checkpoints/start-2/, parent-2/                    a stage's first network; the one it was undone to

Nothing here loads torch; tensors are written by ``models.bundle``. ``disk`` knows how a file or folder
comes into being whole, ``run`` what a run is made of, ``beginning`` where one can begin, ``naming`` what it
is called, ``readers`` that nothing goes while it is read, ``tidy`` what a finished one can do without,
``follower`` how a process sees it that trains along.
"""

from neuromas.storage.beginning import check_free
from neuromas.storage.disk import read_json, replace_folder, sweep, write_atomic
from neuromas.storage.follower import FollowedRun
from neuromas.storage.naming import data_name, run_name
from neuromas.storage.readers import reading
from neuromas.storage.run import MANIFEST, Run
from neuromas.storage.tidy import OPTIMISERS

__all__ = [
    "MANIFEST",
    "OPTIMISERS",
    "FollowedRun",
    "Run",
    "check_free",
    "data_name",
    "read_json",
    "reading",
    "replace_folder",
    "run_name",
    "sweep",
    "write_atomic",
]
