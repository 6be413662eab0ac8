"""Packed scoring equals one plain forward for each message: values, entropies and gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import Twins, Watch, twins

from neuromas.models.attention import PackedPlan, attend, masked_softmax
from neuromas.models.cache import PrefillPlan
from neuromas.models.scorer import Message, Row, microbatches, pack, score

FAMILIES = ["llama", "qwen3", "gemma3", "gemma3-capped"]
BUILT = {}


def pair_of(family) -> Twins:
    """One pair of twins for each family, its gradients cleared."""
    if family not in BUILT:
        BUILT[family] = twins(family)
    for parameter in BUILT[family].policy.bank.parameters:
        parameter.grad = None
    return BUILT[family]


@pytest.fixture(params=FAMILIES)
def pair(request):
    return pair_of(request.param)


def text(length, seed):
    return tuple(np.random.default_rng(seed).integers(0, 257, length).tolist())


def messages():
    """Two adapters; shared and single prefixes; empty suffixes and uneven ones; one token and many."""
    shape = [
        (0, 13, [(4, 3), (0, 5), (2, 1)]),
        (1, 13, [(1, 1), (7, 6)]),
        (0, 3, [(0, 1)]),
        (1, 20, [(0, 9), (0, 2), (0, 2), (3, 2)]),
    ]
    return [
        Message(0, adapter, text(length, length), text(suffix, 7 * suffix + place), text(ids, 90 + place))
        for adapter, length, rest in shape
        for place, (suffix, ids) in enumerate(rest)
    ]


def keyed(items):
    return [Message(i, m.adapter, m.prefix, m.suffix, m.ids) for i, m in enumerate(items)]


PATHS = {"plain": {}, "entropy": {"entropy_gradient": True}, "reference": {"reference": True}}
PATHS["both"] = PATHS["entropy"] | PATHS["reference"]


def packed_scores(pair, items, temperature=1.0, *, tokens=4096, weigh=None, path="plain"):
    """Per message (log-probs, entropies, divergences); with ``weigh`` also gradients of a weighted sum."""
    heat = torch.full((len(items),), temperature)
    found = {}
    for batch in microbatches(pack(items), tokens):
        out = score(pair.policy.backbone, pair.policy.bank, batch, heat, **PATHS[path])
        assert (out.reference is not None) == (path in ("reference", "both"))
        if weigh is not None:
            weigh(out).backward()
        for key in out.keys.unique().tolist():
            mine = out.keys == key
            kl = out.reference[mine].detach() if out.reference is not None else None
            found[key] = (out.logprobs[mine].detach(), out.entropy[mine].detach(), kl)
    return [found[key] for key in range(len(items))]


def close(found, expected):
    torch.testing.assert_close(found, expected.detach(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("temperature", [1.0, 0.7, 2.0])
def test_scores_equal_an_unpacked_forward(pair, temperature, path):
    items = keyed(messages())
    scores = packed_scores(pair, items, temperature, path=path)
    for message, (logprobs, entropy, divergence) in zip(items, scores, strict=True):
        vector, prompt = pair.vector(message.adapter), message.prefix + message.suffix
        every = pair.distributions(vector, prompt, message.ids, temperature)
        base = pair.distributions(None, prompt, message.ids, temperature)
        close(logprobs, pair.logprobs(vector, prompt, message.ids, temperature))
        close(entropy, -(every.exp() * every).sum(-1))
        if divergence is not None:
            close(divergence, (every.exp() * (every - base)).sum(-1))


def expected_gradients(pair, items, coefficients, temperature):
    """Gradients of all three adapters: each message's log-probability, entropy and divergence, weighted."""
    vectors = [pair.vector(row) for row in range(3)]
    for message, (a, b, c) in zip(items, coefficients, strict=True):
        prompt = message.prefix + message.suffix
        vector = vectors[message.adapter]
        every = pair.distributions(vector, prompt, message.ids, temperature)
        base = pair.distributions(None, prompt, message.ids, temperature)
        own = pair.logprobs(vector, prompt, message.ids, temperature).sum()
        bonus = -(every.exp() * every).sum()
        price = (every.exp() * (every - base)).sum()
        (a * own + b * bonus + c * price).backward()
    return [vector.grad for vector in vectors]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("tokens", [4096, 40, 1])
def test_gradients_equal_an_unpacked_backward(pair, tokens, path):
    items, temperature = keyed(messages()), 0.8
    numbers = torch.randn(len(items), 3, generator=torch.Generator().manual_seed(4))
    numbers *= torch.tensor([1.0, path in ("entropy", "both"), path in ("reference", "both")])

    def weigh(out):
        a, b, c = numbers[out.keys].unbind(1)
        total = (a * out.logprobs).sum()
        if path in ("entropy", "both"):
            total = total + (b * out.entropy).sum()
        return total if out.reference is None else total + (c * out.reference).sum()

    packed_scores(pair, items, temperature, tokens=tokens, weigh=weigh, path=path)
    expected = expected_gradients(pair, items, numbers.tolist(), temperature)
    for parameter, gradient in zip(pair.policy.bank.parameters[:2], expected[:2], strict=True):
        scale = float(gradient.abs().max())
        assert scale > 0.1
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-3, atol=2e-5 * scale)
    unused = pair.policy.bank.parameters[2].grad
    assert unused is None or not unused.any()


def test_the_entropy_carries_gradient_only_if_asked_for():
    pair = pair_of("llama")
    (batch,) = microbatches(pack(keyed(messages())[:3]), 4096)
    for asked in (False, True):
        out = score(pair.policy.backbone, pair.policy.bank, batch, torch.ones(3), entropy_gradient=asked)
        assert out.entropy.requires_grad == asked
        assert out.logprobs.requires_grad


@settings(max_examples=25)
@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 1), st.integers(0, 7), st.integers(1, 5)),
        min_size=1,
        max_size=8,
    ),
    st.sampled_from([1, 30, 4096]),
)
def test_any_messages_in_any_batches(shapes, tokens):
    pair = pair_of("llama")
    items = [
        Message(key, adapter, text(5 + 4 * which, which), text(suffix, 20 + key), text(ids, 40 + key))
        for key, (adapter, which, suffix, ids) in enumerate(shapes)
    ]
    for message, (logprobs, _, _) in zip(items, packed_scores(pair, items, tokens=tokens), strict=True):
        vector = pair.vector(message.adapter)
        close(logprobs, pair.logprobs(vector, message.prefix + message.suffix, message.ids))


def test_branches_do_not_see_each_other():
    pair = pair_of("llama")
    prefix = text(9, 0)
    one = [Message(0, 0, prefix, text(4, 1), text(5, 2)), Message(1, 0, prefix, text(4, 3), text(5, 4))]
    two = [one[0], Message(1, 0, prefix, text(4, 5), text(5, 6))]
    for order in (slice(None), slice(None, None, -1)):
        first, second = (packed_scores(pair, items[order])[0] for items in (one, two))
        assert torch.equal(first[0], second[0])


def test_each_message_has_its_own_temperature():
    pair = pair_of("llama")
    items = keyed(messages())[:2]
    (batch,) = microbatches(pack(items), 4096)
    out = score(pair.policy.backbone, pair.policy.bank, batch, torch.tensor([0.5, 2.0]))
    for message, temperature in zip(items, (0.5, 2.0), strict=True):
        expected = pair.logprobs(pair.vector(0), message.prefix + message.suffix, message.ids, temperature)
        close(out.logprobs[out.keys == message.key].detach(), expected)
    assert out.reference is None


def test_a_score_for_every_sampled_token_and_for_no_other():
    pair, items = pair_of("llama"), keyed(messages())
    for message, (logprobs, entropy, _) in zip(items, packed_scores(pair, items), strict=True):
        assert len(logprobs) == len(entropy) == len(message.ids)


def test_a_shared_prefix_is_forwarded_once():
    pair = pair_of("llama")
    prefix = text(100, 0)
    items = [Message(key, 0, prefix, text(6, key), text(8, 50 + key)) for key in range(8)]
    with Watch(pair.policy) as watch:
        packed_scores(pair, items)
    # the last token of a message is predicted and not read
    assert watch.shapes == [(1, 100 + 8 * (6 + 8 - 1))]
    assert [row.length for row in pack(items)] == [204]
    with Watch(pair.policy) as watch:  # and no other adapter's
        packed_scores(pair, [*items, Message(8, 1, prefix, (), text(8, 9))])
    assert watch.shapes == [(2, 204)]


def test_logits_are_formed_at_sampled_positions_alone():
    pair, seen = pair_of("llama"), []
    items = keyed(messages())
    head = pair.policy.backbone.model.get_output_embeddings()
    handle = head.register_forward_pre_hook(lambda module, inputs: seen.append(tuple(inputs[0].shape)))
    packed_scores(pair, items)
    handle.remove()
    assert seen == [(sum(len(message.ids) for message in items), 32)]


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(0, 400), st.integers(1, 40)), max_size=30
    ),
    st.integers(1, 3000),
)
def test_packing_loses_nothing_and_keeps_its_bounds(shapes, tokens):
    items = [
        Message(key, adapter, (which,) * (1 + 100 * which), (1,) * suffix, (2,) * ids)
        for key, (adapter, which, suffix, ids) in enumerate(shapes)
    ]
    rows = pack(items)
    assert sorted(m.key for row in rows for m in row.messages) == list(range(len(items)))
    for row in rows:
        assert all((m.adapter, m.prefix) == (row.adapter, row.prefix) for m in row.messages)
        assert row.length <= max(768, 2 * len(row.prefix)) or len(row.messages) == 1
    batches = list(microbatches(rows, tokens))
    assert sorted(id(row) for batch in batches for row in batch) == sorted(id(row) for row in rows)
    for batch in batches:
        assert len(batch) * max(row.length for row in batch) <= tokens or len(batch) == 1
        assert [row.adapter for row in batch] == sorted(row.adapter for row in batch)
    assert pack([]) == list(microbatches([], 10)) == []


def test_an_overlong_group_is_cut_into_rows_that_score_alike():
    pair = pair_of("llama")
    prefix = text(30, 0)
    items = [Message(key, 0, prefix, text(230, key), text(30, 50 + key)) for key in range(4)]
    rows = pack(items)
    assert [len(row.messages) for row in rows] == [2, 2]
    for message, (logprobs, _, _) in zip(items, packed_scores(pair, items), strict=True):
        close(logprobs, pair.logprobs(pair.vector(0), prefix + message.suffix, message.ids))


# Masks against loops


def by_hand(query, key, value, sees, scale):
    """Attention of one row, one head and one query at a time; ``sees(i, j)`` is the mask."""
    rows, heads, length, width = query.shape
    share = heads // key.shape[1]
    out = torch.zeros(rows, length, heads, width)
    for r in range(rows):
        for h in range(heads):
            for i in range(length):
                seen = [j for j in range(length) if sees(r, i, j)]
                logits = torch.stack([query[r, h, i] @ key[r, h // share, j] * scale for j in seen])
                weights = torch.softmax(logits, 0)
                out[r, i, h] = sum(w * value[r, h // share, j] for w, j in zip(weights, seen, strict=True))
    return out


def qkv(length, rows=2):
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(rows, 4, length, 8, generator=generator)
    return query, *(torch.randn(rows, 2, length, 8, generator=generator) for _ in range(2))


BRANCH = [[0, 0, 0, 0, 1, 1, 1, 2, 2, 3, -1, -1], [0, 0, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2]]
PLACE = [[0, 1, 2, 3, 4, 5, 6, 4, 5, 4, 0, 0], [0, 1, 2, 3, 4, 5, 6, 7, 2, 3, 4, 5]]


@pytest.mark.parametrize("window", [None, 1, 2, 3, 5, 100])
def test_a_packed_row_sees_prefix_and_own_branch(window):
    def sees(r, i, j):
        if BRANCH[r][i] < 0:
            return i == j  # padding: anything finite will do
        related = BRANCH[r][j] in (0, BRANCH[r][i])
        distance = PLACE[r][i] - PLACE[r][j]
        return related and 0 <= distance < (window or 1000)

    plan, tensors = PackedPlan(torch.tensor(BRANCH), torch.tensor(PLACE)), qkv(12)
    out = plan.attend(0, tensors, 0.3, window)
    assert bool(torch.isfinite(out).all())
    expected = by_hand(*tensors, sees, 0.3)
    real = torch.tensor(BRANCH) >= 0
    torch.testing.assert_close(out[real], expected[real], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("window", [None, 1, 4, 100])
def test_prefill_is_causal(window):
    plan, tensors = PrefillPlan(7, torch.device("cpu")), qkv(7)
    expected = by_hand(*tensors, lambda r, i, j: 0 <= i - j < (window or 1000), 0.3)
    torch.testing.assert_close(plan.attend(0, tensors, 0.3, window), expected, rtol=1e-5, atol=1e-5)
    assert plan.kept[0] == tensors[1:]


def test_masked_softmax_is_computed_in_fp32():
    scores = torch.tensor([[1.0, 2.0, 3.0]], dtype=torch.bfloat16)
    out = masked_softmax(scores, torch.tensor([0.0, 0.0, -torch.inf]))
    assert out.dtype == torch.bfloat16
    expected = torch.tensor([[0.2689414, 0.7310586, 0.0]])
    torch.testing.assert_close(out.float(), expected, rtol=4e-3, atol=0)


def test_the_attention_refuses_what_it_cannot_do():
    from neuromas.errors import ModelError

    with pytest.raises(ModelError, match="only through its sampler and scorer"):
        attend(None, *qkv(3))
    with pytest.raises(ModelError, match="soft-capped"):
        attend(None, *qkv(3), plan=PrefillPlan(3, torch.device("cpu")), softcap=30.0)


def test_a_row_counts_what_is_read():
    row = Row(0, (1,) * 10, (Message(0, 0, (1,) * 10, (), (5,)), Message(1, 0, (1,) * 10, (2, 2), (5, 5, 5))))
    assert row.length == 10 + 0 + 4
