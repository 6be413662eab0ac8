"""What one does with tasks and trained networks, as functions for scripts and notebooks.

>>> import neuromas
>>> trained = neuromas.load("runs/demo")
>>> groups = neuromas.rollout(trained, trained.problems("test", 4), samples=8)
>>> larger = neuromas.grow(trained, "2-2-1", steps=20, directory="runs/larger")
>>> print(neuromas.compare(trained, larger))
>>> neuromas.evaluate(trained, method="self-consistency", options={"votes": 5})
>>> neuromas.evaluate(trained, messages="blank", nodes=["1.2"])
>>> neuromas.draw("2-2-1")
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from neuromas.core.choices import MESSAGES, Altered
from neuromas.core.episode import EpisodeGroup, grouped
from neuromas.core.errors import ConfigError, unknown
from neuromas.core.task import Problem, Task
from neuromas.storage import write_atomic
from neuromas.topology.graph import Topology

if TYPE_CHECKING:
    from neuromas.api import Trained
    from neuromas.evaluation.evaluate import Evaluation
    from neuromas.methods.base import Method
    from neuromas.report.pages.compare import Side
    from neuromas.tasks import ValidationReport


def rollout(
    trained: Trained,
    problems: Sequence[Problem],
    samples: int = 1,
    *,
    temperature: float = 1.0,
    seed: int = 0,
    messages: str = "none",
) -> list[EpisodeGroup]:
    """Sample every problem ``samples`` times: one group a problem, of that many episodes.

    ``temperature`` 0 is greedy; ``seed`` alone decides the draws; ``messages`` is ``none``, or ``blank`` or
    ``shuffle`` for a control. Episodes hold every node's prompt, tokens and log-probabilities in nats.
    Raises ConfigError for values that cannot be; a rollout that fails is an episode with its cause.
    """
    from neuromas.system import rollout as sampling

    if samples < 1 or temperature < 0:
        raise ConfigError(f"samples = {samples} must be at least 1, temperature = {temperature:g} at least 0")
    check_messages(messages)
    how = sampling.Sampling(temperature, seed, messages)
    episodes = sampling.rollout(trained.network, trained.task, problems, samples, how)
    return grouped(episodes, samples)


def evaluate(
    trained: Trained,
    split: str = "test",
    items: int = 200,
    *,
    messages: str = "none",
    method: str | Method | None = None,
    options: Mapping[str, Any] | None = None,
    **altered: Unpack[Altered],
) -> Evaluation:
    """Greedy answers to the first ``items`` problems of a split, with their mean and its 95 % interval.

    ``messages`` is ``none``, ``blank`` or ``shuffle``; of all nodes, or of those in ``nodes=["1.2"]``.
    ``positions`` is ``own`` or ``swapped``.

    ``method`` answers in the network's place: a name with its ``options``, or an object. As
    ``Trained.evaluate``. Raises ConfigError for an unknown split, control, node, method or option, TaskError
    without data.
    """
    return trained.evaluate(split, items, messages, method=method, options=options, **altered)


def validate(
    task: Task | str, options: Mapping[str, Any] | None = None, items: int = 100, seed: int = 0
) -> ValidationReport:
    """Check a task without a model: gold answers earn 1, cheats nothing, splits share no question.

    ``task`` is a task, or a name and its ``options``; ``items`` problems of each split are looked at.
    Raises TaskError for a name or an option that does not exist.
    """
    from neuromas.tasks import make_task
    from neuromas.tasks import validate as check

    return check(make_task(task, options or {}) if isinstance(task, str) else task, items, seed)


def grow(
    parent: Trained | str | Path,
    shape: str,
    steps: int,
    *,
    directory: str | Path,
    settings: Sequence[str] = (),
    task: Task | None = None,
) -> Trained:
    """Grow a trained network to a larger ``shape`` and train it ``steps`` on, as a run in ``directory``.

    ``settings`` are overrides such as ``"growth.init=clone"``, ``task`` the object the parent was trained on,
    if it was one. Raises TopologyError where the shape does not hold the parent's, NeuromasError for all else
    that a user can mend.
    """
    from neuromas.api import train
    from neuromas.growth.parent import child_config

    return train(child_config(_path(parent), shape, steps, settings), directory, task=task)


def prune(
    parent: Trained | str | Path, out: str | Path, *, node: str = "", edge: tuple[str, str] | None = None
) -> Trained:
    """A trained network without one node or one edge, written to the folder ``out``; nothing is trained.

    Raises ConfigError unless exactly one of the two is named, RunError if ``out`` exists, TopologyError if
    what is left is no network.
    """
    from neuromas.api import load
    from neuromas.growth.parent import prune as without

    if bool(node) == bool(edge):
        raise ConfigError("name what to remove: either node or edge")
    without(_path(parent), Path(out), node, edge or ())
    return load(out)


@dataclass(frozen=True, slots=True, repr=False)
class Comparison:
    """What a comparison says: ``text`` for people, which is its repr, and ``data`` as plain values."""

    text: str
    data: Mapping[str, Any]

    def __repr__(self) -> str:
        return self.text

    __str__ = __repr__


def compare(*evaluations: Trained | Evaluation | str | Path, way: str = "auto") -> Comparison:
    """Evaluations side by side, item by item.

    Each is a trained network, a run, ``"RUN:EVALUATION"``, or what ``evaluate`` gave.

    Two are compared by a paired test; more are pairs of first and second, one a seed (``way="pairs"``), or
    each against the first (``way="first"``). See docs/numbers.md for the tests. Raises RunError where one is
    missing or they ask different questions.
    """
    import json

    from neuromas.report.pages.compare import compare_sides
    from neuromas.report.writers import as_text

    found = compare_sides([_side(one) for one in evaluations], way)
    return Comparison(as_text(found.blocks), json.loads(found.data))


@dataclass(frozen=True, slots=True, repr=False)
class Drawing:
    """A picture as SVG; a notebook shows it."""

    svg: str
    title: str = field(default="")

    def __repr__(self) -> str:
        return f"Drawing({self.title})"

    def _repr_svg_(self) -> str:
        return self.svg

    def save(self, file: str | Path) -> None:
        """Write it, whole or not at all. Raises OSError."""
        write_atomic(Path(file), self.svg)


def draw(network: Trained | Topology | str, question: str = "auto") -> Drawing:
    """The graph of a network, a topology, or a shape such as ``"2-2-1"`` or a topology file.

    ``question`` says who reads the question where ``network`` is text (``auto``, ``all``, ``first``,
    ``split``). Raises TopologyError for what is no network.
    """
    from neuromas.report.draw import as_svg, headline
    from neuromas.topology.files import agreed_topology

    if isinstance(network, str):
        topology = agreed_topology(network, question)
    else:
        topology = network if isinstance(network, Topology) else network.topology
    return Drawing(as_svg(topology), headline(topology))


def check_messages(messages: str) -> None:
    """Raises ConfigError for an unknown control of messages."""
    if messages not in MESSAGES:
        raise ConfigError(unknown("messages", messages, MESSAGES))


def _side(one: Trained | Evaluation | str | Path) -> str | Side:
    """One side of a comparison."""
    if isinstance(one, str | Path):
        return str(one)
    from neuromas.evaluation.evaluate import Evaluation  # loaded already where there is an object
    from neuromas.report.pages.compare import in_memory

    if isinstance(one, Evaluation):
        return in_memory(one.summary, [item.line() for item in one.items])
    return str(one.path)


def _path(network: Trained | str | Path) -> Path:
    """Where a network lies."""
    return Path(network) if isinstance(network, str | Path) else network.path
