"""``check_algorithm``: the built-in algorithms pass, and each broken promise is found."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
import torch

from neuromas.core.parts import ALGORITHMS
from neuromas.testing import check_algorithm
from neuromas.training.algorithms.base import Memory
from neuromas.training.algorithms.reinforce import Reinforce


@pytest.mark.parametrize("name", ALGORITHMS.builtin)
def test_built_in_algorithms_keep_the_contract(name):
    check_algorithm(ALGORITHMS.get(name))


@dataclass
class Falls(Reinforce):
    """The rate falls with every step: one tensor to remember."""

    left: torch.Tensor = field(init=False, default_factory=lambda: torch.ones(1))

    def step(self, trainer, task, problems):
        trainer.lr, kept = trainer.lr * float(self.left), trainer.lr
        report, episodes = super().step(trainer, task, problems)
        trainer.lr, self.left = kept, self.left * 0.5
        return self.say(report), episodes

    def say(self, report):
        return report

    def state(self):
        return Memory({"left": self.left})

    def load(self, memory):
        self.left = memory.tensors["left"]


class Forgets(Falls):
    def state(self):
        return Memory()

    def load(self, memory):
        if memory.tensors:
            raise ValueError("not mine")


class TakesAll(Falls):
    def load(self, memory):
        self.left = memory.tensors.get("left", self.left)


class SaysTensors(Falls):
    def say(self, report):
        return {**report, "left": self.left}


class SaysLittle(Falls):
    def say(self, report):
        return {"step": report["step"]}


class KeepsTensorsInFacts(Falls):
    def state(self):
        return Memory({}, {"left": self.left})


class Draws(Falls):
    def say(self, report):
        self.left = torch.rand(1)
        return report


class CountsTwice(Falls):
    def step(self, trainer, task, problems):
        found = super().step(trainer, task, problems)
        trainer.step += 1
        return found


class Unsourced(Falls):
    source = ""


def test_one_of_ones_own_keeps_the_contract():
    check_algorithm(Falls)


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (Forgets, "a step after a checkpoint"),
        (TakesAll, "takes what another algorithm kept"),
        (SaysTensors, "cannot be logged as JSON"),
        (SaysLittle, "lacks what alarms read"),
        (KeepsTensorsInFacts, "facts cannot be kept as JSON"),
        (Draws, "the same seed"),
        (CountsTwice, "moved the count of steps from 0 to 2"),
        (Unsourced, "source says nothing"),
        (dict, "derives from"),
    ],
)
def test_a_broken_promise_is_found(broken, says):
    with pytest.raises(AssertionError, match=says):
        check_algorithm(broken)
