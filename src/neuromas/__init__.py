"""NeuroMAS: multi-agent language systems as neural networks, trained jointly by reinforcement learning.

This is the one door. Importing it loads no torch; each name is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neuromas.api import Trained, load, train
    from neuromas.config import Config, load_config, make_config
    from neuromas.core.episode import Episode
    from neuromas.core.errors import NeuromasError
    from neuromas.core.task import Problem, Score, Task
    from neuromas.tasks import make_task, validate
    from neuromas.tasks.rewards import reward, rewards
    from neuromas.topology.files import load_topology
    from neuromas.topology.graph import Topology

__version__ = "0.2.0"

_WHERE = {
    "Config": "neuromas.config",
    "Episode": "neuromas.core.episode",
    "NeuromasError": "neuromas.core.errors",
    "Problem": "neuromas.core.task",
    "Score": "neuromas.core.task",
    "Task": "neuromas.core.task",
    "Topology": "neuromas.topology.graph",
    "Trained": "neuromas.api",
    "load": "neuromas.api",
    "load_config": "neuromas.config",
    "load_topology": "neuromas.topology.files",
    "make_config": "neuromas.config",
    "make_task": "neuromas.tasks",
    "reward": "neuromas.tasks.rewards",
    "rewards": "neuromas.tasks.rewards",
    "train": "neuromas.api",
    "validate": "neuromas.tasks",
}

__all__ = [
    "Config",
    "Episode",
    "NeuromasError",
    "Problem",
    "Score",
    "Task",
    "Topology",
    "Trained",
    "load",
    "load_config",
    "load_topology",
    "make_config",
    "make_task",
    "reward",
    "rewards",
    "train",
    "validate",
]


def __getattr__(name: str) -> Any:
    """Load a public name when it is first asked for."""
    if name not in _WHERE:
        raise AttributeError(f"module 'neuromas' has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)
