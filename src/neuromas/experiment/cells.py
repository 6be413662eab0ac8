"""The cells of an experiment: one arm, one task, one seed; what each runs, and whether it is done."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tomli_w

from neuromas.config import Config, as_begun, at_stage, identity, in_precision, make_config
from neuromas.core.errors import RunError
from neuromas.experiment.arms import Arm
from neuromas.experiment.levels import Level, levels
from neuromas.experiment.plan import Plan
from neuromas.experiment.size import ELSEWHERE, UNKNOWN, Size, size_of
from neuromas.models.precision import AUTO, chosen
from neuromas.storage import MANIFEST, Run, read_json, write_atomic
from neuromas.system.provenance import computed_in
from neuromas.topology.files import load_topology

LAST = "test-after"
PROGRAM = "neuromas.cli.cell"


@dataclass(frozen=True, slots=True)
class Start:
    """The network a run begins with: that with which a ``stage`` of ``run`` ended, one of ``of`` stages.

    ``episodes`` are those that a step of each of its stages plays.
    """

    name: str
    run: Path
    stage: int
    of: int
    start: Start | None
    episodes: tuple[int | None, ...] = ()

    @property
    def folder(self) -> Path:
        """Where that network lies. Raises RunError if it is not there."""
        return stage_folder(self.run, self.stage)

    def row(self) -> dict[str, Any]:
        """Where what it cost is noted, as plain data for the report."""
        return {
            "run": str(self.run),
            "trained": self.stage,
            "of": self.of,
            "episodes": list(self.episodes),
            "start": self.start.row() if self.start else None,
        }


@dataclass(frozen=True, slots=True)
class Cell:
    """A run of its own or, for an arm made of another, an evaluation kept in the run of the arm it is of.

    ``folder`` holds what is beside the run: configuration and log. ``stage`` is that of the network asked.
    ``start`` is the network the run begins with; ``config.growth.parent`` is then that network's run until
    its folder is known. ``levels`` are those of the arm's stages, ``size`` what one adapter and the backbone
    have of parameters, ``alike`` the runs that are to compute in one precision with it.
    """

    arm: Arm
    task: str
    seed: int
    folder: Path
    config: Config
    source: Arm
    stage: int
    levels: tuple[Level, ...]
    start: Start | None = None
    size: Size = UNKNOWN
    alike: tuple[Path, ...] = ()

    @property
    def name(self) -> str:
        """``max/grown/seed-0``."""
        return f"{self.task}/{self.arm.name}/seed-{self.seed}"

    @property
    def needs(self) -> str:
        """Name of the cell that must be finished first; empty if none."""
        if self.arm.of:
            return f"{self.task}/{self.source.name}/seed-{self.seed}"
        return self.start.name if self.start else ""

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
        if not self.begun or not Run(self.run).finished:
            return False
        return not self.arm.of or (self.run / "evaluations" / f"{self.evaluation(1)}.json").is_file()

    @property
    def begun(self) -> bool:
        """Whether its run is there."""
        return (self.run / "config.json").is_file()

    @property
    def precision(self) -> str:
        """What it is to compute in where its recipe leaves that open: as the runs that have begun do.

        "auto" where there is none, or none says.
        """
        there = (Run(run) for run in self.alike if (run / "config.json").is_file())
        return next((one for one in map(computed_in, there) if one != AUTO), AUTO)

    def evaluation(self, stage: int) -> str:
        """Name of the test evaluation at the end of a stage."""
        if not self.arm.of:
            return LAST if stage == self.arm.last else f"stage-{stage}"
        way = f"vote-{self.arm.votes}-at-{self.arm.temperature}"
        if self.arm.method:
            way = _label(self.arm)
        elif not self.arm.voting:
            if self._asked_at_its_end():
                return f"{LAST}-{self.arm.messages}"
            way = f"asked-{self.arm.messages}-{self.arm.positions}"
        return f"{way}-stage-{self.stage}-of-{self.config.evaluate.test}"

    def _asked_at_its_end(self) -> bool:
        """Whether the run has asked the same at its own end, as one of a network with edges does."""
        kept = f"evaluations/{LAST}-{self.arm.messages}.json"
        if self.arm.positions != "own" or self.stage != self.source.last or not (self.run / kept).is_file():
            return False
        return bool(Run(self.run).read(kept).get("items") == self.config.evaluate.test)

    def command(self) -> list[str]:
        """The command line of its process; writes the configuration it reads."""
        program = [sys.executable, "-P", "-m", PROGRAM]  # -P: nothing is imported from where we stand
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if self.arm.of:
            how = ["--messages", self.arm.messages, "--positions", self.arm.positions]
            if self.arm.method:
                given = [f"{key}={inline(value)}" for key, value in self.arm.options.items()]
                how = ["--method", self.arm.method, *(["--with", *given] if given else [])]
            elif self.arm.voting:
                how = ["--votes", str(self.arm.votes), "--temperature", str(self.arm.temperature)]
            which = ["--stage", str(self.stage), "--items", str(self.config.evaluate.test)]
            return [*program, "evaluate", str(self.run), *how, *which, "--name", self.evaluation(1)]
        file = self.log.with_suffix(".toml")
        write_atomic(file, as_toml(self._settled().model_dump(mode="json")))
        return [*program, "train", str(file), "--run", str(self.run), "--continue"]

    def _settled(self) -> Config:
        """The configuration with a precision and the folder of the network it begins with, where it has begun
        those of its run.
        """
        config = self.config if self.begun else in_precision(self.config, self.precision)
        if self.start is None:
            return config
        parent = _parent(self.run) if self.begun else str(self.start.folder)
        growth = config.growth.model_copy(update={"parent": parent})
        return config.model_copy(update={"growth": growth})

    def check(self) -> None:
        """Raises RunError if there is a run of another configuration in its place."""
        if not self.begun:
            return
        run = Run.open(self.run)
        was = in_precision(make_config(run.read("config.json")), computed_in(run))
        there, wanted = identity(was), identity(as_begun(self.config, was))
        if self.start is not None:
            begun = Path(there["growth"].pop("parent"))
            wanted["growth"].pop("parent")
            source = self.start.run
            finished = (source / "config.json").is_file() and Run(source).finished
            known = self.start.folder if finished else source
            # the experiment's folder may have been moved since: what lies in it is compared
            there["start"], wanted["start"] = (_inside(path, self.folder.name) for path in (begun, known))
            if not finished:  # made anew: the stage's folder is not known yet
                there["start"] = there["start"][: len(wanted["start"])]
        if there != wanted:
            raise RunError(f"{self.run} holds a run of another configuration; name another --out")

    def rows(self) -> Iterator[dict[str, Any]]:
        """One row for every stage: where its test evaluation is, as plain data for the report."""
        trained = self.config.shapes
        shapes = trained[self.stage - 1 : self.stage] if self.arm.of else trained
        method, options = self.arm.answers
        for stage, ((shape, _), level) in enumerate(zip(shapes, self.levels, strict=True), start=1):
            yield {
                "task": self.task,
                "level": level.name,
                "depth": level.depth,
                "arm": self.arm.name,
                "system": self.arm.line,
                "stage": stage,
                "seed": self.seed,
                "shape": shape,
                "votes": self.arm.votes if self.arm.voting else None,
                "asked": "" if self.arm.voting or not self.arm.of else _way(self.arm),
                "method": method,
                "options": options,
                "run": str(self.run),
                "evaluation": self.evaluation(stage),
                "trained": self.stage if self.arm.of else stage,  # stage of the run that paid for it
                "of": self.source.last,
                "episodes": list(_episodes(self.config)),
                "start": self.start.row() if self.start else None,
                "weights": self.size.weights,
                "adapter": self.size.adapter,
            }


def _way(arm: Arm) -> str:
    """How an arm made of another asks: ``messages blank``, ``method direct``."""
    if arm.method:
        return " ".join(
            ["method", arm.method, *(f"{key}={inline(value)}" for key, value in arm.options.items())]
        )
    said = {"messages": arm.messages, "positions": arm.positions}
    return ", ".join(f"{key} {value}" for key, value in said.items() if value not in ("none", "own"))


def _label(arm: Arm) -> str:
    """The method as part of a file's name; options, and names that are no file's, stand as a digest."""
    plain = re.sub(r"[^\w.-]+", "-", arm.method)[:60]
    if plain == arm.method and not arm.options:
        return f"method-{plain}"
    what = json.dumps([arm.method, arm.options], sort_keys=True)
    return f"method-{plain}-{hashlib.sha256(what.encode()).hexdigest()[:8]}"


def _episodes(config: Config) -> tuple[int | None, ...]:
    """How many episodes a step of each stage plays, without those of a credit that plays some again.

    Where no candidate of AT-GRPO fails; None for an algorithm that is not built in.
    """
    stages = [at_stage(config, index) for index in range(len(config.shapes))]
    return tuple(_played(one, shape) for one, (shape, _) in zip(stages, config.shapes, strict=True))


def _played(config: Config, shape: str) -> int | None:
    """The episodes of a step of one stage."""
    train = config.train
    if train.algorithm in ("reinforce", "marft", "collm-cc", "collm-dc"):
        return train.batch * train.samples
    if train.algorithm not in ("at-grpo", "malt"):
        return None
    topology = load_topology(shape, config.network.question)
    if train.algorithm == "at-grpo":
        return train.batch * train.samples * len(topology.nodes)
    from neuromas.training.algorithms.malt import Malt  # loads torch

    branches: int = train.algorithm_options.get("branches", Malt.branches)
    return int(train.batch * branches ** len(topology.layers()))


def _parent(run: Path) -> str:
    """The network a run began with."""
    return make_config(Run.open(run).read("config.json")).growth.parent


def _inside(path: Path, label: str) -> tuple[str, ...]:
    """What a path says below the folder of a task's cells."""
    parts = path.parts
    places = [i for i, part in enumerate(parts[:-1]) if part == "cells" and parts[i + 1] == label]
    return parts[places[-1] :] if places else parts


def lay_out(plan: Plan, out: Path) -> list[Cell]:
    """All cells; every arm of the first seed comes first.

    Raises RunError if there is a run of another configuration in one's place.
    """
    cells = []
    found = {label: levels(plan, label) for label in plan.labels()}
    sizes: dict[tuple[Any, ...], Size] = {}
    for seed in plan.seeds:
        for label in plan.labels():
            folder = out / "cells" / label
            for arm in (one for one in plan.arms if plan.trains(one, label)):
                trained, stage = arm, arm.last
                if arm.of and (source := plan.source(arm)):
                    trained, stage = source
                start = _start(plan, trained, folder, seed)
                config = plan.config(trained, label, seed, str(start.run) if start else "")
                own = tuple(found[label][arm.name, number] for number in range(1, arm.last + 1))
                about = config.model
                model = (config.engine.name, about.backbone, about.targets, about.ranks, about.rank)
                if model not in sizes:
                    sizes[model] = UNKNOWN if config.engine.name in ELSEWHERE else size_of(about)
                cells.append(Cell(arm, label, seed, folder, config, trained, stage, own, start, sizes[model]))
    for cell in cells:
        cell.check()
    alike = tuple(dict.fromkeys(cell.run for cell in cells if _left_open(cell)))
    return [replace(cell, alike=alike) if _left_open(cell) else cell for cell in cells]


def _left_open(cell: Cell) -> bool:
    """Whether it is trained in a precision that its recipe does not name."""
    return not cell.arm.of and cell.config.model.dtype == AUTO


def precision_lines(cells: Sequence[Cell]) -> list[str]:
    """A line where cells are to begin in another precision than this machine alone would take."""
    waiting = [cell for cell in cells if cell.alike and not cell.begun]
    if not waiting:
        return []
    there, here = waiting[0].precision, chosen(AUTO, waiting[0].config.model.device)
    if there in (AUTO, here):
        return []
    return [
        f"cells that are not begun compute in {there}, as those that are; this machine alone would take "
        f"{here} (model.dtype = 'auto')"
    ]


def _start(plan: Plan, arm: Arm, folder: Path, seed: int) -> Start | None:
    """The network with which the run of an arm begins."""
    source = plan.source(arm)
    if source is None:
        return None
    trained, stage = source
    name = f"{folder.name}/{trained.name}/seed-{seed}"
    run = folder / trained.name / f"seed-{seed}"
    config = plan.config(trained, folder.name, seed)
    before = _start(plan, trained, folder, seed)
    return Start(name, run, stage, trained.last, before, _episodes(config))


def stage_folder(path: Path, stage: int) -> Path:
    """The checkpoint with which a stage (from 1) of a run ended, its best one; the run for its last stage.

    Raises RunError if the run has no such stage or the checkpoint is no longer there.
    """
    run = Run.open(path)
    last = len(make_config(run.read("config.json")).shapes)
    if not 1 <= stage <= last:
        raise RunError(f"{path} has no stage {stage} (valid: 1 to {last})")
    # a child's first line is how it grew out of its parent, whose run it names
    grown = [row for row in run.lines("growth.jsonl") if not row.get("run")]
    if stage == last:
        if len(grown) < last - 1 and not run.finished:
            raise RunError(f"{path} has not reached stage {stage}")
        return path
    if len(grown) < stage:
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


def inline(value: Any) -> str:
    """A value of TOML on one line, as it may stand after ``key=``."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{inline(key)} = {inline(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(inline, value)) + "]"
    return tomli_w.dumps({"x": value}).partition(" = ")[2].rstrip("\n")


def as_toml(data: dict[str, Any]) -> str:
    """A configuration as TOML. None, which TOML cannot say, stands for a key that is not given."""
    return tomli_w.dumps(_given(data))


def _given(value: Any) -> Any:
    """Plain data without the keys whose value is None."""
    if isinstance(value, dict):
        return {key: _given(part) for key, part in value.items() if part is not None}
    return [_given(part) for part in value] if isinstance(value, list | tuple) else value
