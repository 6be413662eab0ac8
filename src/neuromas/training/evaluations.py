"""Evaluations of a run: what they are called, what they ask, and that each is made once."""

from __future__ import annotations

from neuromas.evaluation.evaluate import Evaluation, evaluate
from neuromas.system.assemble import Assembly
from neuromas.training.log import RunLog

_NETWORKS = {
    "test-before": "untrained network",
    "test-after": "trained network",
    "test-after-blank": "trained network with all messages blanked",
    "test-after-shuffle": "trained network with messages shuffled between questions",
}


def validation(assembly: Assembly) -> Evaluation:
    """The validation problems through the network as it is."""
    return evaluate(assembly.network, assembly.task, "validation", assembly.config.evaluate.validation)


def keep_test(assembly: Assembly, log: RunLog, name: str, messages: str = "none") -> None:
    """One test evaluation into the run directory, unless it is there.

    Those of an end are made anew: since they were made, the run may have gone on from before it.
    """
    kept = log.run.path / "evaluations" / f"{name}.json"
    if assembly.model.ranks.led(kept.is_file) and not name.startswith(("test-after", "stage-")):
        return
    what = _NETWORKS.get(name, f"network of {name}")
    if name == "test-before" and assembly.config.growth.parent:
        what = "network that is to grow"
    log.say(f"evaluating the {what} on {_items(assembly)} test questions")
    count = assembly.config.evaluate.test
    log.tested(name, evaluate(assembly.network, assembly.task, "test", count, intervention=messages))


def final_tests(assembly: Assembly, log: RunLog) -> None:
    """The trained network with its messages as they are, blanked, and shuffled."""
    assembly = assembly.remembering()  # nodes that read no message write the same in all three
    keep_test(assembly, log, "test-after")
    if assembly.network.topology.edges:
        keep_test(assembly, log, "test-after-blank", "blank")
        if _items(assembly) > 1:  # one question has no other to swap messages with
            keep_test(assembly, log, "test-after-shuffle", "shuffle")


def _items(assembly: Assembly) -> int:
    """How many test problems are evaluated."""
    size, wanted = assembly.task.size("test"), assembly.config.evaluate.test
    return wanted if size is None else min(wanted, size)
