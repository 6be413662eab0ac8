"""The same numbers on CUDA as on the CPU. Skips, visibly, where there is no CUDA device."""

from __future__ import annotations

import pytest
import torch

from neuromas.engines.base import Request
from neuromas.engines.local.engine import LocalEngine
from neuromas.learner.scorer import Message, pack, score
from neuromas.models.adapters import LoraSpec
from neuromas.models.backbone import load_backbone
from neuromas.models.resident import ResidentModel

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def resident(device):
    made = ResidentModel.around(load_backbone("tiny", "float32", device), LoraSpec(4, 8.0), 2, 0)
    generator = torch.Generator().manual_seed(1)
    for parameter in made.bank.parameters:
        noise = torch.randn(parameter.shape, generator=generator) * 0.3
        parameter.data.copy_(noise.to(parameter.device))
    return made


def requests():
    return [
        Request(node, (5, 6, 7, number), (9,) * (number % 3), 6, 100 * node + 10 * number + sample)
        for node in range(2)
        for number in range(3)
        for sample in range(4)
    ]


def test_greedy_messages_agree():
    engines = [LocalEngine(resident(device)) for device in ("cuda", "cpu")]
    ours, theirs = (engine.generate(requests(), 0.0, frozenset({256})) for engine in engines)
    assert [one.ids for one in ours] == [one.ids for one in theirs]


def test_scores_and_gradients_agree():
    spoken = LocalEngine(resident("cpu")).generate(requests(), 1.0, frozenset({256}))
    messages = [
        Message(i, r.adapter, r.prefix, r.suffix, g.ids)
        for i, (r, g) in enumerate(zip(requests(), spoken, strict=True))
    ]
    results = []
    for device in ("cuda", "cpu"):
        made = resident(device)
        scores = score(made.backbone, made.bank, pack(messages), torch.ones(len(messages)))
        scores.logprobs.sum().backward()
        results.append((scores.logprobs.detach().cpu(), [p.grad.cpu() for p in made.bank.parameters]))
    torch.testing.assert_close(results[0][0], results[1][0], rtol=1e-4, atol=1e-4)
    for gpu, cpu in zip(results[0][1], results[1][1], strict=True):
        torch.testing.assert_close(gpu, cpu, rtol=1e-3, atol=1e-3)
