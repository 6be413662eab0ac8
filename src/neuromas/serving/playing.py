"""Questions of persons played through a network, any number at once: what the service and the chat share."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from neuromas.core.episode import Episode, Turn
from neuromas.core.task import Problem
from neuromas.serving.draft import Draft
from neuromas.system.asking import as_trained, from_pieces, read_question
from neuromas.system.assemble import Assembly
from neuromas.system.listening import Listener
from neuromas.system.rollout import Pass, Sampling, play
from neuromas.tasks.saved import AskedTask
from neuromas.topology.graph import Topology


@dataclass(frozen=True, slots=True)
class Ask:
    """One question: temperature (0 is greedy), the seed of its draws, and how the answer is bounded.

    ``most`` caps the output node's tokens (None: its own budget); ``stops`` are texts before which it is cut.
    """

    problem: Problem
    temperature: float = 0.0
    seed: int = 0
    most: int | None = None
    stops: tuple[str, ...] = ()


class Player:
    """A network that answers questions. Equal asks are answered equally, whatever is played beside them.

    That is up to rounding: products of other shapes may round otherwise (docs/serving.md says how often).
    """

    def __init__(self, assembly: Assembly) -> None:
        """Opens what the form of the answer needs. Raises NeuromasError if that cannot be had."""
        self.assembly = assembly
        self.network = assembly.network
        self._task = AskedTask(assembly.task.answer_format)

    @property
    def topology(self) -> Topology:
        """Who reads whom."""
        return self.network.topology

    def problem(self, pieces: Sequence[str]) -> Problem:
        """The question in one text, its parts behind ``|``, or in pieces apart. Raises ConfigError."""
        shares = self.topology.shares
        asked = read_question(pieces[0], shares) if len(pieces) == 1 else from_pieces(pieces, shares)
        return as_trained(asked, self.assembly.config)

    def draft(self, node: int, stops: tuple[str, ...] = ()) -> Draft:
        """An empty draft of what the node will write."""
        return Draft(self.network.engine.codec.decode, self.network.ends(node), stops)

    def play(self, asked: Sequence[tuple[Ask, Listener]]) -> list[Episode]:
        """One rollout of all, which must have one temperature. An episode that failed has its cause."""
        passes = [
            Pass(replace(ask.problem, id=_name(ask.seed)), 0, listener=listener, most=ask.most)
            for ask, listener in asked
        ]
        return play(self.network, self._task, passes, Sampling(asked[0][0].temperature, 0))

    def fingerprint(self) -> str:
        """Sixteen digits for this network: its graph, texts, backbone and the weights of its adapters."""
        model, network = self.assembly.model, self.network
        hashed = hashlib.sha256()
        for text in (self.topology.digest, network.template.digest, network.style, model.backbone.digest):
            hashed.update(text.encode() + b"\0")
        for vector in model.bank.parameters:
            hashed.update(vector.detach().cpu().numpy().tobytes())
        return f"fp_{hashed.hexdigest()[:16]}"


def _name(seed: int) -> str:
    """The problem's name, from which its draws follow; that of seed 0 is the one ``neuromas ask`` uses."""
    return "ask" if seed == 0 else f"ask {seed}"


def told(topology: Topology, turn: Turn) -> dict[str, Any]:
    """One message for those who asked for the trace."""
    node = topology.nodes[turn.node]
    said: dict[str, Any] = {
        "node": node.name,
        "layer": node.layer,
        "text": turn.text,
        "tokens": turn.tokens_written,
        "prompt_tokens": turn.tokens_read,
        "truncated": turn.truncated,
    }
    return said if turn.output is None else {**said, "output": turn.output}
