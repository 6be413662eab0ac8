"""Packed scoring equals one plain forward for each message: values, entropies and gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import Twins, Watch, twins

from neuromas.core.errors import ModelError
from neuromas.learner.scorer import Message, microbatches, pack, score
from neuromas.models.attention import attend, masked_softmax
from neuromas.models.prefix_tree import (
    HARD_LENGTH,
    TreeBatch,
    TreePlan,
    batch_by_length,
    build_trees,
    pad_trees,
)

FAMILIES = ["llama", "qwen3", "gemma3"]
BUILT = {}


def pair_of(family) -> Twins:
    """One pair of twins for each family, its gradients cleared."""
    if family not in BUILT:
        BUILT[family] = twins(family)
    for parameter in BUILT[family].model.bank.parameters:
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


PATHS = {"plain": {}, "entropy": {"entropy_gradient": True}, "reference": {"references": [None]}}
PATHS["both"] = PATHS["entropy"] | PATHS["reference"]


def packed_scores(pair, items, temperature=1.0, *, tokens=4096, weigh=None, path="plain"):
    """Per message (log-probs, entropies, divergences); with ``weigh`` also gradients of a weighted sum."""
    heat = torch.full((len(items),), temperature)
    found = {}
    for batch in microbatches(pack(items), tokens):
        out = score(pair.model.backbone, pair.model.bank, batch, heat, **PATHS[path])
        assert len(out.references) == (path in ("reference", "both"))
        if weigh is not None:
            weigh(out).backward()
        for key in out.keys.unique().tolist():
            mine = out.keys == key
            kl = out.references[0][mine].detach() if out.references else None
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
        return total + (c * out.references[0]).sum() if out.references else total

    packed_scores(pair, items, temperature, tokens=tokens, weigh=weigh, path=path)
    expected = expected_gradients(pair, items, numbers.tolist(), temperature)
    for parameter, gradient in zip(pair.model.bank.parameters[:2], expected[:2], strict=True):
        scale = float(gradient.abs().max())
        assert scale > 0.1
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-3, atol=2e-5 * scale)
    unused = pair.model.bank.parameters[2].grad
    assert unused is None or not unused.any()


def test_the_entropy_carries_gradient_only_if_asked_for():
    pair = pair_of("llama")
    (batch,) = microbatches(pack(keyed(messages())[:3]), 4096)
    for asked in (False, True):
        out = score(pair.model.backbone, pair.model.bank, batch, torch.ones(3), entropy_gradient=asked)
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
    first, second = (packed_scores(pair, items) for items in (one, two))
    torch.testing.assert_close(first[0][0], second[0][0], rtol=1e-5, atol=1e-5)
    assert (first[1][0] - second[1][0]).abs().max() > 0.1


@pytest.mark.parametrize("path", PATHS)
def test_each_message_has_its_own_temperature(path):
    pair = pair_of("llama")
    heat = [0.5, 2.0, 0.5, 1.0, 2.0]
    # the first three share the place that predicts their first token
    items = [Message(key, 0, text(9, 0), (), text(3, key)) for key in range(3)]
    items += [Message(key, 1, text(9, 0), text(2, key), text(3, key)) for key in (3, 4)]
    (batch,) = microbatches(pack(items), 4096)
    out = score(pair.model.backbone, pair.model.bank, batch, torch.tensor(heat), **PATHS[path])
    for message, temperature in zip(items, heat, strict=True):
        vector, prompt = pair.vector(message.adapter), message.prefix + message.suffix
        expected = pair.logprobs(vector, prompt, message.ids, temperature)
        close(out.logprobs[out.keys == message.key].detach(), expected)


def test_a_score_for_every_sampled_token_and_for_no_other():
    pair, items = pair_of("llama"), keyed(messages())
    for message, (logprobs, entropy, _) in zip(items, packed_scores(pair, items), strict=True):
        assert len(logprobs) == len(entropy) == len(message.ids)


def beginnings(items):
    """How many different tokens-in-context the messages have: what must be forwarded at least."""
    read = [(m.adapter, m.prefix + m.suffix + m.ids[:-1]) for m in items]
    return len({(adapter, ids[:n]) for adapter, ids in read for n in range(1, len(ids) + 1)})


def test_whatever_is_shared_is_forwarded_once():
    pair = pair_of("llama")
    prefix, length = text(50, 0), 50 + 8 * (3 + 4)
    items = [Message(key, 0, prefix, (key, *text(2, key)), text(5, 50 + key)) for key in range(8)]
    with Watch(pair.model) as watch:
        packed_scores(pair, items)
    # the last token of a message is predicted and not read
    assert watch.shapes == [(1, length)]
    with Watch(pair.model) as watch:  # another adapter shares nothing
        packed_scores(pair, [*items, Message(8, 1, prefix, (), text(8, 9))])
    assert watch.shapes == [(2, length)]
    # common messages read and common first tokens count once as well
    twice = [*keyed([*items, *items]), Message(16, 0, prefix, items[0].suffix, (*items[0].ids[:-1], 256, 1))]
    assert sum(row.length for row in pack(twice)) == length + 1 == beginnings(twice)


def test_logits_are_formed_where_a_token_was_sampled_and_nowhere_else():
    pair, seen = pair_of("llama"), []
    items = keyed(messages())
    head = pair.model.backbone.model.get_output_embeddings()
    handle = head.register_forward_pre_hook(lambda module, inputs: seen.append(tuple(inputs[0].shape)))
    packed_scores(pair, items)
    handle.remove()
    prompts = [(m.adapter, m.prefix + m.suffix + m.ids[:n]) for m in items for n in range(len(m.ids))]
    assert seen == [(len(set(prompts)), 32)]


lists_of_tokens = st.lists(st.integers(0, 2), min_size=1, max_size=9).map(tuple)


def follow_every_path(sequences):
    """Rows of the planted sequences, after a check that each lies on a path that sees exactly itself."""
    rows, places = build_trees(sequences)
    for (adapter, tokens), (which, path) in zip(sequences, places, strict=True):
        row = rows[which]
        assert row.adapter == adapter
        assert [row.tokens[column] for column in path] == list(tokens)
        assert [row.positions[column] for column in path] == list(range(len(tokens)))
        for depth, query in enumerate(path):
            seen = [key for key in range(query + 1) if query <= row.ends[key]]
            assert seen == path[: depth + 1]
    return rows


@settings(max_examples=200)
@given(st.lists(st.tuples(st.integers(0, 2), lists_of_tokens), max_size=12))
def test_planting_shares_every_beginning(sequences):
    rows = follow_every_path(sequences)
    shared = {(a, tokens[:n]) for a, tokens in sequences for n in range(1, len(tokens) + 1)}
    assert sum(row.length for row in rows) == len(shared)
    assert [row.adapter for row in rows] == sorted({a for a, _ in sequences})


@settings(max_examples=25)
@given(
    st.lists(st.tuples(st.integers(0, 1), st.integers(0, 90), st.integers(1, 90)), min_size=4, max_size=12)
)
def test_planting_many_long_sequences_keeps_rows_bounded(shapes):
    sequences = [(a, (7,) * common + (8, n) + (9,) * own) for n, (a, common, own) in enumerate(shapes)]
    rows = follow_every_path(sequences)
    assert all(1 <= row.length <= max(HARD_LENGTH, *(len(tokens) for _, tokens in sequences)) for row in rows)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 60)), max_size=15), st.integers(1, 300))
def test_bundles_hold_every_row_once_within_bounds(shapes, tokens):
    rows, _ = build_trees([(adapter, (key, *[7] * length)) for key, (adapter, length) in enumerate(shapes)])
    found = list(batch_by_length(rows, tokens))
    assert sorted(i for bundle in found for i in bundle) == list(range(len(rows)))
    for bundle in found:
        assert len(bundle) * max(rows[i].length for i in bundle) <= tokens or len(bundle) == 1
        assert [rows[i].adapter for i in bundle] == sorted(rows[i].adapter for i in bundle)


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(0, 400), st.integers(1, 40)), max_size=30
    ),
    st.integers(1, 3000),
)
def test_packing_loses_no_message(shapes, tokens):
    items = [
        Message(key, adapter, (which,) * (1 + 100 * which), (1,) * suffix, (2,) * ids)
        for key, (adapter, which, suffix, ids) in enumerate(shapes)
    ]
    batches = list(microbatches(pack(items), tokens))
    kept = [
        (row, m, c)
        for batch in batches
        for row in batch
        for m, c in zip(row.messages, row.columns, strict=True)
    ]
    assert sorted(m.key for _, m, _ in kept) == list(range(len(items)))
    assert all(row.adapter == m.adapter and len(c) == len(m.ids) for row, m, c in kept)


def test_an_overlong_group_is_cut_into_rows_that_score_alike():
    pair = pair_of("llama")
    prefix = text(30, 0)
    items = [Message(key, 0, prefix, (key, *text(100, key)), text(20, 50 + key)) for key in range(4)]
    rows = pack(items)
    assert len(rows) > 1
    assert sorted(m.key for row in rows for m in row.messages) == [0, 1, 2, 3]
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


SEQUENCES = [
    (0, (1, 2, 3, 4, 5)),
    (0, (1, 2, 3, 9)),
    (0, (1, 2, 3, 9, 9)),
    (0, (6,)),
    (1, (1, 2, 3, 4, 5, 6, 7, 8)),
    (1, (1, 2, 4)),
]


@pytest.mark.parametrize("window", [None, 1, 2, 3, 5, 100])
def test_attention_along_the_paths_of_a_tree(window):
    rows, places = build_trees(SEQUENCES)
    canvas = pad_trees(rows, torch.device("cpu"))
    plan, tensors = TreePlan(canvas, keep=True), qkv(canvas.ids.shape[1])
    assert canvas.ids.shape == (2, 9)  # 8 tokens and a padding; 9 tokens
    path_of = {(r, path[n]): path[: n + 1] for r, path in places for n in range(len(path))}

    def sees(r, i, j):
        path = path_of.get((r, i), [i])  # padding: anything finite will do
        return j in path and path.index(i) - path.index(j) < (window or 1000)

    out = plan.attend(0, tensors, 0.3, window)
    assert bool(torch.isfinite(out).all())
    expected = by_hand(*tensors, sees, 0.3)
    for r, i in path_of:
        torch.testing.assert_close(out[r, i], expected[r, i], rtol=1e-5, atol=1e-5)
    assert plan.kept[0] == tensors[1:]


def test_masked_softmax_is_computed_in_fp32():
    scores = torch.tensor([[1.0, 2.0, 3.0]], dtype=torch.bfloat16)
    out = masked_softmax(scores, torch.tensor([0.0, 0.0, -torch.inf]))
    assert out.dtype == torch.bfloat16
    expected = torch.tensor([[0.2689414, 0.7310586, 0.0]])
    torch.testing.assert_close(out.float(), expected, rtol=4e-3, atol=0)


def test_the_attention_refuses_what_it_cannot_do():
    plan = TreePlan(TreeBatch(*[torch.zeros(2, 3, dtype=torch.long)] * 3))
    with pytest.raises(ModelError, match="only through its sampler and scorer"):
        attend(None, *qkv(3))
    with pytest.raises(ModelError, match="soft-capped"):
        attend(None, *qkv(3), plan=plan, softcap=30.0)
    with pytest.raises(ModelError, match="attention sinks"):
        attend(None, *qkv(3), plan=plan, s_aux=torch.zeros(4))
