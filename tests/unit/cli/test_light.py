"""What needs no model loads none: help, mistakes, and commands that only look.

Seconds depend on the machine and on what else it does, so it is the packages in memory that are held.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from neuromas.cli.verbs import VERBS, command

HEAVY = {"torch", "transformers", "reasoning_gym", "datasets", "huggingface_hub", "sympy"}
NUMBERS = {"numpy", "scipy"}  # about half a second
RICH = {"pydantic"}  # a tenth

HELP = [["--help"], ["--version"], *([verb, "--help"] for verb in VERBS)]
MISTAKES = [
    ["trian"],
    ["train", "--stepz", "3"],
    ["train", "train.learning_rate=1"],
    ["train", "train.steps=x"],
    ["train", "none.toml"],
    ["train", "--resume", "none"],
    ["train", "network.topology=2-2"],
    ["train", "task.name=maxx"],
    ["validate", "gym/chainsum"],
    ["evaluate", "none"],
    ["evaluate", "none", "--itmes", "3"],
    ["ask", "none", "hello"],
    ["grow", "none", "--to", "2-1", "--steps", "1"],
    ["grow", "none", "--to", "2-1", "--steps", "1", "growth.innit=gate"],
    ["prune", "none", "--node", "1.1", "--out", "p"],
    ["lineage", "none"],
    ["compare", "none", "nothing"],
    ["show", "none"],
    ["runs", "none"],
    ["runs", ".", "--sort", "siz"],
    ["report", "none"],
    ["report", ".", "--page", "rnu"],
    ["experiment", "none.toml"],
    ["figure", "none"],
    ["figure", "none", "--kind", "curves", "--out", "a.svg"],
]
LOOKS = [
    ["topology", "2-2-1"],
    ["topology", "2-1", "--backbone", "tiny"],
    ["tasks"],
    ["tasks", "max"],
    ["validate", "max", "--items", "5"],
    ["schema"],
    ["schema", "experiment"],
]


def loaded(words: list[str]) -> tuple[int, set[str]]:
    """Exit status of a command in a fresh interpreter, and the packages it left in memory."""
    code = f"""
import sys
from neuromas.cli import main
try:
    status = main({words!r})
except SystemExit as left:
    status = left.code or 0
print("\\nLOADED", status, *{{name.partition(".")[0] for name in sys.modules}})
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    status, *names = done.stdout.rpartition("LOADED ")[2].split()
    return int(status), set(names)


@pytest.mark.parametrize("words", HELP, ids=" ".join)
def test_help_loads_nothing(words):
    status, names = loaded(words)
    assert status == 0
    assert not names & (HEAVY | NUMBERS | RICH)


@pytest.mark.parametrize("words", MISTAKES, ids=" ".join)
def test_a_mistake_is_answered_without_torch(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, names = loaded(words)
    assert status == 2
    assert not names & (HEAVY | NUMBERS)


@pytest.mark.parametrize("words", LOOKS, ids=" ".join)
def test_looking_needs_no_torch(words):
    status, names = loaded(words)
    assert status == 0
    assert not names & HEAVY


@pytest.mark.parametrize("verb", VERBS)
def test_every_command_is_a_module_that_adds_and_runs(verb):
    module = command(verb)
    assert callable(module.add)
    assert callable(module.run)
    assert module.__doc__.startswith(f"``neuromas {verb}``")


def test_a_task_is_guessed_without_a_page_of_names(cli_line):
    for typed, meant in (("maxx", "max"), ("chain_sum", "gym/chain_sum"), ("gym/chainsum", "gym/chain_sum")):
        for words in (["tasks", typed], ["validate", typed], ["train", f"task.name={typed}"]):
            said = cli_line(*words)
            assert f"did you mean {meant!r}? (`neuromas tasks` lists" in said
            assert len(said) < 150
    assert "did you mean" not in cli_line("tasks", "qqqqqq")
