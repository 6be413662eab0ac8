"""What the stages of a run were and what became of each: a row a stage, from the run's logs alone."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from neuromas.config import Config, at_stage, make_config
from neuromas.core.errors import plain
from neuromas.report.asked import task_words, view_words
from neuromas.report.blocks import Cell, Shown, Table, percent, share
from neuromas.topology.files import short
from neuromas.topology.graph import Topology
from neuromas.topology.shapes import is_shape

Row = Mapping[str, Any]
LOGS = ("growth.jsonl", "validation.jsonl", "metrics.jsonl", "events.jsonl")
_COLUMNS = ("stage", "network", "task", "view", "steps", "validation", "best", "ended")
_UNBEGUN = "not begun"


@dataclass(frozen=True, slots=True)
class _Stage:
    """Stage ``index`` (from 0): the steps at which it began and ended, and the lines of logs in between.

    ``grew`` is the growth it began with, ``following`` the one that ended it (None: none); ``best`` is the
    step of the state it handed on. ``finished`` says that the run was.
    """

    config: Config
    index: int
    since: int
    until: int
    grew: Row | None
    following: Row | None
    best: Any
    logs: Mapping[str, Sequence[Row]]
    finished: bool

    @property
    def planned(self) -> int:
        return self.config.shapes[self.index][1]

    def rows(self, name: str) -> list[Row]:
        """A log's lines of this stage; a validation's step is that after its update."""
        after = int(name == "validation.jsonl")
        found = [row for row in self.logs[name] if isinstance(row.get("step"), int)]
        return [row for row in found if self.since + after <= row["step"] < self.until + after]


def stages_table(config: Row, logs: Mapping[str, Sequence[Row]], status: Row) -> Table | None:
    """A row for every stage of a run; None for one network that was trained under one view.

    ``config`` is the run's as plain data, ``logs`` are the lines of ``LOGS``. Raises ConfigError, and
    KeyError and others where a line is damaged.
    """
    whole = make_config(config)
    if not (whole.stages or whole.growth.stages or whole.lift.view):
        return None
    rows = [*map(_row, _begun(whole, logs, status))]
    for index in range(len(rows), len(whole.shapes)):
        shape, steps = whole.shapes[index]
        rows.append((index + 1, short(shape), *_asked(whole, index), f"0 of {steps}", None, None, _UNBEGUN))
    return Table(_COLUMNS, tuple(rows), "stages")


def _begun(config: Config, logs: Mapping[str, Sequence[Row]], status: Row) -> list[_Stage]:
    """The stages that have begun; growths out of a parent run begin the first one."""
    growths = logs["growth.jsonl"]
    first = next((row for row in growths if row.get("run")), None)
    own = [row for row in growths if not row.get("run")][: len(config.shapes) - 1]
    steps = [row["step"] + 1 for row in logs["metrics.jsonl"][-1:]]
    last = max([int(status.get("step") or 0), *steps])
    finished = status.get("finished") is True
    found = []
    for index, grew in enumerate([first, *own]):
        following = own[index] if index < len(own) else None
        since = 0 if index == 0 or grew is None else int(grew["step"])
        until, best = (
            (last, status.get("best")) if following is None else (following["step"], following["best"])
        )
        found.append(_Stage(config, index, since, until, grew, following, best, logs, finished))
    return found


def _row(stage: _Stage) -> tuple[Cell, ...]:
    done = stage.until - stage.since
    validations = stage.rows("validation.jsonl")
    last = validations[-1]["accuracy"] if validations else None
    task, view = _asked(stage.config, stage.index)
    return (
        *(stage.index + 1, _network(stage), task, view + _level(stage), f"{done} of {stage.planned}"),
        *(None if last is None else share(last), _best(stage, validations), _ended(stage)),
    )


def _network(stage: _Stage) -> str:
    """The shape, and the one it grew out of where that is another."""
    shape = short(stage.config.shapes[stage.index][0])
    before = "" if stage.grew is None else str(Topology.from_dict(stage.grew["topology"]))
    return f"{shape} from {before}" if before and before != shape else shape


def _asked(config: Config, index: int) -> tuple[str, str]:
    """The task, of later stages what changes in it; the view, or both views and how the last is lifted."""
    here = at_stage(config, index)
    lift, task = here.lift, here.task
    view = lift.view or (_question(config.shapes[index][0], here.network.question),)
    waits = f" at {lift.at:g}" if lift.way in ("steps", "reward") else ""
    told = f"{view_words(view)}, {lift.way}{waits}" if lift.view else view_words(view)
    if index:
        before = at_stage(config, index - 1).task
        if before.name == task.name:
            return _changed(before.options, task.options), told
    return task_words(task.name, task.options), told


def _changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The options that a stage changes."""
    keys = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    return " ".join(f"{key}={plain(now[key]) if key in now else 'unset'}" for key in keys) or "same"


def _question(shape: str, mode: str) -> str:
    """The mode of the question; "auto" is what a file says, and everything where there is none."""
    return mode if mode != "auto" else "all" if is_shape(shape) else "as the graph says"


def _level(stage: _Stage) -> str:
    """How far a view was lifted in the last step; nothing of a stage without views or steps."""
    lift, steps = at_stage(stage.config, stage.index).lift, stage.rows("metrics.jsonl")
    if not lift.view or not steps:
        return ""
    level = steps[-1].get("lifted", 1.0)  # 0.4.0 and before logged none once it was 1
    return f", to {level:.3g}" + (f" (not {lift.end:.3g})" if level < lift.end - 1e-9 else "")


def _best(stage: _Stage, validations: Sequence[Row]) -> Cell:
    """Accuracy and step of the state that is handed on."""
    if stage.best is None or (not validations and stage.grew is None):
        return None
    if stage.best == stage.since:
        start = None if stage.grew is None else stage.grew.get("accuracy_after")
        return "its start" if start is None else Shown(f"{percent(start)} at its start", start)
    found = next((row["accuracy"] for row in validations if row["step"] == stage.best), None)
    return None if found is None else Shown(f"{percent(found)} at step {stage.best}", found)


def _ended(stage: _Stage) -> str:
    """How the stage ended: by all its steps, by ``until`` or ``patience``, or not yet."""
    start = f"stage {stage.index + 1} ends at step {stage.until}: "
    texts = [str(row.get("text")) for row in stage.logs["events.jsonl"]]
    why = next((text[len(start) :] for text in texts if text.startswith(start)), "")
    if found := re.search(r"\b(until|patience) = ([0-9.e-]{1,20})", why):
        return f"{found[1]} {found[2]}"
    if stage.until - stage.since >= stage.planned:
        return "steps"
    return "unfinished" if stage.following is None and not stage.finished else "early"
