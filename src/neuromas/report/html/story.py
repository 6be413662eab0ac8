"""Run directories and experiments as a whole page, told in frozen values."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from neuromas.report.html import answers, facts, family, headline, network, several, traces, training
from neuromas.report.html.kept import Kept, bearing, own_version, read_kept
from neuromas.report.html.parts import Fold, Group, Note, Part, Section, Story
from neuromas.report.html.places import labelled, places

_OWN = ("seed", "run")  # of a configuration: what two seeds of one training may differ in


@dataclass(frozen=True, slots=True)
class Sources:
    """What a page tells of: runs in the order given, grouped by configuration, and experiments."""

    runs: tuple[Kept, ...]
    experiments: tuple[Path, ...]

    @property
    def groups(self) -> list[list[Kept]]:
        """Runs that differ in their seed alone stand together."""
        found: dict[str, list[Kept]] = {}
        for run in self.runs:
            found.setdefault(arm_of(run), []).append(run)
        return list(found.values())


def arm_of(run: Kept) -> str:
    """The configuration without what seeds of one training differ in, as text."""
    config = {key: value for key, value in run.config.items() if key not in _OWN}
    if isinstance(config.get("growth"), dict):
        config["growth"] = {key: one for key, one in config["growth"].items() if key != "parent"}
    return json.dumps(config, sort_keys=True) if config else str(run.run.path)


def sources(paths: Sequence[Path]) -> Sources:
    """Read what is named. Raises RunError for a path that is neither a run nor an experiment."""
    runs, experiments = places(paths)
    labels = labelled(runs)
    return Sources(tuple(map(read_kept, runs, labels)), tuple(experiments))


def tell(paths: Sequence[Path], items: int = traces.ITEMS) -> Story:
    """The page of these runs and experiments. Raises RunError for what is neither."""
    found = sources(paths)
    sections = [section for section in _sections(found, items) if section.parts]
    names = [*(run.label for run in found.runs), *(path.name for path in found.experiments)]
    title = names[0] if len(names) == 1 else f"{len(found.runs)} runs" if found.runs else "experiments"
    subtitle = headline.about(found.runs[0]) if len(found.runs) == 1 else ", ".join(names)
    notes = tuple(
        Note(f"{run.label}: {line}" if len(found.runs) > 1 else line)
        for run in found.runs
        for line in run.missing
    )
    return Story(title, subtitle, tuple(sections), notes, f"neuromas {own_version()}")


def _sections(found: Sources, items: int) -> list[Section]:
    runs, groups = found.runs, found.groups
    alone = len(runs) == 1
    told = [
        Section("comparison", "Comparison", safely(lambda: several.comparison_parts(groups))),
        Section(
            "headline",
            "Result" if alone else "Results run by run",
            each("headline", runs, lambda run: headline.headline_parts(run, alone), opened=0),
        ),
        Section("curves", "Learning curves", safely(lambda: training.curve_parts(groups))),
        Section("stages", "Stages", each("stages", runs, training.stage_parts)),
        Section(
            "network",
            "Network",
            each("network", runs, lambda run: network.network_parts(run, traces.network_of(run))),
        ),
        Section("traces", "Traces", safely(lambda: traces.viewer(runs, items))),
        Section("labels", "Answers", each("labels", runs, answers.label_parts)),
        Section("health", "Training health", each("health", runs, training.health_parts)),
        Section("cost", "Cost", each("cost", runs, training.cost_parts)),
        Section("lineage", "Lineage", each("lineage", runs, family.family_parts)),
        Section("facts", "Repeat it", each("facts", runs, facts.fact_parts)),
    ]
    return [*_experiments(found.experiments), *(told if runs else [])]


def _experiments(paths: Sequence[Path]) -> list[Section]:
    """One section of all experiments."""
    if not paths:
        return []
    told = [safely(lambda path=path: several.experiment_parts(path)) for path in paths]  # type: ignore[misc]
    parts = (
        told[0]
        if len(paths) == 1
        else tuple(Group(str(path), one) for path, one in zip(paths, told, strict=True))
    )
    return [Section("experiment", "Experiment", parts)]


def safely(parts: Callable[[], Sequence[Part]]) -> tuple[Part, ...]:
    """The parts of a section; where it is damaged, what is wrong with it."""
    missing: list[str] = []
    with bearing(missing, "this section"):
        return tuple(parts())
    return tuple(Note(line) for line in missing)


def each(
    key: str, runs: Sequence[Kept], parts: Callable[[Kept], Sequence[Part]], *, opened: int = 1
) -> tuple[Part, ...]:
    """The parts of every run; of several, the first ``opened`` stand open, others are folded."""
    told = [(run, safely(lambda run=run: parts(run))) for run in runs]  # type: ignore[misc]
    if len(told) == 1:
        return told[0][1]
    return tuple(
        Fold(f"{key}-{run.key}", headline.named(run), mine, place < opened, large=True)
        for place, (run, mine) in enumerate(told)
        if mine
    )
