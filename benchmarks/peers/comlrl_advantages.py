"""What CoMLRL's own code makes of fixed rewards and values: the numbers that a test holds ours to.

    python benchmarks/peers/comlrl_advantages.py    seconds, no model; writes results/comlrl_advantages.json

Run in the environment of the peers (requirements.txt). Nothing is sampled: of its centralised critic (MAAC,
the method of arXiv:2601.21972) a rollout over several turns is collected with given values and given rewards,
and then its advantages; of its Monte-Carlo trainer (MAGRPO) the advantages of a group in every mode.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import comlrl
import torch
from comlrl.trainers.actor_critic.maac import MAACTrainer
from comlrl.trainers.reinforce.magrpo import MAGRPOTrainer

OUT = Path(__file__).parents[1] / "results" / "comlrl_advantages.json"
TURNS, EPISODES, SAMPLES = 3, 4, 8


def main() -> None:
    """Draw rewards and values, ask CoMLRL, write."""
    draw = random.Random(7)
    found = {
        "about": {"package": "comlrl", "version": getattr(comlrl, "__version__", "1.4.3")},
        "critic": [critic(draw, discount, norm) for discount in (0.9, 1.0) for norm in (True, False)],
        "groups": [group(draw, mode, norm) for mode in ("raw", "mean", "rloo") for norm in (False, True)],
    }
    OUT.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


def critic(draw: random.Random, discount: float, normalise: bool) -> dict[str, Any]:
    """Targets and advantages of one agent over some episodes, for given rewards and values of every turn."""
    episodes = [
        {
            "rewards": [round(draw.random(), 3) for _ in range(TURNS)],
            "values": [round(draw.random(), 3) for _ in range(TURNS)],
        }
        for _ in range(EPISODES)
    ]
    trainer = scripted(discount, normalise)
    samples = []
    for one in episodes:
        trainer.script = one
        trainer.turn = 0
        turns = trainer._collect_rollouts_multi_turn({"prompt": "q"}, TURNS)
        samples += [sample for sample in turns if sample.agent_idx == 0]
    trainer._update = lambda agent, turn: trainer._prepare_advantages(turn) or {}
    trainer._process_buffer(0, list(samples))  # normalises every turn of an agent by itself
    return {
        "discount": discount,
        "normalised": normalise,
        "episodes": episodes,
        "targets": [float(s.metadata["value_target"]) for s in samples],
        "advantages": [float(s.normalized_advantage) for s in samples],
    }


def scripted(discount: float, normalise: bool) -> Any:
    """A trainer without models: its values and rewards are read from ``script``, one turn after another."""
    trainer = object.__new__(MAACTrainer)
    trainer.args = SimpleNamespace(
        num_agents=2,
        num_generations=1,
        discount=discount,
        advantage_normalization=normalise,
        critic_type="v",
        external_prompt_passthrough=True,
        early_termination_threshold=None,
        reference_kl_coef=0.0,
    )
    trainer.agents = [None, None]
    trainer.formatters = [lambda item, external_prompts=None: "q"] * 2
    trainer.external_transition = lambda **_: ["q", "q"]
    trainer.reward_processor = lambda reward: reward
    trainer._reward_signature = None
    one = torch.ones(2, dtype=torch.long)

    def generate(model: Any, prompt: str, agent: int) -> dict[str, Any]:
        return {
            "prompt_len": 1,
            "sequences": [one],
            "attention_mask": [one],
            "response_lens": [1],
            "reference_kls": [0.0],
            "completions": ["a"],
        }

    def value(text: str) -> dict[str, Any]:
        found = torch.tensor([trainer.script["values"][trainer.turn]])
        return {"input_ids": one, "attention_mask": one, "prompt_len": 1, "value": found}

    def reward(*_: Any, **__: Any) -> list[float]:
        return [trainer.script["rewards"][trainer.turn]]

    def evaluated(*_: Any, **__: Any) -> tuple[torch.Tensor, None]:
        # asked for each agent at the end of a turn
        trainer.asked += 1
        trainer.turn = trainer.asked // 2 % TURNS
        return torch.zeros(1), None

    trainer.asked = 0
    trainer._generate, trainer._critic_value_from_text = generate, value
    trainer.reward_func, trainer._policy_eval = reward, evaluated
    return trainer


def group(draw: random.Random, mode: str, normalise: bool) -> dict[str, Any]:
    """Advantages of the samples of one problem, as its loss takes them."""
    rewards = [float(draw.random() < 0.4) + round(draw.random() / 4, 3) for _ in range(SAMPLES)]
    trainer = object.__new__(MAGRPOTrainer)
    trainer.advantage_mode = mode
    found = trainer._compute_advantages(torch.tensor(rewards))
    if normalise:  # the lines after its call, in `_compute_loss_with_gradients`
        found = (found - found.mean()) / found.std(unbiased=False).clamp(min=1e-6)
    return {"mode": mode, "normalised": normalise, "rewards": rewards, "advantages": found.tolist()}


if __name__ == "__main__":
    main()
