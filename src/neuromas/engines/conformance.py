"""The check that any engine must pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from neuromas.engines.base import Engine, Generation, Request
from neuromas.prompts.codec import Codec


def check_engine(engine: Engine, adapters: Sequence[int] = (0,)) -> None:
    """Raises AssertionError, saying what is wrong, if ``engine`` breaks the contract of ``Engine``.

    Draws a few short messages of every named adapter. Run it in full precision: rounding may turn a
    draw with the batch's size. What no contract can tell, whether the log-probabilities are those
    of the model, is left to the implementation's own tests.
    """
    assert isinstance(engine, Engine), "an engine has what neuromas.engines.base.Engine has"
    assert isinstance(engine.codec, Codec), "codec does not implement Codec"
    assert engine.context >= 64, f"a context of {engine.context} tokens holds no prompt"
    versions = [engine.version(adapter) for adapter in adapters]
    requests = _requests(engine.codec, adapters)
    for ends in (engine.codec.end_ids, engine.codec.line_end_ids):
        for temperature in (0.0, 0.7, 1.0):
            out = engine.generate(requests, temperature, ends)
            _check_form(requests, out, temperature, ends)
            _check_chance(engine, requests, out, temperature, ends)
    _check_ends(engine, requests)
    assert engine.generate([], 1.0, engine.codec.end_ids) == [], "no requests, and yet messages"
    after = [engine.version(adapter) for adapter in adapters]
    assert after == versions, f"generating changed the versions from {versions} to {after}"


def _requests(codec: Codec, adapters: Sequence[int]) -> list[Request]:
    """Shared and single prefixes, with and without a suffix, short and long, in mixed order."""
    first, second = codec.encode("Question: 2 + 3\n"), codec.encode("Another, longer question: 17\n")
    told, cue = codec.encode("Node 1: five\nAnswer:"), codec.encode("Answer:")
    rows = [
        Request(adapter, prefix, suffix, limit, 0)
        for limit in (4, 1, 7)
        for prefix, suffix in ((first, ()), (second, told), (first, told), (first, cue))
        for adapter in adapters
    ]
    return [replace(row, seed=1000 + place) for place, row in enumerate(rows)]


def _check_form(
    requests: Sequence[Request], out: Sequence[Generation], temperature: float, ends: frozenset[int]
) -> None:
    """Lengths, end tokens and the range of log-probabilities."""
    assert len(out) == len(requests), f"{len(requests)} requests, but {len(out)} messages"
    for request, message in zip(requests, out, strict=True):
        ids, logprobs = message.ids, message.logprobs
        assert 1 <= len(ids) <= request.max_new, f"{len(ids)} tokens with max_new = {request.max_new}"
        assert len(ids) == len(logprobs), f"{len(ids)} tokens with {len(logprobs)} log-probabilities"
        assert all(-float("inf") < p <= 1e-6 for p in logprobs), f"log-probabilities {logprobs}"
        assert temperature > 0 or not any(logprobs), "greedy log-probabilities are 0"
        assert not any(token in ends for token in ids[:-1]), "a message goes on after its end token"
        assert message.ended == (ids[-1] in ends), "ended must say whether an end token came"
        assert message.ended or len(ids) == request.max_new, "stopped with neither end nor limit"


def _check_chance(
    engine: Engine,
    requests: Sequence[Request],
    out: Sequence[Generation],
    temperature: float,
    ends: frozenset[int],
) -> None:
    """A request's seed alone decides its draw: not the call, not its neighbours, not the order."""
    again = engine.generate(requests[::-1], temperature, ends)[::-1]
    assert _ids(again) == _ids(out), "the same seeds in another order drew other messages"
    alone = [engine.generate([request], temperature, ends)[0] for request in requests[::5]]
    assert _ids(alone) == _ids(out[::5]), "a message depends on what else is in the batch"
    if temperature == 0.0:
        other = [replace(request, seed=request.seed + 1) for request in requests]
        assert _ids(engine.generate(other, 0.0, ends)) == _ids(out), "greedy depends on the seed"


def _check_ends(engine: Engine, requests: Sequence[Request]) -> None:
    """Ends given are ends used: the first token of a message, made an end, ends it."""
    for request in requests[::5]:
        first = engine.generate([request], 0.0, frozenset())[0]
        assert not first.ended, "without end tokens nothing can end"
        assert len(first.ids) == request.max_new, "without end tokens a message goes on to its limit"
        cut = engine.generate([request], 0.0, frozenset(first.ids[:1]))[0]
        assert cut.ended, "a token named as an end did not end the message"
        assert cut.ids == first.ids[:1], "the end token is the last of a message"


def _ids(messages: Sequence[Generation]) -> list[tuple[int, ...]]:
    return [message.ids for message in messages]
