"""Going on with a run under a changed configuration: what may change, and what is noted of it.

What the state was made with stays: the network, its data and their order, how an update is computed. More
steps and stages may follow, and how the run is watched, kept and rated is free. ``train.steps`` of a run
that grows is the length of all its stages: a change of it alone is one of the last.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from neuromas.config import Config, apply_overrides, make_config
from neuromas.core.errors import ConfigError, shown
from neuromas.growth.stages import settle, stage_config
from neuromas.storage import Run
from neuromas.system.provenance import digests
from neuromas.training.state import TrainState

_FREE = (
    *("train.steps", "train.lr", "train.guard", "growth.stages", "growth.lr", "growth.patience"),
    *("stages", "growth.until"),
    *("evaluate.every", "evaluate.test", "alarms", "run"),
)
_FIXED = ("run.directory",)
_TESTS = ("test-after", "test-after-blank", "test-after-shuffle")
Changes = dict[str, tuple[Any, Any]]


def changed_config(config: Config, overrides: Sequence[str]) -> Config:
    """The configuration with these overrides. Raises ConfigError."""
    data = apply_overrides(config.model_dump(mode="json"), overrides)
    before, stages = config.model_dump(mode="json"), data["growth"]["stages"]
    if data["stages"] != before["stages"]:
        if data["train"]["steps"] == before["train"]["steps"]:
            del data["train"]["steps"]
    elif data["stages"]:
        data["stages"][-1]["steps"] += data["train"]["steps"] - before["train"]["steps"]
    if stages and stages != before["growth"]["stages"]:
        if data["train"]["steps"] == before["train"]["steps"]:
            del data["train"]["steps"]  # it follows from the stages
    elif stages:
        stages[-1][1] += data["train"]["steps"] - before["train"]["steps"]
    return settle(make_config(data))


def differences(before: Config, after: Config) -> Changes:
    """Every key whose value is not the same, with both values."""
    was, now = (dict(_flat(config.model_dump(mode="json"))) for config in (before, after))
    return {key: (was.get(key), now.get(key)) for key in {**was, **now} if was.get(key) != now.get(key)}


def changes(before: Config, after: Config) -> Changes:
    """The same. Raises ConfigError for a key that must not change in a run that goes on."""
    found = differences(before, after)
    for key, (old, new) in found.items():
        if key in _FIXED or not any(key == free or key.startswith(f"{free}.") for free in _FREE):
            raise ConfigError(
                f"{key} = {shown(new)}, but the run was trained with {shown(old)}; a run that goes on may "
                f"change {', '.join(_FREE[:-2])}, {_FREE[-2]}.* and {_FREE[-1]}.*"
            )
    return found


def _flat(data: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """All values by their dotted keys."""
    for key, value in data.items():
        if key == "stages" and not prefix:
            for number, stage in enumerate(value, start=1):
                given = {name: one for name, one in stage.items() if one is not None}
                yield from _flat(given, f"stages.{number}.")
        elif isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def as_line(found: Changes) -> str:
    """``train.steps = 200 (was 100)``."""
    return ", ".join(f"{key} = {shown(new)} (was {shown(old)})" for key, (old, new) in found.items())


def unsaid(run: Run, config: Config) -> str:
    """The last change if it is in effect and no line of the run says so: a kill may have come before it."""
    last = (_entries(run.read("run.json").get("changes")) or [{}])[-1]
    values = dict(_flat(config.model_dump(mode="json")))
    found = {key: (old, new) for key, (old, new) in last.get("keys", {}).items() if values.get(key) == new}
    text = f"goes on with {as_line(found)}" if found and len(found) == len(last["keys"]) else ""
    said = {row["text"] for row in run.lines("events.jsonl") if row["event"] == "config"}
    return "" if text in said else text


def check_stages_stay(before: Config, state: TrainState) -> None:
    """What has been trained is a part of what the state's configuration says, and gates stay as they are.

    Raises ConfigError naming key and values; ``state`` came from a checkpoint of configuration ``before``.
    """
    old, new = before.shapes, state.plan.shapes
    stage, step, index = state.stage, state.step, state.stage.index
    if index < 0 or (old == new and before.stages == state.plan.stages):
        return
    plan = state.plan
    key = "growth.stages" if plan.growth.stages or before.growth.stages else "train.steps"
    key = "stages" if plan.stages or before.stages else key
    if new[:index] != old[:index] or len(new) <= index or new[index][0] != old[index][0]:
        raise ConfigError(f"{key} = {shown(_plain(new))}, but {shown(_plain(old[: index + 1]))} are trained")
    _check_kept(before, plan, index)
    if step > stage.since + new[index][1]:
        had = step - stage.since
        raise ConfigError(f"{key}: stage {index + 1} has had {had} steps, more than {new[index][1]}")
    _check_gates(replace(stage, steps=old[index][1]), state, key)


def _check_kept(before: Config, plan: Config, index: int) -> None:
    """Stages up to the one under way are what they were, but for its steps. Raises ConfigError."""
    for place, (old, new) in enumerate(zip(before.stages[: index + 1], plan.stages, strict=False)):
        was, now = old.model_dump(exclude={"steps"}), new.model_dump(exclude={"steps"})
        for key in was:
            if was[key] != now[key]:
                old_value, new_value = (
                    "the run's own" if v is None else shown(v) for v in (was[key], now[key])
                )
                raise ConfigError(
                    f"stages[{place + 1}].{key} = {new_value}, but the stage was trained with {old_value}; "
                    "append a stage for what is to change"
                )


def _check_gates(was: Any, state: TrainState, key: str) -> None:
    """Gates and first rates are shares of a stage: a longer one must not be thrown back into them."""
    stage, step, growth = state.stage, state.step, state.config.growth
    stages = "stages" if state.plan.stages else "growth.stages"
    many = len(state.trainer.learner.optimisers)
    same_gates = was.opening(step, growth) == stage.opening(step, growth)
    same_gates &= was.lifted(step, state.config.lift) == stage.lifted(step, state.config.lift)
    if not same_gates or was.lr_scale(step, growth, many) != stage.lr_scale(step, growth, many):
        raise ConfigError(
            f"{key}: with {stage.steps} steps instead of {was.steps} stage {stage.index + 1} would stand at "
            f"another place of its gates, first rates and views (growth.anneal, growth.first, lift.over) at "
            f"step {step}; append a stage of the same shape to {stages} instead"
        )


def _plain(stages: Sequence[tuple[str, int]]) -> list[list[Any]]:
    return [list(stage) for stage in stages]


def schedule_notes(before: Config, state: TrainState) -> list[str]:
    """What a new length does to schedules that are functions of it, a line each."""
    config, trainer, notes = state.plan, state.trainer, list[str]()
    if before.shapes == config.shapes:
        return []
    if config.train.schedule != "constant":
        notes.append(
            f"train.schedule = {config.train.schedule!r} now spans the {trainer.span} steps of the stage: "
            f"it goes on at a learning rate of {trainer.scheduled():g}"
        )
    if config.train.final_temperature is not None:
        notes.append(
            f"train.final_temperature is now that of step {config.train.steps}: sampling goes on at a "
            f"temperature of {trainer.temperature():g}"
        )
    return notes


def reopen(run: Run, config: Config, found: Changes, step: int) -> None:
    """Write the changed configuration into the run, and what was changed when.

    The tests of the end so far, if it had one, are kept as ``test-after-step-N``, and where the last stage
    now asks something else, that of the beginning as ``test-before-step-N``: it is made anew. A kill between
    two of these writes leaves a run that can be resumed: first as it was, after the last one as it is to be.
    """
    status = run.read("status.json") if (run.path / "status.json").is_file() else {}
    if status.get("finished"):
        run.write("status.json", {**status, "finished": False})
    plans = (make_config(run.read("config.json")), config)
    before, after = (stage_config(plan, len(plan.shapes) - 1).task for plan in plans)
    for name in _TESTS if before == after else ("test-before", *_TESTS):  # both ask the same
        first = "-".join(name.split("-")[:2])
        kept = name.replace(first, f"{first}-step-{step}")
        for file in sorted((run.path / "evaluations").glob(f"{name}.*")):
            file.rename(file.with_name(file.name.replace(name, kept, 1)))
    facts = run.read("run.json")
    entry = {
        "step": step,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "keys": {key: list(pair) for key, pair in found.items()},
    }
    if isinstance(facts.get("inputs"), dict):  # 0.1.0 kept none
        facts["inputs"] = {**digests(config), **facts["inputs"]}
    earlier = _entries(facts.get("changes"))
    dropped = bool(earlier) and not _in_effect(earlier[-1], found)
    facts["changes"] = [*earlier[: len(earlier) - dropped], entry]
    run.write("run.json", facts)
    run.write("config.json", config.model_dump(mode="json"))


def _entries(data: Any) -> list[dict[str, Any]]:
    """The changes in ``run.json`` that this version could have written, oldest first."""
    listed = data if isinstance(data, list) else []
    return [
        one
        for one in listed
        if isinstance(one, dict)
        and isinstance(one.get("keys"), dict)
        and all(isinstance(pair, list) and len(pair) == 2 for pair in one["keys"].values())
    ]


def _in_effect(entry: Mapping[str, Any], found: Changes) -> bool:
    """Whether an earlier change was made; a kill between two files may have left one that never was."""
    return all(key not in found or pair[1] == found[key][0] for key, pair in entry["keys"].items())
