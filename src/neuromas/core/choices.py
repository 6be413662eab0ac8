"""What may be chosen by name in more than one place: configuration, command line and library read it here.

Where a choice is a registry of its own (tasks, estimators, engines), that registry is its home.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypedDict, get_args

Style = Literal["plain", "chat"]  # prompts as text that goes on, or by the model's chat template
STYLES: tuple[Style, ...] = get_args(Style)

Share = Literal["node", "layer", "all"]  # who has an adapter of its own
SHARES: tuple[Share, ...] = get_args(Share)

# who reads what of the question; auto: as the topology says
Question = Literal["auto", "all", "first", "split", "branches", "branches2", "layers", "hints"]
QUESTIONS: tuple[Question, ...] = get_args(Question)
QUESTION_MODES: tuple[Question, ...] = tuple(mode for mode in QUESTIONS if mode != "auto")

Messages = Literal["none", "blank", "shuffle"]  # what an evaluation does to messages: nothing, or a control
MESSAGES: tuple[Messages, ...] = get_args(Messages)

Told = Literal["own", "swapped"]  # which position an evaluation tells nodes: theirs, or a neighbour's
TOLD: tuple[Told, ...] = get_args(Told)


class Altered(TypedDict, total=False):
    """What an evaluation of a network may alter beside all of its messages, as keywords of ``evaluate``.

    ``positions`` is one of ``TOLD``; ``nodes`` are the names of those whose messages are altered (None: all).
    """

    positions: str
    nodes: Sequence[str] | None


Positions = Literal["keep", "renumber"]  # of trained nodes, when a network grows
POSITIONS: tuple[Positions, ...] = get_args(Positions)

Lift = Literal["linear", "reward", "steps", "held"]  # how the probability of a stage's last view rises
LiftDraw = Literal["episode", "problem"]  # for what it is drawn which nodes read the last view

# how a node's part in the reward is told, see docs/training.md
Credit = Literal["shared", "difference", "solo", "counterfactual", "c3"]

Tracker = Literal["tensorboard", "wandb", "trackio"]
TRACKERS: tuple[Tracker, ...] = get_args(Tracker)
