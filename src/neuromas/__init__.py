"""NeuroMAS: multi-agent language systems as neural networks, trained jointly by reinforcement learning.

This is the one door. Importing it loads no torch; each name is loaded when it is first used.
``dir(neuromas)`` lists them; ``help()`` of any says what it takes, gives and raises.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neuromas.api import Trained, load, resume, train, untrained
    from neuromas.config import Config, load_config, make_config
    from neuromas.core.episode import Episode, EpisodeGroup, Turn
    from neuromas.core.errors import NeuromasError
    from neuromas.core.task import Problem, Score, Task
    from neuromas.evaluation.evaluate import Evaluation
    from neuromas.operations import (
        Comparison,
        Drawing,
        compare,
        draw,
        evaluate,
        grow,
        prune,
        rollout,
        validate,
    )
    from neuromas.tasks import make_task
    from neuromas.tasks.rewards import reward, rewards
    from neuromas.topology.files import load_topology
    from neuromas.topology.graph import Topology
    from neuromas.training.callbacks import (
        AlarmRaised,
        Callback,
        Finished,
        Grown,
        Interrupted,
        Noted,
        StageStarted,
        StepEnd,
        Tested,
        TrainStarted,
        Validated,
    )

__version__ = "0.4.0"

_NAMES = {
    "neuromas.api": "Trained load resume train untrained",
    "neuromas.config": "Config load_config make_config",
    "neuromas.core.episode": "Episode EpisodeGroup Turn",
    "neuromas.core.errors": "NeuromasError",
    "neuromas.core.task": "Problem Score Task",
    "neuromas.evaluation.evaluate": "Evaluation",
    "neuromas.operations": "Comparison Drawing compare draw evaluate grow prune rollout validate",
    "neuromas.tasks": "make_task",
    "neuromas.tasks.rewards": "reward rewards",
    "neuromas.topology.files": "load_topology",
    "neuromas.topology.graph": "Topology",
    "neuromas.training.callbacks": (
        "AlarmRaised Callback Finished Grown Interrupted Noted StageStarted StepEnd Tested TrainStarted "
        "Validated"
    ),
}
_WHERE = {name: module for module, names in _NAMES.items() for name in names.split()}

__all__ = [
    "AlarmRaised",
    "Callback",
    "Comparison",
    "Config",
    "Drawing",
    "Episode",
    "EpisodeGroup",
    "Evaluation",
    "Finished",
    "Grown",
    "Interrupted",
    "NeuromasError",
    "Noted",
    "Problem",
    "Score",
    "StageStarted",
    "StepEnd",
    "Task",
    "Tested",
    "Topology",
    "TrainStarted",
    "Trained",
    "Turn",
    "Validated",
    "compare",
    "draw",
    "evaluate",
    "grow",
    "load",
    "load_config",
    "load_topology",
    "make_config",
    "make_task",
    "prune",
    "resume",
    "reward",
    "rewards",
    "rollout",
    "train",
    "untrained",
    "validate",
]


def __getattr__(name: str) -> Any:
    """Load a public name when it is first asked for."""
    if name == "testing":  # a module, which ``dir`` lists
        return import_module("neuromas.testing")
    if name not in _WHERE:
        raise AttributeError(f"module 'neuromas' has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    """The public names, for completion."""
    return sorted([*__all__, "__version__", "testing"])
