"""The sampler draws from the model's own distribution, whatever shares the batch with a request."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import Watch, bounded, twins
from scipy import stats

from neuromas.engines.base import Request
from neuromas.engines.local import sampler
from neuromas.engines.local.cache import CachePlan
from neuromas.engines.local.sampler import _groups, generate
from neuromas.engines.local.sampling import draw, uniforms

FAMILIES = ["llama", "qwen3", "gemma3"]
NEVER = frozenset({256})
SOMETIMES = frozenset(range(0, 257, 8))  # ends a message after about eight tokens
BUILT = {}


def pair_of(family):
    """One pair of twins for each family; nothing here changes them."""
    if family not in BUILT:
        BUILT[family] = twins(family)
    return BUILT[family]


@pytest.fixture(params=FAMILIES)
def pair(request):
    return pair_of(request.param)


def text(length, seed):
    return tuple(np.random.default_rng(seed).integers(0, 256, length).tolist())


def requests(limit=7):
    """Three adapters; prefixes shared by one to four samples; with, without and with uneven suffixes."""
    shape = [(0, 11, (5, 2, 9)), (0, 4, (3,)), (1, 11, (1, 1, 1, 6)), (2, 17, (0, 0)), (1, 2, (0, 8))]
    rows = [
        Request(adapter, text(length, length + adapter), text(suffix, 100 * length + place), limit, 0)
        for adapter, length, suffixes in shape
        for place, suffix in enumerate(suffixes)
    ]
    mixed = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))]
    return [replace(row, seed=40 + place) for place, row in enumerate(mixed)]


def sample(pair, batch, temperature=1.0, ends=SOMETIMES, **limits):
    return generate(bounded(pair.model, **limits), pair.model.bank, batch, temperature, ends)


@pytest.mark.parametrize("temperature", [1.0, 0.6, 2.5])
def test_logprobs_are_those_of_a_plain_forward(pair, temperature):
    batch = requests()
    out = sample(pair, batch, temperature)
    assert len({len(o.ids) for o in out}) > 2  # messages of many lengths took part
    for request, o in zip(batch, out, strict=True):
        expected = pair.logprobs(
            pair.vector(request.adapter), request.prefix + request.suffix, o.ids, temperature
        )
        torch.testing.assert_close(torch.tensor(o.logprobs), expected.detach(), rtol=1e-4, atol=1e-4)


def test_every_token_is_the_one_its_random_number_points_at(pair):
    batch = requests()
    for request, o in zip(batch, sample(pair, batch), strict=True):
        every = pair.distributions(pair.vector(request.adapter), request.prefix + request.suffix, o.ids)
        upto = every.detach().double().exp().cumsum(dim=-1)
        numbers = uniforms([request.seed], request.max_new)[0, : len(o.ids)]
        at = torch.arange(len(o.ids))
        ids = torch.tensor(o.ids)
        below = torch.where(ids > 0, upto[at, (ids - 1).clamp(min=0)], torch.zeros(len(ids)))
        assert bool((below - 1e-4 <= numbers).all())
        assert bool((numbers <= upto[at, ids] + 1e-4).all())


def test_greedy_is_argmax_decoding(pair):
    batch = requests()
    for request, o in zip(batch, sample(pair, batch, 0.0), strict=True):
        vector, ids = pair.vector(request.adapter), list(request.prefix + request.suffix)
        written = []
        while not written or (written[-1] not in SOMETIMES and len(written) < request.max_new):
            written.append(int(pair.logits(vector, ids)[-1].argmax()))
            ids.append(written[-1])
        assert o.ids == tuple(written)
        assert o.logprobs == (0.0,) * len(written)
        assert o.ended == (written[-1] in SOMETIMES)


@pytest.mark.parametrize("limits", [{"rows": 1}, {"rows": 3}, {"rows": 5, "tokens": 8}, {"tokens": 20}])
def test_nothing_depends_on_the_limits(pair, limits):
    batch = requests()
    free, bound = sample(pair, batch), sample(pair, batch, **limits)
    assert [o.ids for o in free] == [o.ids for o in bound]
    assert [o.ended for o in free] == [o.ended for o in bound]
    for a, b in zip(free, bound, strict=True):
        assert a.logprobs == pytest.approx(b.logprobs, abs=1e-4)


def test_nothing_depends_on_the_batch():
    pair, batch = pair_of("llama"), requests()
    together = sample(pair, batch)
    assert [o.ids for o in sample(pair, batch[::-1])][::-1] == [o.ids for o in together]
    assert [sample(pair, [one])[0].ids for one in batch] == [o.ids for o in together]
    assert [o.ids for o in sample(pair, batch[3:8])] == [o.ids for o in together[3:8]]
    # no suffix at all is another path through the sampler than some
    bare = [replace(one, prefix=one.prefix + one.suffix, suffix=()) for one in batch]
    assert [o.ids for o in sample(pair, bare)] == [o.ids for o in together]


@settings(max_examples=25)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 2), st.integers(1, 9), st.integers(0, 4), st.integers(1, 6), st.integers(0, 1)
        ),
        min_size=1,
        max_size=9,
    )
)
def test_any_batch_equals_its_requests_alone(shapes):
    pair = pair_of("llama")
    batch = [
        Request(adapter, text(prefix, which), text(suffix, 50 + place), limit, seed=place)
        for place, (adapter, prefix, suffix, limit, which) in enumerate(shapes)
        if prefix + suffix > 1
    ]
    if not batch:
        return
    out = sample(pair, batch)
    for request, o in zip(batch, out, strict=True):
        (alone,) = sample(pair, [request])
        assert (o.ids, o.ended) == (alone.ids, alone.ended)
        expected = pair.logprobs(pair.vector(request.adapter), request.prefix + request.suffix, o.ids)
        torch.testing.assert_close(torch.tensor(o.logprobs), expected.detach(), rtol=1e-3, atol=2e-4)


def test_end_tokens_limits_and_their_logprobs():
    pair = pair_of("llama")
    batch = [replace(one, max_new=1 + place % 7) for place, one in enumerate(requests())]
    out = sample(pair, batch)
    assert {o.ended for o in out} == {True, False}
    for request, o in zip(batch, out, strict=True):
        assert len(o.logprobs) == len(o.ids) <= request.max_new
        assert o.ended == (o.ids[-1] in SOMETIMES)
        assert not set(o.ids[:-1]) & SOMETIMES
        assert o.ended or len(o.ids) == request.max_new
        assert all(p < 0 for p in o.logprobs)
    # ending or not, a message is the same up to its end
    for o, longer in zip(out, sample(pair, batch, ends=NEVER), strict=True):
        assert longer.ids[: len(o.ids)] == o.ids
    first = {o.ids[0] for o in out}
    every = sample(pair, batch, ends=frozenset(first))
    assert [o.ids for o in every] == [o.ids[:1] for o in out]
    assert all(o.ended for o in every)


def alike(batch, out, step):
    """Distinct beginnings of so many tokens, prompt included, of the messages that go on from there."""
    pairs = zip(batch, out, strict=True)
    going = [(one, o.ids[:step]) for one, o in pairs if len(o.ids) > step]
    return {(one.adapter, one.prefix + one.suffix, ids) for one, ids in going}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("temperature", [0.0, 0.15, 1.0])
def test_what_samples_have_in_common_is_one_row(family, temperature):
    pair = pair_of(family)
    shapes = [(0, 11, 0, 8), (0, 4, 2, 3), (1, 11, 1, 8), (2, 17, 0, 5)]  # adapter, prefix, suffix, samples
    prompts = [(a, text(p, p + a), text(s, p), n) for a, p, s, n in shapes]
    batch = [Request(a, p, s, 9, 10 * n + i) for a, p, s, n in prompts for i in range(n)]
    with Watch(pair.model) as watch:
        out = sample(pair, batch, temperature)
    rows = [rows for rows, length in watch.shapes[1:] if length == 1]
    assert rows == [len(alike(batch, out, step)) for step in range(1, len(rows) + 1)]
    assert rows[0] < len(batch)
    for request, o in zip(batch, out, strict=True):
        (alone,) = sample(pair, [request], temperature)
        assert (o.ids, o.ended) == (alone.ids, alone.ended)
        assert o.logprobs == pytest.approx(alone.logprobs, abs=1e-4)


def columns_of(monkeypatch):
    """A list that gets the columns of a group's table at every turn from now on."""
    widths, branch = [], CachePlan.branch

    def noted(plan, parents, within, position):
        branch(plan, parents, within, position)
        widths.append(plan.columns.place.shape[1])

    monkeypatch.setattr(CachePlan, "branch", noted)
    return widths


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("own", [1, 6, 40])
@pytest.mark.parametrize("temperature", [0.3, 1.0])
def test_groups_made_anew_change_nothing(monkeypatch, family, own, temperature):
    pair = pair_of(family)
    batch = [replace(one, seed=100 * more + one.seed, max_new=12) for one in requests() for more in range(3)]
    expected = sample(pair, batch, temperature)
    widths = columns_of(monkeypatch)
    monkeypatch.setattr(sampler, "_OWN_CPU", own)
    out = sample(pair, batch, temperature)
    for a, b in zip(expected, out, strict=True):
        assert (a.ids, a.ended) == (b.ids, b.ended)
        assert a.logprobs == pytest.approx(b.logprobs, abs=1e-4)
    # what one prompt and message need, what others of the group left, what has come since
    assert max(widths) <= 17 + 12 + own // 2 + own + len(batch)


def test_what_is_alike_is_one_row_however_long_it_is():
    pair = pair_of("llama")
    batch = [Request(0, text(9, 0), text(60, 1), 200, seed) for seed in range(8)]
    with Watch(pair.model) as watch:
        out = sample(pair, batch, 0.0, NEVER)
    assert watch.shapes[1:] == [(1, 1)] * 199
    assert len({o.ids for o in out}) == 1


@pytest.mark.parametrize("own", [32, 4096])
def test_columns_of_finished_messages_leave(monkeypatch, own):
    """Of 30 messages of one prompt one goes on: what the others wrote is dropped."""
    pair = pair_of("llama")
    batch = [Request(0, text(9, 0), (), 120 if seed == 5 else 4, seed) for seed in range(30)]
    widths = columns_of(monkeypatch)
    monkeypatch.setattr(sampler, "_OWN_CPU", own)
    sample(pair, batch, 1.0, frozenset())
    assert widths[10] == 9 + 11
    assert widths[-1] == 9 + 119


def test_messages_that_all_go_on_part_into_groups(monkeypatch):
    pair = pair_of("llama")
    batch = [Request(0, text(9, 0), (), 40, seed) for seed in range(30)]
    widths = columns_of(monkeypatch)
    monkeypatch.setattr(sampler, "_OWN_CPU", 32)
    sample(pair, batch, 1.0, frozenset())
    assert max(widths) <= 9 + 39 + 16 + 32 + 30


def test_one_token_answers_need_no_decoding_step():
    pair = pair_of("llama")
    batch = [replace(one, suffix=(), max_new=1) for one in requests()]
    with Watch(pair.model) as watch:
        out = sample(pair, batch)
    assert [len(o.ids) for o in out] == [1] * len(batch)
    assert len(watch.shapes) == 1


def test_prompts_are_read_in_one_pass_and_what_they_share_once():
    pair = pair_of("llama")
    prefix = text(30, 0)
    tails = [(place, *text(3, place)) for place in range(4)]  # they part at their first token
    batch = [Request(0, prefix, tail, 3, seed) for seed, tail in enumerate([*tails, *tails])]
    with Watch(pair.model) as watch:
        sample(pair, batch, ends=NEVER)
    assert watch.shapes[0] == (1, 30 + 4 * 4)
    assert [length for _, length in watch.shapes[1:]] == [1, 1]  # then one token at a time
    with Watch(pair.model) as watch:  # nothing is shared with another adapter
        sample(pair, [*batch, Request(1, prefix, (), 3, 9)], ends=NEVER)
    assert watch.shapes[0] == (2, 46)


@pytest.mark.parametrize(
    ("prompts", "suffix", "widths"),
    [(8, 26, [8]), (8, 100, [2] * 4), (9, 100, [2] * 4 + [1]), (3, 300, [1] * 3), (1, 0, [1])],
)
def test_groups_are_narrow_where_prompts_have_much_of_their_own(prompts, suffix, widths):
    batch = [Request(0, text(9, 0), text(suffix, place), 9, place) for place in range(prompts)]
    assert [len(group.prompts) for group in _groups(batch, 256)] == widths
    # samples of one prompt stay together, in whatever order they come
    groups = _groups([*batch, *batch[::-1]], 256)
    assert [len(group.prompts) for group in groups] == widths
    assert {len(members) for group in groups for members in group.prompts} == {2}


def test_finished_rows_leave():
    pair = pair_of("llama")
    # of 16 requests, four groups of four, most end after a token or two
    batch = [
        Request(place % 3, text(6, place // 4), text(2, 9), 2 + 10 * (place == 5), place)
        for place in range(16)
    ]
    with Watch(pair.model) as watch:
        out = sample(pair, batch, ends=NEVER)
    steps = [rows for rows, length in watch.shapes if length == 1]
    assert steps == [len(alike(batch, out, 1))] + [1] * 10
    assert steps[0] > 8
    assert [len(o.ids) for o in out] == [12 if place == 5 else 2 for place in range(16)]
    expected = pair.logprobs(pair.vector(batch[5].adapter), batch[5].prefix + batch[5].suffix, out[5].ids)
    torch.testing.assert_close(torch.tensor(out[5].logprobs), expected.detach(), rtol=1e-4, atol=1e-4)


def test_sampling_leaves_no_trace():
    pair = pair_of("llama")
    before = [p.detach().clone() for p in pair.model.bank.parameters]
    sample(pair, requests())
    assert pair.model.bank.active is None
    assert pair.model.bank.versions == [0, 0, 0]
    assert all(p.grad is None for p in pair.model.bank.parameters)
    assert all(torch.equal(a, b) for a, b in zip(before, pair.model.bank.parameters, strict=True))


# The draw itself


def many(logits, temperature, uniform):
    """Counts of every token over many draws from one distribution, and the log-probability of each."""
    ids, logprobs = draw(logits.expand(len(uniform), -1), temperature, uniform)
    return torch.bincount(ids, minlength=logits.shape[-1]), ids, logprobs


@pytest.mark.parametrize("size", [1, 2, 7, 256, 257, 300, 512, 1000])
@pytest.mark.parametrize("temperature", [1.0, 0.5, 3.0])
def test_a_grid_of_numbers_meets_every_token_in_proportion(size, temperature):
    logits = torch.randn(1, size, generator=torch.Generator().manual_seed(size)) * 2
    count = 20000
    counts, ids, logprobs = many(
        logits, temperature, (torch.arange(count, dtype=torch.float64) + 0.5) / count
    )
    exact = torch.softmax(logits[0].double() / temperature, dim=-1)
    assert float((counts - exact * count).abs().max()) < 1.01
    assert bool((ids.diff() >= 0).all())  # larger numbers, later tokens
    torch.testing.assert_close(logprobs, exact.log()[ids].float(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", [12, 700])
def test_frequencies_match_the_softmax(size):
    logits = torch.randn(1, size, generator=torch.Generator().manual_seed(1))
    count = 40000
    counts, _, _ = many(logits, 0.8, uniforms([11], count)[0])
    expected = torch.softmax(logits[0].double() / 0.8, dim=-1) * count
    assert stats.chisquare(counts.double().numpy(), expected.numpy()).pvalue > 1e-3
    shifted = torch.roll(expected, 1)
    assert stats.chisquare(counts.double().numpy(), shifted.numpy()).pvalue < 1e-9


@pytest.mark.parametrize("size", [5, 256, 600])
def test_numbers_at_the_edges(size):
    logits = torch.randn(1, size, generator=torch.Generator().manual_seed(2))
    edges = torch.tensor([0.0, 2.0**-53, 1 - 1e-6], dtype=torch.float64)
    ids, logprobs = draw(logits.expand(3, -1), 1.0, edges)
    assert ids.tolist() == [0, 0, size - 1]
    assert bool(torch.isfinite(logprobs).all())
    impossible = logits.clone()
    impossible[0, 0], impossible[0, -1] = -torch.inf, -torch.inf
    assert draw(impossible.expand(3, -1), 1.0, edges)[0].tolist() == [1, 1, size - 2]
    # the very last numbers lie within rounding (fp32) of the total: any possible token will do, no other
    last = 1 - torch.tensor([1e-7, 1e-8, 1e-12, 2.0**-53], dtype=torch.float64)
    assert bool(torch.isfinite(draw(impossible.expand(4, -1), 1.0, last)[1]).all())


@given(st.lists(st.integers(0, 599), min_size=1, max_size=5, unique=True), st.integers(0, 10**6))
def test_tokens_of_probability_zero_are_never_drawn(possible, seed):
    logits = torch.full((1, 600), -torch.inf)
    logits[0, possible] = torch.randn(len(possible), generator=torch.Generator().manual_seed(seed))
    edges = torch.tensor([0.0, 1 - 2.0**-53, 0.5], dtype=torch.float64)
    uniform = torch.cat([edges, uniforms([seed], 50)[0]])
    ids, logprobs = draw(logits.expand(len(uniform), -1), 1.0, uniform)
    assert set(ids.tolist()) <= set(possible)
    assert bool(torch.isfinite(logprobs).all())
    if len(possible) == 1:
        assert not logprobs.any()


def test_far_apart_logits_neither_overflow_nor_vanish():
    logits = torch.tensor([[-3e4, 1e4, 1e4, -1e4]])
    counts, _, logprobs = many(logits, 0.1, torch.arange(10, dtype=torch.float64) / 10)
    assert counts.tolist() == [0, 5, 5, 0]
    torch.testing.assert_close(logprobs, torch.full((10,), -0.6931472))


@pytest.mark.parametrize("temperature", [0.0, 0.7])
@pytest.mark.parametrize("many_rows", [3, 70])  # fewer and more than are handled together
def test_several_draws_from_a_row_are_those_from_copies_of_it(temperature, many_rows):
    generator = torch.Generator().manual_seed(4)
    logits = torch.randn(many_rows, 600, generator=generator)
    rows = [row for row in range(many_rows) for _ in range(row % 4) if row != 40]  # none of some
    uniform = uniforms([8], len(rows))[0]
    ids, logprobs = draw(logits, temperature, uniform, rows)
    expected = draw(logits[rows], temperature, uniform)
    assert torch.equal(ids, expected[0])
    torch.testing.assert_close(logprobs, expected[1])


def test_temperature_zero_takes_the_largest():
    logits = torch.randn(6, 300, generator=torch.Generator().manual_seed(3))
    ids, logprobs = draw(logits, 0.0, torch.rand(6, dtype=torch.float64))
    assert torch.equal(ids, logits.argmax(dim=-1))
    assert not logprobs.any()


def test_random_numbers_are_a_function_of_their_seed():
    table = uniforms([1, 2, 2**62], 2000)
    assert table.dtype == torch.float64
    assert float(table.min()) >= 0.0
    assert float(table.max()) < 1.0
    assert torch.equal(uniforms([2, 7], 10)[0], table[1, :10])
    assert float(np.abs(np.corrcoef(table.numpy()) - np.eye(3)).max()) < 0.1
    assert stats.kstest(table.flatten().numpy(), "uniform").pvalue > 1e-3
    assert uniforms([], 4).shape == (0, 4)
