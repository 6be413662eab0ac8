"""What needs no model loads none: help, mistakes, and commands that only look.

Seconds depend on the machine and on what else it does, so it is the packages in memory that are held.
"""

from __future__ import annotations

import json
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
    ["experiment", "organisation", "--tasks", "smus"],
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


# One process, forked for every command: each begins with what reading any command line takes and, after
# the pages of help, with what a configuration takes. What that loads is held against every command.
CODE = """
import json, os, sys
import neuromas.cli.parser

def answer(words):
    out, into = os.pipe()
    if not os.fork():
        try:
            status = neuromas.cli.main(words)
        except SystemExit as left:
            status = left.code or 0
        names = sorted({name.partition(".")[0] for name in sys.modules})
        os.write(into, json.dumps([status, names]).encode())
        os._exit(0)
    os.close(into)
    with open(out) as told:
        found = told.read()
    os.wait()
    return words, *(json.loads(found) if found else ("it broke", []))

help, others = json.loads(sys.argv[1])
found = [answer(words) for words in help]
import neuromas.config
json.dump(found + [answer(words) for words in others], open(sys.argv[2], "w"))
"""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """``loaded(words)``: exit status of a command and the packages it left in memory."""
    folder = tmp_path_factory.mktemp("light")
    words = [sys.executable, "-c", CODE, json.dumps([HELP, MISTAKES + LOOKS]), "../found.json"]
    place = folder / "empty"
    place.mkdir()
    done = subprocess.run(words, capture_output=True, text=True, cwd=place, check=False)
    assert done.returncode == 0, done.stderr
    rows = json.loads((folder / "found.json").read_text())
    found = {tuple(words): (status, set(names)) for words, status, names in rows}
    assert len(found) == len(HELP + MISTAKES + LOOKS)
    return lambda words: found[tuple(words)]


@pytest.mark.parametrize("words", HELP, ids=" ".join)
def test_help_loads_nothing(loaded, words):
    status, names = loaded(words)
    assert status == 0
    assert not names & (HEAVY | NUMBERS | RICH)


@pytest.mark.parametrize("words", MISTAKES, ids=" ".join)
def test_a_mistake_is_answered_without_torch(loaded, words):
    status, names = loaded(words)
    assert status == 2
    assert not names & (HEAVY | NUMBERS)


@pytest.mark.parametrize("words", LOOKS, ids=" ".join)
def test_looking_needs_no_torch(loaded, words):
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
