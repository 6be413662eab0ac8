"""What the processes of these tests do; called by their names from ``together``."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import dataclass
from pathlib import Path

import torch

from neuromas.config import make_config
from neuromas.core.errors import ContractError, RunError
from neuromas.core.task import Problem
from neuromas.learner.gradient import Objective, _cut, accumulate
from neuromas.learner.scorer import Message
from neuromas.learning.losses import Weights
from neuromas.models.adapters import LoraSpec
from neuromas.models.backbone import load_backbone
from neuromas.models.ranks import ALONE, joined
from neuromas.models.resident import ResidentModel
from neuromas.models.sharded import load_sharded
from neuromas.storage import Run
from neuromas.training.callbacks import Callback
from neuromas.training.run import resume, start
from parity import Parity

LOGS = ("metrics.jsonl", "validation.jsonl", "growth.jsonl", "episodes.jsonl")


@dataclass(frozen=True)
class Troubled(Parity):
    """Parity, where something happens to one process once the run has logged ``after`` steps."""

    trouble: str = ""
    run: str = ""
    after: int = 2
    process: str = "1"

    def due(self, trouble):
        log = Path(self.run) / "metrics.jsonl"
        done = log.is_file() and len(log.read_text().splitlines()) >= self.after
        return self.trouble == trouble and done and os.environ.get("RANK") == self.process

    def problem(self, split, index):
        if self.due("killed"):
            os.kill(os.getpid(), signal.SIGKILL)
        if self.due("asked to stop"):
            signal.raise_signal(signal.SIGTERM)
            object.__setattr__(self, "trouble", "")
        if self.due("other problems"):
            return Problem("strange", "?", "odd", parts=("left", "right"))
        return super().problem(split, index)

    def score(self, problem, text):
        if self.due("breaks its contract"):
            raise ContractError("the score is a word")
        return super().score(problem, text)


class Failing(Callback):
    """A callback that cannot go on."""

    def on_step_end(self, event):
        raise RunError("no space left")


def train(data, folder, task=None, callbacks=()):
    """A whole run; what is true of it wherever it was computed."""
    return told(start(make_config(data), Path(folder), *callbacks, task=task or Parity()))


def train_all(several, folder):
    """Several runs, one after another."""
    return {name: train(data, f"{folder}/{name}") for name, data in several.items()}


def go_on(folder, overrides=()):
    return told(resume(Path(folder), overrides=overrides, task=Parity()))


def told(run: Run):
    """All that a run says which does not depend on time: logs, evaluations, digests of its weights."""
    found: dict[str, object] = {}
    for name in LOGS:
        rows = list(run.lines(name))
        found[name] = [{k: v for k, v in row.items() if k not in ("seconds", "spent")} for row in rows]
    for path in sorted((run.path / "evaluations").glob("*.jsonl")):
        found[path.name] = path.read_text()
    manifest = json.loads((run.checkpoints()[-1] / "network.json").read_text())
    return found | {"files": manifest["files"], "finished": run.finished}


def resident(backbone, ranks=ALONE):
    """Two adapters that differ from the backbone."""
    made = ResidentModel.around(backbone, LoraSpec(4, 8.0), 2, 0)
    generator = torch.Generator().manual_seed(1)
    for parameter in made.bank.parameters:
        parameter.data.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return ResidentModel(made.backbone, made.bank, ranks)


def gradient(ordered=True, messages=60, shard=False):
    """Gradients of many micro-batches, and what was learned with them."""
    with joined("cpu") as here:
        ranks = type(here)(here.rank, here.size, ordered=ordered, sharded=shard)
        which = ("tiny", "float32", "cpu")
        backbone = load_sharded(*which, ranks.size) if shard else load_backbone(*which)
        layer = next(backbone.model.get_decoder().layers[0].parameters())
        held = layer.to_local().numel() / layer.numel() if shard else 1.0
        return _gradient(resident(backbone, ranks), messages), held


def _gradient(model, messages):
    given = [
        Message(i, i % 2, (i + 1,) * (60 + 31 * i % 200), (i % 7 + 1,), (3, i % 50, 4)[: 1 + i % 3])
        for i in range(messages)
    ]
    batches = _cut(model, given)
    assert len(batches) > 8 or messages < 9, len(batches)
    sign = torch.tensor([(-1.0) ** i * (1 + i % 3) for i in range(messages)])
    learned = accumulate(model, given, Weights(sign, torch.full((messages,), 0.1)), 1.0, Objective())
    found = [None if p.grad is None else p.grad.clone() for p in model.bank.parameters]
    return found, learned.loss, learned.entropy, learned.logprobs, learned.tokens


def disagree():
    with joined("cpu") as ranks:
        return ranks.alike(5), ranks.alike(ranks.rank), ranks.any(ranks.rank == 1), ranks.led(lambda: "first")
