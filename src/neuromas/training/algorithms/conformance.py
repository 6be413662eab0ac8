"""What every training algorithm promises, as a check that anybody's may be held to."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from neuromas.config import make_config
from neuromas.core.errors import one_line
from neuromas.core.task import Problem, Score, Split
from neuromas.models.bundle import load_memory, load_optimisers, save_optimisers
from neuromas.system.assemble import assemble
from neuromas.system.saved_state import is_line
from neuromas.training.algorithms.base import Algorithm, Memory
from neuromas.training.step import train_step
from neuromas.training.trainer import Trainer

_PROBLEMS, _SAMPLES, _STEPS = 2, 4, 3
_REFUSALS = (KeyError, TypeError, ValueError, AttributeError)
_CONFIG: dict[str, Any] = {
    "model": {"backbone": "tiny", "dtype": "float32", "device": "cpu", "rank": 4},
    "network": {"topology": "2-1", "message_tokens": 4, "answer_tokens": 4},
    "train": {"problems": _PROBLEMS, "samples": _SAMPLES, "lr": 0.01, "warmup": 0},
}


class _Odd:
    """The sum of the answer's bytes should be odd, which random text earns half of the time."""

    name, answer_format = "odd", "anything"

    def size(self, split: Split) -> int | None:
        """Without end."""
        return None

    def problem(self, split: Split, index: int) -> Problem:
        """Any question."""
        return Problem(f"{split}-{index}", f"{split} {index}?", "odd", parts=("left", "right"))

    def score(self, problem: Problem, text: str) -> Score:
        """1 where it is odd."""
        return Score(float(sum(text.encode()) % 2), text or None)


def check_algorithm(make: Callable[[], Algorithm]) -> None:
    """Raises AssertionError, saying what is wrong, if an algorithm breaks the contract of ``Algorithm``.

    ``make()``, such as the class itself, gives a new one; it trains a tiny network for three steps. Held to
    it are that a step is counted once and its report can be logged, that equal seeds give equal steps, and
    that what it keeps in a checkpoint is enough to go on bit by bit. Whether it learns is left to its own
    tests.
    """
    algorithm = make()
    assert isinstance(algorithm, Algorithm), (
        "an algorithm derives from neuromas.training.algorithms.base.Algorithm"
    )
    assert getattr(algorithm, "source", ""), "source says nothing"
    with tempfile.TemporaryDirectory() as folder:
        whole = _trainer(make)
        reports = [_step(whole) for _ in range(_STEPS - 1)]
        kept = _keep(whole, Path(folder))
        reports.append(_step(whole))
        again = _trainer(make)
        for number, before in enumerate(reports):
            assert _step(again) == before, f"step {number} of the same seed reports something else"
        assert _same(again, whole), "the same seed trains other adapters"
        resumed = _resumed(make, whole, kept, Path(folder))
    assert _step(resumed) == reports[-1], "a step after a checkpoint reports something else than without"
    assert _same(resumed, whole), "a step after a checkpoint trains other adapters than without"
    _check_refusal(make)


def _trainer(make: Callable[[], Algorithm]) -> Trainer:
    """A new one of a new tiny network."""
    config = make_config(_CONFIG)
    assembly = assemble(config, task=_Odd())
    trainer = Trainer(assembly.network, assembly.model, config.train, config.seed)
    trainer.algorithm = make()
    trainer.algorithm.begin(trainer)
    return trainer


def _step(trainer: Trainer) -> dict[str, Any]:
    """One step; its report without what time it took."""
    task, step = _Odd(), trainer.step
    problems = [task.problem("train", step * _PROBLEMS + place) for place in range(_PROBLEMS)]
    report, episodes = train_step(trainer, task, problems)
    assert trainer.step == step + 1, f"a step moved the count of steps from {step} to {trainer.step}"
    assert report.get("step") == step, f"the report of step {step} says step {report.get('step')}"
    assert {episode.problem.id for episode in episodes} <= {one.id for one in problems}, (
        "it learned from episodes of other problems than it was given"
    )
    try:
        line = json.loads(json.dumps(report, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise AssertionError(f"the report cannot be logged as JSON: {one_line(error)}") from error
    assert is_line("metrics.jsonl", line), "the report lacks what alarms read; make it with step.finish"
    return {key: value for key, value in line.items() if key != "seconds"}


def _keep(trainer: Trainer, folder: Path) -> tuple[list[torch.Tensor], list[int], Any]:
    """Adapters, their versions, and facts; optimisers and tensors go to the folder as in a checkpoint."""
    memory = trainer.algorithm.state()
    assert isinstance(memory, Memory), "state() gives a Memory"
    try:
        facts = json.loads(json.dumps(dict(memory.facts), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise AssertionError(f"facts cannot be kept as JSON: {one_line(error)}") from error
    save_optimisers(folder, trainer.learner.optimisers, memory.tensors)
    bank = trainer.learner.model.bank
    return [p.detach().clone() for p in bank.parameters], list(bank.versions), facts


def _resumed(
    make: Callable[[], Algorithm], whole: Trainer, kept: tuple[list[torch.Tensor], list[int], Any], at: Path
) -> Trainer:
    """A new trainer that goes on from what was kept."""
    trainer, (vectors, versions, facts) = _trainer(make), kept
    bank = trainer.learner.model.bank
    with torch.no_grad():
        for parameter, vector in zip(bank.parameters, vectors, strict=True):
            parameter.copy_(vector)
    bank.versions[:] = versions
    trainer.step = whole.step - 1
    trainer.publish()
    load_optimisers(at, trainer.learner.optimisers)
    trainer.algorithm.load(Memory(load_memory(at), facts))
    return trainer


def _same(one: Trainer, other: Trainer) -> bool:
    """Whether all adapters are equal bit by bit."""
    pairs: Sequence[tuple[torch.Tensor, torch.Tensor]] = list(
        zip(one.learner.model.bank.parameters, other.learner.model.bank.parameters, strict=True)
    )
    return all(torch.equal(a, b) for a, b in pairs)


def _check_refusal(make: Callable[[], Algorithm]) -> None:
    """A memory of some other algorithm is refused, so that a mixed-up checkpoint is noticed."""
    algorithm = _trainer(make).algorithm
    try:
        algorithm.load(Memory({"of another": torch.ones(1)}, {"of another": 1}))
    except _REFUSALS:
        return
    raise AssertionError("load() takes what another algorithm kept; raise ValueError")
