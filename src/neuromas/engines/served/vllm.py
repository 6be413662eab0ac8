"""The engine of running vLLM servers: adapters are published to them, messages asked of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from neuromas.core.errors import ConfigError, ModelError, one_line, shown, unknown
from neuromas.engines.base import Capabilities, Generation, Request, check_room
from neuromas.engines.served.client import Access, Completion, Drawing, Servers
from neuromas.engines.served.probe import TEMPERATURE, Probe, Write
from neuromas.engines.served.publish import Publisher
from neuromas.models.adapters import AdapterBank
from neuromas.models.resident import ResidentModel
from neuromas.prompts.codec import Codec

PROBES = ("publish", "start", "off")
LIMITS = {torch.float32: 1e-3, torch.bfloat16: 0.2}  # nats a token; bf16 alone makes a mean of about 0.04
_COLDEST = 0.01  # vLLM raises lower temperatures to this, but for 0


class VllmEngine:
    """``Engine`` over servers that all have the learner's backbone and take its adapters."""

    capabilities = Capabilities(logprobs=True, exact=True, seeded=True)

    def __init__(self, model: ResidentModel, options: dict[str, Any]) -> None:
        """Reaches every server. Raises ConfigError for a wrong option, ModelError for a wrong server."""
        access = _access(options)
        if options["probe"] not in PROBES:
            raise ConfigError(f"engine 'vllm': {unknown('value of probe', options['probe'], PROBES)}")
        if not options["limit"] >= 0.0:
            raise ConfigError(f"engine.options.limit = {shown(options['limit'])} is less than 0")
        self.model, self._probing = model, options["probe"]
        self._probe = Probe(model, options["limit"] or LIMITS[model.backbone.dtype])
        self._servers = Servers(access)
        self.context = min(model.backbone.context, *_contexts(self._servers, options["model"]))
        self._publisher = Publisher(self._servers, options["folder"], model.backbone.name)
        self._versions: list[int] = []
        self._published: list[Tensor] = []
        self._tried = False

    @property
    def codec(self) -> Codec:
        """The backbone's tokenizer."""
        return self.model.backbone.codec

    def version(self, adapter: int) -> int:
        """That of the last ``publish``."""
        return self._versions[adapter]

    def close(self) -> None:
        """Close connections and remove the adapters' folder."""
        self._publisher.close()
        self._servers.close()

    def publish(self, bank: AdapterBank) -> None:
        """See ``Engine.publish``: what changed goes to every server, and is then probed.

        Raises ModelError where a server does not take it, or writes with something else.
        """
        if not self._tried and self._probing != "off":
            self._try_servers()
        self._tried = True
        before = self._published
        changed = self._publisher.publish(bank)
        self._versions = list(bank.versions)
        if self._probing != "publish" or not changed:
            return
        self._published = [one.detach().cpu().clone() for one in bank.parameters]
        were = [before[row] for row in changed] if all(row < len(before) for row in changed) else []
        old = bank.others(were) if were else None
        self._each(lambda write: self._probe.check(bank, changed, write, old))

    def _try_servers(self) -> None:
        """Publish two adapters that differ clearly, and see that each server writes with them."""
        pair = self._probe.pair()
        self._publisher.publish(pair)
        self._each(lambda write: self._probe.check(pair, (0, 1), write))
        self._each(lambda write: self._probe.repeats(0, write))

    def _each(self, check: Callable[[Write], None]) -> None:
        """Check every server by itself. Raises ModelError naming the one that fails."""
        for place, url in enumerate(self._servers.urls):
            try:
                check(partial(self._write, place))
            except ModelError as error:
                said = one_line(error)
                raise error if url in said else ModelError(f"server {url}: {said}") from error

    def diagnose(self) -> str:
        """What a probe of all adapters now says, in words: why sampler and learner may disagree."""
        bank = self.model.bank
        try:
            self._each(lambda write: self._probe.check(bank, range(len(bank.parameters)), write))
        except ModelError as error:
            return one_line(error)
        return (
            "a probe of the served adapters finds nothing wrong, so that precision or long messages are "
            "likelier than old adapters"
        )

    def generate(
        self, requests: Sequence[Request], temperature: float, ends: frozenset[int]
    ) -> list[Generation]:
        """See ``Engine.generate``. Raises ModelError, naming the server, if a message cannot be had."""
        check_room(requests, self.context)
        if 0.0 < temperature < _COLDEST:
            raise ModelError(f"temperature {temperature:g}: vLLM takes 0, or at least {_COLDEST:g}")
        asked = [
            Completion(self._publisher.names[one.adapter], one.prefix + one.suffix, one.max_new, one.seed)
            for one in requests
        ]
        return self._servers.complete(asked, Drawing(temperature, ends))

    def _write(self, place: int, asked: list[tuple[int, Completion]]) -> list[Generation]:
        """Messages for a probe, of one server."""
        names = self._publisher.names
        named = [Completion(names[row], one.prompt, one.max_new, one.seed) for row, one in asked]
        return self._servers.complete(named, Drawing(TEMPERATURE, frozenset()), only=place)


def _access(options: dict[str, Any]) -> Access:
    """The options of the client. Raises ConfigError."""
    for key, least in (("concurrency", 1), ("retries", 0), ("timeout", 0.001)):
        if not options[key] >= least:
            raise ConfigError(f"engine.options.{key} = {shown(options[key])} is less than {least:g}")
    return Access(
        tuple(options["urls"]),
        options["concurrency"],
        options["timeout"],
        options["retries"],
        options["key_env"],
    )


def _contexts(servers: Servers, name: str) -> list[int]:
    """The longest sequence of each server's model. Raises ModelError if it serves no such model."""
    found: list[int] = []
    for url, listed in zip(servers.urls, servers.models(), strict=True):
        bases = [one for one, row in listed.items() if row.get("parent") is None]
        if name and name not in bases:
            raise ModelError(f"server {url}: {unknown('model', name, bases)}")
        longest = listed[name or bases[0]].get("max_model_len") if bases else None
        if isinstance(longest, int) and longest > 0:
            found.append(longest)
    return found or [2**31]
