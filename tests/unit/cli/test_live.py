"""The live table: what stands in it, that nothing in it can act, and that the terminal is left clean."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from neuromas.cli import progress
from neuromas.cli.live import LiveBar, LiveTable
from neuromas.config import make_config
from neuromas.core.episode import Episode, Turn
from neuromas.core.task import Problem, Score
from neuromas.evaluation.evaluate import Evaluation
from neuromas.training.callbacks import AlarmRaised, StepEnd, TrainStarted, Validated

HOSTILE = "\x1b[2J\u202e[red]evil[/red]\r\n"


def episode(text=HOSTILE, nodes=3):
    turns = tuple(Turn(node, (), (), (1,), (0.0,), text, True, 1.0, 0, 0) for node in range(nodes))
    return Episode(Problem("p", f"What? {text}", f"7 {text}"), 0, turns, Score(0.5, "7"))


def step(number, reward=0.5, one=None):
    report = {
        "seconds": {"learn": 0.5},
        **{"step": number - 1, "reward": reward, "silent_groups": 0.75, "parse_failures": None},
        "truncated": [0.0, 0.25],
    }
    return StepEnd(number, 9, report, [one or episode()])


def drawn(live) -> str:
    console = Console(record=True, width=100, file=io.StringIO())
    for part in live.now:
        console.print(part)
    return console.export_text()


def test_figures_alarms_and_an_episode_stand_in_it():
    live = LiveTable(5)
    live.step(step(1, 0.25))
    live.step(step(2, 0.75, episode("later")))
    live.validated(Validated(2, 9, Evaluation((), {"accuracy": 0.5}), first=False, best=True))
    live.validated(Validated(4, 9, Evaluation((), {"accuracy": 0.25}), first=False, best=False))
    live.alarm(AlarmRaised(4, 9, "zero", "nothing is earned"))
    text = drawn(live)
    for part in (
        "0.75, mean of 2 steps 0.50",
        "25.0 % of problems tell samples apart, 25.0 % of answers cut, – unreadable",
        "25.0 % at step 4, best 50.0 % at step 2",
        "1, the last at step 4: zero",
        "step 1",
        "output",
        '0.5, expected "7 ',
    ):
        assert part in text, part
    assert "later" not in text, "the next one comes with step 5"
    live.step(step(5, None, episode("later")))
    assert drawn(live).count("later") == 5, "the question, three nodes and the answer"
    assert "0.75, mean of 2 steps" in drawn(live), "a step without a reward changes no mean"


def test_what_models_write_neither_acts_nor_is_markup():
    live = LiveTable(1)
    live.step(step(1))
    text = drawn(live)
    assert "[red]evil[/red]" in text
    assert not set("\x1b\u202e\r") & set(text)


def test_of_many_nodes_the_first_and_last_are_shown():
    live = LiveTable(1)
    live.step(step(1, one=episode("x", nodes=40)))
    assert "… 28 more" in drawn(live)
    assert "node 40" not in drawn(live), "it is the output"


@pytest.mark.parametrize("end", [None, KeyboardInterrupt])
def test_the_terminal_is_left_clean(end):
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100, height=30)
    bar = LiveBar(console=console, auto_refresh=False)
    bar.table = LiveTable(1)
    try:
        with bar:
            task = bar.add_task("training", total=9)
            bar.table.step(step(1, one=episode("a message")))
            bar.update(task, completed=1)
            bar.refresh()
            if end:
                raise end
    except KeyboardInterrupt:
        assert end
    shown = screen.getvalue()
    assert "a message" in shown
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l"), "the cursor is back"


@pytest.mark.parametrize(("terminal", "show"), [(True, 1), (True, 0), (False, 1)])
def test_progress_shows_the_table_on_a_terminal_where_it_is_wanted(monkeypatch, terminal, show, tmp_path):
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=terminal, width=100, height=40)
    monkeypatch.setattr(progress, "Console", lambda **_: console)
    with progress.Progress() as watching:
        watching.on_train_start(TrainStarted(0, 9, tmp_path, make_config({"run": {"show": show}})))
        watching.on_step_end(step(1, one=episode("a message")))
        watching.on_validation(Validated(1, 9, Evaluation((), {"accuracy": 0.5}), first=False, best=True))
        watching.on_alarm(AlarmRaised(1, 9, "zero", "nothing is earned"))
        watching._bar.refresh()
    shown = screen.getvalue()
    assert ("a message" in shown) == (terminal and show == 1)
    assert ("step 1/9  reward 0.50" in shown) == (not terminal)
    assert "alarm zero: nothing is earned" in shown
