"""The check that any engine must pass, with the learner's model as the measure of what it writes.

What an engine declares of itself is held against what it does; the rest of the contract holds for all.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from neuromas.config import make_config
from neuromas.core.errors import ModelError
from neuromas.engines.base import Build, Engine, Generation, Request
from neuromas.engines.build import make_engine
from neuromas.learner.gradient import logprobs
from neuromas.learner.scorer import Message
from neuromas.models.adapters import LoraSpec
from neuromas.models.backbone import load_backbone
from neuromas.models.resident import ResidentModel
from neuromas.prompts.codec import Codec

_DRAWS = 256  # of one token, to hold frequencies against probabilities
_CERTAIN = -20.0  # nats; what is less likely than this does not happen by chance
_FEWEST = 64  # tokens of context, below which there is no room for a prompt


@dataclass(frozen=True, slots=True)
class Check:
    """An engine that was built around ``model``; ``tolerance`` is in nats a token.

    Run it in full precision: rounding may turn a draw with the batch's size.
    """

    engine: Engine
    model: ResidentModel
    tolerance: float

    def run(self) -> None:
        """Raises AssertionError, saying what is wrong, on the first breach of the contract."""
        engine = self.engine
        assert isinstance(engine, Engine), "an engine has what neuromas.engines.base.Engine has"
        assert isinstance(engine.codec, Codec), "codec does not implement Codec"
        assert engine.context >= _FEWEST, f"a context of {engine.context} tokens holds no prompt"
        with _kept(self.model):
            self.published()
            requests = _requests(engine.codec, range(len(self.model.bank.parameters)))
            for ends in (engine.codec.end_ids, engine.codec.line_end_ids):
                for temperature in (0.0, 0.7, 1.0):
                    self.batch(requests, temperature, ends)
            self.ends(requests)
            self.distribution(requests[0])
            self.edges(requests[0])
            self.publishing(requests)

    def published(self) -> None:
        """After publishing, messages are written with the versions that were published."""
        bank = self.model.bank
        self.engine.publish(bank)
        versions = [self.engine.version(row) for row in range(len(bank.parameters))]
        assert versions == bank.versions, f"published versions {bank.versions}, the engine has {versions}"

    def batch(self, requests: Sequence[Request], temperature: float, ends: frozenset[int]) -> None:
        """One batch: its form, its versions, its chance and its probabilities."""
        before = list(self.model.bank.versions)
        out = self.engine.generate(requests, temperature, ends)
        after = [self.engine.version(row) for row in range(len(before))]
        assert after == before, f"generating changed the versions from {before} to {after}"
        self.form(requests, out, temperature, ends)
        self.chance(requests, out, temperature, ends)
        if temperature > 0.0:
            self.exact(requests, out, temperature)

    def form(
        self, requests: Sequence[Request], out: Sequence[Generation], temperature: float, ends: frozenset[int]
    ) -> None:
        """Lengths, end tokens and the range of log-probabilities."""
        assert len(out) == len(requests), f"{len(requests)} requests, but {len(out)} messages"
        known = temperature > 0.0 and self.engine.capabilities.logprobs
        for request, message in zip(requests, out, strict=True):
            ids, given = message.ids, message.logprobs
            assert 1 <= len(ids) <= request.max_new, f"{len(ids)} tokens with max_new = {request.max_new}"
            assert len(ids) == len(given), f"{len(ids)} tokens with {len(given)} log-probabilities"
            assert all(-math.inf < p <= 1e-6 for p in given), f"log-probabilities {given}"
            assert temperature > 0.0 or not any(given), "greedy log-probabilities are 0"
            assert known or not any(given), "without the capability logprobs all of them are 0"
            assert not any(token in ends for token in ids[:-1]), "a message goes on after its end token"
            assert message.ended == (ids[-1] in ends), "ended must say whether an end token came"
            assert message.ended or len(ids) == request.max_new, "stopped with neither end nor limit"

    def chance(
        self, requests: Sequence[Request], out: Sequence[Generation], temperature: float, ends: frozenset[int]
    ) -> None:
        """A request's seed alone decides its draw: not the call, not its neighbours, not the order."""
        engine = self.engine
        other = [replace(request, seed=request.seed + 1) for request in requests]
        if engine.capabilities.seeded:
            again = engine.generate(requests[::-1], temperature, ends)[::-1]
            assert _ids(again) == _ids(out), "the same seeds in another order drew other messages"
            single = [engine.generate([request], temperature, ends)[0] for request in requests[::5]]
            assert _ids(single) == _ids(out[::5]), "a message depends on what else is in the batch"
            if temperature == 0.0:
                assert _ids(engine.generate(other, 0.0, ends)) == _ids(out), "greedy depends on the seed"
        if math.fsum(p for message in out for p in message.logprobs) < _CERTAIN:
            drawn = engine.generate(other, temperature, ends)
            assert _ids(drawn) != _ids(out), "other seeds drew the same messages: the seed is ignored"

    def exact(self, requests: Sequence[Request], out: Sequence[Generation], temperature: float) -> None:
        """Log-probabilities are those of the learner's model."""
        if not self.engine.capabilities.exact:
            return
        messages = [
            Message(key, one.adapter, one.prefix, one.suffix, message.ids)
            for key, (one, message) in enumerate(zip(requests, out, strict=True))
        ]
        learner = logprobs(self.model, messages, temperature)
        given = torch.tensor([p for message in out for p in message.logprobs])
        apart = float((learner - given).abs().max())
        assert apart <= self.tolerance, (
            f"log-probabilities at temperature {temperature:g} are {apart:.2g} nats from the learner's: "
            "another model, other adapters, another distribution or another prompt"
        )

    def ends(self, requests: Sequence[Request]) -> None:
        """Ends given are ends used: the first token of a message, made an end, ends it."""
        for request in requests[::5]:
            first = self.engine.generate([request], 0.0, frozenset())[0]
            assert not first.ended, "without end tokens nothing can end"
            assert len(first.ids) == request.max_new, "without end tokens a message goes on to its limit"
            cut = self.engine.generate([request], 0.0, frozenset(first.ids[:1]))[0]
            assert cut.ended, "a token named as an end did not end the message"
            assert cut.ids == first.ids[:1], "the end token is the last of a message"

    def distribution(self, request: Request) -> None:
        """What is said to have a probability comes about as often: the log-probabilities are normalised."""
        if not self.engine.capabilities.logprobs:
            return
        draws = [replace(request, seed=5000 + place, max_new=1) for place in range(_DRAWS)]
        for temperature in (0.7, 1.0):
            out = self.engine.generate(draws, temperature, frozenset())
            said = {message.ids[0]: math.exp(message.logprobs[0]) for message in out}
            total = math.fsum(said.values())
            assert total <= 1.0 + self.tolerance, f"probabilities of different tokens sum to {total:.3f}"
            for token, count in Counter(message.ids[0] for message in out).items():
                expected = _DRAWS * said[token]
                assert abs(count - expected) <= 5.0 * math.sqrt(expected) + 3.0, (
                    f"of {_DRAWS} draws at temperature {temperature:g} {count} are a token of probability "
                    f"{said[token]:.3f}: log-probabilities are not those of the distribution drawn from"
                )

    def edges(self, request: Request) -> None:
        """Nothing asked, and more asked than the context holds."""
        engine = self.engine
        assert engine.generate([], 1.0, engine.codec.end_ids) == [], "no requests, and yet messages"
        long = replace(request, prefix=request.prefix * engine.context)
        try:
            engine.generate([long], 1.0, engine.codec.end_ids)
        except ModelError:
            return
        raise AssertionError(
            "a prompt longer than the context must be a ModelError, neither cut nor answered"
        )

    def publishing(self, requests: Sequence[Request]) -> None:
        """Another adapter, back to the one before, and one more: each is what is written with."""
        bank, ends = self.model.bank, frozenset[int]()
        changed = [one for one in requests if one.adapter == 0]
        first, version = bank.parameters[0].detach().clone(), bank.versions[0]
        was = self.engine.generate(requests, 1.0, ends)
        for seed in (1, 2):  # there and back twice, so that one version stands for different adapters
            _put(bank.parameters[0], _other(first, seed))
            bank.versions[0] = version + 1
            self.published()
            self.exact(changed, self.engine.generate(changed, 1.0, ends), 1.0)
            _put(bank.parameters[0], first)
            bank.versions[0] = version
            self.published()
            again = self.engine.generate(requests, 1.0, ends)
            self.exact(requests, again, 1.0)
            assert not self.engine.capabilities.seeded or _ids(again) == _ids(was), (
                "after going back to the first adapter other messages are drawn"
            )
        row = bank.append(_other(first, 3))
        self.published()
        more = [replace(one, adapter=row) for one in changed]
        self.exact(more, self.engine.generate(more, 1.0, ends), 1.0)


@contextmanager
def _kept(model: ResidentModel) -> Iterator[None]:
    """Within the block adapters may be changed and added; after it they are as before."""
    bank = model.bank
    count, versions = len(bank.parameters), list(bank.versions)
    vectors = [parameter.detach().clone() for parameter in bank.parameters]
    try:
        yield
    finally:
        del bank.parameters[count:], bank.ranks[count:]
        bank.versions[:] = versions
        for parameter, vector in zip(bank.parameters, vectors, strict=True):
            _put(parameter, vector)


def _put(parameter: Tensor, vector: Tensor) -> None:
    """Set an adapter's vector (P,) in place."""
    with torch.no_grad():
        parameter.copy_(vector)


def _other(vector: Tensor, seed: int) -> Tensor:
    """Another adapter (P,) of the same size, far enough from the first to write something else."""
    noise = torch.randn(vector.shape, generator=torch.Generator().manual_seed(seed)) * 0.3
    return noise.to(vector)


def _requests(codec: Codec, adapters: Sequence[int]) -> list[Request]:
    """Shared and single prefixes, with and without a suffix, short and long, in mixed order."""
    first, second = codec.encode("Question: 2 + 3\n"), codec.encode("Another, longer question: 17\n")
    read, cue = codec.encode("Node 1: five\nAnswer:"), codec.encode("Answer:")
    rows = [
        Request(adapter, prefix, suffix, limit, 0)
        for limit in (4, 1, 7)
        for prefix, suffix in ((first, ()), (second, read), (first, read), (first, cue))
        for adapter in adapters
    ]
    return [replace(row, seed=1000 + place) for place, row in enumerate(rows)]


def _ids(messages: Sequence[Generation]) -> list[tuple[int, ...]]:
    return [message.ids for message in messages]


def check_engine(
    make: Build | str,
    options: Mapping[str, Any] | None = None,
    model: ResidentModel | None = None,
    tolerance: float = 1e-3,
) -> None:
    """Raises AssertionError, saying what is wrong, if an engine breaks the contract of ``Engine``.

    ``make`` is called as ``make(config, model)``, as a run would call it, or is the engine's name:
    ``"local"``, ``"module:Name"``. ``options`` are ``engine.options``. ``model`` is what the engine writes
    with; without it a tiny random one in full precision with two adapters. Adapters are changed and
    published on the way and are as before afterwards. ``tolerance`` in nats a token is how far the
    log-probabilities of an engine that declares them exact may be from the learner's.
    """
    name = make if isinstance(make, str) else "local"
    config = make_config({"engine": {"name": name, "options": dict(options or {})}})
    around = model or tiny_resident_model()
    engine = make_engine(config, around) if isinstance(make, str) else make(config, around)
    Check(engine, around, tolerance).run()


def tiny_resident_model(adapters: int = 2, spread: float = 0.3, seed: int = 0) -> ResidentModel:
    """A random two-layer model with so many adapters, fp32 on the CPU; milliseconds to make.

    ``spread`` is the standard deviation of their B factors (0: as new, all like the backbone).
    """
    model = ResidentModel.around(load_backbone("tiny", "float32", "cpu"), LoraSpec(4, 6.0), adapters, seed)
    generator = torch.Generator().manual_seed(seed)
    for row in range(adapters):
        for _, _, up in model.bank.factors(row):
            up.copy_(torch.randn(up.shape, generator=generator) * spread)
    return model
