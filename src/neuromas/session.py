"""A training run from first to last step: data, checkpoints, validation, interruption, resume."""

from __future__ import annotations

import importlib.metadata
import platform
import random
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any

from neuromas.assemble import Assembly, assemble, check_prompts, load_bundle, save_bundle
from neuromas.config import Config, make_config
from neuromas.episode import Episode
from neuromas.errors import RunError, TaskError, one_line
from neuromas.evaluate import evaluate
from neuromas.models.backbone import Backbone
from neuromas.models.bundle import load_adapters, load_optimisers, read_manifest, save_optimisers
from neuromas.seeds import derive
from neuromas.store import Run
from neuromas.task import Problem, Split, Task
from neuromas.tracking import Sink, check_sinks, open_sinks, scalars
from neuromas.training import Trainer, train_step

Watch = Callable[[Mapping[str, Any]], None]
_STAGES = {
    "test-before": "untrained network",
    "test-after": "trained network",
    "test-after-blank": "trained network with all messages blanked",
    "test-after-shuffle": "trained network with messages shuffled between questions",
}
PACKAGES = (
    "neuromas",
    "torch",
    "transformers",
    "safetensors",
    "numpy",
    "scipy",
    "reasoning-gym",
    "math-verify",
)


def start(config: Config, directory: Path, watch: Watch, backbone: Backbone | None = None) -> Run:
    """Train a new run in ``directory``. Returns when it is finished or was interrupted."""
    check_sinks(config.run.sinks)
    assembly = assemble(config, backbone=backbone)
    _check_data(assembly)
    run = Run.create(directory, config.model_dump(mode="json"), about())
    with run.lock():
        return _Session(assembly, run, watch).go()


def resume(directory: Path, watch: Watch, backbone: Backbone | None = None) -> Run:
    """Continue a run from its newest checkpoint, as if it had never stopped; a finished run stays."""
    run = Run.open(directory)
    if run.finished:
        return run
    with run.lock():
        checkpoints = run.checkpoints()
        if checkpoints:
            session = _Session(load_bundle(checkpoints[-1], backbone=backbone), run, watch)
            session.restore(checkpoints[-1])
        else:
            config = make_config(run.read("config.json"))
            session = _Session(assemble(config, backbone=backbone), run, watch)
            session.forget()
        return session.go()


def _check_data(assembly: Assembly) -> None:
    """Problems for training, validation and test exist and can be prompted. Raises NeuromasError if not.

    Better now than after an hour of training.
    """
    config, task = assembly.config, assembly.task
    wanted: list[tuple[Split, int]] = [("train", config.train.problems), ("test", config.evaluate.test)]
    if config.evaluate.every:
        wanted.append(("validation", config.evaluate.validation))
    for split, count in wanted:
        size = task.size(split)
        if size == 0:
            raise TaskError(f"task {task.name!r} has no {split} problems")
        task.problem(split, count - 1 if size is None else min(count, size) - 1)
    check_prompts(assembly.network, task, training_problems(task, config.seed, 0, config.train.problems))


def about() -> dict[str, Any]:
    """What a result depends on besides its configuration: versions, commit, machine."""
    versions = {name: _version(name) for name in PACKAGES}
    import torch

    return {
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "versions": versions,
        "commit": _commit(),
        "python": platform.python_version(),
        "machine": {
            "processor": torch.backends.cpu.get_cpu_capability(),
            "threads": torch.get_num_threads(),
            "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        },
    }


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """Commit of the source tree, with ``+changed`` if it differs; None outside a checkout."""
    here = Path(__file__).parent
    try:
        # installed into a folder of somebody else's repository, that one's commit says nothing of us
        if not _git(here, "ls-files", Path(__file__).name):
            return None
        return _git(here, "describe", "--always", "--dirty=+changed", "--abbrev=12") or None
    except (OSError, subprocess.TimeoutExpired):
        return None


def _git(folder: Path, *words: str) -> str:
    """What git prints; nothing if it fails."""
    done = subprocess.run(
        ["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=10, check=False
    )
    return done.stdout.strip() if done.returncode == 0 else ""


def training_problems(task: Task, seed: int, start: int, count: int) -> list[Problem]:
    """Problems ``start`` to ``start + count`` of the endless training stream.

    A finite split is passed through once an epoch, each time in an order of its own.
    """
    size = task.size("train")
    if size is None:
        return [task.problem("train", i) for i in range(start, start + count)]
    orders: dict[int, list[int]] = {}
    chosen = []
    for i in range(start, start + count):
        epoch, place = divmod(i, size)
        if epoch not in orders:
            orders[epoch] = list(range(size))
            random.Random(derive(seed, "epoch", epoch)).shuffle(orders[epoch])
        chosen.append(task.problem("train", orders[epoch][place]))
    return chosen


class _Session:
    """One process's share of a run."""

    def __init__(self, assembly: Assembly, run: Run, watch: Watch) -> None:
        self.assembly, self.run, self.watch = assembly, run, watch
        self.config = assembly.config
        self.trainer = Trainer(assembly.network, assembly.policy, self.config.train, self.config.seed)
        self.best: tuple[float, int] | None = None
        self.seconds = 0.0

    def restore(self, checkpoint: Path) -> None:
        """Take over a checkpoint's optimisers, baselines and place; forget lines written after it."""
        manifest = read_manifest(checkpoint)
        try:
            state = manifest["state"]
            self.trainer.step = int(state["step"])
            self.trainer.ema = {int(node): float(value) for node, value in state["ema"].items()}
            self.best = None if state["best"] is None else (float(state["best"][0]), int(state["best"][1]))
            self.seconds = float(state["seconds"])
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise RunError(f"{checkpoint} holds a network but no training state ({error!r})") from error
        load_optimisers(checkpoint, self.trainer.optimisers)
        self.forget()

    def forget(self) -> None:
        """Drop the lines that were written after the step from which this session goes on."""
        step = self.trainer.step
        self.run.keep_lines("metrics.jsonl", lambda row: row["step"] < step)
        self.run.keep_lines("episodes.jsonl", lambda row: row["step"] < step)
        self.run.keep_lines("validation.jsonl", lambda row: row["step"] <= step)

    def go(self) -> Run:
        """Train to the end, then evaluate the best checkpoint; or stop early with a checkpoint."""
        sinks = open_sinks(self.config.run.sinks, self.run.path, self.config.model_dump(mode="json"))
        with _Interrupt() as interrupt:
            try:
                self._before()
                while self.trainer.step < self.config.train.steps and not interrupt.asked:
                    self._step(sinks)
            finally:
                self._to_sinks(sinks, lambda sink: sink.close())
            if interrupt.asked:
                if not self.run.checkpoint(self.trainer.step).is_dir():
                    self._checkpoint()
                self._status(finished=False)
                self.watch({"event": "interrupted", "step": self.trainer.step})
                return self.run
        self._finish()
        return self.run

    def _before(self) -> None:
        """Evaluate the untrained network once."""
        if not (self.run.path / "evaluations" / "test-before.json").is_file():
            self._evaluate("test-before", "none")
        if self.trainer.step == 0 and not self.run.checkpoints():
            self._checkpoint()

    def _step(self, sinks: list[Sink]) -> None:
        """One update and what is due after it."""
        started = time.perf_counter()
        config, trainer = self.config, self.trainer
        count = config.train.problems
        problems = training_problems(self.assembly.task, config.seed, trainer.step * count, count)
        report, episodes = train_step(trainer, self.assembly.task, problems)
        self.seconds += time.perf_counter() - started
        self.run.append("metrics.jsonl", [report])
        kept = episodes[:: max(1, len(episodes) // max(1, config.run.episodes))][: config.run.episodes]
        self.run.append("episodes.jsonl", [_episode_line(report["step"], episode) for episode in kept])
        self._mirror(sinks, report["step"], report)
        self.watch({"event": "step", "steps": config.train.steps, **report})
        done = trainer.step == config.train.steps
        if config.evaluate.every and (trainer.step % config.evaluate.every == 0 or done):
            self._validate(sinks)
            self._checkpoint()
        elif trainer.step % config.run.checkpoint_every == 0 or done:
            self._checkpoint()

    def _validate(self, sinks: list[Sink]) -> None:
        """Validation accuracy decides which checkpoint is the best; a tie goes to the later one."""
        result = evaluate(
            self.assembly.network, self.assembly.task, "validation", self.config.evaluate.validation
        )
        accuracy = result.summary["accuracy"]
        if accuracy is not None and (self.best is None or accuracy >= self.best[0]):
            self.best = (accuracy, self.trainer.step)
        self.run.append("validation.jsonl", [{"step": self.trainer.step, **result.summary}])
        self._mirror(sinks, self.trainer.step, {"validation": result.summary})
        self.watch({"event": "validation", "step": self.trainer.step, "accuracy": accuracy})

    def _mirror(self, sinks: list[Sink], step: int, report: Mapping[str, Any]) -> None:
        """The same numbers to all sinks."""
        numbers = scalars(report)
        self._to_sinks(sinks, lambda sink: sink.log(step, numbers))

    def _to_sinks(self, sinks: list[Sink], act: Callable[[Sink], None]) -> None:
        """Act on every sink. One that fails is left out from then on: the run does not depend on it."""
        for sink in list(sinks):
            try:
                act(sink)
            except Exception as error:  # foreign code: whatever it raises is news, not the end
                sinks.remove(sink)
                self.watch({"event": "stage", "text": f"a sink failed and is left out: {one_line(error)}"})

    def _checkpoint(self) -> None:
        """Everything needed to go on: adapters, optimisers, baselines, place in the data, lineage."""
        trainer = self.trainer
        state = {
            "step": trainer.step,
            "cursor": trainer.step * self.config.train.problems,
            "seed": self.config.seed,  # all draws are functions of the seed and the step
            "ema": {str(node): value for node, value in trainer.ema.items()},
            "best": self.best,
            "seconds": self.seconds,
        }

        def fill(folder: Path) -> None:
            files = save_optimisers(folder, trainer.optimisers)
            save_bundle(folder, self.assembly, {"state": state, "lineage": []}, files)

        self.run.save_checkpoint(trainer.step, fill)
        self._status(finished=False)
        self.run.prune(self.config.run.keep, None if self.best is None else self.best[1])

    def _status(self, finished: bool) -> None:
        best = None if self.best is None else self.best[1]
        self.run.write(
            "status.json",
            {
                "finished": finished,
                "step": self.trainer.step,
                "best": best,
                "seconds": round(self.seconds, 1),
            },
        )

    def _finish(self) -> None:
        """Test the best checkpoint, with its messages as they are, blanked, and shuffled."""
        step = self.trainer.step
        if self.best is not None and self.best[1] != step:
            step = self.best[1]
            checkpoint = self.run.checkpoint(step)
            versions = read_manifest(checkpoint)["versions"]
            load_adapters(checkpoint, self.assembly.policy.bank, versions)
        self._evaluate("test-after", "none")
        if self.assembly.network.topology.edges:
            self._evaluate("test-after-blank", "blank")
            if self._tests() > 1:  # one question has no other to swap messages with
                self._evaluate("test-after-shuffle", "shuffle")
        self._status(finished=True)
        self.watch({"event": "finished", "step": step})

    def _tests(self) -> int:
        """How many test problems are evaluated."""
        size, wanted = self.assembly.task.size("test"), self.config.evaluate.test
        return wanted if size is None else min(wanted, size)

    def _evaluate(self, name: str, intervention: str) -> None:
        """One test evaluation into the run directory."""
        text = f"evaluating the {_STAGES[name]} on {self._tests()} test questions"
        self.watch({"event": "stage", "text": text})
        result = evaluate(
            self.assembly.network,
            self.assembly.task,
            "test",
            self.config.evaluate.test,
            intervention=intervention,
        )
        self.run.write_evaluation(name, result.summary, [asdict(item) for item in result.items])


def _episode_line(step: int, episode: Episode) -> dict[str, Any]:
    """A sampled episode as a line people can read."""
    return {
        "step": step,
        "id": episode.problem.id,
        "question": episode.problem.question,
        "gold": episode.problem.answer,
        "messages": [turn.text for turn in episode.turns],
        "score": None if episode.score is None else episode.score.value,
        "failure": episode.failure,
    }


class _Interrupt:
    """Ctrl-C ends the run after the current step; a second one ends it at once."""

    def __init__(self) -> None:
        self.asked = False
        self._before: Any = None

    def __enter__(self) -> _Interrupt:
        try:
            self._before = signal.signal(signal.SIGINT, self._note)
        except ValueError:  # not the main thread: interruption is the caller's business
            self._before = None
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
