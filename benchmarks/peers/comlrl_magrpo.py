"""Whole MAGRPO rounds of CoMLRL on a CPU with two agents: generation, reward, forward, backward, optimisers.

    python benchmarks/peers/comlrl_magrpo.py --model smol --prompts p.json --steps 2 --threads 1 --out o.json

Both agents answer every prompt: 2 x prompts x samples completions a round. CoMLRL trains a list of models
and has no shared backbone, so each agent is a bf16 backbone of its own under one LoRA adapter (r = 8 on
q, k, v, o). One update of each agent a round. A round is one epoch over the prompts; the first is a warm-
up.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import redirect_stdout
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
    from comlrl.trainers.reinforce import MAGRPOConfig, MAGRPOTrainer
    from peft import PeftModel

AGENTS = 2


def metered_reward(meter: Meter) -> Callable[..., list[float]]:
    """Mean of both agents' rewards. `batch_items` must be keyword-only, or CoMLRL takes it for an agent."""

    def reward(first: list[str], second: list[str], *, batch_items: list[dict[str, str]]) -> list[float]:
        prompt = batch_items[0]["prompt"]
        pairs = zip(first, second, strict=True)
        rewards = [(number_reward(prompt, a) + number_reward(prompt, b)) / AGENTS for a, b in pairs]
        meter.rewards.extend(rewards)
        return rewards

    return reward


def metered_trainer(meter: Meter) -> type[MAGRPOTrainer]:
    """MAGRPO as it is, with an ear at two places: what was sampled, and where an epoch begins."""
    from comlrl.trainers.reinforce import MAGRPOTrainer

    class Metered(MAGRPOTrainer):
        def _generate_completions(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
            data: dict[str, Any] = super()._generate_completions(*args, **kwargs)
            meter.count(ids.tolist() for ids in data["completion_input_ids"][0])
            return data

        def get_train_dataloader(self) -> Any:
            meter.mark()
            return super().get_train_dataloader()

    return Metered


def magrpo_config(case: Case) -> MAGRPOConfig:
    """One turn, temperature 1 without top-k or top-p, plain group-mean baseline, one update a round."""
    from comlrl.trainers.reinforce import MAGRPOConfig

    return MAGRPOConfig(
        num_train_epochs=case.steps + 1,
        num_agents=AGENTS,
        num_turns=1,
        num_generations=case.samples,
        max_new_tokens=case.new_tokens,
        temperature=1.0,
        top_p=1.0,
        top_k=0,  # None would leave the choice to the model's generation config
        agent_learning_rate=1e-4,
        advantage_normalization=False,
        early_termination_threshold=None,
        rollout_buffer_size=len(case.prompts),
        train_batch_size=len(case.prompts),
        eval_interval=0,
        agent_devices="cpu",
    )


def make_agent(case: Case) -> PeftModel:
    """One backbone under one adapter."""
    from peft import get_peft_model

    return get_peft_model(load_model(case), lora_config())


def run_magrpo(case: Case) -> dict[str, Any]:
    """Train for a warm-up and `case.steps` measured rounds; return the record."""
    case.begin()
    from datasets import Dataset

    tokenizer = load_tokenizer(case.model)
    meter = Meter(tokenizer.eos_token_id)
    trainer = metered_trainer(meter)(
        agents=[make_agent(case) for _ in range(AGENTS)],
        num_agents=AGENTS,
        tokenizer=tokenizer,
        train_dataset=Dataset.from_dict({"prompt": list(case.prompts)}),
        reward_func=metered_reward(meter),
        args=magrpo_config(case),
    )
    with redirect_stdout(sys.stderr):
        trainer.train()
    meter.mark()
    settings = {
        "weights": "bf16",
        "attention": case.attention,
        "head": case.head,
        "autocast": "none",
        "advantage_normalization": False,
        "micro_batch": 1,
        "agents": AGENTS,
        "reward_mean": sum(meter.rewards) / len(meter.rewards),
    }
    return record("CoMLRL MAGRPO", case.sizes(), settings, meter.passes)


def main() -> None:
    """Read the arguments, run, report."""
    defaults = Case("", ("",) * 8, samples=4, new_tokens=16, attention="sdpa")
    args = parser(__doc__, defaults).parse_args()
    emit(run_magrpo(case_of(args)), args.out)


if __name__ == "__main__":
    main()
