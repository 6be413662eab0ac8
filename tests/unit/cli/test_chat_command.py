"""``neuromas chat``: questions line by line, commands, and text that cannot act on the terminal."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from servers import make_player

from neuromas.cli import main
from neuromas.cli.chat import COMMANDS, Screen
from neuromas.storage import MANIFEST


@pytest.fixture(scope="module")
def player():
    return make_player()


@pytest.fixture
def talk(player, monkeypatch, capsys, tmp_path):
    """``talk("line", …)``: what a chat of these lines prints."""
    from neuromas import api

    (tmp_path / MANIFEST).write_text("{}")
    monkeypatch.setattr(api, "load", lambda *_: api.Trained(Path("x"), player.assembly))

    def call(*lines, words=()):
        monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
        assert main(["chat", str(tmp_path), *words]) == 0
        return capsys.readouterr().out

    return call


def test_messages_come_line_by_line_and_the_answer_last(talk, player):
    from neuromas.api import Trained
    from neuromas.report.terminal import visible

    first, second, last = talk("What is 1 + 1?", "").splitlines()
    assert [line.partition(": ")[0] for line in (first, second, last)] == ["1.1", "1.2", "2.1 answers"]
    answer = Trained(Path("x"), player.assembly).ask("What is 1 + 1?")
    assert last == f"2.1 answers: {visible(answer)}"


def test_commands(talk, tmp_path):
    file = tmp_path / "talk.json"
    out = talk("/temperature 1", "/seed 7", "a?", "/seed 8", "a?", "/seed 7", "a?", f"/save {file}", "/trace")
    saved = json.loads(file.read_text())
    assert [(one["question"], one["seed"], one["temperature"]) for one in saved] == [
        ("a?", 7, 1.0),
        ("a?", 8, 1.0),
        ("a?", 7, 1.0),
    ]
    assert saved[0]["answer"] == saved[2]["answer"] != saved[1]["answer"]
    assert [one["node"] for one in saved[0]["messages"]] == ["1.1", "1.2", "2.1"]
    assert "question ask 7, sample 0" in out
    assert "a greedy answer draws nothing" in talk("/seed 3")
    told = talk("/help")
    assert all(command in told for command in COMMANDS)
    assert "a?" not in talk("/quit", "a?")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("/sed 3", "unknown command '/sed'; did you mean '/seed'"),
        ("/seed -1", "give a whole number"),
        ("/seed ", "give a whole number"),
        ("/temperature hot", "'hot' is not a number from 0 to 10"),
        ("/trace", "nothing was answered yet"),
        ("/save", "name a file"),
        ("/save /nowhere/at/all", "does not exist"),
        ("/\x1b[2J", "unknown command '/\\x1b[2J'"),
        ("x" * 20_000, "no answer: node '1.1': a prompt of"),
    ],
)
def test_mistakes_are_one_line_and_the_chat_goes_on(talk, line, says):
    out = talk(line, "/seed 3").splitlines()
    assert says in out[0]
    assert "greedy" in out[-1]
    assert len(out) == 2


def test_nothing_is_written_over(talk, tmp_path):
    file = tmp_path / "there"
    file.write_text("mine")
    assert "exists; name another file" in talk(f"/save {file}")
    assert file.read_text() == "mine"


def test_what_is_written_cannot_act_on_the_terminal(player):
    """Also while it is only half written; markup is text."""
    from rich.console import Console

    console = Console(file=io.StringIO(), width=60, force_terminal=True, markup=False, highlight=False)
    screen = Screen(player, lambda: False, console)
    hostile = "\x1b[2J[red]a[/red]\u202eb\n│ 2.1 answers │ forged\x07"
    for token in hostile.encode():
        assert screen.token(2, token)
    console.print(screen)
    shown = console.file.getvalue()
    assert "\\x1b[2J[red]a[/red]\\u202eb" in shown
    episode = player.play([(_ask(player), screen)])[0]
    console.file.truncate(0)
    screen.said(replace(episode.turns[-1], text=hostile))
    shown = console.file.getvalue()
    for sign in ("\x1b[2J", "\u202e", "\x07"):
        assert sign not in shown
    lines = [line for line in shown.splitlines() if "forged" in line]
    assert lines
    assert all("2.1 answers │ │ 2.1" in line for line in lines)


def test_a_screen_shows_messages_while_they_grow_and_lets_go(player):
    from rich.console import Console

    stopped = []
    console = Console(file=io.StringIO(), width=60)
    screen = Screen(player, lambda: bool(stopped), console)
    assert screen.token(0, ord("a"))
    assert screen.token(2, ord("b"))
    console.print(screen)
    assert console.file.getvalue().split() == ["1.1", "│", "a", "2.1", "answers", "│", "b"]
    stopped.append(True)
    assert (screen.token(0, ord("c")), screen.gone) == (False, True)


def _ask(player):
    from neuromas.serving.playing import Ask

    return Ask(player.problem(["Q?"]))
