"""Who listens hears what is written, and changes nothing of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from toys import ToyTask, network, problems

from neuromas.engines.base import Request, Streams
from neuromas.engines.scripted import ScriptedEngine
from neuromas.system.listening import LEFT, Listener
from neuromas.system.rollout import Pass, Sampling, play
from neuromas.topology.files import load_topology

NEVER = frozenset({256})
SOMETIMES = frozenset(range(0, 257, 8))


class Ear:
    """Hears everything; leaves after ``most`` tokens, or wants no more of node ``enough``."""

    def __init__(self, most=10**9, enough=None):
        self.tokens, self.turns, self._most, self._enough = {}, [], most, enough

    @property
    def gone(self):
        return sum(map(len, self.tokens.values())) >= self._most

    def token(self, node, token):
        self.tokens.setdefault(node, []).append(token)
        return not (self.gone or node == self._enough)

    def said(self, turn):
        self.turns.append(turn)


def requests(count=6, most=9):
    return [Request(i % 2, tuple(range(10 + i % 3)), (65 + i,), most - i % 2, i) for i in range(count)]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("ends", [NEVER, SOMETIMES])
def test_the_tokens_that_are_told_are_those_that_are_written(tiny_engine, ends, threads):
    engine, told = tiny_engine(), {}
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        batch = requests(20)

        def hear(row, token):
            told.setdefault(row, []).append(token)
            return True

        written = engine.stream(batch, 1.0, ends, hear)
        assert written == engine.generate(batch, 1.0, ends)
    finally:
        torch.set_num_threads(before)
    assert [told[row] for row in range(20)] == [list(one.ids) for one in written]
    assert isinstance(engine, Streams)


def test_a_message_ends_where_it_is_wanted_no_longer_and_others_go_on(tiny_engine):
    engine = tiny_engine()
    whole = engine.generate(requests(), 1.0, NEVER)
    cut = engine.stream(requests(), 1.0, NEVER, lambda row, token: row != 3)
    assert (cut[3].ids, cut[3].ended) == (whole[3].ids[:1], False)
    assert [one for i, one in enumerate(cut) if i != 3] == [one for i, one in enumerate(whole) if i != 3]


def played(engine, ears, most=None):
    net = network(engine, load_topology("2-1", "all"))
    asked = zip(problems(len(ears)), ears, strict=True)
    passes = [Pass(problem, 0, listener=ear, most=most) for problem, ear in asked]
    return play(net, ToyTask(), passes, Sampling(1.0, 3))


def test_a_pass_is_heard_by_its_own_listener_and_is_the_same_without(tiny_engine):
    engine = tiny_engine(adapters=3)
    ears = [Ear(), None, Ear()]
    heard, silent = played(engine, ears), played(engine, [None] * 3)
    assert heard == silent
    for episode, ear in zip(heard, ears, strict=True):
        if ear is not None:
            assert isinstance(ear, Listener)
            assert ear.turns == [replace(turn, heard=True) for turn in episode.turns]
            assert ear.tokens == {turn.node: list(turn.ids) for turn in episode.turns}


def test_an_engine_that_cannot_tell_tokens_has_whole_messages_heard():
    ear = Ear()
    (episode,) = played(ScriptedEngine(lambda prompt, adapter: f"m{adapter}"), [ear])
    assert (ear.tokens, [turn.text for turn in ear.turns]) == ({}, ["m0", "m1", "m2"])
    assert episode.answer == "m2"


def test_nobody_waits_so_nothing_more_is_written(tiny_engine):
    gone, stays = Ear(most=3), Ear()
    left, whole = played(tiny_engine(adapters=3), [gone, stays])
    assert (left.failure, left.missing, left.score) == (LEFT, True, None)
    assert sum(map(len, gone.tokens.values())) <= 4  # the layer's other node may have drawn its token too
    assert 2 not in gone.tokens
    # other shapes round otherwise, so log-probabilities may differ in their last digits
    other = played(tiny_engine(adapters=3), [None, None])[1]
    assert [turn.ids for turn in whole.turns] == [turn.ids for turn in other.turns]


def test_the_answer_is_capped_and_begins_as_the_whole_one(tiny_engine):
    engine = tiny_engine(adapters=3)
    (whole,), (cut,) = played(engine, [None]), played(engine, [None], most=2)
    assert cut.turns[-1].ids == whole.turns[-1].ids[:2]
    assert cut.turns[:-1] == whole.turns[:-1]
    assert played(engine, [None], most=10**6)[0] == whole
    (stopped,) = played(engine, [Ear(enough=2)])
    assert stopped.turns[-1].ids == whole.turns[-1].ids[:1]
