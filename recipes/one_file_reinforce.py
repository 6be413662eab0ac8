"""NeuroMAS in one file, for reading: a network of language nodes trained jointly by REINFORCE.

    .venv/bin/python recipes/one_file_reinforce.py

Two nodes read the question and each writes one line; a third reads both lines and answers. Only the
answer earns a reward, and all three nodes learn from it: each is a LoRA adapter over one frozen model.

This is the mathematics of ``neuromas.training.step.train_step`` done the slow way: one sample at a time, the
whole text forwarded for every token, each node's adapter merged into the weights by hand. From the same seeds
it draws the same messages and finds the same losses and gradients (tests/recipes/test_one_file.py).

Left out: batches, caches and everything else that makes it fast (a hundredfold); other baselines than
leave-one-out; entropy, KL and length prices; evaluation, checkpoints, real models (``neuromas train``).
"""

from __future__ import annotations

import math
import re
import string
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.func import functional_call

from neuromas.core.seeds import derive
from neuromas.core.task import Problem, Score, Split, Task
from neuromas.engines.local.sampling import uniforms
from neuromas.models.tiny import tiny_model
from neuromas.prompts.build import Wording, build_prompt
from neuromas.prompts.codec import ByteCodec
from neuromas.topology.graph import Topology

TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj")


@dataclass(frozen=True)
class Settings:
    """As in ``neuromas.config``. ``problems * samples`` episodes a step."""

    seed: int = 0
    steps: int = 20
    problems: int = 2
    samples: int = 8
    lr: float = 0.02
    warmup: int = 5
    clip: float = 1.0
    rank: int = 4
    alpha: float = 8.0
    message_tokens: int = 4
    answer_tokens: int = 4


class Digits:
    """The task: answer with digits. Random text earns a little, so that there is something to climb."""

    name = "digits"
    answer_format = "digits only"

    def size(self, split: Split) -> None:
        """Endless."""
        return

    def problem(self, split: Split, index: int) -> Problem:
        """The same question under a new number."""
        return Problem(f"{split}-{index}", f"Number {index}?", "digits")

    def score(self, problem: Problem, text: str) -> Score:
        """The share of digits."""
        return Score(sum(char in string.digits for char in text) / max(1, len(text)), text)


class Turn(NamedTuple):
    """What one node read (token ids) and wrote."""

    prompt: tuple[int, ...]
    ids: list[int]
    text: str


class Network:
    """The frozen model, and for every node one adapter (A and B of each target layer) with its AdamW."""

    def __init__(self, topology: Topology, settings: Settings) -> None:
        """Every node starts as the frozen model itself: A is random, B is zero."""
        self.topology, self.settings, self.step = topology, settings, 0
        self.codec = ByteCodec()
        self.model = tiny_model().requires_grad_(False)
        nodes = range(len(topology.nodes))
        self.adapters = [self._fresh(derive(settings.seed, "adapter", node)) for node in nodes]
        self.optimisers = [
            torch.optim.AdamW(parameters(adapter), lr=settings.lr, betas=(0.9, 0.95), weight_decay=0.0)
            for adapter in self.adapters
        ]

    def _fresh(self, seed: int) -> dict[str, tuple[Tensor, Tensor]]:
        generator, rank = torch.Generator().manual_seed(seed), self.settings.rank
        adapter = {}
        for path, layer in self.model.named_modules():
            if path.rpartition(".")[2] in TARGETS:
                draw = torch.rand(rank, layer.in_features, generator=generator)  # (r, in)
                down = (2 * draw - 1) / math.sqrt(layer.in_features)
                up = torch.zeros(layer.out_features, rank)  # (out, r)
                adapter[path] = (down.requires_grad_(), up.requires_grad_())
        return adapter

    def logits(self, node: int, ids: list[int]) -> Tensor:
        """(T, V) next-token logits of a text under one node: W + (alpha / r) B A in place of each W."""
        scale = self.settings.alpha / self.settings.rank
        merged = {
            f"{path}.weight": self.model.get_parameter(f"{path}.weight") + scale * up @ down
            for path, (down, up) in self.adapters[node].items()
        }
        inputs = {"input_ids": torch.tensor([ids]), "use_cache": False}
        return functional_call(self.model, merged, kwargs=inputs).logits[0]

    def budget(self, node: int) -> int:
        """Most tokens the node may write."""
        s = self.settings
        return s.answer_tokens if node == self.topology.sink else s.message_tokens


def parameters(adapter: dict[str, tuple[Tensor, Tensor]]) -> list[Tensor]:
    """All A and B of one node."""
    return [matrix for pair in adapter.values() for matrix in pair]


def write(network: Network, node: int, prompt: tuple[int, ...], seed: int) -> Turn:
    """Sample one line from softmax(logits), token by token, by inverting the cumulative distribution."""
    codec, ids = network.codec, []
    for uniform in uniforms([seed], network.budget(node))[0]:
        with torch.no_grad():
            last = network.logits(node, [*prompt, *ids])[-1]
        mass = (last - last.max()).exp().double().cumsum(0)
        ids.append(int(torch.searchsorted(mass, uniform * mass[-1], right=True).clamp(max=len(mass) - 1)))
        if ids[-1] in codec.line_end_ids:
            break
    text = codec.decode(ids)
    if ids[-1] in codec.line_end_ids:  # an end token may carry text after its line break
        text = re.split(r"[\r\n]", text, maxsplit=1)[0]
    return Turn(prompt, ids, text)


def play(network: Network, task: Task, problem: Problem, sample: int, seed: int) -> list[Turn]:
    """One episode: every node in topological order, reading what its predecessors wrote."""
    topology, turns = network.topology, []
    for node in range(len(topology.nodes)):
        heard = [turns[edge.source].text for edge in topology.incoming(node)]
        wording = Wording("plain", task.answer_format)
        prompt = build_prompt(topology, node, problem, heard, network.codec, wording=wording)
        own = derive(seed, "draw", problem.id, sample, node)
        turns.append(write(network, node, prompt.prefix + prompt.suffix, own))
    return turns


def train_step(network: Network, task: Task, problems: list[Problem]) -> tuple[dict, list[list[Turn]]]:
    """Sample, score, credit, loss, step."""
    s = network.settings
    seed = derive(s.seed, "step", network.step)
    episodes_PG = [[play(network, task, p, k, seed) for k in range(s.samples)] for p in problems]
    loss, rewards = 0.0, []
    for problem, episodes_G in zip(problems, episodes_PG, strict=True):
        rewards_G = [task.score(problem, turns[-1].text).value for turns in episodes_G]
        rewards += rewards_G
        for turns, reward in zip(episodes_G, rewards_G, strict=True):
            # leave-one-out: what the other samples of the same problem earned on average
            advantage = reward - (sum(rewards_G) - reward) / (s.samples - 1)
            for node, turn in enumerate(turns):  # the same advantage for all: the reward is shared
                logprobs = torch.log_softmax(network.logits(node, turn.prompt + tuple(turn.ids)), dim=-1)
                own = logprobs[len(turn.prompt) - 1 : -1]  # (T, V): each token is predicted one place before
                logprob = own.gather(1, torch.tensor(turn.ids)[:, None]).sum()
                # divided by the budget, not the length, so that length itself earns nothing
                part = -advantage * logprob / (len(problems) * s.samples * network.budget(node))
                part.backward()
                loss += float(part.detach())
    norms = [update(network, node) for node in range(len(network.adapters))]
    network.step += 1
    reward = sum(rewards) / len(rewards)
    return {"reward": reward, "loss": loss, "gradient_norm": norms}, [e for g in episodes_PG for e in g]


def update(network: Network, node: int) -> float:
    """Clip and step one node's adapter; returns its gradient norm before clipping."""
    s, optimiser = network.settings, network.optimisers[node]
    norm = float(torch.nn.utils.clip_grad_norm_(parameters(network.adapters[node]), s.clip))
    if norm > 0:
        optimiser.param_groups[0]["lr"] = s.lr * min(1.0, (network.step + 1) / s.warmup)
        optimiser.step()
    optimiser.zero_grad()
    return norm


def main(settings: Settings) -> None:
    """Train; a line a step."""
    network, task = Network(Topology.parse("2-1"), settings), Digits()
    for step in range(settings.steps):
        problems = [task.problem("train", step * settings.problems + i) for i in range(settings.problems)]
        report, episodes = train_step(network, task, problems)
        norms = " ".join(f"{norm:.3f}" for norm in report["gradient_norm"])
        said = [turn.text for turn in episodes[0]]
        print(f"step {step:2}  reward {report['reward']:.2f}  gradient norms {norms}  messages {said}")


if __name__ == "__main__":
    main(Settings())
