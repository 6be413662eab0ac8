"""The kinds of figures: what each shows, and how it is made of runs or of an experiment."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from neuromas.core.errors import ConfigError, RunError, shown
from neuromas.report.charts import cost, curves, experiment, growth, health, labels, law
from neuromas.report.charts.frame import Chart, Size, as_tabled
from neuromas.report.charts.series import told
from neuromas.report.draw import as_svg
from neuromas.report.reading import prompt_mark, readable
from neuromas.storage import MANIFEST, Run, read_json
from neuromas.topology.graph import Topology

_RESULTS = "results.json"
Picture = Chart | str


@dataclass(frozen=True, slots=True)
class Sources:
    """What figures are made of: runs, or one or more results of experiments, or files of local answers."""

    runs: tuple[Path, ...] = ()
    results: tuple[Path, ...] = ()
    answers: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Kind:
    """``about`` is its line of help, ``of`` are the fields of ``Sources`` that it can be made of.

    ``draw`` gives a chart, or an SVG document of what is no chart. It raises NeuromasError with one line
    where the sources lack what it needs.
    """

    about: str
    of: tuple[str, ...]
    draw: Callable[[Sources, Size], Picture]


def sources(paths: Sequence[Path]) -> Sources:
    """What the paths are. Raises RunError for one that is nothing, ConfigError where kinds are mixed."""
    found: dict[str, list[Path]] = {"runs": [], "results": [], "answers": []}
    for path in paths:
        if (path / "config.json").is_file():
            found["runs"].append(path)
        elif (path / _RESULTS).is_file():
            found["results"].append(path / _RESULTS)
        elif path.is_file():
            found["results" if path.name == _RESULTS else "answers"].append(path)
        else:
            what = "is neither a run nor an experiment" if path.exists() else "does not exist"
            raise RunError(f"{shown(str(path))} {what} (a run has config.json, an experiment {_RESULTS})")
    if sum(map(bool, found.values())) > 1:
        raise ConfigError("a figure is of runs or of experiments, not of both")
    return Sources(*(tuple(paths) for paths in found.values()))


def _first(given: Sources) -> str:
    return shown(str((*given.runs, *given.results, *given.answers)[0]))


def _runs(given: Sources, kind: str) -> tuple[Path, ...]:
    if not given.runs:
        raise RunError(f"the figure {kind!r} is of runs, and {_first(given)} is none")
    return given.runs


def _read(given: Sources, kind: str) -> tuple[Mapping[str, object], str]:
    """The one experiment's results, with its name."""
    if not given.results:
        raise RunError(f"the figure {kind!r} is of an experiment, and {_first(given)} is none")
    if len(given.results) > 1:
        raise ConfigError(f"the figure {kind!r} is of one experiment, not of {len(given.results)}")
    found = read_json(given.results[0])
    about = found.get("experiment")
    named = about.get("name") if isinstance(about, Mapping) else None
    if not isinstance(found.get("points"), list):
        raise RunError(f"{given.results[0]} holds no results of an experiment (no points)")
    return found, str(named or given.results[0].resolve().parent.name)


def _of_experiment(kind: str, draw: Callable[..., Chart]) -> Callable[[Sources, Size], Picture]:
    """A kind that is of one experiment."""

    def made(given: Sources, size: Size) -> Picture:
        found, name = _read(given, kind)
        with readable(str(given.results[0])):
            chart = draw(found, name, size)
        if not chart.rows:
            raise RunError(f"{given.results[0]} has no finished cell, so there is nothing to show")
        return chart

    return made


def _of_either(
    kind: str, run: Callable[..., Chart], other: Callable[..., Chart]
) -> Callable[[Sources, Size], Picture]:
    """A kind that is of runs, or of one experiment."""
    of_experiment = _of_experiment(kind, other)

    def made(given: Sources, size: Size) -> Picture:
        return run(told(_runs(given, kind)), size) if given.runs else of_experiment(given, size)

    return made


def _cost_of(found: Mapping[str, list[Mapping[str, object]]], name: str, size: Size) -> Chart:
    """The ways of one experiment; where it has several tasks, they are told apart by name."""
    listed, left = as_tabled(found)
    points = [point for point in listed if point["seeds"]]
    tasks = {str(point["task"]) for point in points}
    if len(tasks) > 1:
        points = [{**point, "arm": f"{point['task']}/{point['arm']}"} for point in points]
    chart = cost.cost(points, name, size)
    return replace(chart, caption=chart.caption + left)


def _law(given: Sources, size: Size) -> Picture:
    paths = given.results or given.answers or given.runs
    name = "local answers" if given.answers else paths[0].resolve().parent.name
    return law.law(law.points_of(paths), name, size)


def _topology(given: Sources, size: Size) -> Picture:
    """The network that a run hands on, or is configured with while there is no checkpoint."""
    runs = _runs(given, "topology")
    if len(runs) > 1:
        raise ConfigError(f"the figure 'topology' is of one run, not of {len(runs)}")
    if size != Size():
        raise ConfigError("the figure 'topology' has the size of its network; leave --width and --height out")
    from neuromas.report import influence  # with numpy, which a mistake is answered without

    run = Run.open(runs[0])
    with readable(f"run {str(run.path)!r}"):
        if run.checkpoints():
            graph = Topology.from_dict(read_json(run.handed_on / MANIFEST)["topology"])
        else:
            graph = Topology.parse(run.read("config.json")["network"]["topology"])
        found = influence.of_run(run, graph)
    return as_svg(graph, prompt_mark(run), influence.drawn(found[0], graph) if found else None)


_RUNS, _EXPERIMENT, _EITHER = ("runs",), ("results",), ("runs", "results")
KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "curves": Kind(
            "reward and validation by step; every seed and their mean",
            _RUNS,
            lambda given, size: curves.curves(_runs(given, "curves"), size),
        ),
        "topology": Kind(
            "the network that a run hands on, with the measured need for messages", _RUNS, _topology
        ),
        "cost": Kind(
            "accuracy over what a question costs",
            _EITHER,
            _of_either("cost", cost.cost_of_runs, _cost_of),
        ),
        "growth": Kind(
            "accuracy over the stages of grown networks",
            _EITHER,
            _of_either("growth", growth.growth, growth.growth_of),
        ),
        "depth": Kind(
            "an experiment's accuracy over depth", _EXPERIMENT, _of_experiment("depth", experiment.depth)
        ),
        "calls": Kind(
            "an experiment's accuracy over the calls of training",
            _EXPERIMENT,
            _of_experiment("calls", experiment.calls),
        ),
        "labels": Kind(
            "answers before and after training beside the right ones",
            _RUNS,
            lambda given, size: labels.labels(told(_runs(given, "labels")), size),
        ),
        "health": Kind(
            "KL, gradients, entropy, problems without signal by step, with alarms",
            _RUNS,
            lambda given, size: health.health(told(_runs(given, "health")), size),
        ),
        "law": Kind("accuracy over the product of local accuracies", ("results", "answers"), _law),
    }
)
