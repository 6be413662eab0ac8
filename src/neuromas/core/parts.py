"""The registries: every kind of part that may be exchanged, and where the built-in ones live.

A line here and a file in the part's room is all a new part takes. Names of other packages' parts come from
their entry points, names of a user's own from ``module:Name`` or ``REGISTRY.register(name)``. Nothing that
is named here is imported before it is used.
"""

from __future__ import annotations

from neuromas.core.registry import Registry

ESTIMATORS = Registry(
    "estimator",
    "neuromas.estimators",
    {
        "none": "neuromas.learning.estimators.none:NoBaseline",
        "ema": "neuromas.learning.estimators.ema:Ema",
        "batch_mean": "neuromas.learning.estimators.batch_mean:BatchMean",
        "rloo": "neuromas.learning.estimators.rloo:Rloo",
        "grpo": "neuromas.learning.estimators.grpo:Grpo",
        "grpo_global": "neuromas.learning.estimators.grpo_global:GrpoGlobal",
    },
)

ALGORITHMS = Registry(
    "algorithm",
    "neuromas.algorithms",
    {
        "reinforce": "neuromas.training.algorithms.reinforce:Reinforce",
        "marft": "neuromas.training.algorithms.marft:Marft",
        "collm-cc": "neuromas.training.algorithms.collm:CollmCC",
        "collm-dc": "neuromas.training.algorithms.collm:CollmDC",
        "malt": "neuromas.training.algorithms.malt:Malt",
        "at-grpo": "neuromas.training.algorithms.at_grpo:AtGrpo",
    },
)

METHODS = Registry(
    "method",
    "neuromas.methods",
    {
        "network": "neuromas.methods.network:TrainedNetwork",
        "direct": "neuromas.methods.direct:Direct",
        "chain-of-thought": "neuromas.methods.chain_of_thought:ChainOfThought",
        "untrained": "neuromas.methods.untrained:Untrained",
        "self-consistency": "neuromas.methods.self_consistency:SelfConsistency",
        "best-of-n": "neuromas.methods.best_of_n:BestOfN",
        "pass-at-n": "neuromas.methods.pass_at_n:PassAtN",
        "self-refine": "neuromas.methods.self_refine:SelfRefine",
        "self-check": "neuromas.methods.self_check:SelfCheck",
        "debate": "neuromas.methods.debate:Debate",
        "mixture-of-agents": "neuromas.methods.mixture_of_agents:MixtureOfAgents",
        "graph-of-agents": "neuromas.methods.graph_of_agents:GraphOfAgents",
        "gptswarm": "neuromas.methods.gptswarm:GPTSwarm",
        "mass": "neuromas.methods.mass:Mass",
        "agentnet": "neuromas.methods.agentnet:AgentNet",
        "constant": "neuromas.methods.constant:Constant",
    },
)

ENGINES = Registry(
    "engine",
    "neuromas.engines",
    {
        "local": "neuromas.engines.local:build",
        "scripted": "neuromas.engines.scripted:build",
        "openai": "neuromas.engines.endpoint:build",
        "vllm": "neuromas.engines.served:build",
    },
)

PAGES = Registry(
    "page",
    "neuromas.pages",
    {
        "run": "neuromas.report.pages.run:PAGE",
        "runs": "neuromas.report.pages.runs:PAGE",
        "show": "neuromas.report.pages.show:PAGE",
        "compare": "neuromas.report.pages.compare:PAGE",
        "experiment": "neuromas.report.pages.experiment:PAGE",
        "lineage": "neuromas.report.pages.lineage:PAGE",
    },
)

LAUNCHERS = Registry(
    "launcher",
    "neuromas.launchers",
    {
        "local": "neuromas.experiment.launchers.local:Local",
        "ray": "neuromas.experiment.launchers.ray:Ray",
        "slurm": "neuromas.experiment.launchers.slurm:Slurm",
    },
)

TASKS = Registry("task", "neuromas.tasks", {})

REGISTRIES = (ESTIMATORS, ALGORITHMS, METHODS, ENGINES, PAGES, LAUNCHERS, TASKS)
