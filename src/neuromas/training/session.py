"""A training run from first to last step: data, checkpoints, validation, alarms, interruption, resume."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from neuromas.config import Config, make_config
from neuromas.core.errors import RunError
from neuromas.core.interrupt import Interrupt
from neuromas.core.seeds import derive
from neuromas.evaluation.evaluate import Evaluation
from neuromas.growth.lineage import Budget, Lineage, changed, describe
from neuromas.growth.operators import grow
from neuromas.growth.parent import Heritage
from neuromas.growth.stages import Stage, check_stages, settle, shapes
from neuromas.growth.transfer import Grown, inherited, transfer, undo
from neuromas.learning.alarms import Alarm
from neuromas.learning.credit import make_estimator
from neuromas.models.backbone import Backbone
from neuromas.models.bundle import load_adapters, load_optimisers, read_manifest, save_optimisers
from neuromas.storage import MANIFEST, Run, read_json
from neuromas.system.assemble import Assembly, load_bundle, save_bundle
from neuromas.system.network import Network
from neuromas.system.prompting import keep_copy
from neuromas.system.provenance import check_unchanged, digests
from neuromas.tasks.stream import training_problems
from neuromas.training.beginning import beginning, facts
from neuromas.training.best import Best
from neuromas.training.data import check_data
from neuromas.training.evaluations import Watch, final_tests, keep_test, validation
from neuromas.training.guard import Guard
from neuromas.training.restate import teach
from neuromas.training.rewind import forget, leans_on, lost, settle_down
from neuromas.training.step import Trainer, train_step
from neuromas.training.trackers import Mirrors, check_sinks, open_sinks


def start(config: Config, directory: Path, watch: Watch, backbone: Backbone | None = None) -> Run:
    """Train a new run in ``directory``. Returns when it is finished or was interrupted."""
    check_sinks(config.run.sinks)
    make_estimator(config.train)
    config = settle(config)
    sources = digests(config)  # before they are read: what changes in between is noticed
    assembly, parent = beginning(config, backbone)
    check_data(assembly, check_stages(config, assembly.network.topology if parent else None))
    with Run.begin(directory, config.model_dump(mode="json"), facts(assembly, sources)) as run:
        keep_copy(run.path, assembly.network.template)
        session = _Session(assembly, run, watch)
        session.descend(parent)
        return session.go()


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
        checkpoint, damaged = run.newest_intact(read_manifest, lambda manifest: leans_on(run, manifest))
        if checkpoint is not None:
            session = _Session(load_bundle(checkpoint, backbone=backbone), run, watch)
            session.restore(checkpoint)
            session.prune()  # a kill may have come just before that
        else:
            assembly, parent = beginning(config, backbone, run.path)
            session = _Session(assembly, run, watch)
            session.descend(parent)
            forget(run, 0)
        for text in lost(run, session.trainer.step, damaged):
            watch({"event": "stage", "text": text})
        return session.go()


class _Session:
    """One process's share of a run."""

    def __init__(self, assembly: Assembly, run: Run, watch: Watch) -> None:
        self.assembly, self.run, self.watch = assembly, run, watch
        self.config = assembly.config
        self.trainer = Trainer(assembly.network, assembly.model, self.config.train, self.config.seed)
        self.best: Best | None = None
        self.seconds = 0.0
        self.goals = check_stages(self.config, None)
        self.stage = Stage(0, 0, shapes(self.config)[0][1])
        self.lineage = Lineage()
        self.met = 0  # training problems that ancestors in other runs met
        self.ancestor: dict[str, Any] = {"run": ""}
        self.guard = Guard(self.config.alarms)

    def descend(self, parent: Heritage | None) -> None:
        """Begin as the heir of a trained network: fresh draws, its lineage, and growth to the first stage."""
        if parent is None:
            self._settle()
            return
        self.lineage, self.met = parent.lineage, parent.met
        self.ancestor = {"run": parent.run, "step": parent.step, "best": parent.step}
        self.trainer.seed = derive(self.config.seed, "heir", self.lineage.spent.steps)  # other draws than its
        self.stage = Stage(-1, 0, 0, born=parent.born)
        if parent.moments and self.config.growth.optimiser == "keep":
            load_optimisers(parent.moments, self.trainer.optimisers)

    def restore(self, checkpoint: Path) -> None:
        """Take over a checkpoint's optimisers, estimator and place; forget lines written after it."""
        manifest = read_manifest(checkpoint)
        try:
            state = manifest["state"]
            self.trainer.step = int(state["step"])
            self.trainer.remember(state["ema"])
            self.best = Best.read(state["best"])
            self.seconds = float(state["seconds"])
            self.trainer.seed = int(state["seed"])
            self.met = int(state["cursor"]) - self.trainer.step * self.config.train.batch
            self.ancestor = dict(state.get("ancestor", self.ancestor))
            self.stage = Stage.from_dict(state["stage"])
            self.lineage = Lineage.from_manifest(manifest, "")
            forget(self.run, self.trainer.step)
            if "guard" in state:  # 0.1.0 had none
                self.guard.take(state["guard"], list(self.run.lines("metrics.jsonl")))
            self._settle()
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise RunError(f"{checkpoint} holds a network but no training state ({error!r})") from error
        load_optimisers(checkpoint, self.trainer.optimisers)

    def _settle(self) -> None:
        """Give the trainer what belongs to the stage: its place, rate, schedule and anchor."""
        trainer, stage = self.trainer, self.stage
        trainer.since, trainer.span = stage.since, stage.steps
        trainer.lr = self.stage.rate(self.config) * 0.5**self.guard.halved
        trainer.anchor = None
        if self.config.train.anchor and stage.start is not None:
            trainer.anchor = inherited(self.run.named(stage.first), self.assembly.model.bank, stage.new)

    def go(self) -> Run:
        """Train to the end, then evaluate the best checkpoint; or stop early with a checkpoint."""
        settings = self.config.model_dump(mode="json")
        mirrors = Mirrors(open_sinks(self.config.run.sinks, self.run.path, settings), self.watch)
        with Interrupt() as interrupt:
            try:
                self._before()
                while not interrupt.asked and self._goes_on():
                    self._step(mirrors)
            finally:
                mirrors.close()
            if interrupt.asked:
                if not self.run.checkpoint(self.trainer.step).is_dir():
                    self._checkpoint()
                self._status(finished=False)
                self.watch({"event": "interrupted", "step": self.trainer.step})
                return self.run
        self._finish()
        return self.run

    def _before(self) -> None:
        """Evaluate the untrained network once; where validation chooses, it is the first candidate."""
        keep_test(self.assembly, self.run, self.watch, "test-before")
        if self.trainer.step == 0 and not self.run.checkpoints():
            if self.config.evaluate.every and self.stage.index == 0:
                self._first_candidate(validation(self.assembly))
            self._checkpoint()

    def _first_candidate(self, result: Evaluation) -> None:
        """The stage's first state is a candidate for its best: training may make it worse."""
        accuracy = result.summary["accuracy"]
        self.best = None if accuracy is None else Best(accuracy, self.trainer.step, self.stage.first)
        self.watch({"event": "validation", "step": self.trainer.step, "accuracy": accuracy})

    def _goes_on(self) -> bool:
        """Whether a step is left; grows the network where a stage has ended and another follows."""
        while self.trainer.step >= self.stage.since + self.stage.steps or self._patience_is_over():
            if self.stage.index + 1 == len(self.goals):
                return False
            self._grow()
        return True

    def _patience_is_over(self) -> bool:
        """Whether the last validations of the stage, as many as patience has, were all below its best."""
        growth, stage = self.config.growth, self.stage
        if not growth.patience or self.best is None:
            return False
        rows = self.run.lines("validation.jsonl")
        return self.best.outlasted(rows, lambda step: stage.opening(step, growth) == 1.0) >= growth.patience

    def _grow(self) -> None:
        """End the stage at its best checkpoint and begin the next with the grown network."""
        best = self._end_stage()
        if self.stage.index >= 0:
            keep_test(self.assembly, self.run, self.watch, f"stage-{self.stage.index + 1}")
        config, trainer, assembly = self.config, self.trainer, self.assembly
        growth, index = config.growth, self.stage.index + 1
        change = grow(assembly.network.topology, self.goals[index], growth.positions)
        entry = describe(change, assembly.network.topology, self.lineage.spent, trainer.step)
        entry |= best if index else self.ancestor
        before = validation(assembly)
        grown = transfer(assembly, change, derive(trainer.seed, "stage", index))
        kept = trainer.optimisers if growth.optimiser == "keep" else []
        trainer.optimisers = [*kept, *map(trainer.optimiser, assembly.model.bank.parameters[len(kept) :])]
        many = len(trainer.optimisers)
        adapters, steps = (many - len(grown.new), many), shapes(config)[index][1]
        self.stage = self.stage.followed_by(change, adapters, trainer.step, steps)
        self.guard.restart(trainer.step, restored=False)
        self._take(grown)
        if growth.init.startswith("passthrough") and grown.new:
            first = self.met + config.train.steps * config.train.batch  # training meets others
            trainer.lr = self.stage.rate(config)
            spent = teach(trainer, self.assembly, change, self.stage.new, first)
            self.lineage = self.lineage.paid(Budget.of_episodes(spent))
        after = validation(self.assembly) if change.steps else before
        entry |= {"init": growth.init, "positions": growth.positions, "optimiser": growth.optimiser}
        entry |= changed(before, after)
        self.lineage = self.lineage.grown(entry)
        self.best = None
        if config.evaluate.every:
            self._first_candidate(after)
        self.run.save_named(self.stage.first, self._fill)
        self._settle()
        self.run.append("growth.jsonl", [{**entry, "step": trainer.step}])
        self.watch({"event": "grown", **entry})

    def _take(self, grown: Grown) -> None:
        """Go on with another network; what the estimator remembers follows its nodes."""
        kept = self.trainer.estimator_state
        self.trainer.remember({row: kept[old] for row, old in grown.before.items() if old in kept})
        self._use(grown.network)

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

    def _step(self, mirrors: Mirrors) -> None:
        """One update and what is due after it."""
        started = time.perf_counter()
        config, trainer = self.config, self.trainer
        self._set_gates()
        first = self.met + trainer.step * config.train.batch
        problems = training_problems(self.assembly.task, trainer.seed, first, config.train.batch)
        report, episodes = train_step(trainer, self.assembly.task, problems)
        self._set_gates()
        spent = time.perf_counter() - started
        self.seconds += spent
        self.lineage = self.lineage.paid(Budget.of(report, spent))
        self.run.append("metrics.jsonl", [report])
        kept = episodes[:: max(1, len(episodes) // max(1, config.run.episodes))][: config.run.episodes]
        self.run.append("episodes.jsonl", [episode.line(report["step"]) for episode in kept])
        mirrors.log(report["step"], report)
        self.watch({"event": "step", "steps": config.train.steps, **report})
        raised = self.guard.see(report)
        done = trainer.step == self.stage.since + self.stage.steps
        due = bool(config.evaluate.every) and (trainer.step % config.evaluate.every == 0 or done)
        if due:
            raised += self._validate(mirrors)
        self._answer(raised)
        if due or trainer.step % config.run.checkpoint_every == 0 or done:
            self._checkpoint()

    def _validate(self, mirrors: Mirrors) -> list[Alarm]:
        """Validation accuracy decides which checkpoint is a stage's best; a tie goes to the later one.

        While gates are opening the network is not yet what the stage is for.
        """
        result, step = validation(self.assembly), self.trainer.step
        accuracy, best = result.summary["accuracy"], None if self.best is None else self.best.accuracy
        settled = self.stage.opening(step, self.config.growth) == 1.0
        raised = self.guard.see_validation(accuracy, best) if settled else []
        if accuracy is not None and settled and (best is None or accuracy >= best):
            self.best = Best(accuracy, step, self.run.checkpoint(step).name)
        self.run.append("validation.jsonl", [{"step": step, **result.summary}])
        mirrors.log(step, {"validation": result.summary})
        self.watch({"event": "validation", "step": step, "accuracy": accuracy})
        return raised

    def _answer(self, raised: list[Alarm]) -> None:
        """Tell alarms; stop, or go back to the best state, where the configuration says so."""
        mode, step = self.config.train.guard, self.trainer.step
        for alarm in raised:
            self._note("alarm", f"alarm {alarm.name}: {alarm.text}", name=alarm.name)
        if raised and mode == "stop":
            self._checkpoint()
            raise RunError(f"{self.run.path}: train.guard = 'stop' at step {step}: {raised[0].text}")
        # the network before gates opened cannot be gone back to: it is no state of the one that is trained
        first = self.best is not None and self.best.step == self.stage.since
        closed = first and self.stage.gated(self.config.growth)
        breaking = any(alarm.breaking and not (closed and alarm.name == "fallen") for alarm in raised)
        if mode != "restore" or self.best is None or not breaking:
            return
        if self.guard.halved >= self.config.alarms.restores:
            self._note("guard", f"not restored again: alarms.restores = {self.config.alarms.restores}")
            return
        if self.best.step != step:  # else it is here, and its checkpoint is still to be written
            self._load(self.best.folder)
        self.guard.restart(step, restored=True)
        self._settle()
        rate = f"the learning rate is now {self.trainer.lr:g}"
        self._note("guard", f"back to the state of step {self.best.step}; {rate}")

    def _note(self, event: str, text: str, **more: Any) -> None:
        """A line of the run's events, told to the watcher, too."""
        line = {"step": self.trainer.step, "event": event, "text": text, **more}
        self.run.append("events.jsonl", [line])
        self.watch(line)

    def _fill(self, folder: Path) -> None:
        """Everything needed to go on: adapters, optimisers, estimator, place in the data, lineage."""
        trainer = self.trainer
        state = {
            "step": trainer.step,
            "cursor": self.met + trainer.step * self.config.train.batch,
            "seed": trainer.seed,  # all draws are functions of the seed and the step
            "ema": {str(node): kept for node, kept in trainer.estimator_state.items()},  # of any estimator
            "best": None if self.best is None else self.best.to_list(),
            "seconds": self.seconds,
            "stage": self.stage.to_dict(),
            "guard": self.guard.to_dict(),
            "ancestor": self.ancestor,
        }
        files = save_optimisers(folder, trainer.optimisers)
        save_bundle(folder, self.assembly, {"state": state, **self.lineage.to_dict()}, files)

    def _checkpoint(self) -> None:
        """A checkpoint to resume from; of older ones those stay that are still needed."""
        self.run.save_checkpoint(self.trainer.step, self._fill)
        self._status(finished=False)
        self.prune()

    def prune(self) -> None:
        """Remove checkpoints that are no longer needed."""
        # the log knows all ends of stages, the lineage only those that led to the present network
        named = {str(row.get("folder")) for row in self.run.lines("growth.jsonl")}
        for kept in self.run.checkpoints()[-self.config.run.newest :]:  # the newest may be damaged some day
            named |= {path.name for path in leans_on(self.run, read_json(kept / MANIFEST))}
        self.run.prune(self.config.run.newest, self.lineage.steps, named)

    def _status(self, finished: bool, folder: str = "") -> None:
        step, folder = (None, folder) if self.best is None else (self.best.step, folder or self.best.folder)
        status = {"finished": finished, "step": self.trainer.step, "best": step, "checkpoint": folder or None}
        self.run.write("status.json", {**status, "seconds": round(self.seconds, 1)})

    def _finish(self) -> None:
        """Test what the last stage hands on."""
        ended = self._end_stage()
        final_tests(self.assembly, self.run, self.watch)
        settle_down(self.run, ended["folder"], self.config.run.keep)
        self._status(finished=True, folder=ended["folder"])
        self.watch({"event": "finished", "step": ended["best"]})

    def _end_stage(self) -> dict[str, Any]:
        """Go back to the stage's best state, if it has one; returns its step and its folder.

        Where that is the first state, the stage made its network worse: a line says so, and if it began with
        a growth through gates, the network before it, which answered the same, is handed on.
        """
        best, trainer = self.best, self.trainer
        if best is None:
            return {"best": trainer.step, "folder": self.run.checkpoint(trainer.step).name}
        if best.step != trainer.step:
            self._load(best.folder)
        fell = self.stage.since == best.step < trainer.step
        return {"best": best.step, "folder": self._hand_on_start(best) if fell else best.folder}

    def _hand_on_start(self, best: Best) -> str:
        """Say that a stage ended below its start; the folder of what is handed on."""
        stage, folder, what = self.stage, best.folder, "its start"
        if self.stage.gated(self.config.growth):
            before = undo(self.assembly, self.lineage.entries[-1])
            self._take(before)
            del self.trainer.optimisers[len(self.assembly.model.bank.parameters) :]
            self.lineage, self.stage = self.lineage.undone(), stage.undone(len(self.trainer.optimisers))
            folder, what = f"parent-{stage.index + 1}", f"{self.assembly.network.topology} as before it grew"
            self.run.save_named(folder, self._fill)
        which = f"stage {stage.index + 1} ({shapes(self.config)[stage.index][0]})"
        fell = best.ended_below(list(self.run.lines("validation.jsonl")))
        self._note("stage", f"{which} {fell}: {what} is handed on")
        return folder

    def _load(self, folder: str) -> None:
        """Adapters and optimisers of a checkpoint of this stage; the graph and the place stay."""
        checkpoint = self.run.named(folder)
        load_adapters(checkpoint, self.assembly.model.bank, read_manifest(checkpoint)["versions"])
        self.assembly.publish()
        load_optimisers(checkpoint, self.trainer.optimisers, required=False)
