"""Peak memory of long messages: 7 nodes, 8 samples, 50 to 400 tokens a message, rollout and update apart.

    python benchmarks/long.py      writes results/long.json

A random Llama with SmolLM2's proportions (a third of its width, 8 layers, fp32) and a network 3-3-1 in which
every node reads all messages of the layer before. Messages never end before their limit. Every point is a
process of its own; what is reported is the growth of its peak over what it held with the model loaded. Some
minutes on one core.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from neuromas.models.process import prepare

OUT = Path(__file__).parent / "results" / "long.json"
LENGTHS = (50, 100, 200, 400)
PHASES = ("rollout", "update")
LAYERS, SAMPLES, QUESTION = (3, 3, 1), 8, 60


def main() -> None:
    """Measure every point, or one of them: PHASE LENGTH."""
    if len(sys.argv) == 3:
        print(json.dumps(measured(sys.argv[1], int(sys.argv[2]))))
        return
    # freed memory is given back from 64 kB on, so that what is counted is held and not lying about
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    points = []
    for phase in PHASES:
        for length in LENGTHS:
            call = [sys.executable, __file__, phase, str(length)]
            done = subprocess.run(call, check=True, capture_output=True, text=True, env=environment)
            points.append(json.loads(done.stdout.splitlines()[-1]))
            print(points[-1], flush=True)
    about = {"machine": "two shared CPU cores, one thread", "nodes": sum(LAYERS), "samples": SAMPLES}
    OUT.write_text(
        json.dumps({**about, "question_tokens": QUESTION, "points": points}, indent=1) + "\n", "utf-8"
    )


def measured(phase: str, length: int) -> dict[str, Any]:
    """Peak over the loaded model in MB, and seconds, of one phase."""
    prepare()
    import torch

    torch.set_num_threads(1)
    from neuromas.engines.local.sampler import generate
    from neuromas.learner.gradient import Objective, accumulate
    from neuromas.learner.scorer import Message
    from neuromas.learning.losses import Weights

    model = _model()
    layers = _requests(length)
    # what is needed once, whatever the length
    generate(model.backbone, model.bank, layers[0][:1], 1.0, frozenset())
    before = resident()
    start = time.perf_counter()
    if phase == "rollout":
        for requests in layers:
            generate(model.backbone, model.bank, requests, 1.0, frozenset())
    else:
        requests = [one for layer in layers for one in layer]
        messages = [
            Message(i, one.adapter, one.prefix, one.suffix, _text(length, i))
            for i, one in enumerate(requests)
        ]
        weights = Weights(torch.ones(len(messages)), torch.ones(len(messages)))
        accumulate(model, messages, weights, 1.0, Objective())
    seconds = round(time.perf_counter() - start, 1)
    return {"phase": phase, "tokens": length, "megabytes": round(peak() - before), "seconds": seconds}


def _requests(length: int) -> list[list[Any]]:
    """The requests of every layer; messages before are random tokens, different for every sample."""
    from neuromas.engines.base import Request

    found: list[list[Any]] = []
    first = 0
    for depth, width in enumerate(LAYERS):
        heard = LAYERS[depth - 1] * length if depth else 0
        found.append(
            [
                Request(
                    first + node, _text(QUESTION, node), _text(heard, 1000 * depth + sample), length, sample
                )
                for node in range(width)
                for sample in range(SAMPLES)
            ]
        )
        first += width
    return found


def _text(length: int, seed: int) -> tuple[int, ...]:
    import numpy as np

    return tuple(np.random.default_rng(seed).integers(0, 256, length).tolist())


def _model() -> Any:
    """A random Llama of a third of SmolLM2-135M's width, with an adapter a node."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from neuromas.models.adapters import LoraSpec
    from neuromas.models.attention import IMPLEMENTATION, register
    from neuromas.models.backbone import Backbone
    from neuromas.models.norms import freeze_norms
    from neuromas.models.resident import ResidentModel
    from neuromas.prompts.codec import ByteCodec

    register()
    config = LlamaConfig(
        vocab_size=ByteCodec.VOCABULARY,
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=8,
        num_attention_heads=3,
        num_key_value_heads=1,
        max_position_embeddings=8192,
        tie_word_embeddings=True,
    )
    torch.manual_seed(0)
    llama = LlamaForCausalLM(config).eval().requires_grad_(False)
    llama.set_attn_implementation(IMPLEMENTATION)
    freeze_norms(llama)
    backbone = Backbone(
        name="random",
        digest="-",
        model=llama,
        codec=ByteCodec(),
        context=8192,
        vocabulary=ByteCodec.VOCABULARY,
        dtype=torch.float32,
        device=torch.device("cpu"),
        rows=256,
        tokens=2048,
    )
    return ResidentModel.around(backbone, LoraSpec(), sum(LAYERS), 0)


def resident() -> float:
    """Memory of this process now, in MB (Linux)."""
    pages = int(Path("/proc/self/statm").read_text("utf-8").split()[1])
    return pages * 4096 / 1e6


def peak() -> float:
    """The most it has ever been, in MB (Linux)."""
    status = Path("/proc/self/status").read_text("utf-8")
    return int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6


if __name__ == "__main__":
    main()
