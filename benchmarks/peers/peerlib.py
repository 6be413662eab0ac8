"""What the peer benchmarks share: environment, counting, records. Imports nothing of NeuroMAS.

Nothing heavy is imported at module level, so that `set_environment` can run before torch is loaded.
No command of its own; see README.md.
"""

from __future__ import annotations

import json
import os
import platform
import re
import resource
import statistics
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from peft import LoraConfig, PeftModel
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

PAD_TOKEN = "<|endoftext|>"  # SmolLM2's own pad token equals its end token, which hides the end of a sample
PACKAGES = ("torch", "transformers", "peft", "trl", "comlrl", "accelerate", "numpy")
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "WANDB_MODE": "disabled",
    "TOKENIZERS_PARALLELISM": "false",
    "OMP_WAIT_POLICY": "PASSIVE",  # the default policy starves two threads as soon as anything else runs
}


@dataclass(frozen=True)
class Case:
    """What to run. Each benchmark reads the fields that concern it; the sizes have no defaults on purpose."""

    model: str  # folder with safetensors weights and a tokenizer
    prompts: tuple[str, ...]
    samples: int  # per prompt
    new_tokens: int  # per sample, at most
    steps: int = 2  # measured passes, after one warm-up
    threads: int = 1
    seed: int = 0
    attention: str = "eager"  # or sdpa; peft_step also knows auto
    head: str = "contiguous"  # or plain: see `load_model`
    nodes: int = 3  # PEFT only
    adapter_dtype: str = "float32"  # PEFT only; or bfloat16
    device: str = "cpu"  # PEFT only; or cuda
    micro_batch: int = 8  # TRL and peft_step: rows that go backward at once

    def begin(self) -> None:
        """Threads, offline hub and seeds; every benchmark starts with it."""
        set_environment(self.threads)
        seed_all(self.seed)

    def sizes(self) -> dict[str, Any]:
        """The sizes of a run, as they enter its record."""
        return {
            "prompts": len(self.prompts),
            "samples": self.samples,
            "new_tokens": self.new_tokens,
            "threads": self.threads,
            "seed": self.seed,
            "model": Path(self.model).name,
        }


@dataclass(frozen=True)
class Step:
    """One measured pass: wall and CPU seconds, and the tokens sampled in it, end tokens in, padding out.

    With one thread on a quiet machine the two clocks agree; where wall is longer, something else was running.
    """

    seconds: float
    cpu_seconds: float
    sampled_tokens: int


class Clock:
    """Starts when made; `step` reads it. Waits for a GPU at both ends."""

    def __init__(self, device: str = "cpu") -> None:
        self.device = device
        self._wait()
        self.wall, self.cpu = time.perf_counter(), time.process_time()

    def step(self, sampled_tokens: int) -> Step:
        """What went by since the start."""
        self._wait()
        return Step(time.perf_counter() - self.wall, time.process_time() - self.cpu, sampled_tokens)

    def _wait(self) -> None:
        if self.device == "cuda":
            import torch

            torch.cuda.synchronize()


class Meter:
    """For trainers that own their loop: counts sampled tokens; `mark` cuts the time into passes."""

    def __init__(self, end_id: int) -> None:
        self.end_id = end_id
        self.rewards: list[float] = []
        self.passes: list[Step] = []
        self._sampled = 0
        self._clock: Clock | None = None

    def count(self, rows: Iterable[Sequence[int]]) -> None:
        """Add the sampled tokens of these completions."""
        self._sampled += sum(tokens_to_end(ids, self.end_id) for ids in rows)

    def mark(self) -> None:
        """End the pass that is running, if any, and begin the next."""
        if self._clock is not None:
            self.passes.append(self._clock.step(self._sampled))
        self._sampled, self._clock = 0, Clock()


def set_environment(threads: int) -> None:
    """Offline hub, passive OpenMP, a fixed number of threads. Call before importing torch."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    os.environ["OMP_NUM_THREADS"] = str(threads)
    import torch

    torch.set_num_threads(threads)


def seed_all(seed: int) -> None:
    """Seed every generator that a peer may draw from."""
    import random

    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def load_prompts(path: Path, count: int) -> tuple[str, ...]:
    """The first `count` strings of a JSON list; sent to the peer as they are, without a chat template."""
    prompts = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(prompts, list) or not all(isinstance(prompt, str) for prompt in prompts):
        raise SystemExit(f"{path}: expected a JSON list of strings")
    if len(prompts) < count:
        raise SystemExit(f"{path}: {len(prompts)} prompts, {count} needed")
    return tuple(prompts[:count])


def load_tokenizer(folder: str) -> PreTrainedTokenizerBase:
    """The folder's tokenizer, padding on the left, with a pad token that is not the end token."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    tokenizer.pad_token = PAD_TOKEN
    return tokenizer


def load_model(case: Case) -> PreTrainedModel:
    """The backbone in bf16 on the CPU.

    `generate` hands the output layer a slice, (B, 1, H) with the strides of (B, T, H). Where no gradient is
    wanted torch does not fold that into one product but copies the weight B times: 5 GB at 96 rows in bf16,
    more than half of the rollout. `head="contiguous"` copies the small slice instead; `"plain"` leaves the
    peer as it comes.
    """
    import torch
    from transformers import AutoModelForCausalLM

    if case.head not in {"contiguous", "plain"}:
        raise SystemExit(f"head: {case.head!r} is neither 'contiguous' nor 'plain'")
    attention = "sdpa" if case.attention == "auto" else case.attention
    model = AutoModelForCausalLM.from_pretrained(
        case.model, dtype=torch.bfloat16, attn_implementation=attention
    )
    if case.head == "contiguous":
        model.get_output_embeddings().register_forward_pre_hook(lambda _, inputs: (inputs[0].contiguous(),))
    return model


def lora_config() -> LoraConfig:
    """The adapter of every node: r = 8, alpha = 16 on q, k, v, o, no dropout."""
    from peft import LoraConfig

    targets = ["q_proj", "k_proj", "v_proj", "o_proj"]
    return LoraConfig(r=8, lora_alpha=16, lora_dropout=0.0, target_modules=targets, task_type="CAUSAL_LM")


def node_model(case: Case) -> tuple[PeftModel, list[str]]:
    """One backbone with an adapter for each of the nodes, and the names of these."""
    from peft import get_peft_model

    nodes = [f"node{index}" for index in range(case.nodes)]
    upcast = case.adapter_dtype == "float32"
    model = get_peft_model(
        load_model(case), lora_config(), adapter_name=nodes[0], autocast_adapter_dtype=upcast
    )
    for node in nodes[1:]:
        model.add_adapter(node, lora_config(), autocast_adapter_dtype=upcast)
    return model.to(case.device), nodes


def tokens_to_end(ids: Sequence[int], end_id: int) -> int:
    """How many of `ids` were sampled: all up to and including the first end token."""
    values = list(ids)
    return values.index(end_id) + 1 if end_id in values else len(values)


def number_reward(prompt: str, completion: str) -> float:
    """1 if the first number of the completion is the largest number of the prompt, else 0."""
    found = re.search(r"\d+", completion)
    numbers = [int(digits) for digits in re.findall(r"\d+", prompt)]
    return float(found is not None and bool(numbers) and int(found.group()) == max(numbers))


def peak_rss_gb() -> float:
    """The largest resident size of this process so far, in GB (10^9 bytes)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e9


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that matter here, where installed."""
    installed = {dist.metadata["Name"].lower(): dist.version for dist in metadata.distributions()}
    found = {name: installed[name] for name in PACKAGES if name in installed}
    return {"python": platform.python_version(), **found}


def record(
    system: str, sizes: dict[str, Any], settings: dict[str, Any], passes: list[Step]
) -> dict[str, Any]:
    """The JSON record of one benchmark; `passes[0]` is the warm-up and enters no figure."""
    warmup, steps = passes[0], passes[1:]
    seconds, tokens = sum(step.seconds for step in steps), sum(step.sampled_tokens for step in steps)
    rows = [{**asdict(step), "tokens_per_second": step.sampled_tokens / step.seconds} for step in steps]
    return {
        "system": system,
        "sizes": sizes,
        "settings": settings,
        "warmup_seconds": warmup.seconds,
        "steps": rows,
        "seconds_per_step": statistics.median(step.seconds for step in steps),
        "tokens_per_second": tokens / seconds,
        "peak_rss_gb": peak_rss_gb(),
        "versions": versions(),
    }


def parser(description: str | None, defaults: Case, *extra: str) -> ArgumentParser:
    """The arguments that all benchmarks share and those `extra` ones that this one reads."""
    args = ArgumentParser(description=(description or "").split("\n", maxsplit=1)[0])
    args.add_argument("--model", required=True, help="folder with safetensors weights and a tokenizer")
    args.add_argument("--prompts", required=True, type=Path, help="JSON list of strings")
    args.add_argument("--prompt-count", type=int, default=len(defaults.prompts), help="how many to use")
    for name in ("samples", "new_tokens", "steps", "threads", "seed", "attention", "head", *extra):
        default = getattr(defaults, name)
        args.add_argument(
            "--" + name.replace("_", "-"), type=type(default), default=default, help=str(default)
        )
    args.add_argument("--out", type=Path, help="also write the record to this file")
    return args


def case_of(args: Namespace) -> Case:
    """The case that the arguments describe."""
    given = dict(vars(args))
    given["prompts"] = load_prompts(given["prompts"], given.pop("prompt_count"))
    del given["out"]
    return Case(**given)


def emit(result: dict[str, Any], out: Path | None) -> None:
    """Print the record as one JSON line and, where asked, write it to a file."""
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result), flush=True)
