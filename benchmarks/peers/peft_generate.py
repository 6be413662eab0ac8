"""The rollout reference: `generate` with PEFT, adapters switched node by node.

    python benchmarks/peers/peft_generate.py --model smol --prompts p.json --steps 1 --threads 1 --out o.json

One bf16 backbone, three LoRA adapters, `set_adapter` before each node. Every node answers the same
prompts, all of them and all their samples (`num_return_sequences`) in one batch: cache on, prefill
included, temperature 1, no top-k or top-p, `min_new_tokens = max_new_tokens` so that every row has the
same length. A pass is all nodes once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from peerlib import (
    Case,
    Clock,
    Step,
    case_of,
    emit,
    load_tokenizer,
    node_model,
    parser,
    record,
)

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import BatchEncoding


def generate_node(model: PeftModel, batch: BatchEncoding, *, node: str, samples: int, new_tokens: int) -> int:
    """Sample with one node's adapter; return the number of new tokens."""
    import torch

    model.set_adapter(node)
    with torch.inference_mode():
        rows = model.generate(
            **batch,
            do_sample=True,
            temperature=1.0,
            top_k=0,
            top_p=1.0,
            num_return_sequences=samples,
            min_new_tokens=new_tokens,
            max_new_tokens=new_tokens,
            use_cache=True,
        )
    return int(rows[:, batch["input_ids"].shape[1] :].numel())


def run_generate(case: Case) -> dict[str, Any]:
    """A short warm-up, then `case.steps` passes through all nodes; return the record."""
    case.begin()
    tokenizer = load_tokenizer(case.model)
    model, nodes = node_model(case)
    model.eval()
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    batch = tokenizer(list(case.prompts), padding=True, return_tensors="pt").to(case.device)
    small = tokenizer([case.prompts[0]], return_tensors="pt").to(case.device)

    def whole(batch: BatchEncoding, new_tokens: int) -> Step:
        clock = Clock(case.device)
        tokens = sum(
            generate_node(model, batch, node=node, samples=case.samples, new_tokens=new_tokens)
            for node in nodes
        )
        return clock.step(tokens)

    passes = [whole(small, 2)] + [whole(batch, case.new_tokens) for _ in range(case.steps)]
    sizes = case.sizes() | {"nodes": len(nodes), "prompt_tokens": int(batch["attention_mask"].sum())}
    settings = {
        "weights": "bf16",
        "adapters": case.adapter_dtype,
        "attention": case.attention,
        "head": case.head,
        "device": case.device,
        "samples_by": "num_return_sequences",
        "warmup": "one prompt, two tokens",
    }
    return record("PEFT generate, node by node", sizes, settings, passes)


def main() -> None:
    """Read the arguments, run, report."""
    defaults = Case("", ("",) * 12, samples=8, new_tokens=16, steps=1, attention="sdpa")
    args = parser(__doc__, defaults, "nodes", "adapter_dtype", "device").parse_args()
    emit(run_generate(case_of(args)), args.out)


if __name__ == "__main__":
    main()
