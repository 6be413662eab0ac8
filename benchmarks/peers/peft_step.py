"""The training-step reference: forward and backward with PEFT node by node, logits everywhere.

    python benchmarks/peers/peft_step.py --model smol --prompts p.json --steps 1 --threads 1 --out o.json

One bf16 backbone, three LoRA adapters. For each node: `set_adapter`, every sample's full prompt and its
new tokens through the model (no shared prefix), a log-softmax over all positions, the policy-gradient
loss on the new ones, the backward pass, gradient clip and AdamW of that adapter. The new tokens are
random: the work is the same. Attention `auto` times one micro-batch each way, reports both and takes the
faster. A pass is all nodes once.
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
    import torch
    from peft import PeftModel

Batch = dict[str, "torch.Tensor"]  # input_ids, attention_mask, sampled: (B, T); advantages: (B)


def make_batches(case: Case) -> list[Batch]:
    """All samples of all prompts, padded on the right inside each micro-batch."""
    import torch

    tokenizer = load_tokenizer(case.model)
    generator = torch.Generator().manual_seed(case.seed)
    rows = []
    for prompt in case.prompts:
        ids = tokenizer(prompt, return_tensors="pt").input_ids[0]
        for _ in range(case.samples):
            new = torch.randint(3, len(tokenizer), (case.new_tokens,), generator=generator)
            rows.append((torch.cat([ids, new]), len(ids), torch.randn((), generator=generator)))
    pieces = [rows[i : i + case.micro_batch] for i in range(0, len(rows), case.micro_batch)]
    return [pad_rows(piece, tokenizer.pad_token_id, case.device) for piece in pieces]


def pad_rows(rows: list[tuple[torch.Tensor, int, torch.Tensor]], pad_id: int, device: str) -> Batch:
    """One micro-batch of (ids, prompt length, advantage); `sampled` marks the new tokens."""
    import torch

    longest = max(len(ids) for ids, _, _ in rows)
    batch = {
        "input_ids": torch.full((len(rows), longest), pad_id),
        "attention_mask": torch.zeros(len(rows), longest, dtype=torch.long),
        "sampled": torch.zeros(len(rows), longest),
        "advantages": torch.stack([advantage for _, _, advantage in rows]),
    }
    for row, (ids, prompt_length, _) in enumerate(rows):
        batch["input_ids"][row, : len(ids)] = ids
        batch["attention_mask"][row, : len(ids)] = 1
        batch["sampled"][row, prompt_length : len(ids)] = 1
    return {name: tensor.to(device) for name, tensor in batch.items()}


def policy_loss(model: PeftModel, batch: Batch, sampled_total: float) -> torch.Tensor:
    """Minus the advantage-weighted log-probability of the sampled tokens, over all of them."""
    logits = model(
        input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False
    ).logits
    logprobs = logits[:, :-1].float().log_softmax(-1)  # (B, T - 1, V)
    chosen = logprobs.gather(-1, batch["input_ids"][:, 1:, None])[..., 0]  # (B, T - 1)
    weights = batch["sampled"][:, 1:] * batch["advantages"][:, None]
    return -(weights * chosen).sum() / sampled_total


def adapter_parameters(model: PeftModel, node: str) -> list[torch.nn.Parameter]:
    """The tensors of one node's adapter."""
    return [tensor for name, tensor in model.named_parameters() if f".{node}." in name]


def train_node(model: PeftModel, batches: list[Batch], *, node: str, optimizer: torch.optim.Optimizer) -> int:
    """One update of one node; return the number of sampled tokens it learned from."""
    import torch

    model.set_adapter(node)
    total = float(sum(batch["sampled"].sum() for batch in batches))
    for batch in batches:
        policy_loss(model, batch, total).backward()
    torch.nn.utils.clip_grad_norm_(adapter_parameters(model, node), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return int(total)


def probe_attention(model: PeftModel, batch: Batch, device: str) -> dict[str, float]:
    """CPU seconds of one micro-batch, forward and backward, for each attention (second of two runs)."""
    seconds = {}
    for attention in ("sdpa", "eager"):
        model.base_model.model.set_attn_implementation(attention)
        for _ in range(2):
            clock = Clock(device)
            policy_loss(model, batch, 1.0).backward()
            model.zero_grad(set_to_none=True)
            step = clock.step(0)
        seconds[attention] = step.cpu_seconds if device == "cpu" else step.seconds
    return seconds


def run_step(case: Case) -> dict[str, Any]:
    """A short warm-up, then `case.steps` passes over all nodes; return the record."""
    case.begin()
    import torch

    batches = make_batches(case)
    attention = case.attention
    model, nodes = node_model(case)
    model.train()
    probe: dict[str, float] = {}
    if attention == "auto":
        probe = probe_attention(model, batches[0], case.device)
        attention = min(probe, key=lambda name: probe[name])
        model.base_model.model.set_attn_implementation(attention)
    optimizers = {node: torch.optim.AdamW(adapter_parameters(model, node), lr=1e-4) for node in nodes}

    def whole(batches: list[Batch]) -> Step:
        clock = Clock(case.device)
        tokens = [train_node(model, batches, node=node, optimizer=optimizers[node]) for node in nodes]
        return clock.step(sum(tokens))

    passes = [whole(batches[:1])] + [whole(batches) for _ in range(case.steps)]
    forwarded = len(nodes) * sum(int(batch["attention_mask"].sum()) for batch in batches)
    settings = {
        "weights": "bf16",
        "adapters": case.adapter_dtype,
        "attention": attention,
        "head": case.head,
        "attention_probe_seconds": probe,
        "micro_batch": case.micro_batch,
        "device": case.device,
        "warmup": "one micro-batch",
    }
    sizes = case.sizes() | {"nodes": len(nodes), "forwarded_tokens": forwarded}
    return record("PEFT step, node by node", sizes, settings, passes)


def main() -> None:
    """Read the arguments, run, report."""
    defaults = Case("", ("",) * 12, samples=8, new_tokens=16, steps=1, attention="auto")
    args = parser(__doc__, defaults, "nodes", "adapter_dtype", "device", "micro_batch").parse_args()
    emit(run_step(case_of(args)), args.out)


if __name__ == "__main__":
    main()
