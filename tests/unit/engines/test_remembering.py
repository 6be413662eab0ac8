"""Equal requests are written once, and only where that cannot be told."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
from toys import ToyTask, network, right

from neuromas.engines.base import Capabilities, Request
from neuromas.engines.build import make_engine
from neuromas.engines.remembering import Remembering
from neuromas.engines.scripted import ScriptedEngine
from neuromas.evaluation.evaluate import evaluate
from neuromas.models.ranks import Ranks
from neuromas.system.assemble import Assembly
from neuromas.testing import check_engine, tiny_resident_model

ENDS = frozenset({10})
ONE = Request(adapter=0, prefix=(65,), suffix=(66,), max_new=4, seed=1)


def scripted():
    return ScriptedEngine(lambda prompt, adapter: f"{adapter}{sum(prompt.encode())}")


def asked(engine):
    return [len(call.requests) for call in engine.calls]


def test_it_is_an_engine_like_the_one_beneath():
    model = tiny_resident_model()
    check_engine(lambda config, model: Remembering(make_engine(config, model)), model=model)


def test_what_was_asked_is_not_asked_again():
    inner = scripted()
    engine = Remembering(inner)
    other = replace(ONE, adapter=1)
    first = engine.generate([ONE, ONE, other], 0.0, ENDS)
    assert asked(inner) == [2]
    assert first[0] == first[1] != first[2]
    assert engine.generate([other, ONE], 0.0, ENDS) == [first[2], first[0]]
    assert asked(inner) == [2]


@pytest.mark.parametrize(
    "change", [{"adapter": 1}, {"prefix": (67,)}, {"suffix": (67,)}, {"max_new": 5}, {"seed": 2}]
)
def test_another_request_is_asked(change):
    inner = scripted()
    engine = Remembering(inner)
    engine.generate([ONE], 0.0, ENDS)
    engine.generate([replace(ONE, **change)], 0.0, ENDS)
    assert asked(inner) == [1, 1]


@pytest.mark.parametrize(("heat", "ends"), [(1.0, ENDS), (0.0, frozenset({11}))])
def test_another_temperature_or_end_is_asked(heat, ends):
    inner = scripted()
    engine = Remembering(inner)
    engine.generate([ONE], 0.0, ENDS)
    engine.generate([ONE], heat, ends)
    assert asked(inner) == [1, 1]


def test_other_adapters_write_anew():
    inner = scripted()
    engine = Remembering(inner)
    engine.generate([ONE], 0.0, ENDS)
    engine.publish(SimpleNamespace(versions=[3]))
    assert engine.version(0) == 3
    engine.generate([ONE], 0.0, ENDS)
    assert asked(inner) == [1, 1]


def test_an_engine_that_may_answer_differently_is_asked_every_time():
    inner = scripted()
    inner.capabilities = Capabilities(logprobs=True, seeded=False)
    engine = Remembering(inner)
    engine.generate([ONE, ONE], 0.0, ENDS)
    engine.generate([ONE], 0.0, ENDS)
    assert asked(inner) == [2, 1]


def test_a_failure_is_asked_again(monkeypatch):
    inner = scripted()
    engine = Remembering(inner)
    write = inner.generate
    monkeypatch.setattr(inner, "generate", lambda *a: [replace(o, failure="gone") for o in write(*a)])
    assert engine.generate([ONE], 0.0, ENDS)[0].failure == "gone"
    monkeypatch.setattr(inner, "generate", write)
    assert engine.generate([ONE], 0.0, ENDS)[0].failure is None


def test_controls_ask_the_first_layer_once_and_find_the_same():
    """Readers read something else and are asked again; items and summaries are as without it."""
    inner, task = scripted(), ToyTask(right)
    once = replace(network(inner, "3-2-1"), engine=Remembering(inner))
    for control, requests in (("none", 6 * 8), ("blank", 3 * 8), ("shuffle", 3 * 8)):
        before = sum(asked(inner))
        found = evaluate(once, task, "test", 8, intervention=control)
        assert sum(asked(inner)) - before == requests
        assert found == evaluate(network(scripted(), "3-2-1"), task, "test", 8, intervention=control)


@pytest.mark.parametrize("sharded", [False, True])
def test_processes_that_compute_together_ask_for_the_same(sharded):
    model = replace(tiny_resident_model(), ranks=Ranks(sharded=sharded))
    assembly = Assembly(None, network(scripted(), "2-1"), model, None)
    assert isinstance(assembly.remembering().network.engine, Remembering) is not sharded
