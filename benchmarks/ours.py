"""Our side of the benchmarks, at the peers' sizes and on their prompts.

    python benchmarks/ours.py rollout --prompts p.json --threads 2 --steps 3
    python benchmarks/ours.py step    --prompts p.json --threads 2 --steps 3
    python benchmarks/ours.py whole   --prompts p.json --nodes 1 --steps 3     (against TRL)
    python benchmarks/ours.py whole   --prompts p.json --nodes 2 --steps 3     (against CoMLRL)
    python benchmarks/ours.py memory  --nodes 7

``rollout``: 3 nodes, 12 questions x 8 samples x 16 new tokens, no end token, prefill included.
``step``: forward and backward of those samples for all nodes, and the optimisers.
``whole``: sampling, reward and update, 8 questions x 4 samples x 16 tokens, end tokens as sampled.
``memory``: three whole steps of a chain; the peak resident size is what counts.
Prints one JSON line.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from neuromas.models.process import prepare

SIZES = {"rollout": (12, 8), "step": (12, 8), "whole": (8, 4), "memory": (8, 8)}
NEW_TOKENS = 16


def main() -> None:
    """Run one mode and print its record."""
    args = _arguments()
    prepare()
    import torch

    if args.threads:
        torch.set_num_threads(args.threads)
    count, samples = SIZES[args.mode]
    prompts = json.loads(args.prompts.read_text("utf-8"))[:count]
    passes = {"rollout": _rollout, "step": _step, "whole": _whole, "memory": _whole}[args.mode]
    run = passes(args, prompts, samples)
    rows = [_timed(run, args.device) for _ in range(args.steps + 1)][1:]
    record = {
        "system": f"NeuroMAS {args.mode}",
        "nodes": args.nodes,
        "sizes": {"prompts": count, "samples": samples, "new_tokens": NEW_TOKENS, "threads": args.threads},
        "device": args.device,
        "steps": rows,
        "seconds_per_step": statistics.median(row["seconds"] for row in rows),
        "tokens_per_second": sum(row["tokens"] for row in rows) / sum(row["seconds"] for row in rows),
        "peak_rss_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
        "versions": {"torch": torch.__version__},
    }
    if args.device == "cuda":
        record["accelerator"] = torch.cuda.get_device_name()
        record["peak_gpu_gb"] = torch.cuda.max_memory_allocated() / 1e9
    print(json.dumps(record))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("mode", choices=sorted(SIZES))
    parser.add_argument("--prompts", type=Path, required=True, help="JSON list of strings")
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0, help="0: torch's default")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--backbone", default="smollm2-135m")
    return parser.parse_args()


def _timed(run: Callable[[], dict[str, Any]], device: str) -> dict[str, Any]:
    """Wall and CPU seconds of one pass."""
    import torch

    wall, cpu = time.perf_counter(), time.process_time()
    row = run()
    if device == "cuda":
        torch.cuda.synchronize()
    return {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu, **row}


def _engine(args: argparse.Namespace) -> Any:
    """The local engine with one adapter a node; B is drawn too, so that every adapter matters."""
    import torch

    from neuromas.engines.local.engine import LocalEngine
    from neuromas.models.adapters import LoraSpec
    from neuromas.models.backbone import load_backbone
    from neuromas.models.resident import ResidentModel

    backbone = load_backbone(args.backbone, "bfloat16", args.device)  # as the peers
    model = ResidentModel.around(backbone, LoraSpec(), args.nodes, 0)
    generator = torch.Generator().manual_seed(0)
    for parameter in model.bank.parameters:
        noise = torch.randn(parameter.shape, generator=generator) * 0.01
        parameter.data.copy_(noise.to(parameter.device))
    return LocalEngine(model)


def _requests(args: argparse.Namespace, engine: Any, prompts: Sequence[str], samples: int) -> list[Any]:
    """The same prompts for every node."""
    from neuromas.core.seeds import derive
    from neuromas.engines.base import Request

    return [
        Request(node, engine.codec.encode(text), (), NEW_TOKENS, derive("bench", node, number, sample))
        for node in range(args.nodes)
        for number, text in enumerate(prompts)
        for sample in range(samples)
    ]


def _rollout(args: argparse.Namespace, prompts: Sequence[str], samples: int) -> Callable[[], dict[str, Any]]:
    """All nodes' samples; no token ends a message, so that all are equally long."""
    engine = _engine(args)
    requests = _requests(args, engine, prompts, samples)

    def run() -> dict[str, Any]:
        spoken = engine.generate(requests, 1.0, frozenset())
        return {"tokens": sum(len(one.ids) for one in spoken)}

    return run


def _step(args: argparse.Namespace, prompts: Sequence[str], samples: int) -> Callable[[], dict[str, Any]]:
    """Loss, gradients and update of samples drawn once; prompt prefixes forwarded once."""
    import torch

    from neuromas.learner.gradient import Objective, accumulate
    from neuromas.learner.scorer import Message
    from neuromas.learning.losses import Weights

    engine = _engine(args)
    requests = _requests(args, engine, prompts, samples)
    spoken = engine.generate(requests, 1.0, frozenset())
    messages = [
        Message(i, r.adapter, r.prefix, r.suffix, g.ids)
        for i, (r, g) in enumerate(zip(requests, spoken, strict=True))
    ]
    sign = torch.tensor([1.0 if i % 2 else -1.0 for i in range(len(messages))], device=args.device)
    weights = Weights(sign, torch.full_like(sign, 1.0 / (len(messages) * NEW_TOKENS)))
    optimisers = [torch.optim.AdamW([p], lr=1e-4) for p in engine.model.bank.parameters]

    def run() -> dict[str, Any]:
        learned = accumulate(engine.model, messages, weights, 1.0, Objective())
        for optimiser in optimisers:
            optimiser.step()
            optimiser.zero_grad()
        return {"tokens": sum(len(m.ids) for m in messages), "forwarded": learned.tokens}

    return run


def _whole(args: argparse.Namespace, prompts: Sequence[str], samples: int) -> Callable[[], dict[str, Any]]:
    """A training step of a chain. The reward differs from text to text, so that no group falls silent."""
    from neuromas.config import TrainConfig
    from neuromas.core.task import Problem, Score
    from neuromas.system.network import Network, assign
    from neuromas.topology.graph import Topology
    from neuromas.training.step import train_step
    from neuromas.training.trainer import Trainer

    class Bench:
        name, answer_format = "bench", "text"

        def size(self, split: str) -> int:
            return len(prompts)

        def problem(self, split: str, index: int) -> Problem:
            return Problem(str(index), prompts[index], "")

        def score(self, problem: Problem, text: str) -> Score:
            digest = hashlib.sha256(f"{problem.id}:{text}".encode()).digest()
            return Score(int.from_bytes(digest[:4], "big") / 2**32, text)

    class Unbroken(Network):
        """Line breaks do not end a message, as in the peers; only end tokens do."""

        def ends(self, node: int) -> frozenset[int]:
            return self.engine.codec.end_ids

    engine = _engine(args)
    topology = Topology.parse("-".join(["1"] * args.nodes))
    network = Unbroken(topology, engine, assign(topology, "node"), "plain", NEW_TOKENS, NEW_TOKENS)
    settings = TrainConfig(steps=99, problems=len(prompts), samples=samples)
    trainer = Trainer(network, engine.model, settings, 0)
    task = Bench()
    problems = [task.problem("train", i) for i in range(len(prompts))]

    def run() -> dict[str, Any]:
        report, _ = train_step(trainer, task, problems)
        share = report["learned_messages"] / report["calls"]
        return {"tokens": report["new_tokens"], "learned_share": share, "phases": report["seconds"]}

    return run


if __name__ == "__main__":
    main()
