"""For tests without a model: a policy that recites a script, and a check that any policy must pass.

``ScriptedPolicy`` answers with a function of the prompt's text; it needs no torch and no files.
``check_policy`` holds any implementation of ``Policy`` against its contract.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from neuromas.engines.base import Generation, Policy, Request
from neuromas.prompts.codec import ByteCodec, Codec

Script = Callable[[str, int], str]


@dataclass(frozen=True, slots=True)
class Call:
    """One batch a scripted policy was asked for, and the text of every prompt in it."""

    requests: tuple[Request, ...]
    prompts: tuple[str, ...]
    temperature: float
    ends: frozenset[int]


class ScriptedPolicy:
    """``Policy`` whose messages are ``script(prompt text, adapter)``; one token a byte.

    ``calls`` records every batch; ``versions`` may be set by hand (an adapter not named is at 0).
    """

    def __init__(self, script: Script, context: int = 1 << 16) -> None:
        """``context`` is the longest sequence, in bytes, that it claims to hold."""
        self.codec = ByteCodec()
        self.context = context
        self.versions: dict[int, int] = {}
        self.calls: list[Call] = []
        self._script = script

    def version(self, adapter: int) -> int:
        """The version set in ``versions``, else 0."""
        return self.versions.get(adapter, 0)

    def generate(
        self, requests: Sequence[Request], temperature: float, ends: frozenset[int]
    ) -> list[Generation]:
        """Recite. A text that leaves no room for its end token is cut and has not ended."""
        prompts = tuple(self.codec.decode(r.prefix + r.suffix) for r in requests)
        self.calls.append(Call(tuple(requests), prompts, temperature, ends))
        return [
            self._recite(self._script(prompt, request.adapter), request.max_new, ends)
            for prompt, request in zip(prompts, requests, strict=True)
        ]

    def _recite(self, text: str, limit: int, ends: frozenset[int]) -> Generation:
        """The bytes of a text up to the first end token, with log-probabilities of certain events."""
        ids = self.codec.encode(text)
        first = next((place for place, token in enumerate(ids) if token in ends), None)
        if first is not None:
            ids = ids[: first + 1]
        elif ends:
            ids = (*ids, self.codec.END if self.codec.END in ends else min(ends))
        else:  # nothing can end it: on with spaces
            ids = (*ids, *(32 for _ in range(limit - len(ids))))
        kept = ids[:limit]
        return Generation(kept, (0.0,) * len(kept), bool(kept) and kept[-1] in ends)


def check_policy(policy: Policy, adapters: Sequence[int] = (0,)) -> None:
    """Raises AssertionError, saying what is wrong, if ``policy`` breaks the contract of ``Policy``.

    Draws a few short messages of every named adapter. Run it in full precision: rounding may turn a
    draw with the batch's size. What no contract can tell, whether the log-probabilities are those
    of the model, is left to the implementation's own tests.
    """
    assert isinstance(policy, Policy), "a policy has codec, context, version() and generate()"
    assert isinstance(policy.codec, Codec), "codec does not implement Codec"
    assert policy.context >= 64, f"a context of {policy.context} tokens holds no prompt"
    versions = [policy.version(adapter) for adapter in adapters]
    requests = _requests(policy.codec, adapters)
    for ends in (policy.codec.end_ids, policy.codec.line_end_ids):
        for temperature in (0.0, 0.7, 1.0):
            out = policy.generate(requests, temperature, ends)
            _check_form(requests, out, temperature, ends)
            _check_chance(policy, requests, out, temperature, ends)
    _check_ends(policy, requests)
    assert policy.generate([], 1.0, policy.codec.end_ids) == [], "no requests, and yet messages"
    after = [policy.version(adapter) for adapter in adapters]
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
    policy: Policy,
    requests: Sequence[Request],
    out: Sequence[Generation],
    temperature: float,
    ends: frozenset[int],
) -> None:
    """A request's seed alone decides its draw: not the call, not its neighbours, not the order."""
    again = policy.generate(requests[::-1], temperature, ends)[::-1]
    assert _ids(again) == _ids(out), "the same seeds in another order drew other messages"
    alone = [policy.generate([request], temperature, ends)[0] for request in requests[::5]]
    assert _ids(alone) == _ids(out[::5]), "a message depends on what else is in the batch"
    if temperature == 0.0:
        other = [replace(request, seed=request.seed + 1) for request in requests]
        assert _ids(policy.generate(other, 0.0, ends)) == _ids(out), "greedy depends on the seed"


def _check_ends(policy: Policy, requests: Sequence[Request]) -> None:
    """Ends given are ends used: the first token of a message, made an end, ends it."""
    for request in requests[::5]:
        first = policy.generate([request], 0.0, frozenset())[0]
        assert not first.ended, "without end tokens nothing can end"
        assert len(first.ids) == request.max_new, "without end tokens a message goes on to its limit"
        cut = policy.generate([request], 0.0, frozenset(first.ids[:1]))[0]
        assert cut.ended, "a token named as an end did not end the message"
        assert cut.ids == first.ids[:1], "the end token is the last of a message"


def _ids(messages: Sequence[Generation]) -> list[tuple[int, ...]]:
    return [message.ids for message in messages]
