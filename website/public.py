"""What is public: what a script or a part of one's own may import and what a later version keeps.

Three sorts: the names of the door (``neuromas.__all__``), the checks (``neuromas.testing.__all__``), and the
contracts of parts of one's own with what their files need, listed here. Everything else may change with any
version. A test holds that each of these names has a docstring and a place in the reference, and that no page,
recipe or check imports anything else.
"""

from __future__ import annotations

DOOR = {  # headings of the reference, and the names of ``neuromas`` below each; together all of ``__all__``
    "Configure": ("load_config", "make_config", "Config"),
    "Train and load": ("train", "resume", "load", "untrained", "Trained"),
    "Work with a trained network": (
        *("rollout", "evaluate", "Evaluation", "compare", "Comparison"),
        *("grow", "prune", "draw", "Drawing"),
    ),
    "Tasks and rewards": (
        *("Task", "Problem", "Score", "make_task", "validate"),
        *("reward", "rewards"),
    ),
    "Topologies": ("Topology", "load_topology"),
    "What happened": ("Episode", "EpisodeGroup", "Turn"),
    "Callbacks": (
        *("Callback", "TrainStarted", "StageStarted", "StepEnd", "Validated", "Tested", "Grown"),
        *("AlarmRaised", "Noted", "Interrupted", "Finished"),
    ),
    "Errors": ("NeuromasError",),
}

CONTRACTS = {  # kind of part: names by module, the contract first
    "An estimator": {
        "neuromas.learning.estimators.base": ("Estimator", "Pooled", "less", "mean", "agree", "compared"),
    },
    "A training algorithm": {
        "neuromas.training.algorithms.base": ("Algorithm", "Memory"),
    },
    "A method": {
        "neuromas.methods.base": ("Method", "Bench", "Allowance", "Search"),
        "neuromas.methods.dialogue": ("Dialogue", "Ask"),
        "neuromas.methods.self_consistency": ("majority",),
    },
    "An engine": {
        "neuromas.engines.base": (
            *("Engine", "Capabilities", "Request", "Generation", "Diagnosing", "Streams", "check_room"),
        ),
        "neuromas.engines.build": ("read_options",),
        "neuromas.engines.local.engine": ("LocalEngine",),
    },
    "A page of a report": {
        "neuromas.report.pages": ("Page", "one_path"),
        "neuromas.report.blocks": (
            *("Table", "Text", "Quote", "Figure", "Shown", "number", "share", "difference", "percent"),
        ),
        "neuromas.report.reading": ("read_evaluation",),
        "neuromas.storage": ("Run",),
    },
    "A task": {
        "neuromas.core.task": ("Task", "Problem", "Score"),
        "neuromas.core.episode": ("Judge", "Receipt"),
        "neuromas.tasks": ("from_rows", "task_names", "task_info", "ValidationReport"),
    },
    "A launcher": {
        "neuromas.experiment.launchers.base": ("Launcher", "Job", "Ended"),
    },
    "A registry": {
        "neuromas.core.registry": ("Registry",),
    },
}

REGISTRIES = "neuromas.core.parts"  # its names in capitals: ESTIMATORS, ALGORITHMS, ...


def contract_names() -> list[str]:
    """Full names of all that belongs to a contract, in the order of the reference, each once."""
    named = [
        f"{module}.{name}"
        for modules in CONTRACTS.values()
        for module, names in modules.items()
        for name in names
    ]
    return list(dict.fromkeys(named))
