"""The progress bar and the live table below it; plain lines where there is no terminal."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn

from neuromas.cli.live import LiveBar, LiveTable
from neuromas.report.lineage import growth_line
from neuromas.report.terminal import visible
from neuromas.training.callbacks import (
    AlarmRaised,
    Callback,
    Grown,
    Interrupted,
    Noted,
    StepEnd,
    TrainStarted,
    Validated,
)


class Progress(Callback):
    """Draws what a run tells; ``first`` are lines for standard output when training begins."""

    def __init__(self, first: Sequence[str] = ()) -> None:
        self._lines = first
        self._console = Console(stderr=True)
        self._bar = LiveBar(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task: TaskID | None = None
        self._accuracy = ""
        self._first: tuple[float, int] | None = None

    def __enter__(self) -> Progress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.table = None  # the table goes with the training, the bar stays
        self._bar.stop()

    def on_train_start(self, event: TrainStarted) -> None:
        for line in self._lines:
            print(visible(line), flush=True)
        if event.config.run.show:
            self._bar.table = LiveTable(event.config.run.show)

    def on_validation(self, event: Validated) -> None:
        if event.accuracy is not None:
            self._accuracy = f"validation {100 * event.accuracy:.0f} %"
            self._say(f"step {event.step}: {self._accuracy}")
        if self._bar.table is not None:
            self._bar.table.validated(event)

    def on_growth(self, event: Grown) -> None:
        self._say(f"grown to {growth_line(event.entry)}")

    def on_alarm(self, event: AlarmRaised) -> None:
        self._say(f"alarm {event.name}: {event.text}")
        if self._bar.table is not None:
            self._bar.table.alarm(event)

    def on_note(self, event: Noted) -> None:
        self._say(event.text)

    def on_interrupt(self, event: Interrupted) -> None:
        self._say(f"interrupted; checkpoint of step {event.step} saved")

    def on_step_end(self, event: StepEnd) -> None:
        """Move the bar; without a terminal print a line with the seconds left."""
        done, steps, now = event.step, event.steps, time.monotonic()
        if self._first is None:
            self._first = (now - sum(event.report["seconds"].values()), done - 1)
        left = (now - self._first[0]) / (done - self._first[1]) * (steps - done)
        reward = "–" if event.report["reward"] is None else f"{event.report['reward']:.2f}"
        note = f"reward {reward} {self._accuracy}"
        if self._bar.disable:
            self._say(f"step {done}/{steps}  reward {reward}  {left:.0f} s left")
            return
        if self._task is None:
            self._task = self._bar.add_task("training", total=steps, note=note)
        if self._bar.table is not None:
            self._bar.table.step(event)
        self._bar.update(self._task, completed=done, note=note)

    def _say(self, text: str) -> None:
        """A line above the bar. Causes and shapes in it may come from anywhere."""
        self._bar.console.print(visible(text), highlight=False, markup=False, soft_wrap=True)
