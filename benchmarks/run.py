"""All speed and memory figures, each as a ratio of two processes run in turn on the same machine.

    make bench                                        rollout, step and memory (about ten minutes on 2 cores)
    python benchmarks/run.py --peers PEERS/bin/python also the whole step against TRL and CoMLRL
    python benchmarks/run.py --device cuda            the same on a GPU

``--peers`` is the interpreter of the environment that ``benchmarks/peers/README.md`` describes. Results go
to ``benchmarks/results/NAME.json``; the bars are those of the project's first milestone.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
BARS = {"rollout": 5.0, "step": 8.0, "memory": 1.15, "trl": 5.0, "comlrl": 8.0}


def main() -> int:
    """Run what was asked for; exit 1 if a bar is missed."""
    args = _arguments()
    work = Path(tempfile.mkdtemp(prefix="neuromas-bench-"))
    model, prompts = work / "model", work / "prompts.json"
    _run([sys.executable, HERE / "peers" / "prepare.py", "--model", model, "--prompts", prompts], None)
    results = {}
    for name in args.only or [n for n in BARS if args.peers or n in ("rollout", "step", "memory")]:
        results[name] = _memory(args, prompts) if name == "memory" else _pair(name, args, model, prompts)
        results[name] |= {"bar": BARS[name], "machine": _machine(args)}
        print(f"{name:8} ratio {results[name]['ratio']:.2f} (bar {BARS[name]})", flush=True)
    out = HERE / "results" / f"{args.name}.json"
    out.parent.mkdir(exist_ok=True)
    before = json.loads(out.read_text("utf-8"))["results"] if args.only and out.is_file() else {}
    record = {"note": args.note, "results": before | results}
    out.write_text(json.dumps(record, indent=1) + "\n", "utf-8")
    print(f"wrote {out}")
    missed = [n for n, r in results.items() if (r["ratio"] > BARS[n]) == (n == "memory")]
    print(f"missed: {', '.join(missed) or 'none'}")
    return 1 if missed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--only", action="append", choices=sorted(BARS), help="keep the other results")
    parser.add_argument("--peers", type=Path, help="python of the environment with TRL and CoMLRL")
    parser.add_argument("--as-they-come", action="store_true", help="do not also time peers repaired")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--note", default="", help="what a reader must know of the conditions")
    parser.add_argument("--name", default="cpu", help="name of the result file")
    return parser.parse_args()


def _pair(name: str, args: argparse.Namespace, model: Path, prompts: Path) -> dict[str, Any]:
    """Ours and the peer's, in turn; the ratio is of tokens per second over the measured passes."""
    mode, nodes = {
        "rollout": ("rollout", 3),
        "step": ("step", 3),
        "trl": ("whole", 1),
        "comlrl": ("whole", 2),
    }[name]
    script = {
        "rollout": "peft_generate.py",
        "step": "peft_step.py",
        "trl": "trl_grpo.py",
        "comlrl": "comlrl_magrpo.py",
    }[name]
    python = sys.executable if name in ("rollout", "step") else args.peers
    if python is None:
        raise SystemExit(f"{name} needs --peers PYTHON (see benchmarks/peers/README.md)")
    common = ["--prompts", prompts, "--steps", args.steps, "--threads", args.threads]
    peer = [python, HERE / "peers" / script, "--model", model, *common]
    system = name in ("trl", "comlrl")  # a whole training system, timed on the CPU only
    if not system:
        peer += ["--device", args.device]
    stock = [] if name == "step" else ["--head", "plain"]  # the peer as it comes
    ours = _ours(mode, nodes, args, common)
    theirs = _run([*peer, *stock], HERE / "peers")
    record = {"ours": ours, "peer": theirs, **_ratios(ours, theirs, args.device)}
    if stock and not args.as_they_come:  # and repaired, as the peers' README explains
        better = _run([*peer, "--head", "contiguous"], HERE / "peers")
        again = _ratios(ours, better, args.device)
        record |= {"peer_improved": better, **{f"{key}_improved": value for key, value in again.items()}}
    if system and args.threads > 1:  # it may be at its best with fewer threads than ours
        alone = _run([*peer, *stock, "--threads", 1], HERE / "peers")
        record["peer_one_thread"] = alone
        record["ratio_to_one_thread"] = ours["tokens_per_second"] / alone["tokens_per_second"]
    if name == "step":  # both sides learn from the same number of samples
        record["ratio"] = theirs["seconds_per_step"] / ours["seconds_per_step"]
    return record


def _ratios(ours: dict[str, Any], theirs: dict[str, Any], device: str) -> dict[str, float]:
    """Our tokens per second over theirs, by the wall clock and, on a CPU, by CPU time."""
    ratios = {"ratio": ours["tokens_per_second"] / theirs["tokens_per_second"]}
    if device == "cpu":
        ratios["ratio_of_cpu_time"] = _per_cpu_second(ours) / _per_cpu_second(theirs)
    return ratios


def _per_cpu_second(record: dict[str, Any]) -> float:
    """Tokens a CPU second: what a shared machine distorts least."""
    tokens = sum(step.get("tokens", step.get("sampled_tokens", 0)) for step in record["steps"])
    return float(tokens / sum(step["cpu_seconds"] for step in record["steps"]))


def _memory(args: argparse.Namespace, prompts: Path) -> dict[str, Any]:
    """Peak of a 7-node network over that of a 1-node network, the rows per batch being equal."""
    common = ["--prompts", prompts, "--steps", 2, "--threads", args.threads]
    one, seven = (_ours("memory", nodes, args, common) for nodes in (1, 7))
    key = "peak_gpu_gb" if args.device == "cuda" else "peak_rss_gb"
    return {"one_node": one, "seven_nodes": seven, "ratio": seven[key] / one[key]}


def _ours(mode: str, nodes: int, args: argparse.Namespace, common: list[Any]) -> dict[str, Any]:
    return _run(
        [sys.executable, HERE / "ours.py", mode, "--nodes", nodes, "--device", args.device, *common], None
    )


def _run(command: list[Any], folder: Path | None) -> dict[str, Any]:
    """The JSON record on the last line of a command's output; its error is shown if it fails."""
    done = subprocess.run(
        [str(part) for part in command], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.stderr[-3000:]}")
    lines = done.stdout.strip().splitlines()
    try:
        return dict(json.loads(lines[-1])) if lines else {}
    except ValueError:
        return {}


def _machine(args: argparse.Namespace) -> dict[str, Any]:
    """What the figures depend on."""
    load = os.getloadavg()[0]
    return {
        "device": args.device,
        "threads": args.threads,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "load": round(load, 2),
    }


if __name__ == "__main__":
    raise SystemExit(main())
