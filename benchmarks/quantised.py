"""SmolLM2-135M with its layers in 16, 8 and 4 bits: memory, speed, and how far its messages move.

    python benchmarks/quantised.py      writes results/quantised.json; needs pip install 'neuromas[quantise]'

24 messages of 24 tokens on questions of 40, one thread, bf16. Every way is a process of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

from long import resident

from neuromas.models.process import prepare

OUT = Path(__file__).parent / "results" / "quantised.json"
TEXT = "The train to the coast leaves at nine and it takes two hours to get there. "
WAYS = ("none", "int8", "nf4")
PROMPTS, SAMPLES, ASKED, NEW = 3, 8, 40, 24


def main() -> None:
    """Measure every way, or one of them."""
    if len(sys.argv) == 2:
        print(json.dumps(measured(sys.argv[1])))
        return
    ways = []
    for way in WAYS:
        done = subprocess.run([sys.executable, __file__, way], check=True, capture_output=True, text=True)
        ways.append(json.loads(done.stdout.splitlines()[-1]))
        print(ways[-1], flush=True)
    about = {"machine": "two shared CPU cores, one thread", "model": "smollm2-135m", "dtype": "bfloat16"}
    OUT.write_text(
        json.dumps({**about, "messages": PROMPTS * SAMPLES, "ways": ways}, indent=1) + "\n", "utf-8"
    )


def measured(way: str) -> dict[str, Any]:
    """Memory after loading, CPU seconds of sampling and of an update, and distances in nats a token."""
    prepare()
    warnings.simplefilter("ignore")
    import torch

    torch.set_num_threads(1)
    from neuromas.engines.base import Request
    from neuromas.engines.local.sampler import generate
    from neuromas.learner.gradient import Objective, accumulate, logprobs
    from neuromas.learner.scorer import Message
    from neuromas.learning.losses import Weights
    from neuromas.models.adapters import LoraSpec
    from neuromas.models.backbone import load_backbone
    from neuromas.models.resident import ResidentModel

    def made(way: str) -> ResidentModel:
        return ResidentModel.around(load_backbone("smollm2-135m", "bfloat16", "cpu", way), LoraSpec(), 1, 0)

    model = made(way)
    held = sum(one.nbytes for one in _held(model.backbone.model.get_decoder().layers))
    text = model.backbone.codec.encode(TEXT * 8)
    requests = [
        Request(0, text[3 * number : 3 * number + ASKED], (), NEW, 10 * number + sample)
        for number in range(PROMPTS)
        for sample in range(SAMPLES)
    ]
    row: dict[str, Any] = {
        "way": way,
        "layer_megabytes": round(held / 1e6),
        "process_megabytes": round(resident()),
    }
    generate(model.backbone, model.bank, requests[:SAMPLES], 1.0, frozenset())
    start = time.process_time()
    written = generate(model.backbone, model.bank, requests, 1.0, frozenset())
    row["sampling_seconds"] = round(time.process_time() - start, 2)
    messages = [
        Message(i, 0, r.prefix, (), w.ids) for i, (r, w) in enumerate(zip(requests, written, strict=True))
    ]
    weights = Weights(torch.linspace(-1, 1, len(messages)), torch.ones(len(messages)))
    start = time.process_time()
    accumulate(model, messages, weights, 1.0, Objective())
    row["update_seconds"] = round(time.process_time() - start, 2)
    drawn = torch.tensor([one for w in written for one in w.logprobs])
    row["drift"] = round(float((logprobs(model, messages, 1.0) - drawn).abs().mean()), 4)
    plain = made("none")
    row["moved"] = round(float((logprobs(plain, messages, 1.0) - drawn).abs().mean()), 4)
    row["kl"] = round(float((drawn - logprobs(plain, messages, 1.0)).mean()), 4)
    return row


def _held(layers: Any) -> list[Any]:
    """Tensors that the layers hold, those inside quantised weights and packed copies included."""
    found = []
    for module in layers.modules():
        tensors = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
        tensors += [module.packed] if hasattr(module, "packed") and "packed" not in module._buffers else []
        for one in tensors:
            inside = [value for value in vars(one).values() if hasattr(value, "nbytes")]
            found += inside if type(one).__name__ == "Int8Tensor" else [one]
        state = getattr(module, "state", None)
        found += [state.absmax, state.code] if state is not None else []
    return found


if __name__ == "__main__":
    main()
