"""The gradient of one update: micro-batches side by side, summed in one order.

Each micro-batch is computed by one thread from its cut to its gradient, and the cut, the arithmetic and the
order of the sum do not depend on how many threads there are: an update is the same bit for bit. The same
holds for several processes, each of which computes some of the micro-batches, where ``ranks.ordered``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor

from neuromas.learner.scorer import Message, Row, TokenScores, microbatches, pack, score
from neuromas.learning.losses import Weights, policy_loss
from neuromas.models.adapters import AdapterBank
from neuromas.models.parallel import Mapper, parallel_map
from neuromas.models.resident import ResidentModel


@dataclass(frozen=True, slots=True)
class Objective:
    """What is learned beside the advantage: coefficients of entropy, of KL to the backbone, and to an anchor.

    ``anchor`` holds the adapters that are not to be left far behind; None: there are none.
    """

    entropy: float = 0.0
    kl: float = 0.0
    anchoring: float = 0.0
    anchor: AdapterBank | None = None

    @property
    def pulls(self) -> list[tuple[float, AdapterBank | None]]:
        """Coefficient and reference of every KL; the reference None is the backbone."""
        pulls: list[tuple[float, AdapterBank | None]] = [(self.kl, None)] if self.kl > 0.0 else []
        if self.anchoring > 0.0 and self.anchor is not None:
            pulls.append((self.anchoring, self.anchor))
        return pulls


@dataclass(frozen=True, slots=True)
class Earlier:
    """The log-probabilities (T,) of all tokens before the first pass over a batch, and PPO's clip.

    ``whole``: the ratio that is clipped is a message's, not a token's.
    """

    logprobs: Tensor
    clip: float
    whole: bool = False


@dataclass(slots=True)
class Learned:
    """Sums over the messages of an update.

    ``entropy`` (M,) is summed over each message's tokens, ``logprobs`` (T,) are those of all tokens, message
    after message in the order given.
    """

    loss: float
    entropy: Tensor
    logprobs: Tensor
    tokens: int


_Part = tuple[dict[int, Tensor], Learned]  # gradients by adapter, and sums


@dataclass(frozen=True, slots=True)
class _Batch:
    """What the micro-batches of an update share; ``first`` (M,) is where each message's tokens begin."""

    weights: Weights
    temperature: float
    objective: Objective
    first: Tensor
    count: int
    earlier: Earlier | None


def accumulate(
    model: ResidentModel,
    messages: Sequence[Message],
    weights: Weights,
    temperature: float,
    objective: Objective,
    *,
    earlier: Earlier | None = None,
    onto: bool = False,
) -> Learned:
    """Set ``grad`` of every adapter that takes part (None of the others); ``onto`` adds to what is there.

    ``messages[i].key`` is i. With ``earlier`` this is a further pass over a batch, clipped as in PPO.
    """
    device, bank = model.backbone.device, model.bank
    first, count = _offsets(messages)
    shared = _Batch(
        Weights(weights.advantage.to(device), weights.scale.to(device)),
        temperature,
        objective,
        first,
        count,
        earlier,
    )
    batches = _cut(model, messages)
    with parallel_map(device, len(batches)) as each:
        gradients, learned = _sum(_parts(model, batches, shared, each), shared)
    for row, parameter in enumerate(bank.parameters):
        found = gradients.get(row)
        if onto and parameter.grad is not None:
            found = parameter.grad if found is None else parameter.grad + found
        parameter.grad = found
    return learned


def _sum(parts: Iterator[_Part], shared: _Batch) -> _Part:
    """Gradients by adapter and sums of all parts, added in the order in which they come."""
    gradients: dict[int, Tensor] = {}
    learned = Learned(0.0, torch.zeros(len(shared.weights.scale)), torch.zeros(shared.count), 0)
    for found, part in parts:
        for row, gradient in found.items():
            gradients[row] = gradients[row].add_(gradient) if row in gradients else gradient
        learned.loss += part.loss
        learned.entropy += part.entropy
        learned.logprobs += part.logprobs
        learned.tokens += part.tokens
    return gradients, learned


def _parts(
    model: ResidentModel, batches: Sequence[Sequence[Row]], shared: _Batch, each: Mapper
) -> Iterator[_Part]:
    """Gradients and sums of every micro-batch in order, or the sum of all where that is not kept.

    Each process computes its own; the others are told.
    """
    ranks = model.ranks
    mine = [batches[i] for i in ranks.own(len(batches))]
    extra = _idle(model, batches)
    parts = each(lambda batch: _differentiate(model, batch, shared), [*mine, *extra])
    if ranks.size == 1:
        yield from parts
    elif ranks.ordered or not batches:
        flat = (_flat(batch, part, shared) for batch, part in zip([*mine, *extra], parts, strict=True))
        lengths = [_length(model, batch) for batch in batches]
        for batch, vector in zip(batches, ranks.in_turn(flat, lengths, model.backbone.device), strict=True):
            yield _read(model, batch, vector, shared)
    else:
        whole = [row for batch in batches for row in batch]
        own = _sum(islice(parts, len(mine)), shared)
        deque(parts, maxlen=0)  # of a sharded backbone all must see all passes
        absent = {row.adapter for row in whole} - set(own[0])
        own[0].update({row: torch.zeros_like(model.bank.parameters[row].data) for row in absent})
        vector = _flat(whole, own, shared)
        ranks.add(vector)
        yield _read(model, whole, vector, shared)


def _idle(model: ResidentModel, batches: Sequence[Sequence[Row]]) -> list[Sequence[Row]]:
    """A micro-batch to compute for nothing, where others of a sharded backbone have one more than we."""
    ranks = model.ranks
    short = len(batches) % ranks.size and ranks.rank >= len(batches) % ranks.size
    return [batches[-1]] if ranks.sharded and short else []


def _flat(batch: Sequence[Row], part: _Part, shared: _Batch) -> Tensor:
    """What was computed of some rows as one fp32 vector on their device, see ``_length``."""
    gradients, learned = part
    keys, index = _touched(batch, shared.first)
    device = next(iter(gradients.values())).device
    sums = torch.cat([torch.tensor([learned.loss]), learned.entropy[keys], learned.logprobs[index]])
    return torch.cat([*(gradients[row] for row in sorted(gradients)), sums.to(device)])


def _length(model: ResidentModel, batch: Sequence[Row]) -> int:
    """Gradients of the rows' adapters, the loss, entropies of the messages, log-probabilities of tokens."""
    own = sum(model.bank.parameters[row].numel() for row in {row.adapter for row in batch})
    return own + 1 + sum(1 + len(message.ids) for row in batch for message in row.messages)


def _read(model: ResidentModel, batch: Sequence[Row], vector: Tensor, shared: _Batch) -> _Part:
    """``_flat`` read back."""
    keys, index = _touched(batch, shared.first)
    rows = sorted({row.adapter for row in batch})
    sizes = [model.bank.parameters[row].numel() for row in rows]
    *gradients, sums = torch.split(vector, [*sizes, len(vector) - sum(sizes)])
    loss, entropy, logprobs = torch.split(sums.cpu(), [1, len(keys), len(index)])
    learned = Learned(
        float(loss),
        torch.zeros(len(shared.weights.scale)).index_copy(0, keys, entropy),
        torch.zeros(shared.count).index_copy(0, index, logprobs),
        sum(row.length for row in batch),
    )
    return dict(zip(rows, gradients, strict=True)), learned


def _touched(batch: Sequence[Row], first: Tensor) -> tuple[Tensor, Tensor]:
    """The keys of the messages of some rows, and the places of their tokens among all."""
    messages = [message for row in batch for message in row.messages]
    keys = torch.tensor([message.key for message in messages], dtype=torch.long)
    index = [int(first[m.key]) + i for m in messages for i in range(len(m.ids))]
    return keys, torch.tensor(index, dtype=torch.long)


def logprobs(
    model: ResidentModel, messages: Sequence[Message], temperature: float, of: AdapterBank | None = None
) -> Tensor:
    """Log-probabilities (T,) of all tokens of the messages under the present adapters; no gradients.

    With ``of``, a copy that the model's bank holds, they are those under its adapters.
    """
    first, count = _offsets(messages)
    batches = _cut(model, messages)
    by_message = torch.full((len(messages),), temperature)  # (M,)

    def one(batch: Sequence[Row]) -> Tensor:
        with torch.no_grad():  # a worker begins without the caller's mode
            scores = score(model.backbone, model.bank, batch, by_message, of=of)
            return _scatter(scores, first, scores.logprobs, count)

    total = torch.zeros(count)
    mine = [batches[i] for i in model.ranks.own(len(batches))]
    with parallel_map(model.backbone.device, len(mine)) as each:
        for number, part in enumerate(each(one, [*mine, *_idle(model, batches)])):
            if number < len(mine):
                total += part
    model.ranks.add(total)  # each token was scored by one process alone: exact in any order
    return total


def _offsets(messages: Sequence[Message]) -> tuple[Tensor, int]:
    """Where each message's tokens begin among all tokens, and how many there are."""
    lengths = torch.tensor([len(message.ids) for message in messages], dtype=torch.long)
    return lengths.cumsum(0) - lengths, int(lengths.sum())


def _cut(model: ResidentModel, messages: Sequence[Message]) -> list[list[Row]]:
    """Micro-batches, the longest first, so that the cores finish together."""
    # small batches leave the CPU's caches less often, and one in each core's hands takes no more memory
    share = 4 if model.backbone.device.type == "cpu" else 2
    batches = list(microbatches(pack(messages), model.backbone.tokens // share))
    batches.sort(key=_size, reverse=True)
    return batches


def _scatter(scores: TokenScores, first: Tensor, values: Tensor, count: int) -> Tensor:
    """Values of the scored tokens at their places among all ``count`` tokens, 0 elsewhere."""
    index = first[scores.keys.cpu()] + scores.places.cpu()
    return torch.zeros(count).index_add(0, index, values.detach().float().cpu())


def _size(batch: Sequence[Row]) -> int:
    """Padded tokens of a micro-batch."""
    return len(batch) * max(row.length for row in batch)


def _differentiate(model: ResidentModel, batch: Sequence[Row], shared: _Batch) -> _Part:
    """Gradients by adapter, and the sums, of one micro-batch."""
    objective, messages = shared.objective, len(shared.weights.scale)
    pulls = objective.pulls
    scores = score(
        model.backbone,
        model.bank,
        batch,
        torch.full((messages,), shared.temperature),
        entropy_gradient=objective.entropy > 0.0,
        references=[reference for _, reference in pulls],
    )
    before = None
    if shared.earlier is not None:
        index = shared.first[scores.keys.cpu()] + scores.places.cpu()
        before = (shared.earlier.logprobs[index].to(scores.logprobs.device), shared.earlier.clip)
    loss = policy_loss(
        scores.logprobs,
        scores.keys,
        shared.weights,
        entropy=(objective.entropy, scores.entropy) if objective.entropy > 0.0 else None,
        divergences=[(c, values) for (c, _), values in zip(pulls, scores.references, strict=True)],
        before=before,
        whole=shared.earlier is not None and shared.earlier.whole,
    )
    rows = sorted({row.adapter for row in batch})
    gradients = torch.autograd.grad(loss, [model.bank.parameters[row] for row in rows])
    entropy = torch.zeros(messages).index_add(0, scores.keys.cpu(), scores.entropy.detach().float().cpu())
    chosen = _scatter(scores, shared.first, scores.logprobs, shared.count)
    sums = Learned(float(loss.detach()), entropy, chosen, sum(row.length for row in batch))
    return dict(zip(rows, gradients, strict=True)), sums
