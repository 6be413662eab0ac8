"""What can be said of the paper's setting (recipes/experiments/paper.toml) without a GPU and its models.

    python benchmarks/paper.py constants FOLDER    what one answer to every question earns
    python benchmarks/paper.py cost FOLDER         operations and GPU hours by estimate
    python benchmarks/paper.py rehearse FOLDER     every arm and task on tiny random models; half an hour

FOLDER holds ``data/`` with the files that docs/paper.md names. Each writes its part of results/paper.json.
The measures of the two models are in tests/golden/backbones; their weights are needed nowhere.
"""

from __future__ import annotations

import copy
import json
import os
import resource
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RECIPE = HERE.parent / "recipes" / "experiments" / "paper.toml"
OUT = HERE / "results" / "paper.json"
MEASURES = HERE.parent / "tests" / "golden" / "backbones"
MODELS = {"Qwen/Qwen3-0.6B": "qwen3-0.6b", "google/gemma-3-1b-it": "gemma-3-1b-it"}
# labels of public test files that are not in FOLDER as a whole, counted by hand
COUNTED = {
    "navigate, first 200": {"yes": 81, "no": 119},
    "navigate, all 250": {"yes": 105, "no": 145},
    "algebra, all 100": {"A": 22, "B": 26, "C": 31, "D": 21},
    "physics, all 102": {"A": 22, "B": 20, "C": 22, "D": 38},
}
RATES = (10, 20, 40)  # TFLOP/s that a device may sustain
# as Qwen3's: thinking is off where the variable says so
QWEN = (
    "{%- for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
    "{%- if enable_thinking is defined and enable_thinking is false %}{{ '<think>\n\n</think>\n\n' }}"
    "{%- endif %}{%- endif %}"
)
# as Gemma's: no system role, its text stands before the user's
GEMMA = (
    "{%- for m in messages if m.role != 'system' %}"
    "{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{ '<|im_start|>model\n' }}{%- endif %}"
)


def main() -> int:
    """Make one part and write it."""
    what, folder = sys.argv[1], Path(sys.argv[2])
    os.chdir(folder)
    part = {"constants": constants, "cost": cost, "rehearse": rehearse}[what]()
    found = json.loads(OUT.read_text("utf-8")) if OUT.exists() else {}
    found[what] = part
    OUT.write_text(json.dumps(dict(sorted(found.items())), indent=1) + "\n", "utf-8")
    print(json.dumps(part, indent=1))
    return 0


def recipe() -> dict[str, Any]:
    """The recipe as it is shipped."""
    return tomllib.loads(RECIPE.read_text("utf-8"))


def constants() -> list[dict[str, Any]]:
    """For every task: labels of the questions that are asked, and of public files counted by hand."""
    from neuromas.tasks import make_task

    data, rows = recipe(), []
    for one in data["tasks"]:
        if one["name"] != "file":
            continue
        task = make_task(one["name"], one["options"])
        asked = min(data["base"]["evaluate"]["test"], task.size("test") or 0)
        labels = Counter(task.problem("test", index).answer for index in range(asked))
        rows.append(_constant(f"{one['label']}, {asked} of the files here", labels))
    return rows + [_constant(name, labels) for name, labels in COUNTED.items()]


def _constant(name: str, labels: dict[str, int]) -> dict[str, Any]:
    """What the first option and the best constant earn."""
    count = sum(labels.values())
    first = "yes" if "yes" in labels else "A"
    best = max(sorted(labels), key=lambda label: labels[label])
    return {
        "questions": name,
        "n": count,
        "labels": dict(sorted(labels.items())),
        "first": {"answer": first, "accuracy": labels.get(first, 0) / count},
        "best": {"answer": best, "accuracy": labels[best] / count},
    }


def cost() -> dict[str, Any]:
    """The forecast of every arm, for three seeds, at several assumed rates."""
    from dataclasses import asdict

    from neuromas.experiment.cells import lay_out
    from neuromas.experiment.forecast import TERA, forecasts
    from neuromas.experiment.plan import make_plan

    plan = make_plan(with_models(recipe(), {name: str(MEASURES / here) for name, here in MODELS.items()}))
    found = forecasts(lay_out(plan, Path("runs") / plan.name))
    rows = [asdict(one) | {"hours": {str(rate): one.hours(rate * TERA) for rate in RATES}} for one in found]
    total = {str(rate): sum(row["hours"][str(rate)] for row in rows) for rate in RATES}
    return {"assumed": "TFLOP/s sustained over sampling and learning", "hours": total, "arms": rows}


def with_models(data: dict[str, Any], models: dict[str, str]) -> dict[str, Any]:
    """The recipe over other backbones, by name."""
    found = copy.deepcopy(data)
    for one in (found["base"], *found["arms"]):
        if "backbone" in one.get("model", {}):
            one["model"]["backbone"] = models[one["model"]["backbone"]]
    return found


def small(data: dict[str, Any], models: dict[str, str], steps: int = 1) -> dict[str, Any]:
    """The recipe as it is rehearsed: its prompts, message lengths, arms, tasks and comparisons.

    Stages have as many updates as keep equal calls equal; the entropy bonus lets adapters move where a random
    model earns nothing; searches of frozen methods are short.
    """
    found = with_models(data, models)
    found["seeds"] = [0]
    found["base"]["model"] |= {"device": "cpu", "dtype": "float32"}
    found["base"]["train"] |= {"problems": 2, "samples": 2, "warmup": 1, "entropy": 0.01, "lr": 1e-3}
    found["base"]["evaluate"] = {"every": 1, "validation": 1, "test": 2}
    for arm in found["arms"]:
        arm["stages"] = [[shape, -(-count * steps // 200)] for shape, count in arm.get("stages", [])]
        if not arm["stages"]:
            del arm["stages"]
        if arm.get("method") == "gptswarm":
            arm["options"] = {"iterations": 1, "batch": 1, "items": 2}
    # two or three updates of 5 and 7 nodes are not the calls of 1 + 1 of 3 and 5: held to in the recipe alone
    for line in found["compare"]:
        if line["first"].startswith("scratch"):
            line["equal"] = ["parameters", "calls"]
    return found


def tiny(folder: Path, family: str) -> Path:
    """A random model of a family with a byte tokenizer and a chat template, saved as transformers does."""
    import torch
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import (
        Gemma3ForCausalLM,
        Gemma3TextConfig,
        PreTrainedTokenizerFast,
        Qwen3Config,
        Qwen3ForCausalLM,
    )

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = Tokenizer(models.BPE(vocab={mark: i for i, mark in enumerate(alphabet)}, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<|im_end|>")
    tokenizer.add_tokens([AddedToken("<|im_start|>", normalized=False, special=True)])
    tokenizer.chat_template = QWEN if family == "qwen3" else GEMMA
    sizes = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "initializer_range": 0.2,
        "eos_token_id": tokenizer.eos_token_id,
        "bos_token_id": None,
        "pad_token_id": tokenizer.eos_token_id,
    }
    torch.manual_seed(0)
    if family == "qwen3":
        config = Qwen3Config(num_hidden_layers=2, max_position_embeddings=40960, **sizes)
        model = Qwen3ForCausalLM(config)
    else:
        kinds = ["sliding_attention", "full_attention", "sliding_attention"]
        window = {"sliding_window": 512, "query_pre_attn_scalar": 8, "max_position_embeddings": 32768}
        model = Gemma3ForCausalLM(
            Gemma3TextConfig(num_hidden_layers=3, layer_types=kinds, **window, **sizes)
        )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def rehearse() -> dict[str, Any]:
    """Every arm of every task through the command line; what is finished in ``rehearsal/`` stays."""
    import tomli_w

    here = Path("rehearsal")
    models = {"Qwen/Qwen3-0.6B": here / "tiny-qwen3", "google/gemma-3-1b-it": here / "tiny-gemma3"}
    for place, family in zip(models.values(), ("qwen3", "gemma3"), strict=True):
        if not place.is_dir():
            tiny(place, family)
    data = small(recipe(), {name: str(place.resolve()) for name, place in models.items()})
    (here / "paper.toml").write_text(tomli_w.dumps(data), "utf-8")
    command = [sys.executable, "-m", "neuromas.cli", "experiment", str(here / "paper.toml")]
    done = subprocess.run([*command, "--out", str(here / "runs"), "--jobs", "3"], check=False)
    found = json.loads((here / "runs" / "results.json").read_text("utf-8"))
    points = [
        {key: point[key] for key in ("task", "arm", "stage", "calls_a_question", "tokens_a_question")}
        for point in found["points"]
    ]
    lines = [line for file in here.glob("runs/cells/*/*/seed-0/metrics.jsonl") for line in file.open()]
    updates = [json.loads(line) for line in lines]
    earlier = json.loads(OUT.read_text("utf-8")).get("rehearse", {}) if OUT.exists() else {}
    largest = max(
        resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6, earlier.get("largest_process_gb", 0)
    )
    cells = {(point["task"], point["arm"]): bool(point["seeds"]) for point in found["points"]}
    return {
        "machine": "two shared CPU cores",
        "status": done.returncode,
        "cells": len(cells),
        "finished": sum(cells.values()),
        "updates": len(updates),
        "rewarded": sum(one["reward"] > 0 for one in updates),
        "moved": sum(min(one["gradient_norm"]) > 0 for one in updates),
        "largest_sampler_drift": max(one["sampler_drift"] for one in updates),
        "largest_process_gb": round(largest, 2),
        "points": points,
    }


if __name__ == "__main__":
    raise SystemExit(main())
