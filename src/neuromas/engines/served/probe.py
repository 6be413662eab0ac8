"""Whether servers write with our adapters: a few messages, scored by the model that learns.

An adapter that does nothing, an old one answered from a cache, log-probabilities before the temperature:
each writes well-formed messages. So the same tokens are scored here and the two are compared; where they
differ, the explanation that fits best is told.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from neuromas.core.errors import ModelError
from neuromas.core.seeds import derive
from neuromas.engines.base import Generation
from neuromas.engines.served.client import Completion
from neuromas.models.adapters import AdapterBank
from neuromas.models.precision import plain_name
from neuromas.models.prefix_tree import TreePlan, build_trees, pad_trees
from neuromas.models.resident import ResidentModel
from neuromas.prompts.codec import Codec

TEMPERATURE = 0.7  # another than 1, so that log-probabilities before it differ from those after it
_TOKENS = 8
_TEXTS = ("Question: 12 + 30 - 7 = ?\nAnswer:", "Node 1: the answer is 5.\nNode 2: no, 6.\nAnswer:")
_APART = 0.5  # nats a token by which the two probing adapters shall differ, at least
_DOUBLINGS = 14
_AGAIN = 4  # equal requests with one seed
_SEEDS = 4
_FEW = 2  # adapters that are asked for more than one message

Spoken = tuple[int, tuple[int, ...], tuple[int, ...]]  # adapter, prompt, message
Write = Callable[[list[tuple[int, Completion]]], list[Generation]]


@dataclass(frozen=True, slots=True)
class Probe:
    """The learner's model as a measure: ``limit`` is in nats a token, a mean over a few messages."""

    model: ResidentModel
    limit: float

    def pair(self) -> AdapterBank:
        """Two adapters that differ clearly, from the backbone and from each other, whatever its size."""
        bank, texts = self.model.bank, prompts(self.model.backbone.codec)
        rank = max(bank.ranks, default=bank.spec.rank)
        spoken: list[list[Spoken]] = [[(row, text[:1], text[1:]) for text in texts] for row in (0, 1)]
        for doubling in range(_DOUBLINGS):
            pair = bank.others([self._drawn(row, rank, 0.01 * 2.0**doubling) for row in (0, 1)])
            each = [self.score(pair, one) for one in spoken]
            none = self.score(None, spoken[0])
            apart = min(_far(each[0], each[1]), _far(each[0], none), _far(each[1], none))
            if apart >= max(_APART, 4 * self.limit):
                break
        return pair

    def _drawn(self, row: int, rank: int, spread: float) -> Tensor:
        """A random adapter (P,) with B of this standard deviation."""
        seed = derive(0, "probe", row)
        one = self.model.bank.others([self.model.bank.fresh(seed, rank)])
        generator = torch.Generator().manual_seed(seed)
        for _, _, up in one.factors(0):
            up.copy_(torch.randn(up.shape, generator=generator) * spread)
        return one.parameters[0].detach()

    def check(
        self, bank: AdapterBank, rows: Sequence[int], write: Write, before: AdapterBank | None = None
    ) -> None:
        """Messages of these ``rows`` have the log-probabilities that ``bank`` gives them.

        ``before`` are the same rows as they were published last, one for one. Raises ModelError.
        """
        texts = prompts(self.model.backbone.codec)
        texts = texts if len(rows) <= _FEW else texts[:1]
        asked = [
            (row, Completion("", text, _TOKENS, derive(1, "probe", row, place) % 2**31))
            for row in rows
            for place, text in enumerate(texts)
        ]
        wrote = write(asked)
        spoken = [(row, one.prompt, out.ids) for (row, one), out in zip(asked, wrote, strict=True)]
        given = [p for out in wrote for p in out.logprobs]
        apart = _far(given, self.score(bank, spoken))
        if apart <= self.limit:
            return
        raise ModelError(
            f"a served adapter's messages are {apart:.3g} nats a token from what the learner's model gives "
            f"them, more than {self.limit:g}: {self.cause(bank, spoken, given, before)}"
        )

    def repeats(self, row: int, write: Write) -> None:
        """The same request is answered the same, another seed at times otherwise. Raises ModelError.

        Asked often, as two draws of a short message may be one by chance.
        """
        asked = [
            (text, derive(2, "probe", seed) % 2**31)
            for text in prompts(self.model.backbone.codec)
            for seed in [0] * _AGAIN + list(range(1, _SEEDS))
        ]
        wrote = write([(row, Completion("", text, _TOKENS, seed)) for text, seed in asked])
        by_text: dict[tuple[int, ...], dict[int, set[tuple[int, ...]]]] = {}
        for (text, seed), one in zip(asked, wrote, strict=True):
            by_text.setdefault(text, {}).setdefault(seed, set()).add(one.ids)
        if any(len(messages) > 1 for seeds in by_text.values() for messages in seeds.values()):
            raise ModelError("a server answers two equal requests with one seed differently")
        if all(len(set().union(*seeds.values())) == 1 for seeds in by_text.values()):
            raise ModelError(
                f"a server answers {_SEEDS} seeds with one message: seed or temperature is ignored"
            )

    def cause(
        self,
        bank: AdapterBank,
        spoken: Sequence[Spoken],
        given: Sequence[float],
        before: AdapterBank | None,
    ) -> str:
        """What explains the ``given`` log-probabilities best."""
        rows = sorted({row for row, _, _ in spoken})
        turned = [(rows[rows.index(row) - 1], prompt, ids) for row, prompt, ids in spoken]
        guesses = {
            "the adapters do nothing there": self.score(None, spoken),
            "it gives log-probabilities before the temperature, or ignores it (start it with "
            "--logprobs-mode processed_logprobs)": self.score(bank, spoken, 1.0),
        }
        if len(rows) > 1:
            guesses["it writes with the adapter of another node"] = self.score(bank, turned)
        if before is not None:
            placed = [(rows.index(row), prompt, ids) for row, prompt, ids in spoken]
            guesses["it still writes with an earlier version of the adapter"] = self.score(before, placed)
        far = {text: _far(given, scores) for text, scores in guesses.items()}
        likeliest = min(far, key=lambda text: far[text])
        if far[likeliest] <= self.limit:
            return likeliest
        here = plain_name(self.model.backbone.dtype)
        other = "float32" if here == "bfloat16" else "bfloat16"
        return (
            f"another backbone, another precision (it is {here} here: start the server with --dtype {here}, "
            f"or train with model.dtype={other} if that is the server's), or other scales of the adapters"
        )

    def score(
        self,
        bank: AdapterBank | None,
        spoken: Sequence[Spoken],
        temperature: float = TEMPERATURE,
    ) -> list[float]:
        """Log-probabilities in nats of all tokens of (adapter, prompt, ids); None: without adapters."""
        backbone = self.model.backbone
        trees, places = build_trees([(row, prompt + ids[:-1]) for row, prompt, ids in spoken])
        batch = pad_trees(trees, backbone.device)
        adapters = None if bank is None else [tree.adapter for tree in trees]
        with torch.no_grad(), self.model.bank.select(adapters, backbone.dtype, bank):
            hidden = backbone.hidden(batch.ids, batch.position, TreePlan(batch))
            found: list[float] = []
            for (_, _, ids), (tree, columns) in zip(spoken, places, strict=True):
                logits = backbone.logits(hidden[tree, columns[-len(ids) :]]).float() / temperature
                every = torch.log_softmax(logits, dim=-1)
                found += every.gather(1, torch.tensor(ids, device=backbone.device)[:, None])[:, 0].tolist()
        return found


def prompts(codec: Codec) -> list[tuple[int, ...]]:
    """What the probing messages answer."""
    return [codec.start_ids + codec.encode(text) for text in _TEXTS]


def _far(one: Sequence[float], other: Sequence[float]) -> float:
    """Mean distance in nats a token."""
    return statistics.fmean(abs(a - b) for a, b in zip(one, other, strict=True))
