"""The loop of a run: evaluate, then step after step until the stages end, then test the best state."""

from __future__ import annotations

import time
from collections.abc import Sequence

from neuromas.core.errors import DivergedError
from neuromas.core.interrupt import Interrupt
from neuromas.engines.base import Diagnosing
from neuromas.growth.lineage import Budget
from neuromas.storage import Run
from neuromas.tasks.stream import training_problems
from neuromas.training.alarms import answer
from neuromas.training.callbacks import Callback, Callbacks
from neuromas.training.checkpoints import Checkpointer, settle_down
from neuromas.training.evaluations import final_tests, keep_test, validation
from neuromas.training.log import RunLog
from neuromas.training.several import check_alike
from neuromas.training.stages import StageController
from neuromas.training.state import TrainState
from neuromas.training.step import train_step
from neuromas.training.trackers import Trackers


class Loop:
    """One process's share of a run: ``state`` from where it stands to the end.

    Of several processes all go through it side by side; the first alone writes and tells callbacks.
    """

    def __init__(self, state: TrainState, run: Run, callbacks: Sequence[Callback]) -> None:
        self.state, self.run = state, run
        told = [Trackers(state.config.run.trackers, self._say), *callbacks] if run.written_here else []
        self.callbacks = Callbacks(told, run.path)
        self.log = RunLog(run, state, self.callbacks)
        self.checkpoints = Checkpointer(run, state)
        self.stages = StageController(state, self.checkpoints, self.log, validation)

    def _say(self, text: str) -> None:
        self.log.say(text)

    def train(self, notes: Sequence[str] = (), changed: str = "") -> Run:
        """Train to the end, then test the best state; or stop early with a checkpoint.

        What was ``changed`` in the configuration is noted first, then ``notes`` are said.
        """
        with self.callbacks:
            self.log.started()
            if changed:
                self.log.note("config", changed)
            for text in notes:
                self.log.say(text)
            with Interrupt() as interrupt:
                self._before()
                while not (asked := self.state.ranks.any(interrupt.asked)) and self.stages.goes_on():
                    self._step()
                if asked:
                    self.checkpoints.save_last()
                    self.log.interrupted()
                    return self.run
            self._finish()
        return self.run

    def _before(self) -> None:
        """Evaluate the untrained network once; where validation chooses, it is the first candidate."""
        state = self.state
        keep_test(self.stages.first_tested(), self.log, "test-before")
        if state.step == 0 and not state.ranks.led(self.run.checkpoints):
            if state.stage.index == 0:
                self.log.stage()
                if state.config.evaluate.every:
                    self.stages.first_candidate(validation(state.assembly))
            self.checkpoints.save()

    def _step(self) -> None:
        """One update and what is due after it."""
        started = time.perf_counter()
        state, config, trainer = self.state, self.state.config, self.state.trainer
        self.stages.set_gates()
        problems = training_problems(state.base.task, trainer.seed, state.place, config.train.batch)
        report, episodes = train_step(trainer, state.base.task, problems)
        self.stages.earned(report["reward"])
        self.stages.set_gates()
        spent = time.perf_counter() - started
        state.seconds += spent
        state.lineage = state.lineage.paid(Budget.of(report, spent))
        self.log.step(report, episodes, trainer.credited)
        try:
            raised = state.guard.see(report)
        except DivergedError as error:
            engine = trainer.network.engine
            if not isinstance(engine, Diagnosing):
                raise
            raise DivergedError(f"{error}; {engine.diagnose()}") from error
        every = config.evaluate.every
        due = bool(every) and (state.step % every == 0 or state.over)
        if due:
            raised += self.stages.judge(validation(state.assembly))
        answer(raised, self.stages)
        if due or state.over or state.step % config.run.checkpoint_every == 0:
            check_alike(state)
            self.checkpoints.save()

    def _finish(self) -> None:
        """Test what the last stage hands on."""
        ended = self.stages.end()
        final_tests(self.state.assembly, self.log)
        if self.run.written_here:
            settle_down(self.run, ended["folder"], self.state.config.run.keep)
        self.checkpoints.write_status(finished=True, folder=ended["folder"])
        self.log.finished(ended["best"])
