"""Tiny random models of every family against transformers and PEFT: the table of docs/architectures.md.

    python benchmarks/architectures.py      writes results/architectures.json

The families, and what is measured of them, are those of tests/unit/families.py. A minute on one core.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
OUT = HERE / "results" / "architectures.json"


def main() -> None:
    """Measure what is served, and note what refuses the rest."""
    sys.path.insert(0, str(HERE.parent / "tests" / "unit"))
    warnings.simplefilter("ignore")
    import torch
    import transformers
    from families import FAMILIES, REFUSED

    torch.set_num_threads(1)
    served = [_measured(family) for family in FAMILIES]
    refused = [_refused(family) for family in REFUSED]
    about = {"machine": "two shared CPU cores", "transformers": transformers.__version__, "dtype": "float32"}
    found = {**about, "served": served, "refused": refused, "check": _check()}
    OUT.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


def _measured(family: Any) -> dict[str, Any]:
    from families import gradient_error, greedy_equal, loaded_error, logprob_error, served

    pair = served(family)
    equal, count = greedy_equal(pair)
    row = {
        "family": family.shown,
        "kind": family.kind,
        "targets": list(family.targets),
        "logits": loaded_error(pair.plain),
        "logprobs": logprob_error(pair),
        "greedy": [equal, count],
        "gradients": gradient_error(pair),
    }
    print(row, flush=True)
    return row


def _check() -> dict[str, float]:
    """The check at loading for SmolLM2-135M in bf16: its cost, its error, and that between right kernels."""
    import torch
    from transformers import AutoModelForCausalLM

    from neuromas.models import architecture
    from neuromas.models.attention import IMPLEMENTATION, register
    from neuromas.models.backbone import load_backbone
    from neuromas.models.embedded import embedded_folder

    start = time.perf_counter()
    loaded = load_backbone("smollm2-135m", "bfloat16", "cpu")
    loading = time.perf_counter() - start
    register()
    model = AutoModelForCausalLM.from_pretrained(embedded_folder(), dtype="auto").eval().requires_grad_(False)
    architecture.cast(model, torch.bfloat16)
    start = time.perf_counter()
    eager = architecture.reference(model, "smollm2-135m")
    first = time.perf_counter() - start
    rows = architecture._branches(model)
    model.set_attn_implementation("sdpa")
    with torch.no_grad():
        fused = [model(input_ids=torch.tensor([row]), use_cache=False).logits[0] for row in rows]
    one, other = torch.cat(fused).float(), torch.cat(eager).float()
    kernels = (one - other).norm() / (other - other.mean(dim=-1, keepdim=True)).norm()
    model.set_attn_implementation(IMPLEMENTATION)
    start = time.perf_counter()
    error = architecture.agree(loaded.model, eager, loaded.read, "smollm2-135m")
    row = {"loading_seconds": loading, "check_seconds": first + time.perf_counter() - start}
    row |= {"error": error, "between_kernels": float(kernels)}
    return {key: round(value, 3) for key, value in row.items()}


def _refused(family: Any) -> dict[str, Any]:
    from families import loaded_error, plain

    from neuromas.core.errors import ModelError

    try:
        loaded_error(plain(family))
    except ModelError as error:
        return {"family": family.shown, "kind": family.kind, "says": str(error)}
    raise SystemExit(f"{family.shown} is not refused")


if __name__ == "__main__":
    main()
