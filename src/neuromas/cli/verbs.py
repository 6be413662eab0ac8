"""The commands: name and one line of help, in the order ``neuromas --help`` lists them.

Each is a module of this package with the command's name (and ``-`` as ``_``). It has ``add(parser)``, which
says what may be typed, and ``run(args) -> int``, which does it and returns the exit status. Only the chosen
command's module is imported, and what is heavy inside its ``run``: help and mistakes are answered at once.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Protocol, cast

VERBS: Mapping[str, str] = MappingProxyType(
    {
        "train": "train a network and report before and after",
        "evaluate": "evaluate a trained network greedily",
        "runs": "list runs with their figures",
        "show": "the test items of a run; with --item all that was read and written for one",
        "compare": "paired tests of any number of evaluations on the same items",
        "report": "any page of a report, as text, Markdown, CSV, LaTeX or JSON",
        "figure": "a figure of runs or of an experiment for a paper: SVG, PNG or PDF, and its numbers",
        "ask": "answer a question with a trained network",
        "chat": "ask a trained network in the terminal and see its messages as they are written",
        "serve": "answer over HTTP as OpenAI-compatible chat completions",
        "grow": "grow a trained network to a larger topology and train it on",
        "prune": "write a trained network without one of its nodes or edges",
        "lineage": "ancestors, growth and cost of a network",
        "experiment": "train arms with seeds side by side and compare them; continues where it stopped",
        "export": "a trained network as a folder to give away, with PEFT adapters and a model card",
        "clean": "remove from a finished run what only training it on would need",
        "recipes": "list the recipes that came along, or print one: neuromas recipes demo > mine.toml",
        "validate": "check a task without a model",
        "probe": "where a model stands on a task before training, and which stage to begin with",
        "topology": "draw a topology and say what it costs",
        "methods": "list ways to answer beside the network, or the options of one",
        "prompts": "print what every node of a network reads for one problem, token by token",
        "tasks": "list tasks, or the options of one",
        "schema": "JSON schema of a configuration or an experiment: editors complete TOML with it",
        "backbones": "list models that can be used here",
        "engine": "run or print the server of a configuration whose messages vLLM writes",
        "completion": "a script with which bash, zsh or fish completes commands, options and keys",
        "doctor": "what is installed, reachable, fast, and fits",
    }
)


class Command(Protocol):
    """What the module of a command has. ``add`` may set ``pairs`` to the name of its ``key=value`` words."""

    @staticmethod
    def add(parser: argparse.ArgumentParser) -> None:
        """Say what may be typed."""

    @staticmethod
    def run(args: argparse.Namespace) -> int:
        """Do it. Raises NeuromasError with one line."""
        ...


def command(verb: str) -> Command:
    """The module of a command of ``VERBS``."""
    return cast(Command, import_module(f"neuromas.cli.{verb.replace('-', '_')}"))
