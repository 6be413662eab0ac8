"""Every policy keeps the contract, and the shipped check finds each breach of it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from neuromas.engines.base import Generation
from neuromas.engines.scripted import ScriptedEngine
from neuromas.testing import check_engine


def recite(prompt, adapter):
    return f"{len(prompt) % 7}{'ab'[adapter % 2]}" * (len(prompt) % 4)


def test_scripted_policy_keeps_the_contract():
    check_engine(ScriptedEngine(recite), (0, 1, 5))


def test_resident_policy_keeps_the_contract(tiny_engine):
    check_engine(tiny_engine(adapters=2), (0, 1))


def test_the_check_needs_no_torch():
    parts = "neuromas.engines.scripted, neuromas.engines.conformance, neuromas.testing"
    code = f"import sys, {parts}; print('torch' in sys.modules or 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


class Wrong(ScriptedEngine):
    """A scripted policy with one fault: ``fault(policy, requests, messages, ends, temperature)``."""

    def __init__(self, fault):
        super().__init__(recite)
        self.fault = fault
        self.count = 0

    def generate(self, requests, temperature, ends):
        self.count += 1
        out = super().generate(requests, temperature, ends)
        return self.fault(self, requests, out, ends, temperature)


def every(change):
    """A fault of each message alone."""
    return lambda policy, requests, out, ends, heat: [change(o) for o in out]


def train_while_asked(policy, requests, out, ends, heat):
    policy.versions[0] = policy.count
    return out


def by_place(policy, requests, out, ends, heat):
    """The first of a batch speaks differently."""
    return [replace(o, ids=(120, *o.ids[1:])) if i == 0 and len(o.ids) > 1 else o for i, o in enumerate(out)]


def by_seed(policy, requests, out, ends, heat):
    return [replace(o, ids=(r.seed % 100 + 20, *o.ids[1:])) if r.max_new > 1 and len(o.ids) > 1 else o
            for r, o in zip(requests, out, strict=True)]  # fmt: skip


def by_call(policy, requests, out, ends, heat):
    return [replace(o, ids=(policy.count % 100 + 20, *o.ids[1:])) if len(o.ids) > 1 else o for o in out]


def past_the_end(policy, requests, out, ends, heat):
    return [
        Generation((*o.ids, 65), (*o.logprobs, 0.0), False) if o.ended and len(o.ids) < r.max_new else o
        for r, o in zip(requests, out, strict=True)
    ]


def deaf_to_ends(policy, requests, out, ends, heat):
    usual = ends <= policy.codec.line_end_ids
    return out if usual and ends else ScriptedEngine.generate(policy, requests, heat, frozenset())


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (lambda p, r, o, e, t: o[1:], "requests, but"),
        (every(lambda o: replace(o, ids=o.ids * 20, logprobs=o.logprobs * 20)), "max_new"),
        (every(lambda o: Generation((), (), False)), "0 tokens"),
        (every(lambda o: replace(o, logprobs=o.logprobs[1:])), "log-probabilities"),
        (every(lambda o: replace(o, logprobs=(0.5,) * len(o.ids))), "log-probabilities"),
        (every(lambda o: replace(o, logprobs=(-1.0,) * len(o.ids))), "greedy log-probabilities are 0"),
        (every(lambda o: replace(o, ended=not o.ended)), "ended must say"),
        (
            every(lambda o: Generation(o.ids[:-1], o.logprobs[:-1], False) if o.ended and o.ids[1:] else o),
            "neither end nor limit",
        ),
        (past_the_end, "goes on after its end"),
        (by_place, "another order|else is in the batch"),
        (by_call, "another order"),
        (by_seed, "greedy depends on the seed"),
        (train_while_asked, "changed the versions"),
        (deaf_to_ends, "did not end the message"),
        (lambda p, r, o, e, t: o or [Generation((256,), (0.0,), True)], "no requests"),
    ],
)
def test_the_check_finds_each_breach(fault, says):
    with pytest.raises(AssertionError, match=says):
        check_engine(Wrong(fault))


def test_the_check_wants_the_whole_interface():
    with pytest.raises(AssertionError, match="an engine has what"):
        check_engine(object())
    with pytest.raises(AssertionError, match="context of 3"):
        check_engine(ScriptedEngine(recite, context=3))
