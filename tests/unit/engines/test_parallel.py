"""Pieces worked on side by side: equal numbers, errors that surface, no traces."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
import torch
from reference import twins
from test_sampler import SOMETIMES, requests, text

from neuromas.engines.base import Request
from neuromas.engines.local.sampler import _parts, generate
from neuromas.learner import gradient
from neuromas.learner.gradient import Objective, accumulate
from neuromas.learner.scorer import Message
from neuromas.learning.losses import Weights
from neuromas.models.parallel import parallel_map, single_threaded
from neuromas.models.resident import ResidentModel

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def one_thread_again():
    """Whatever a test grants torch, the next begins with one thread and leaves none behind."""
    before = threading.active_count()
    yield
    assert threading.active_count() == before
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def pair():
    return twins()


BOTH = Objective(0.1, 0.2)


def narrow(model: ResidentModel) -> ResidentModel:
    """The same model with micro-batches of 160 tokens: one or two rows."""
    return ResidentModel(replace(model.backbone, tokens=640), model.bank)


def update(pair, threads, objective=BOTH):
    """What one update computes: gradients and sums."""
    torch.set_num_threads(threads)
    messages = [
        Message(key, key % 3, text(60 + key, key), (), tuple(range(key, key + 5))) for key in range(16)
    ]
    sign = torch.linspace(-1.0, 1.0, len(messages))
    model = narrow(pair.model)
    learned = accumulate(model, messages, Weights(sign, torch.full_like(sign, 0.1)), 0.9, objective)
    grads = [parameter.grad.clone() for parameter in model.bank.parameters]
    assert torch.get_num_threads() == threads
    return grads, learned


@pytest.mark.parametrize("objective", [Objective(), BOTH])
def test_an_update_does_not_depend_on_the_number_of_threads(pair, objective):
    grads, learned = update(pair, 1, objective)
    assert all(bool(g.any()) for g in grads)
    for threads in (2, 3):
        for _ in range(3):
            others, other = update(pair, threads, objective)
            assert all(torch.equal(a, b) for a, b in zip(grads, others, strict=True))
            for name in ("logprobs", "entropy"):
                assert torch.equal(getattr(other, name), getattr(learned, name))
            for name in ("loss", "tokens"):
                assert getattr(other, name) == getattr(learned, name)


def test_an_update_does_not_depend_on_who_finishes_first(pair, monkeypatch):
    grads, _ = update(pair, 1)
    real, started = gradient.score, []

    def late(backbone, bank, batch, heat, **options):
        started.append(batch)
        if len(started) == 1:  # the first of all ends last
            threading.Event().wait(0.2)
        return real(backbone, bank, batch, heat, **options)

    monkeypatch.setattr(gradient, "score", late)
    others, _ = update(pair, 3)
    assert len(started) > 4
    assert all(torch.equal(a, b) for a, b in zip(grads, others, strict=True))


def test_an_error_in_a_worker_surfaces_and_changes_nothing(pair, monkeypatch):
    for parameter in pair.model.bank.parameters:
        parameter.grad = None
    real, lock, calls = gradient.score, threading.Lock(), []

    def broken(backbone, bank, batch, heat, **options):
        with lock:
            calls.append(batch)
            if len(calls) == 2:
                raise MemoryError("no more")
        return real(backbone, bank, batch, heat, **options)

    monkeypatch.setattr(gradient, "score", broken)
    with pytest.raises(MemoryError, match="no more"):
        update(pair, 2)
    assert torch.get_num_threads() == 2
    assert all(parameter.grad is None for parameter in pair.model.bank.parameters)


def test_an_interrupted_caller_drops_what_has_not_begun():
    torch.set_num_threads(2)
    begun = []

    def work(piece):
        begun.append(piece)
        threading.Event().wait(0.05)

    def interrupted():
        with parallel_map(CPU, 100) as each:
            for _ in each(work, range(100)):
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert len(begun) < 10


def test_workers_have_their_threads_and_ours_are_kept():
    torch.set_num_threads(4)
    with parallel_map(CPU, 2, 2) as each:
        assert list(each(lambda _: torch.get_num_threads(), range(4))) == [2] * 4
        assert torch.get_num_threads() == 4
    seen = []
    other = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    other.start()
    other.join()
    assert seen == [4] == [torch.get_num_threads()]
    with single_threaded():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 4


def test_nothing_to_share_out_needs_no_thread():
    for device, pieces, threads in ((CPU, 5, 1), (CPU, 0, 4), (torch.device("cuda"), 5, 4)):
        torch.set_num_threads(threads)
        with parallel_map(device, pieces) as each:
            assert each is map


def test_each_thread_selects_for_itself(pair):
    bank, meeting = pair.model.bank, threading.Barrier(2, timeout=10)
    torch.set_num_threads(2)

    def select(row):
        assert bank.active is None
        with bank.select([row], torch.float32):
            meeting.wait()  # both have chosen
            mine = bank.active
            meeting.wait()  # both have looked
            return mine

    with bank.select([2], torch.float32), parallel_map(CPU, 2) as each:
        ours = bank.active
        first, second = each(select, [0, 1])
        assert bank.active is ours
    assert len({id(ours), id(first), id(second)}) == 3


LIMITS = [{}, {"rows": 1}, {"rows": 9, "tokens": 20}]


def said(pair, threads, limits):
    """What the same batch is answered, of so many threads."""
    torch.set_num_threads(threads)
    batch = [replace(one, seed=one.seed + 100 * i) for i in range(4) for one in requests()]
    return generate(replace(pair.model.backbone, **limits), pair.model.bank, batch, 1.0, SOMETIMES)


@pytest.fixture(scope="module", params=LIMITS)
def limited(request, pair):
    """Limits, and what one thread says within them."""
    return request.param, said(pair, 1, request.param)


@pytest.mark.parametrize("threads", [2, 3, 16])
def test_what_is_said_does_not_depend_on_the_number_of_threads(pair, threads, limited):
    limits, alone = limited
    together = said(pair, threads, limits)
    assert [(o.ids, o.ended) for o in alone] == [(o.ids, o.ended) for o in together]
    for a, b in zip(alone, together, strict=True):
        assert a.logprobs == pytest.approx(b.logprobs, abs=1e-4)


@pytest.mark.parametrize("sizes", [[4] * 8, [8, 8, 8], [32], [1] * 7, [1, 30, 1], [5, 3, 9, 2, 14]])
@pytest.mark.parametrize("side", [1, 2, 3, 5])
@pytest.mark.parametrize("rows", [1, 4, 128])
def test_parts_cover_everything_once_within_the_limit(sizes, side, rows):
    batch = [Request(0, (group,), (), 1, 0) for group, size in enumerate(sizes) for _ in range(size)]
    parts = _parts(batch, rows, side)
    assert [i for part in parts for i in range(len(batch))[part]] == list(range(len(batch)))
    lengths = [len(batch[part]) for part in parts]
    assert min(lengths) >= 1
    assert max(lengths) <= rows
    assert len(parts) % side == 0 or len(parts) in (len(batch), -(-len(batch) // rows))


def test_parts_end_where_prompts_do():
    batch = [Request(0, (group,), (), 1, 0) for group in range(9) for _ in range(4)]
    assert [len(batch[part]) for part in _parts(batch, 128, 2)] == [16, 20]
    one = [Request(0, (0,), (), 1, 0)] * 36
    assert [len(one[part]) for part in _parts(one, 128, 2)] == [18, 18]
