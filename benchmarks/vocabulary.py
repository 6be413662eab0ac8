"""What a vocabulary of 262144 tokens costs in memory: packing the head, drawing, scoring, scoring with a KL.

    python benchmarks/vocabulary.py      writes results/vocabulary.json

A head of width 64 in bf16; 256 rows are drawn at once and 512 places scored, as on a CPU. Every part is a
process of its own; what is reported is the growth of its peak. A minute on one core.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from long import peak, resident

from neuromas.models.process import prepare

OUT = Path(__file__).parent / "results" / "vocabulary.json"
TOKENS, WIDTH, ROWS, PLACES = 262144, 64, 256, 512
PARTS = ("pack", "draw", "score", "kl")


def main() -> None:
    """Measure every part, or one of them."""
    if len(sys.argv) == 2:
        print(json.dumps(measured(sys.argv[1])))
        return
    parts = []
    for part in PARTS:
        done = subprocess.run([sys.executable, __file__, part], check=True, capture_output=True, text=True)
        parts.append(json.loads(done.stdout.splitlines()[-1]))
        print(parts[-1], flush=True)
    about = {"machine": "two shared CPU cores, one thread", "tokens": TOKENS, "width": WIDTH}
    about |= {"rows": ROWS, "places": PLACES, "head_megabytes": round(TOKENS * WIDTH * 2 / 1e6)}
    OUT.write_text(json.dumps({**about, "parts": parts}, indent=1) + "\n", "utf-8")


def measured(part: str) -> dict[str, Any]:
    """Growth of the peak in MB over the head alone; ``logits`` are those of the part, in bf16."""
    prepare()
    import torch

    torch.set_num_threads(1)
    from neuromas.engines.local.sampling import draw
    from neuromas.learner.distributions import distributions
    from neuromas.learner.logprob import chosen_logprobs
    from neuromas.models.packed import pack_linears

    head = torch.nn.Linear(WIDTH, TOKENS, bias=False).to(torch.bfloat16).requires_grad_(False)
    hidden = torch.randn(PLACES, WIDTH, dtype=torch.bfloat16, requires_grad=True)
    place, target = torch.arange(PLACES), torch.randint(0, TOKENS, (PLACES,))
    before = resident()
    if part == "pack":
        pack_linears(torch.nn.Sequential(head))
    elif part == "draw":
        with torch.inference_mode():
            draw(head(hidden[:ROWS]), 1.0, torch.rand(ROWS, dtype=torch.float64))
    elif part == "score":
        chosen_logprobs(head(hidden), place, target, torch.ones(PLACES))[0].sum().backward()
    else:
        with torch.no_grad():
            base = head(hidden + 1)
        found = distributions(head(hidden), [base], place, target, torch.ones(PLACES))
        (found[0].sum() + found[2][0].sum()).backward()
    rows = {"pack": 0, "draw": ROWS}.get(part, PLACES)
    return {"part": part, "megabytes": round(peak() - before), "logits": round(rows * TOKENS * 2 / 1e6)}


if __name__ == "__main__":
    main()
