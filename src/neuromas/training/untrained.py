"""A network that is asked without any training: made from a configuration, kept as a run of no step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neuromas.config import Config
from neuromas.core.task import Task
from neuromas.growth.stages import without_steps
from neuromas.storage import Run
from neuromas.system.assemble import Assembly, assemble
from neuromas.system.prompting import keep_copy, prompt_facts
from neuromas.system.provenance import about, code_of, command, digests
from neuromas.training.checkpoints import Checkpointer
from neuromas.training.state import TrainState


@dataclass(frozen=True, slots=True)
class Untrained:
    """A network with new adapters, which change nothing yet, and what a run would note of it."""

    config: Config
    assembly: Assembly
    facts: Mapping[str, Any]

    @classmethod
    def of(cls, config: Config, *, task: Task | None = None) -> Untrained:
        """The network of a configuration, whatever steps that has. Raises NeuromasError with one line."""
        config = without_steps(config)
        sources = digests(config)  # before they are read
        assembly = assemble(config, task=task)
        prompts = prompt_facts(assembly.network, config.network.prompt)
        facts = {
            **about(assembly.model.backbone.dtype),
            "command": command(),
            "inputs": sources,
            **code_of(assembly.task),
            **prompts,
        }
        return cls(config, assembly, facts)

    def keep(self, directory: Path) -> Run:
        """A run of no step, with its checkpoint. Raises RunError where no run can begin."""
        with Run.begin(directory, self.config.model_dump(mode="json"), self.facts) as run:
            keep_copy(run.path, self.assembly.network.template)
            Checkpointer(run, TrainState.new(self.assembly, self.config)).save()
            return run
