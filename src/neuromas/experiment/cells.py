"""The cells of an experiment: one arm, one task, one seed; what each runs, and whether it is done."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from neuromas.config import Config, identity, make_config
from neuromas.core.errors import RunError
from neuromas.experiment.plan import Arm, Plan
from neuromas.storage import MANIFEST, Run, read_json, write_atomic

LAST = "test-after"
PROGRAM = "neuromas.cli.cell"


@dataclass(frozen=True, slots=True)
class Cell:
    """A run of its own or, for an arm that votes, an evaluation kept in the run of the arm it is of.

    ``folder`` holds what is beside the run: configuration and log. ``stage`` is the voting network's.
    """

    arm: Arm
    task: str
    seed: int
    folder: Path
    config: Config
    source: Arm
    stage: int

    @property
    def name(self) -> str:
        """``max/grown/seed-0``."""
        return f"{self.task}/{self.arm.name}/seed-{self.seed}"

    @property
    def needs(self) -> str:
        """Name of the cell that must be finished first; empty if none."""
        return f"{self.task}/{self.source.name}/seed-{self.seed}" if self.arm.of else ""

    @property
    def run(self) -> Path:
        """The run directory that holds this cell's evaluations."""
        return self.folder / self.source.name / f"seed-{self.seed}"

    @property
    def log(self) -> Path:
        """What the cell's process said."""
        return self.folder / self.arm.name / f"seed-{self.seed}.log"

    @property
    def finished(self) -> bool:
        """Whether all of its evaluations are there."""
        if not (self.run / "config.json").is_file() or not Run(self.run).finished:
            return False
        return not self.arm.of or (self.run / "evaluations" / f"{self.evaluation(1)}.json").is_file()

    def evaluation(self, stage: int) -> str:
        """Name of the test evaluation at the end of a stage."""
        if self.arm.of:
            items = self.config.evaluate.test
            return f"vote-{self.arm.votes}-at-{self.arm.temperature}-stage-{self.stage}-of-{items}"
        return LAST if stage == self.arm.last else f"stage-{stage}"

    def command(self) -> list[str]:
        """The command line of its process; writes the configuration it reads."""
        program = [sys.executable, "-P", "-m", PROGRAM]  # -P: nothing is imported from where we stand
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if self.arm.of:
            votes = ["--votes", str(self.arm.votes), "--temperature", str(self.arm.temperature)]
            which = ["--stage", str(self.stage), "--items", str(self.config.evaluate.test)]
            return [*program, "evaluate", str(self.run), *votes, *which, "--name", self.evaluation(1)]
        file = self.log.with_suffix(".toml")
        write_atomic(file, as_toml(self.config.model_dump(mode="json")))
        return [*program, "train", str(file), "--run", str(self.run), "--continue"]

    def rows(self) -> Iterator[dict[str, Any]]:
        """One row for every stage: where its test evaluation is, as plain data for the report."""
        trained = self.config.growth.stages or ((self.config.network.topology, self.config.train.steps),)
        shapes = trained[self.stage - 1 : self.stage] if self.arm.of else trained
        for stage, (shape, _) in enumerate(shapes, start=1):
            yield {
                "task": self.task,
                "arm": self.arm.name,
                "stage": stage,
                "seed": self.seed,
                "shape": shape,
                "votes": self.arm.votes if self.arm.of else None,
                "run": str(self.run),
                "evaluation": self.evaluation(stage),
                "trained": self.stage if self.arm.of else stage,  # stage of the run that paid for it
                "of": self.source.last,
            }


def lay_out(plan: Plan, out: Path) -> list[Cell]:
    """All cells; every arm of the first seed comes first.

    Raises RunError if there is a run of another configuration in one's place.
    """
    cells = []
    for seed in plan.seeds:
        for label in plan.labels():
            for arm in plan.arms:
                source, stage = arm, arm.last
                if arm.of:
                    name, stage = plan.point(arm.of)
                    source = plan.arm(name)
                config = plan.config(source, label, seed)
                cells.append(Cell(arm, label, seed, out / "cells" / label, config, source, stage))
    for cell in cells:
        if (cell.run / "config.json").is_file():
            found = make_config(Run.open(cell.run).read("config.json"))
            if identity(found) != identity(cell.config):
                raise RunError(f"{cell.run} holds a run of another configuration; name another --out")
    return cells


def stage_folder(path: Path, stage: int) -> Path:
    """The checkpoint with which a stage (from 1) of a run ended, its best one; the run for its last stage.

    Raises RunError if the run has no such stage or the checkpoint is no longer there.
    """
    run = Run.open(path)
    stages = make_config(run.read("config.json")).growth.stages
    last = max(1, len(stages))
    if not 1 <= stage <= last:
        raise RunError(f"{path} has no stage {stage} (valid: 1 to {last})")
    if stage == last:
        return path
    grown = list(run.lines("growth.jsonl"))[-(last - 1) :]
    if len(grown) < last - 1:
        raise RunError(f"{path} has not reached the end of stage {stage}")
    end = run.checkpoint(int(grown[stage - 1]["step"]))
    if "folder" in grown[stage - 1]:
        folder = run.named(str(grown[stage - 1]["folder"]))
    else:  # a run of version 0.1.0
        best = read_json(end / MANIFEST)["state"]["best"]
        folder = end if best is None else run.checkpoint(int(best[1]))
    if not (folder / MANIFEST).is_file():
        raise RunError(f"{folder} is no longer there; train with a larger run.keep to vote with it")
    return folder


def as_toml(data: dict[str, Any]) -> str:
    """A configuration as TOML. None, which TOML cannot say, stands for a key that is not given."""
    return tomli_w.dumps(_given(data))


def _given(value: Any) -> Any:
    """Plain data without the keys whose value is None."""
    if isinstance(value, dict):
        return {key: _given(part) for key, part in value.items() if part is not None}
    return [_given(part) for part in value] if isinstance(value, list | tuple) else value
