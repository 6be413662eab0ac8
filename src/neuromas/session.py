"""A training run from first to last step: data, checkpoints, validation, interruption, resume."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from neuromas.assemble import Assembly, assemble, load_bundle, save_bundle
from neuromas.config import Config, make_config
from neuromas.episode import Episode
from neuromas.errors import RunError, one_line
from neuromas.evaluate import Evaluation, evaluate
from neuromas.growth.heir import Heritage
from neuromas.growth.lineage import Budget, Lineage, changed, describe
from neuromas.growth.operators import Growth, grow
from neuromas.growth.stages import Stage, check_stages, shapes
from neuromas.growth.transfer import restate, transfer
from neuromas.interrupt import Interrupt as _Interrupt
from neuromas.models.backbone import Backbone
from neuromas.models.bundle import load_adapters, load_optimisers, read_manifest, save_optimisers
from neuromas.network import Network
from neuromas.provenance import about, check_unchanged, digests
from neuromas.seeds import derive
from neuromas.store import Run
from neuromas.stream import check_data, training_problems
from neuromas.tracking import Sink, check_sinks, open_sinks, scalars
from neuromas.training import Trainer, train_step

Watch = Callable[[Mapping[str, Any]], None]
_STAGES = {
    "test-before": "untrained network",
    "test-after": "trained network",
    "test-after-blank": "trained network with all messages blanked",
    "test-after-shuffle": "trained network with messages shuffled between questions",
}


def start(config: Config, directory: Path, watch: Watch, backbone: Backbone | None = None) -> Run:
    """Train a new run in ``directory``. Returns when it is finished or was interrupted."""
    check_sinks(config.run.sinks)
    sources = digests(config)  # before they are read: what changes in between is noticed
    assembly, parent = _beginning(config, backbone)
    check_data(assembly, check_stages(config, assembly.network.topology if parent else None))
    with Run.begin(directory, config.model_dump(mode="json"), {**about(), "inputs": sources}) as run:
        session = _Session(assembly, run, watch)
        session.descend(parent)
        return session.go()


def _beginning(config: Config, backbone: Backbone | None) -> tuple[Assembly, Heritage | None]:
    """The network with which a run begins: a new one, or its parent's."""
    if not config.growth.parent:
        return assemble(config, backbone=backbone), None
    parent = Heritage.of(Path(config.growth.parent))
    return load_bundle(parent.folder, backbone=backbone, config=config), parent


def resume(directory: Path, watch: Watch, backbone: Backbone | None = None) -> Run:
    """Continue a run from its newest intact checkpoint, as if it had never stopped; a finished run stays.

    Raises RunError if a file it reads is not what it was at the start.
    """
    run = Run.open(directory)
    if run.finished:
        return run
    with run.lock():
        config = make_config(run.read("config.json"))
        check_unchanged(run.path, run.read("run.json"))
        checkpoint, damaged = run.newest_intact(read_manifest, lambda manifest: _leans_on(run, manifest))
        if checkpoint is not None:
            session = _Session(load_bundle(checkpoint, backbone=backbone), run, watch)
            session.restore(checkpoint)
            best = set() if session.best is None else {session.best[1]}
            run.prune(config.run.keep, best | session.lineage.steps)  # a kill may have come just before that
        else:
            assembly, parent = _beginning(config, backbone)
            session = _Session(assembly, run, watch)
            session.descend(parent)
            session.forget()
        for cause in damaged:
            watch({"event": "stage", "text": f"{cause}; going on from {checkpoint and checkpoint.name}"})
        if missing := run.missing_steps(session.trainer.step):
            watch({"event": "stage", "text": f"metrics.jsonl has lost the lines of {missing} steps"})
        return session.go()


def _leans_on(run: Run, manifest: Mapping[str, Any]) -> list[Path]:
    """The other checkpoints a checkpoint needs: that of its stage's best step."""
    state = manifest.get("state")
    best = state.get("best") if isinstance(state, Mapping) else None
    if not isinstance(best, Sequence) or len(best) != 2 or type(best[1]) is not int:
        return []
    return [run.checkpoint(best[1])]


class _Session:
    """One process's share of a run."""

    def __init__(self, assembly: Assembly, run: Run, watch: Watch) -> None:
        self.assembly, self.run, self.watch = assembly, run, watch
        self.config = assembly.config
        self.trainer = Trainer(assembly.network, assembly.policy, self.config.train, self.config.seed)
        self.best: tuple[float, int] | None = None
        self.seconds = 0.0
        self.goals = check_stages(self.config, None)
        self.stage = Stage(0, 0, shapes(self.config)[0][1])
        self.lineage = Lineage()
        self.met = 0  # training problems that ancestors in other runs met
        self.ancestor: dict[str, Any] = {"run": ""}

    def descend(self, parent: Heritage | None) -> None:
        """Begin as the heir of a trained network: fresh draws, its lineage, and growth to the first stage."""
        if parent is None:
            return
        self.lineage, self.met = parent.lineage, parent.met
        self.ancestor = {"run": parent.run, "step": parent.step, "best": parent.step}
        # a shared seed must not repeat the parent's problems and draws
        self.trainer.seed = derive(self.config.seed, "heir", self.lineage.spent.steps)
        self.stage = Stage(-1, 0, 0)
        if parent.optimisers and self.config.growth.optimiser == "keep":
            load_optimisers(parent.folder, self.trainer.optimisers)

    def restore(self, checkpoint: Path) -> None:
        """Take over a checkpoint's optimisers, baselines and place; forget lines written after it."""
        manifest = read_manifest(checkpoint)
        try:
            state = manifest["state"]
            self.trainer.step = int(state["step"])
            self.trainer.ema = {int(node): float(value) for node, value in state["ema"].items()}
            self.best = None if state["best"] is None else (float(state["best"][0]), int(state["best"][1]))
            self.seconds = float(state["seconds"])
            self.trainer.seed = int(state["seed"])
            self.met = int(state["cursor"]) - self.trainer.step * self.config.train.problems
            self.ancestor = dict(state.get("ancestor", self.ancestor))
            self.stage = Stage.from_dict(state["stage"])
            self.lineage = Lineage.from_manifest(manifest, "")
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise RunError(f"{checkpoint} holds a network but no training state ({error!r})") from error
        load_optimisers(checkpoint, self.trainer.optimisers)
        self.trainer.since = self.stage.since
        self.forget()

    def forget(self) -> None:
        """Drop the lines that were written after the step from which this session goes on."""
        step = self.trainer.step
        self.run.keep_lines("metrics.jsonl", lambda row: row["step"] < step)
        self.run.keep_lines("episodes.jsonl", lambda row: row["step"] < step)
        self.run.keep_lines("validation.jsonl", lambda row: row["step"] <= step)
        self.run.keep_lines("growth.jsonl", lambda row: row["step"] < step)

    def go(self) -> Run:
        """Train to the end, then evaluate the best checkpoint; or stop early with a checkpoint."""
        sinks = open_sinks(self.config.run.sinks, self.run.path, self.config.model_dump(mode="json"))
        with _Interrupt() as interrupt:
            try:
                self._before()
                while not interrupt.asked and self._goes_on():
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
        self._evaluate("test-before", "none")
        if self.trainer.step == 0 and not self.run.checkpoints():
            self._checkpoint()

    def _goes_on(self) -> bool:
        """Whether a step is left; grows the network where a stage has ended and another follows."""
        while self.trainer.step >= self.stage.since + self.stage.steps or self._patience_is_over():
            if self.stage.index + 1 == len(self.goals):
                return False
            self._grow()
        return True

    def _patience_is_over(self) -> bool:
        """Whether the last validations of the stage, as many as patience has, were all below its best."""
        patience = self.config.growth.patience
        if not patience or self.best is None:
            return False
        rows = [r["step"] for r in self.run.lines("validation.jsonl") if r["step"] > self.best[1]]
        return len(rows) >= patience

    def _grow(self) -> None:
        """End the stage at its best checkpoint and begin the next with the grown network."""
        best = self._take_best()
        if self.stage.index >= 0:
            self._evaluate(f"stage-{self.stage.index + 1}", "none")
        config, trainer, assembly = self.config, self.trainer, self.assembly
        growth, index = config.growth, self.stage.index + 1
        change = grow(assembly.network.topology, self.goals[index], config.growth.positions)
        entry = describe(change, assembly.network.topology, self.lineage.spent, trainer.step)
        entry |= {"best": best} if index else self.ancestor
        before = self._validation()
        grown = transfer(assembly, change, derive(trainer.seed, "stage", index))
        trainer.ema = {row: trainer.ema[old] for row, old in grown.before.items() if old in trainer.ema}
        kept = trainer.optimisers if growth.optimiser == "keep" else []
        trainer.optimisers = [*kept, *map(trainer.optimiser, assembly.policy.bank.parameters[len(kept) :])]
        trainer.since = trainer.step
        steps = shapes(config)[index][1]
        self.stage = Stage(index, trainer.step, steps, change.start, change.goal, grown.new)
        self._use(grown.network)
        if growth.init.startswith("passthrough") and grown.new:
            self._restate(change)
        after = self._validation() if change.steps else before
        entry |= {"init": growth.init, "positions": growth.positions, "optimiser": growth.optimiser}
        entry |= changed(before, after)
        self.lineage = self.lineage.grown(entry)
        self.best = None
        self.run.append("growth.jsonl", [{**entry, "step": trainer.step}])
        self.watch({"event": "grown", **entry})

    def _restate(self, change: Growth) -> None:
        """Let new nodes learn to restate; old ones are left as they are, and new optimisers begin anew."""
        config, trainer = self.config, self.trainer
        count = config.train.problems
        for i in range(config.growth.restate):
            first = self.met + (config.train.steps + i) * count  # beyond those that training meets
            problems = training_problems(self.assembly.task, trainer.seed, first, count)
            episodes = restate(trainer, self.assembly.task, change, self.stage.new, problems)
            self.lineage = self.lineage.paid(Budget.of_episodes(episodes))
        for row in self.stage.new:
            trainer.optimisers[row] = trainer.optimiser(trainer.policy.bank.parameters[row])

    def _use(self, network: Network) -> None:
        """Go on with this network."""
        self.assembly = replace(self.assembly, network=network)
        self.trainer.network = network

    def _set_gates(self) -> None:
        """Gates and learning rates of the coming step."""
        growth, step = self.config.growth, self.trainer.step
        topology = self.stage.topology(step, growth)
        if topology is not None and topology != self.assembly.network.topology:
            self._use(replace(self.assembly.network, topology=topology))
        self.trainer.rates = self.stage.rates(step, growth, len(self.trainer.optimisers))

    def _step(self, sinks: list[Sink]) -> None:
        """One update and what is due after it."""
        started = time.perf_counter()
        config, trainer = self.config, self.trainer
        count = config.train.problems
        self._set_gates()
        first = self.met + trainer.step * count
        problems = training_problems(self.assembly.task, trainer.seed, first, count)
        report, episodes = train_step(trainer, self.assembly.task, problems)
        self._set_gates()
        spent = time.perf_counter() - started
        self.seconds += spent
        self.lineage = self.lineage.paid(Budget.of(report, spent))
        self.run.append("metrics.jsonl", [report])
        kept = episodes[:: max(1, len(episodes) // max(1, config.run.episodes))][: config.run.episodes]
        self.run.append("episodes.jsonl", [_episode_line(report["step"], episode) for episode in kept])
        self._mirror(sinks, report["step"], report)
        self.watch({"event": "step", "steps": config.train.steps, **report})
        done = trainer.step == self.stage.since + self.stage.steps
        if config.evaluate.every and (trainer.step % config.evaluate.every == 0 or done):
            self._validate(sinks)
            self._checkpoint()
        elif trainer.step % config.run.checkpoint_every == 0 or done:
            self._checkpoint()

    def _validate(self, sinks: list[Sink]) -> None:
        """Validation accuracy decides which checkpoint is a stage's best; a tie goes to the later one.

        While gates are opening the network is not yet what the stage is for.
        """
        result = self._validation()
        accuracy = result.summary["accuracy"]
        settled = self.stage.opening(self.trainer.step, self.config.growth) == 1.0
        if accuracy is not None and settled and (self.best is None or accuracy >= self.best[0]):
            self.best = (accuracy, self.trainer.step)
        self.run.append("validation.jsonl", [{"step": self.trainer.step, **result.summary}])
        self._mirror(sinks, self.trainer.step, {"validation": result.summary})
        self.watch({"event": "validation", "step": self.trainer.step, "accuracy": accuracy})

    def _validation(self) -> Evaluation:
        """The validation problems through the network as it is."""
        count = self.config.evaluate.validation
        return evaluate(self.assembly.network, self.assembly.task, "validation", count)

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
            "cursor": self.met + trainer.step * self.config.train.problems,
            "seed": trainer.seed,  # all draws are functions of the seed and the step
            "ema": {str(node): value for node, value in trainer.ema.items()},
            "best": self.best,
            "seconds": self.seconds,
            "stage": self.stage.to_dict(),
            "ancestor": self.ancestor,
        }

        def fill(folder: Path) -> None:
            files = save_optimisers(folder, trainer.optimisers)
            save_bundle(folder, self.assembly, {"state": state, **self.lineage.to_dict()}, files)

        self.run.save_checkpoint(trainer.step, fill)
        self._status(finished=False)
        best = set() if self.best is None else {self.best[1]}
        self.run.prune(self.config.run.keep, best | self.lineage.steps)

    def _status(self, finished: bool) -> None:
        best = None if self.best is None else self.best[1]
        seconds, step = round(self.seconds, 1), self.trainer.step
        self.run.write("status.json", {"finished": finished, "step": step, "best": best, "seconds": seconds})

    def _finish(self) -> None:
        """Test the best checkpoint, with its messages as they are, blanked, and shuffled."""
        step = self._take_best()
        self._evaluate("test-after", "none")
        if self.assembly.network.topology.edges:
            self._evaluate("test-after-blank", "blank")
            if self._tests() > 1:  # one question has no other to swap messages with
                self._evaluate("test-after-shuffle", "shuffle")
        self._status(finished=True)
        self.watch({"event": "finished", "step": step})

    def _take_best(self) -> int:
        """Go back to the stage's best checkpoint, if it has one; returns the step reached."""
        if self.best is None or self.best[1] == self.trainer.step:
            return self.trainer.step
        checkpoint = self.run.checkpoint(self.best[1])
        load_adapters(checkpoint, self.assembly.policy.bank, read_manifest(checkpoint)["versions"])
        load_optimisers(checkpoint, self.trainer.optimisers)
        return self.best[1]

    def _tests(self) -> int:
        """How many test problems are evaluated."""
        size, wanted = self.assembly.task.size("test"), self.config.evaluate.test
        return wanted if size is None else min(wanted, size)

    def _evaluate(self, name: str, intervention: str) -> None:
        """One test evaluation into the run directory, unless it is there."""
        if (self.run.path / "evaluations" / f"{name}.json").is_file() and not name.startswith("test-after"):
            return
        what = _STAGES.get(name, f"network of {name}")
        if name == "test-before" and self.config.growth.parent:
            what = "network that is to grow"
        text = f"evaluating the {what} on {self._tests()} test questions"
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
