"""The stages of a run: gates and rates of the coming step, growth from one to the next, and how one ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from neuromas.config import Config, as_written
from neuromas.core.errors import ConfigError, PromptError
from neuromas.core.seeds import derive
from neuromas.core.task import Problem, Task
from neuromas.evaluation.evaluate import Evaluation
from neuromas.growth.lineage import Budget, asked, changed, describe
from neuromas.growth.operators import Growth
from neuromas.growth.parent import ParentRun
from neuromas.growth.stages import Stage, advance, check_stages, lift_short, stage_config
from neuromas.growth.transfer import inherited, transfer, undo
from neuromas.learner.moments import copied_optimisers
from neuromas.learning.alarms import Alarm
from neuromas.models.bundle import load_optimisers
from neuromas.system.assemble import Assembly, check_task, configured_task, equipped, first_view
from neuromas.system.network import Network, held
from neuromas.system.prompting import shown_examples
from neuromas.topology.files import short
from neuromas.topology.views import under
from neuromas.training.checkpoints import Checkpointer
from neuromas.training.evaluations import keep_test
from neuromas.training.log import RunLog
from neuromas.training.restate import teach
from neuromas.training.state import Best, TrainState

Validate = Callable[[Assembly], Evaluation]


class StageController:
    """Leads the state from stage to stage. ``validate`` answers the validation problems."""

    def __init__(self, state: TrainState, checkpoints: Checkpointer, log: RunLog, validate: Validate) -> None:
        self.state, self.checkpoints, self.log, self.validate = state, checkpoints, log, validate
        self.goals = check_stages(state.plan, None)
        self._examples: tuple[Problem, ...] = ()  # under the first view of the stage

    def begin(self, parent: ParentRun | None) -> None:
        """Begin at the first stage; as the child of a trained network before it, with fresh draws."""
        if parent is None:
            self.settle()
            return
        state = self.state
        state.lineage, state.problems_seen = parent.lineage, parent.problems_seen
        state.ancestor = parent.entry
        # a shared seed must not repeat the parent's problems and draws
        state.trainer.seed = derive(state.config.seed, "heir", state.lineage.spent.steps)
        state.stage = Stage(-1, 0, 0, born=parent.born)
        if parent.moments and state.config.growth.optimiser == "keep":
            load_optimisers(parent.moments, state.trainer.learner.optimisers)

    def settle(self) -> None:
        """Give the trainer what belongs to the stage: its place, rate, schedule and anchor."""
        state, trainer, stage = self.state, self.state.trainer, self.state.stage
        self._pace()
        self._examples = shown_examples(state.config, state.base.task, 0) if state.config.lift.view else ()
        trainer.learner.anchor = None
        if state.config.train.anchor and stage.start is not None:
            state.ranks.wait()  # the first process has written it
            first = self.log.run.named(stage.first)
            trainer.learner.anchor = inherited(first, state.base.model.bank, stage.new)

    def _pace(self) -> None:
        """Give the trainer the stage's settings, schedule and rate."""
        state, trainer, stage = self.state, self.state.trainer, self.state.stage
        trainer.use(state.config.train)
        trainer.viewed = bool(state.config.lift.view)
        trainer.since, trainer.span = stage.since, stage.steps
        trainer.lr = stage.rate(state.config) * 0.5**state.guard.halved

    def set_gates(self) -> None:
        """Gates, views and learning rates of the coming step."""
        stage, trainer, growth = self.state.stage, self.state.trainer, self.state.config.growth
        network, topology = trainer.network.settled, stage.topology(trainer.step, growth)
        if topology is not None and topology != network.topology:
            network = replace(network, topology=topology)
        lifted = stage.lifted(trainer.step, self.state.config.lift)
        if lifted < 1.0:
            lift, first = self.state.config.lift, self._under_first(network)
            alike = lift.draw == "problem"
            network = replace(network, earlier=first, lifted=lifted, alike=alike, taught=lift.taught)
        trainer.network = network
        still = held(network.topology, network.assignment, self.state.config.train.only)
        if set(stage.new) <= set(still):  # nobody new learns: the others need not wait for them
            growth = growth.model_copy(update={"first": 0.0})
        rates = stage.lr_scale(trainer.step, growth, len(trainer.learner.optimisers))
        trainer.learner.lr_scale = {**rates, **dict.fromkeys(still, 0.0)}

    def earned(self, reward: float | None) -> None:
        """A step was made; where its reward lifts the view, the next one is lifted further."""
        lift, state = self.state.config.lift, self.state
        if lift.view and lift.way == "reward":
            state.stage = state.stage.raised(reward, lift)

    def _under_first(self, network: Network) -> Network:
        """The network under the first view of the stage."""
        return first_view(network, self.state.config, self._examples)

    def goes_on(self) -> bool:
        """Whether a step is left; grows the network where a stage has ended and another follows."""
        while self._ended():
            self._note_early()
            self._note_lift()
            if not self._follows():
                return False
            self._grow()
        return True

    @property
    def left(self) -> bool:
        """Whether a step is left, in this stage or in one that follows."""
        return self._follows() or not self._ended()

    def _follows(self) -> bool:
        return self.state.stage.index + 1 < len(self.goals)

    def _ended(self) -> bool:
        return self.state.over or self._patience_is_over() or self._reached()

    def _note_early(self) -> None:
        """Say why a stage ends before its last step, if it does."""
        state, growth = self.state, self.state.config.growth
        if state.over or state.best is None:
            return
        why = f"growth.patience = {growth.patience}"
        if self._reached():
            why = f"validation {state.best.accuracy:.1%} reached growth.until = {growth.until:g}"
        why = as_written(state.plan, state.stage.index, why)
        self.log.note("stage", f"stage {state.stage.index + 1} ends at step {state.step}: {why}")

    def _note_lift(self) -> None:
        """Say that a stage ends before its view is lifted as far as it was to be, if it does."""
        state, lift, stage = self.state, self.state.config.lift, self.state.stage
        if not lift.view or stage.since == state.step:
            return
        rows = state.ranks.led(lambda: list(self.log.run.lines("metrics.jsonl")))
        text = lift_short(lift, rows[-1].get("lifted", 1.0)) if rows else ""
        if text:
            text = f"stage {stage.index + 1} ({self._shape}) ends {text}"
            self.log.note("stage", as_written(state.plan, stage.index, text))

    @property
    def _shape(self) -> str:
        """The stage's shape as the user wrote it, or in short where that is a whole graph."""
        return short(self.state.plan.shapes[self.state.stage.index][0])

    def _reached(self) -> bool:
        """Whether validation is where the stage may end; closed gates answer for the network before."""
        until, stage, best = self.state.config.growth.until, self.state.stage, self.state.best
        closed = best is not None and best.step == stage.since and stage.gated(self.state.config.growth)
        return bool(until) and best is not None and best.accuracy >= until and not closed

    def _patience_is_over(self) -> bool:
        """Whether the last validations of the stage, as many as patience has, were all below its best."""
        growth, stage, best = self.state.config.growth, self.state.stage, self.state.best
        if not growth.patience or best is None:
            return False
        rows = self.state.ranks.led(lambda: list(self.log.run.lines("validation.jsonl")))
        return best.outlasted(rows, lambda step: stage.opening(step, growth) == 1.0) >= growth.patience

    # -- growth

    def _grow(self) -> None:
        """End the stage at its best state and begin the next with the grown network."""
        state, index = self.state, self.state.stage.index + 1
        best = self.end()
        if index:
            keep_test(state.assembly, self.log, f"stage-{index}")
        config, task, topology = *self._stage(index), state.trainer.network.topology
        growth, change = config.growth, advance(topology, self.goals[index], config)
        assignment = state.trainer.network.assignment
        entry = describe(change, topology, state.lineage.spent, state.step, assignment)
        entry |= best | asked(state.config) if index else state.ancestor
        before = self._before(config, task)
        self._change(change, config, task)
        same = before is not None and not change.steps and not state.plan.stages
        after = before if before is not None and same else self.validate(state.assembly)
        entry |= {"init": growth.init, "positions": growth.positions, "optimiser": growth.optimiser}
        entry |= changed(before, after)
        state.lineage = state.lineage.grown(entry)
        state.best = None
        if config.evaluate.every:
            self.first_candidate(after)
        self.checkpoints.save_named(state.stage.first)
        self.settle()
        self.log.grown(entry)
        self.log.stage()

    def _stage(self, index: int) -> tuple[Config, Task]:
        """Configuration and task of a stage (from 0); a task that stays is the same object."""
        state, config = self.state, stage_config(self.state.plan, index)
        same = config.task == state.config.task
        return config, state.base.task if same else configured_task(config)

    def _before(self, config: Config, task: Task) -> Evaluation | None:
        """What the network answers in a stage before it grows for it; None if it could not be asked."""
        try:
            return self.validate(self._asked(config, task))
        except PromptError:
            return None

    def _asked(self, config: Config, task: Task) -> Assembly:
        """The network as it is, for a stage's task."""
        now = self.state.assembly
        network = equipped(now.network, config, task) if self.state.plan.stages else now.network
        return replace(now, config=config, task=task, network=network)

    def first_tested(self) -> Assembly:
        """The network with which the run begins, for the task with which it ends.

        Where its shares do not fit that, every node reads all of the question.
        """
        if not self.state.plan.stages:
            return self.state.assembly
        asked = self._asked(*self._stage(len(self.goals) - 1))
        try:
            check_task(asked.network.topology, asked.task)
        except ConfigError:
            whole = under(asked.network.topology, "all")
            return replace(asked, network=replace(asked.network, topology=whole))
        return asked

    def _change(self, change: Growth, config: Config, task: Task) -> None:
        """Go on in the next stage with the grown network, new nodes begun as configured."""
        state, trainer = self.state, self.state.trainer
        growth, index = config.growth, state.stage.index + 1
        grown = transfer(replace(state.assembly, config=config), change, derive(trainer.seed, "stage", index))
        learner = trainer.learner
        kept = learner.optimisers if growth.optimiser == "keep" else []
        learner.optimisers = copied_optimisers(learner, kept, grown.copied, grown.replaced)
        many = len(learner.optimisers)
        adapters, steps = (many - len(grown.new), many), state.plan.shapes[index][1]
        state.enter(state.stage.followed_by(change, adapters, trainer.step, steps), config, task)
        state.guard.restart(trainer.step, restored=False)
        staged = bool(state.plan.stages or config.lift.view)
        network = equipped(grown.network, config, task) if staged else grown.network
        network = network if steps else replace(network, topology=change.goal)
        state.follow(network, grown.before)
        if growth.init.startswith("passthrough") and grown.new:
            left = state.plan.train.steps - trainer.step
            first = state.problems_seen + left * config.train.batch  # training meets others
            self._pace()
            spent = teach(trainer, state.assembly, change, state.stage.new, first)
            state.lineage = state.lineage.paid(Budget.of_episodes(spent))

    # -- the best state of a stage

    def first_candidate(self, result: Evaluation) -> None:
        """The stage's first state is a candidate for its best: training may make it worse."""
        state, accuracy = self.state, result.summary["accuracy"]
        state.best = None if accuracy is None else Best(accuracy, state.step, state.stage.first)
        self.log.first_validated(result)

    def judge(self, result: Evaluation) -> list[Alarm]:
        """Validation accuracy decides which state is a stage's best; a tie goes to the later one.

        While gates are opening the network is not yet what the stage is for. Returns alarms that went on.
        """
        state, accuracy = self.state, result.summary["accuracy"]
        best = None if state.best is None else state.best.accuracy
        settled = state.stage.opening(state.step, state.config.growth) == 1.0
        raised = state.guard.see_validation(accuracy, best) if settled else []
        is_best = accuracy is not None and settled and (best is None or accuracy >= best)
        if is_best:
            state.best = Best(accuracy, state.step, self.log.run.checkpoint(state.step).name)
        self.log.validated(result, is_best, self._lift())
        return raised

    def _lift(self) -> dict[str, Any]:
        """Lift the view by a step where validation allows it; what else is logged of a validation then."""
        state, lift, network = self.state, self.state.config.lift, self.state.trainer.network
        if not lift.view:
            return {}
        said: dict[str, Any] = {"lifted": network.lifted}
        if lift.watch:
            first = self.validate(replace(state.base, network=self._under_first(network)))
            said["accuracy_first"] = first.summary["accuracy"]
        if lift.way == "steps" and network.earlier is not None:
            mixed = self.validate(replace(state.base, network=network)).summary["accuracy"]
            said["accuracy_mixed"] = mixed
            state.stage = state.stage.raised(mixed, lift)
        return said

    def end(self) -> dict[str, Any]:
        """Go back to the stage's best state, if it has one; returns its step and its folder.

        Where that is the first state, the stage made its network worse: a line says so, and if it began with
        a growth through gates, the network before it, which answered the same, is handed on.
        """
        best, step, stage = self.state.best, self.state.step, self.state.stage
        if best is None:
            folder = stage.first if stage.since == step else self.log.run.checkpoint(step).name
            return {"best": step, "folder": folder}  # the step's checkpoint may be of the stage before
        if best.step != step:
            self.checkpoints.load(best.folder)
        fell = stage.since == best.step < step
        return {"best": best.step, "folder": self._hand_on_start(best) if fell else best.folder}

    def _hand_on_start(self, best: Best) -> str:
        """Say that a stage ended below its start; the folder of what is handed on."""
        state, stage, folder, what = self.state, self.state.stage, best.folder, "its start"
        if stage.gated(state.config.growth):
            lifted, bank = bool(state.config.lift.view), state.base.model.bank
            before = undo(state.assembly, state.lineage.entries[-1], lifted)
            state.follow(before.network, before.before)
            del state.trainer.learner.optimisers[len(bank.parameters) :]
            state.lineage, state.stage = state.lineage.undone(), stage.undone(len(bank.parameters))
            folder, what = f"parent-{stage.index + 1}", f"{before.network.topology} as before it grew"
            self.checkpoints.save_named(folder)
        which = f"stage {stage.index + 1} ({self._shape})"
        fell = best.ended_below(list(self.log.run.lines("validation.jsonl")))
        self.log.note("stage", f"{which} {fell}: {what} is handed on")
        return folder
