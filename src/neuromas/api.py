"""The Python interface: from a configuration to a trained network that answers.

>>> import neuromas
>>> config = neuromas.load_config("recipes/runs/demo.toml", ["train.steps=20"])
>>> trained = neuromas.train(config, "runs/mine")
>>> print(trained.report())
>>> trained.ask("What is the largest number? | 3, 17 | 12, 8")
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Unpack

from neuromas.config import Config, as_begun, identity, in_precision, make_config
from neuromas.core.choices import Altered
from neuromas.core.errors import ConfigError, RunError, shown, unknown
from neuromas.core.task import SPLITS, Problem, Split, Task
from neuromas.experiment.size import priced
from neuromas.models.process import prepare
from neuromas.operations import check_messages
from neuromas.report.pages.run import run_report
from neuromas.storage import Run
from neuromas.tasks.saved import AskedTask
from neuromas.topology.graph import Topology

prepare()

from neuromas.core.episode import Episode  # noqa: E402
from neuromas.evaluation.evaluate import Evaluation, evaluate  # noqa: E402
from neuromas.growth.stages import settle  # noqa: E402
from neuromas.methods.base import Method  # noqa: E402
from neuromas.methods.bench import bench  # noqa: E402
from neuromas.methods.running import evaluate_method, make_method  # noqa: E402
from neuromas.system.asking import as_trained, read_question  # noqa: E402
from neuromas.system.assemble import (  # noqa: E402  (torch after the process settings)
    Assembly,
    check_task,
    configured_task,
    own_config,
)
from neuromas.system.hub import pulled  # noqa: E402
from neuromas.system.network import Network  # noqa: E402
from neuromas.system.provenance import computed_in  # noqa: E402
from neuromas.system.rollout import Sampling, rollout  # noqa: E402
from neuromas.system.saving import check_run, load_bundle, trust_run  # noqa: E402
from neuromas.training.callbacks import Callback, Watch, Watching  # noqa: E402
from neuromas.training.changes import differences  # noqa: E402
from neuromas.training.run import resume as _resume  # noqa: E402
from neuromas.training.run import start  # noqa: E402
from neuromas.training.untrained import Untrained  # noqa: E402


@dataclass(frozen=True, slots=True, repr=False)
class Trained:
    """A trained network and, if it has one, its run directory."""

    path: Path
    assembly: Assembly

    def __repr__(self) -> str:
        config = self.assembly.config
        return f"Trained({self.path}: {config.task.name}, {self.topology}, {config.model.backbone})"

    @property
    def network(self) -> Network:
        """The network: topology, engine, and which adapter every node uses."""
        return self.assembly.network

    @property
    def topology(self) -> Topology:
        """Who reads whom."""
        return self.assembly.network.topology

    @property
    def task(self) -> Task:
        """The task it was trained on; its data are opened when they are first asked for."""
        return self.assembly.task

    def problems(self, split: str = "test", count: int = 10) -> list[Problem]:
        """The first ``count`` problems of a split, or all of a smaller one. Raises ConfigError, TaskError."""
        wanted = check_split(split)
        size = self.task.size(wanted)
        return [self.task.problem(wanted, i) for i in range(count if size is None else min(count, size))]

    def ask(self, question: str) -> str:
        """The network's greedy answer. Raises RunError if there is none."""
        return self.trace(question).turns[-1].text.strip()

    def trace(self, question: str) -> Episode:
        """The whole episode of one question: every node's prompt, message and log-probabilities.

        Where the topology hands out parts, write ``"what is asked | part 1 | part 2"``.
        """
        network = self.assembly.network
        problem = as_trained(read_question(question, network.topology.shares), self.assembly.config)
        asked = AskedTask(self.assembly.task.answer_format)
        episode = rollout(network, asked, [problem], 1, Sampling(0.0, 0))[0]
        if len(episode.turns) < len(network.topology.nodes):
            raise RunError(f"no answer: {episode.failure}")
        return replace(episode, score=None)  # there is no gold answer

    def evaluate(
        self,
        split: str = "test",
        items: int = 200,
        messages: str = "none",
        task: Task | None = None,
        *,
        method: str | Method | None = None,
        options: Mapping[str, Any] | None = None,
        **altered: Unpack[Altered],
    ) -> Evaluation:
        """Greedy evaluation; ``messages`` is ``none``, ``blank`` or ``shuffle``.

        With ``nodes=["1.1", "1.2"]`` only what these nodes say is altered for their readers, all at once.

        With ``positions="swapped"`` every node is told the position of the next of its layer and keeps its
        adapter: what follows the number a node is told, and what its weights?

        ``task`` takes the place of the task it was trained on, whose data or code may not be at hand.
        With ``method``, a name (see ``neuromas methods``) with its ``options`` or an object of your own, that
        answers in the network's place, many with the frozen model beneath it. Raises ConfigError for an
        unknown split, control, node, method or option, TaskError without data.
        """
        changed = _changed(altered)
        wanted = check_split(split)
        check_messages(messages)
        on = self.task if task is None else configured_task(self.assembly.config, task)
        asked, model = _method(method, options, messages), self.assembly.config.model
        if asked is not None and changed:
            key, value = next(iter(changed.items()))
            raise ConfigError(f"method and {key} = {shown(value)} do not go together")
        if asked is None or asked.asks_network():
            check_task(self.topology, on)
        if asked is None:
            found = evaluate(self.network, on, wanted, items, intervention=messages, **changed)
            return priced(found, model)
        name = method if isinstance(method, str) else type(asked).__name__
        with bench(self.assembly, on) as where:
            return priced(evaluate_method(name, asked, where, wanted, items), model)

    def report(self) -> str:
        """Before and after, message controls and examples, as text. Raises RunError if it is not finished."""
        return run_report(Run.open(self.path))


def train(
    config: Config,
    directory: str | Path,
    watch: Watch | None = None,
    *,
    callbacks: Sequence[Callback] = (),
    task: Task | None = None,
) -> Trained:
    """Train a new run, or resume the interrupted one of this configuration in ``directory``.

    ``task`` is an object of your own (docs/tasks.md) in the place of the configured task; a run that was
    interrupted needs it again.
    ``callbacks`` are told of every step, validation, growth and so on, see ``Callback``; ``watch``, of 0.2.0,
    is a function that gets the same as dictionaries. Raises NeuromasError with one line on anything a user
    can mend, KeyboardInterrupt after Ctrl-C (the checkpoint is saved; the same call continues it).
    """
    path, told = Path(directory), [*([Watching(watch)] if watch else []), *callbacks]
    config = config if task is None else own_config(config, task)
    if (path / "config.json").is_file():
        check_same(Run.open(path), config)
        check_run(path, config)
        return _trained(_resume(path, *told, task=task), task)
    return _trained(start(config, path, *told, task=task), task)


def untrained(config: Config, *, task: Task | None = None) -> Trained:
    """The network of a configuration as it is before training, to be asked and evaluated; nothing is written.

    >>> config = neuromas.load_config("demo", ["engine.name=openai", "network.style=chat", ...])
    >>> neuromas.untrained(config).evaluate(items=50, method="debate")

    ``task`` is an object of your own in the place of the configured task. Raises NeuromasError with one line.
    """
    config = config if task is None else own_config(config, task)
    return Trained(Path(), Untrained.of(config, task=task).assembly)


def resume(
    directory: str | Path,
    overrides: Sequence[str] = (),
    *,
    callbacks: Sequence[Callback] = (),
    task: Task | None = None,
) -> Trained:
    """Go on with a run as it was configured, or with ``overrides`` that give it more steps or stages.

    >>> neuromas.resume("runs/mine", ["train.steps=200"])

    A finished run without such overrides is only loaded. Where schedules are constant, a run of 100 steps
    that goes on to 200 is the run of 200 (docs/training.md). ``task`` is the object it was begun with, if
    there was one. Raises ConfigError naming key and both values for an override that would make it another
    run, else as ``train``.
    """
    path = Path(directory)
    check_run(path)
    return _trained(_resume(path, *callbacks, overrides=overrides, task=task), task)


def _trained(run: Run, task: Task | None) -> Trained:
    """The network of a finished run. Raises KeyboardInterrupt where it is none: a script must not go on."""
    if not run.finished:
        raise KeyboardInterrupt(f"{run.path} was interrupted; call it again to go on")
    return load(run.path, task=task)


def check_same(run: Run, config: Config) -> None:
    """Raises RunError naming the first key that differs if the run was started with another configuration."""
    was = in_precision(make_config(run.read("config.json")), computed_in(run))
    wanted = as_begun(settle(config), was)
    if identity(was) != identity(wanted):
        key, (old, new) = next((k, v) for k, v in differences(was, wanted).items() if k != "run.keep")
        raise RunError(
            f"{run.path} holds a run of another configuration: {key} = {shown(old)} there, "
            f"{shown(new)} here; name another directory"
        )


def load(
    path: str | Path,
    device: str | None = None,
    backbone: str | None = None,
    trust: bool = False,
    *,
    task: Task | None = None,
) -> Trained:
    """A trained network from a run directory (its best checkpoint) or a checkpoint folder.

    ``backbone`` says where its model lies now, ``task`` is the object it was trained on, which only
    evaluating needs. A network from elsewhere that names a model, data or code of its own is refused unless
    ``trust`` says that they are wanted (see docs/security.md). ``"hub:USER/NAME"``, with ``@REVISION`` or
    without, is pulled into the cache first. Raises RunError if it is missing or damaged, ModelError if its
    model cannot be had, ConfigError for what is no name on the hub.
    """
    place = pulled(path)
    if trust:
        trust_run(place)
    return Trained(place, load_bundle(place, device, model=backbone, task=task))


def _changed(altered: Altered) -> Altered:
    """What of it alters something. Raises TypeError for another keyword, as a call without ``**`` would."""
    for key in altered:
        if key not in Altered.__annotations__:
            raise TypeError(f"evaluate() got an unexpected keyword argument {key!r}")
    changed = Altered()
    if (positions := altered.get("positions", "own")) != "own":
        changed["positions"] = positions
    if (nodes := altered.get("nodes")) is not None:
        changed["nodes"] = nodes
    return changed


def _method(method: str | Method | None, options: Mapping[str, Any] | None, messages: str) -> Method | None:
    """What is to answer, None for the network. Raises ConfigError for what does not go together."""
    if options and not isinstance(method, str):
        raise ConfigError("options are those of a method that is named; an object has its own")
    if method is None:
        return None
    if messages != "none":
        raise ConfigError(f"method and messages = {shown(messages)} do not go together")
    if isinstance(method, str):
        return make_method(method, options)
    if not isinstance(method, Method):
        raise ConfigError(f"{shown(type(method).__name__)} is no Method (see neuromas.methods.base)")
    return method


def check_split(split: str) -> Split:
    """The split of that name. Raises ConfigError."""
    if split not in SPLITS:
        raise ConfigError(unknown("split", split, SPLITS))
    return split
