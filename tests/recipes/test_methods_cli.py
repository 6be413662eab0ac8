"""Methods through the command line: what is offered, one of one's own, and what is refused."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import get_args

import pytest

from neuromas.core.choices import Credit
from neuromas.core.parts import ALGORITHMS, METHODS

OWN = '''
from dataclasses import dataclass
from neuromas.methods.dialogue import Ask, Dialogue

@dataclass(frozen=True)
class Twice(Dialogue):
    """Asked again and again, shown what it said before."""

    rounds: int = 2
    costs = "rounds"
    source = "a test"

    def calls(self, bench):
        return self.rounds

    def talk(self, problem, read):
        shown = ()
        for _ in range(self.rounds):
            (turn,) = yield [Ask(shown)]
            shown = (f"Before: {turn.text}",)
        return turn.text

class NoMethod:
    pass
'''


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "own_method.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "own_method", raising=False)
    return "own_method:Twice"


def test_the_listing_has_every_trained_way_with_its_own_source(cli):
    _, out, _ = cli("methods")
    rows = {line.split("  ")[0]: line for line in out.splitlines()}
    for name in ALGORITHMS.names():
        found = re.search(r"arXiv:[0-9.]+", rows[f"train.algorithm = {name}"])
        assert found[0] in ALGORITHMS.get(name).source
    credits = {key.removeprefix("train.credit = ") for key in rows if key.startswith("train.credit")}
    assert credits == {*get_args(Credit)} - {"shared"}


def test_listing_methods_loads_no_torch(cli):
    code = "import sys; from neuromas.cli import main; main(['methods']); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
    assert "arXiv:2203.11171" in done.stdout
    status, out, _ = cli("methods", "self-consistency")
    assert (status, "  votes = 5" in out, "frequent answer" in out) == (0, True, True)
    assert "did you mean 'direct'" in cli("methods", "direkt")[2]
    status, _, err = cli("methods", "os:system")
    assert (status, err.count("\n"), "'os:system' is no Method" in err) == (2, 1, True)


def test_an_own_method_through_the_command(module, cli, tmp_path):
    small = "model.backbone=tiny model.dtype=float32 model.device=cpu model.rank=2 train.steps=1"
    small += " train.problems=1 train.samples=2 evaluate.test=4 evaluate.every=0"
    small += " network.message_tokens=3 network.answer_tokens=3"
    assert cli("train", *small.split(), "--run", "run")[0] == 0
    call = ("evaluate", "run", "--items", 3)
    status, out, err = cli(*call, "--method", module, "--with", "rounds=3")
    assert status == 0, err
    assert "kept as 'test-3-own_method-Twice-rounds=3'" in out
    assert "calls a question  3.0" in out
    assert "\nmethod            own_method:Twice rounds=3, 0 trained parameters\n" in f"\n{out}"
    assert "FLOPs a question  " in out
    for method in METHODS.builtin:
        shorter = ("--with", "iterations=2") if method == "gptswarm" else ()
        assert cli(*call, "--method", method, *shorter)[0] == 0
    shown = cli("compare", "run:test-3-network", "run:test-3-direct")
    assert shown[0] == 0, shown
    status, _, err = cli("compare", "run:test-3-direct", "run:test-3-pass-at-n")
    assert (status, err.count("\n"), "is an oracle bound" in err) == (2, 1, True)
    assert "oracle bound" in cli(*call, "--method", "pass-at-n", "--name", "bound")[1]
    assert cli(*call, "--method", "untrained", "--with", "roles=true")[0] == 0
    shown = cli("compare", "run:test-3-untrained", "run:test-3-untrained-roles=true")
    assert "[prompts: roles (solver, critic, aggregator)]" in shown[1]
    first, second = (tmp_path / "run" / "evaluations" / f"test-3-{n}.jsonl" for n in ("network", "none"))
    assert cli(*call)[0] == 0
    assert first.read_text() == second.read_text(), "the network as a method is the network"
    for words, says in (
        (("--method", "debat"), "unknown method 'debat'"),
        (("--method", module, "--with", "round=2"), "did you mean 'rounds'"),
        (("--method", "own_method:NoMethod"), "is no Method"),
        (("--method", module, "--calls", 1), "takes 2 calls a question, at most 1"),
        (("--method", "direct", "--votes", 3), "do not go together"),
        (("--method", "direct", "--messages", "blank"), "do not go together"),
        (("--with", "agents=2"), "--with needs --method"),
        (("--calls", 2), "--calls needs --method"),
        (("--votes", 3, "--with", "temperature=0.9"), "--with needs --method"),
        (("--method", "gptswarm", "--split", "validation"), "ask it those of test, not validation"),
        (("--method", "self-consistency", "--with", "votes=0"), "votes = 0 of method"),
        (("--method", "self-consistency", "--with", "votes=x"), "votes = 'x' of method"),
        (("--method", "self-consistency", "--with", "votes=1000000"), "at most 1000000 in all"),
    ):
        status, out, err = cli(*call, *words)
        assert (status, len(err.splitlines())) == (2, 1), err
        assert says in err
