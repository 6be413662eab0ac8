"""The queue: who waits is played together, who leaves frees a place, a failure stays with its request."""

from __future__ import annotations

import asyncio
import threading

import pytest

from neuromas.core.episode import Episode, Turn
from neuromas.core.task import Problem
from neuromas.prompts.codec import ByteCodec
from neuromas.serving.batching import Batcher, Ended, Job, Piece, Said
from neuromas.serving.draft import Draft
from neuromas.serving.limits import Limits
from neuromas.serving.playing import Ask
from neuromas.serving.refusals import Refused

SINK = 1


def job(text, temperature=0.0, live=False):
    ask = Ask(Problem("ask", text, ""), temperature)
    return Job(ask, Draft(ByteCodec().decode, frozenset({256})), SINK, live)


def turn(node, text):
    ids = (*text.encode(), 256)
    return Turn(node, (), (), ids, (0.0,) * len(ids), text, True, 0.0, 0, 0)


class Network:
    """Echoes; counts batches; fails for the word "poison"; waits for ``free``."""

    def __init__(self):
        self.batches, self.free = [], threading.Event()
        self.free.set()

    def play(self, asked):
        assert self.free.wait(10)
        self.batches.append([ask.problem.question for ask, _ in asked])
        if any(ask.problem.question == "poison" for ask, _ in asked):
            raise ValueError("poison")
        return [self.one(ask.problem, listener) for ask, listener in asked]

    def one(self, problem, listener):
        turns = (turn(0, "hidden"), turn(SINK, problem.question))
        listener.said(turns[0])
        for token in turns[1].ids:
            listener.token(SINK, token)
        return Episode(problem, 0, turns, None)


def played(scenario, **limits):
    """Run a scenario against a batcher over a network that echoes; returns the network."""
    network = Network()

    async def within():
        batcher = Batcher(network.play, Limits(**{"window": 0.0, **limits}), lambda error: None)
        worker = asyncio.create_task(batcher.run())
        try:
            await asyncio.wait_for(scenario(batcher, network), 10)
        finally:
            network.free.set()
            batcher.close()
            await asyncio.wait_for(worker, 10)

    asyncio.run(within())
    return network


async def held(batcher, network, *jobs):
    """A first rollout that does not end, with these behind it."""
    network.free.clear()
    first = job("first")
    batcher.submit(first)
    while not batcher.running:
        await asyncio.sleep(0.001)
    for one in jobs:
        batcher.submit(one)
    return first


def test_who_waits_is_played_together_up_to_a_batch_and_by_temperature():
    async def scenario(batcher, network):
        rest = [job("a"), job("b", 1.0), job("c"), job("d"), job("e", 1.0), job("f")]
        first = await held(batcher, network, *rest)
        network.free.set()
        for one in (first, *rest):
            event = await one.next()
            assert (type(event), event.text) == (Ended, one.ask.problem.question)

    network = played(scenario, batch=3)
    assert network.batches == [["first"], ["a", "c", "d"], ["b", "e"], ["f"]]


def test_after_a_rest_others_are_waited_for_but_not_once_a_batch_is_full():
    async def scenario(batcher, network):
        jobs = [job(text) for text in "abc"]
        for one in jobs:
            batcher.submit(one)
            await asyncio.sleep(0.005)
        for one in jobs:
            await one.next()

    assert played(scenario, batch=3, window=5.0).batches == [["a", "b", "c"]]


def test_events_come_in_order_and_only_to_those_who_listen():
    async def scenario(batcher, network):
        live = job(" ab ", live=True)
        batcher.submit(live)
        events = [await live.next() for _ in range(4)]
        assert [type(event) for event in events] == [Said, Piece, Piece, Ended]
        assert events[1].text + events[2].text == events[3].text == "ab"

    played(scenario)


def test_a_request_that_breaks_a_rollout_does_not_take_others_with_it():
    async def scenario(batcher, network):
        jobs = [job("a", live=True), job("poison"), job("b")]
        first = await held(batcher, network, *jobs)
        network.free.set()
        await first.next()
        ends = []
        for one in jobs:
            while not isinstance(event := await one.next(), Ended | Refused):
                pass
            ends.append(event)
        assert (ends[0].text, ends[1].status, ends[2].text) == ("a", 500, "b")
        assert "poison" not in str(ends[1])

    assert played(scenario).batches[1:] == [["a", "poison", "b"], ["a"], ["poison"], ["b"]]


def test_who_leaves_frees_the_place_and_is_not_played():
    async def scenario(batcher, network):
        gone, stays = job("gone"), job("stays")
        first = await held(batcher, network, gone, stays)
        with pytest.raises(Refused) as refused:
            batcher.submit(job("one too many"))
        assert (refused.value.status, refused.value.code) == (503, "queue_full")
        assert int(refused.value.headers["Retry-After"]) >= 1
        batcher.forget(gone)
        assert (batcher.waiting, await gone.next()) == (1, None)
        batcher.submit(job("in its place"))
        batcher.forget(first)
        assert batcher.running == 0
        assert not first.token(SINK, 65)  # its message ends with this token
        network.free.set()
        await stays.next()

    assert played(scenario, waiting=2).batches == [["first"], ["stays", "in its place"]]


def test_at_the_end_what_waits_is_refused_and_what_is_played_is_finished():
    async def scenario(batcher, network):
        waits = job("waits")
        first = await held(batcher, network, waits)
        batcher.stop()
        assert (await waits.next()).code == "shutting_down"
        with pytest.raises(Refused, match="ending"):
            batcher.submit(job("late"))
        network.free.set()
        assert (await first.next()).text == "first"

    assert played(scenario).batches == [["first"]]


@pytest.mark.parametrize(
    ("failure", "missing", "status", "code"),
    [
        ("9 tokens do not fit the model's context of 5", False, 400, "context_length_exceeded"),
        ("no message came", True, 503, "engine_failed"),
    ],
)
def test_a_pass_that_failed_says_why(failure, missing, status, code):
    async def scenario(batcher, network):
        network.one = lambda problem, listener: Episode(
            problem, 0, (), None, failure=failure, answered=False, missing=missing
        )
        one = job("x")
        batcher.submit(one)
        event = await one.next()
        assert (event.status, event.code) == (status, code)
        assert failure in str(event)

    played(scenario)
