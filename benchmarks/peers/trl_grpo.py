"""Whole GRPO steps of TRL on a CPU: generation, reward, forward, backward, optimiser.

    python benchmarks/peers/trl_grpo.py --model smol --prompts p.json --steps 2 --threads 1 --out o.json

bf16 weights, LoRA r = 8 on q, k, v, o, temperature 1 without top-k or top-p, beta 0, one gradient step a
batch. Where TRL's defaults are slower on a CPU it gets the faster setting: activation checkpointing off,
eager attention, the backward pass in four pieces (gradient accumulation; generation stays one batch). A
step runs from the end of one optimiser step to the end of the next; the first is a warm-up.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from peerlib import (
    Case,
    Meter,
    case_of,
    emit,
    load_model,
    load_tokenizer,
    lora_config,
    number_reward,
    parser,
    record,
)

if TYPE_CHECKING:
    from transformers import TrainerCallback
    from trl import GRPOConfig


def metered_reward(meter: Meter) -> Callable[..., list[float]]:
    """The reward function that TRL calls; the one place where it hands out the sampled ids."""

    def reward(
        prompts: list[str], completions: list[str], completion_ids: list[list[int]], **_: object
    ) -> list[float]:
        meter.count(completion_ids)
        rewards = [number_reward(p, c) for p, c in zip(prompts, completions, strict=True)]
        meter.rewards.extend(rewards)
        return rewards

    return reward


def step_marker(mark: Callable[[], None]) -> TrainerCallback:
    """A callback that marks the start of training and the end of every optimiser step."""
    from transformers import TrainerCallback

    class Marker(TrainerCallback):
        def on_train_begin(self, *_: object, **__: object) -> None:
            mark()

        def on_step_end(self, *_: object, **__: object) -> None:
            mark()

    return Marker()


def grpo_config(case: Case, folder: str) -> GRPOConfig:
    """Group-relative policy optimisation as it is fair to compare: see the module's header."""
    from trl import GRPOConfig

    pieces, rest = divmod(len(case.prompts) * case.samples, case.micro_batch)
    if rest:
        raise SystemExit("prompts x samples must be a multiple of the micro-batch")
    return GRPOConfig(
        output_dir=folder,
        use_cpu=True,
        bf16=True,
        activation_checkpointing=False,
        per_device_train_batch_size=case.micro_batch,
        gradient_accumulation_steps=pieces,
        steps_per_generation=pieces,
        num_iterations=1,
        num_generations=case.samples,
        max_completion_length=case.new_tokens,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        beta=0.0,
        learning_rate=1e-4,
        max_steps=case.steps + 1,
        shuffle_dataset=False,
        report_to="none",
        logging_strategy="no",
        save_strategy="no",
        disable_tqdm=True,
        dataloader_pin_memory=False,
        seed=case.seed,
    )


def run_grpo(case: Case) -> dict[str, Any]:
    """Train for a warm-up and `case.steps` measured steps; return the record."""
    case.begin()
    from datasets import Dataset
    from trl import GRPOTrainer

    tokenizer = load_tokenizer(case.model)
    meter = Meter(tokenizer.eos_token_id)
    with TemporaryDirectory() as folder:
        trainer = GRPOTrainer(
            model=load_model(case),
            reward_funcs=metered_reward(meter),
            args=grpo_config(case, folder),
            train_dataset=Dataset.from_dict({"prompt": list(case.prompts)}),
            processing_class=tokenizer,
            peft_config=lora_config(),
            callbacks=[step_marker(meter.mark)],
        )
        with redirect_stdout(sys.stderr):
            trainer.train()
    settings = {
        "weights": "bf16",
        "attention": case.attention,
        "head": case.head,
        "autocast": "bf16",
        "activation_checkpointing": False,
        "micro_batch": case.micro_batch,
        "loss": trainer.args.loss_type,
        "agents": 1,
        "reward_mean": sum(meter.rewards) / len(meter.rewards),
    }
    return record("TRL GRPO", case.sizes(), settings, meter.passes)


def main() -> None:
    """Read the arguments, run, report."""
    defaults = Case("", ("",) * 8, samples=4, new_tokens=16)
    args = parser(__doc__, defaults, "micro_batch").parse_args()
    emit(run_grpo(case_of(args)), args.out)


if __name__ == "__main__":
    main()
