"""What stands below the progress bar while a network trains: figures, alarms, and one sampled episode."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from rich.console import RenderableType
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from neuromas.core.episode import Episode
from neuromas.report.blocks import percent
from neuromas.report.terminal import quoted
from neuromas.training.callbacks import AlarmRaised, StepEnd, Validated

_RECENT = 10  # steps of the mean reward
_NODES = 12  # of an episode
_WIDTH = 60  # of a message


class LiveTable:
    """Takes the events of a run; ``now`` is what to draw, made anew with each of them."""

    def __init__(self, every: int) -> None:
        """An episode is shown every ``every`` steps, the first at once."""
        self._every = every
        self._rewards: deque[float] = deque(maxlen=_RECENT)
        self._rows: dict[str, str] = {"reward": "–", "validation": "–", "alarms": "none"}
        self._best: tuple[float, int] | None = None
        self._alarms = 0
        self._episode: list[tuple[str, str]] = []
        self.now: tuple[RenderableType, ...] = ()

    def step(self, event: StepEnd) -> None:
        """A step's reward and what may keep it from learning; now and then an episode of it."""
        report = event.report
        if report["reward"] is not None:
            self._rewards.append(report["reward"])
        if self._rewards:
            mean = sum(self._rewards) / len(self._rewards)
            self._rows["reward"] = f"{self._rewards[-1]:.2f}, mean of {len(self._rewards)} steps {mean:.2f}"
        cut = report["truncated"][-1] if report["truncated"] else None
        self._rows["signal"] = (
            f"{percent(1 - report['silent_groups'])} of problems tell samples apart, "
            f"{percent(cut)} of answers cut, {percent(report['parse_failures'])} unreadable"
        )
        if event.episodes and (not self._episode or event.step % self._every == 0):
            self._episode = _lines(event.step, event.episodes[0])
        self._draw()

    def validated(self, event: Validated) -> None:
        """A validation, beside the best until now."""
        if event.accuracy is None:
            return
        if self._best is None or event.accuracy >= self._best[0]:
            self._best = (event.accuracy, event.step)
        best, step = self._best
        self._rows["validation"] = (
            f"{percent(event.accuracy)} at step {event.step}, best {percent(best)} at step {step}"
        )
        self._draw()

    def alarm(self, event: AlarmRaised) -> None:
        """How many there were, and the last one."""
        self._alarms += 1
        self._rows["alarms"] = f"{self._alarms}, the last at step {event.step}: {event.name}"
        self._draw()

    def _draw(self) -> None:
        """All is given as text and what models write is quoted: it is no markup and steers no terminal."""
        table = Table.grid(padding=(0, 2))
        for name, said in [*self._rows.items(), *self._episode]:
            table.add_row(Text(name, style="bold"), Text(said, overflow="ellipsis", no_wrap=True))
        self.now = (table,)


class LiveBar(Progress):
    """A progress bar with the live table below it, where there is one."""

    table: LiveTable | None = None

    def get_renderables(self) -> Iterable[RenderableType]:
        """The bar, then the table."""
        yield self.make_tasks_table(self.tasks)
        if self.table is not None:
            yield from self.table.now


def _lines(step: int, episode: Episode) -> list[tuple[str, str]]:
    """An episode, a row a node; the middle of many nodes is left out."""
    score = "none" if episode.score is None else f"{episode.score.value:g}"
    turns = list(episode.turns)
    rows = [
        (
            "output" if turn is turns[-1] and episode.answered else f"node {turn.node + 1}",
            quoted(turn.text, _WIDTH),
        )
        for turn in turns
    ]
    if len(rows) > _NODES:
        half = _NODES // 2
        rows = [*rows[:half], ("", f"… {len(rows) - _NODES} more"), *rows[-half:]]
    return [
        (f"step {step}", quoted(episode.problem.question, _WIDTH)),
        *rows,
        ("score", f"{score}, expected {quoted(episode.problem.answer, 30)}"),
    ]
