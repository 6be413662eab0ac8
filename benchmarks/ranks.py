"""Training in several processes on one machine: how it scales, and what it costs to keep them together.

    python benchmarks/ranks.py          writes results/ranks.json

``scaling``: the same steps of the demo by one process with one thread, one with two, and two with one each,
in turn; seconds of a step as its log says, and CPU seconds of all processes. ``parts``: of a step of one
thread, what is dealt out and what every process does for itself; then, by two processes, how long it takes
to gather the step's episodes, to add its gradients in one order, and to add them by one all-reduce.
``estimate`` is no measurement: those parts for 8 GPUs, on paper, as if all pieces were of one length.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

OUT = Path(__file__).parent / "results" / "ranks.json"
SIZES = ["train.problems=8", "train.samples=4", "train.chunks=2", "evaluate.every=0", "evaluate.test=1"]
WAYS = {"1 process, 1 thread": (1, 1), "1 process, 2 threads": (1, 2), "2 processes, 1 thread each": (2, 1)}
REPEATS = 5  # of every exchange
TORCHRUN = ("-m", "torch.distributed.run", "--standalone")
GPUS = 8
LINK = 100e9  # bytes a second that a GPU sends and receives, as is assumed


def main() -> int:
    """Measure all, or be one of two processes that measure an exchange."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=2, help="steps of a run, after its first")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--exchange", type=Path, help="(for processes that this one starts)")
    args = parser.parse_args()
    if args.exchange:
        return _exchange(args.exchange)
    with tempfile.TemporaryDirectory() as folder:
        parts = _parts(Path(folder))
        rows = [
            {"round": number, "way": way, **_trained(Path(folder), *size, args.steps)}
            for number in range(args.rounds)
            for way, size in WAYS.items()
        ]
    record = {
        "machine": "two shared CPU cores; other work ran beside: see load, the mean length of the run queue",
        "model": "smollm2-135m",
        "sizes": SIZES,
        "scaling": {way: _summary([row for row in rows if row["way"] == way]) for way in WAYS},
        "rows": rows,
        "parts": parts,
        "estimate": _estimate(parts),
    }
    OUT.write_text(json.dumps(record, indent=1) + "\n", "utf-8")
    print(json.dumps({key: record[key] for key in ("scaling", "parts", "estimate")}, indent=1))
    return 0


def _trained(folder: Path, processes: int, threads: int, steps: int) -> dict[str, Any]:
    """Steps of a run as its log says, without the first; CPU seconds of the whole run."""
    run = Path(tempfile.mkdtemp(dir=folder)) / "run"
    program = ["-m", "neuromas.cli"]
    if processes > 1:
        program = [*TORCHRUN, f"--nproc-per-node={processes}", *program]
    given = ["train", "demo", *SIZES, f"train.steps={steps + 1}", f"run.directory={run}"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    subprocess.run([sys.executable, *program, *given], env=environment, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    laps = [json.loads(line)["seconds"] for line in (run / "metrics.jsonl").read_text().splitlines()][1:]
    load = os.getloadavg()[0]
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    seconds = [sum(one.values()) for one in laps]
    return {"load": load, "steps": laps, "seconds": seconds, "cpu_seconds_of_the_run": cpu}


def _summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    seconds = [one for row in rows for one in row["seconds"]]
    cpu = [row["cpu_seconds_of_the_run"] for row in rows]
    return {
        "seconds_per_step": statistics.median(seconds),
        "least": min(seconds),
        "most": max(seconds),
        "cpu_seconds_of_a_run": statistics.median(cpu),
    }


def _parts(folder: Path) -> dict[str, Any]:
    """CPU seconds of the pieces of a step in one thread; what two processes take to exchange its results."""
    from neuromas.models.process import prepare

    prepare()
    import torch

    from neuromas.config import load_config
    from neuromas.learner import update
    from neuromas.learner.gradient import _cut, _length
    from neuromas.system.assemble import assemble
    from neuromas.tasks.stream import training_problems
    from neuromas.training.credit import credit
    from neuromas.training.step import learn, sample
    from neuromas.training.trainer import Trainer

    torch.set_num_threads(1)
    built = assemble(load_config("recipes/runs/demo.toml"))  # with its own sizes: 128 episodes a step
    trainer = Trainer(built.network, built.model, built.config.train, 0)
    spent = dict.fromkeys(("rollout", "credit", "learn", "dealt of learn"), 0.0)

    def timed(name: str, work: Any, *given: Any, **more: Any) -> Any:
        began = time.process_time()
        result = work(*given, **more)
        spent[name] += time.process_time() - began
        return result

    for name in ("accumulate", "logprobs"):
        work = getattr(update, name)
        setattr(update, name, lambda *a, _work=work, **k: timed("dealt of learn", _work, *a, **k))
    problems = training_problems(built.task, 0, 0, built.config.train.batch)
    episodes = timed("rollout", sample, trainer, built.task, problems)
    messages, weights = timed("credit", credit, trainer, episodes)
    timed("learn", learn, trainer, messages, weights)
    told = [[(e.sample, e.turns, e.score) for e in episodes]]
    batches = _cut(built.model, [message for message, _ in messages])
    lengths = [_length(built.model, batch) for batch in batches]
    whole = sum(p.numel() for p in built.model.bank.parameters)
    given = folder / "exchange.pickle"
    given.write_bytes(pickle.dumps((told, lengths, whole)))
    command = [sys.executable, *TORCHRUN, "--nproc-per-node=2", __file__, "--exchange", str(given)]
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    return {
        "cpu_seconds": spent,
        "episodes": len(episodes),
        "episode_bytes": len(pickle.dumps(told)),
        "micro_batches": len(lengths),
        "bytes_in_order": 4 * sum(lengths),
        "bytes_of_all_reduce": 4 * whole,
        "exchange_of_two": json.loads(given.with_suffix(".json").read_text()),
    }


def _exchange(given: Path) -> int:
    """As one of two: seconds of every exchange of a step, the least and the median of some."""
    import torch

    from neuromas.models.ranks import joined

    told, lengths, whole = pickle.loads(given.read_bytes())  # written by the process that started this one
    found: dict[str, Any] = {}
    with joined("cpu") as ranks:
        own = [torch.zeros(lengths[i]) for i in ranks.own(len(lengths))]
        flat = torch.zeros(whole)
        works = {
            "gather_episodes": lambda: ranks.deal([None, None], lambda _: told),
            "in_one_order": lambda: [None for _ in ranks.in_turn(iter(own), lengths, torch.device("cpu"))],
            "all_reduce": lambda: ranks.add(flat),
            "agree": lambda: ranks.any(False),
        }
        for name, work in works.items():
            seconds = []
            for _ in range(REPEATS):
                ranks.wait()
                began = time.perf_counter()
                work()
                seconds.append(time.perf_counter() - began)
            found[name] = {"least": min(seconds), "median": statistics.median(seconds)}
        if ranks.leads:
            given.with_suffix(".json").write_text(json.dumps(found))
    return 0


def _estimate(parts: dict[str, Any]) -> dict[str, Any]:
    """Speed of 8 processes over 1 if the shares of a step are those measured on the CPU. No measurement."""
    spent = parts["cpu_seconds"]
    dealt = spent["rollout"] + spent["dealt of learn"]
    total = spent["rollout"] + spent["credit"] + spent["learn"]
    alone = total - dealt
    return {
        "estimate": True,
        "gpus": GPUS,
        "share_not_dealt_out": alone / total,
        "speedup_without_exchange": total / (alone + dealt / GPUS),
        "assumed_bytes_a_second": LINK,
        "seconds_in_one_order": parts["bytes_in_order"] / LINK,
        "seconds_of_all_reduce": 2 * (GPUS - 1) / GPUS * parts["bytes_of_all_reduce"] / LINK,
    }


if __name__ == "__main__":
    sys.exit(main())
