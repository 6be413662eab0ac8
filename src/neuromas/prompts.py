"""What a node is told: its position and what it reads, from the one template file.

A prompt has two pieces. The prefix (position and question) is the same for all samples of a problem;
the suffix holds the messages of other nodes. Questions and messages are untrusted: control tokens in
them are broken (see ``models.codec``), and a message is one line, so that it cannot forge another.
"""

from __future__ import annotations

import hashlib
import tomllib
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

from neuromas.errors import PromptError
from neuromas.models.codec import Codec
from neuromas.task import Problem
from neuromas.topology import Topology

STYLES = ("plain", "chat")


@dataclass(frozen=True, slots=True)
class Prompt:
    """Token ids of a prompt, cut where samples of one problem begin to differ."""

    prefix: tuple[int, ...]
    suffix: tuple[int, ...]


@cache
def _template() -> tuple[Mapping[str, Mapping[str, str]], str]:
    """The template and its version: 12 digits of its hash."""
    raw = resources.files("neuromas").joinpath("template.toml").read_bytes()
    return tomllib.loads(raw.decode("utf-8")), hashlib.sha256(raw).hexdigest()[:12]


def template_version() -> str:
    """Identity of the template file; stored with every network."""
    return _template()[1]


def one_line(message: str) -> str:
    """A message as readers see it: one line, no control characters."""
    text = "".join(" " if unicodedata.category(c) in ("Cc", "Zl", "Zp") else c for c in message)
    return " ".join(text.split())


def question_for(topology: Topology, node: int, problem: Problem) -> str | None:
    """The part of the question this node sees, ``None`` if it sees none.

    Raises PromptError when the topology hands out more shares than the problem has parts.
    """
    spec = topology.nodes[node]
    if spec.question == "none":
        return None
    if spec.question == "all":
        return problem.question
    if spec.question == "stem":
        return problem.stem or None
    share, of = (int(number) for number in spec.question.split("/"))
    parts = problem.parts
    if len(parts) < of:
        raise PromptError(
            f"node {spec.name!r} reads share {spec.question} of the question, "
            f"but problem {problem.id!r} has {len(parts)} parts"
        )
    own = parts[(share - 1) * len(parts) // of : share * len(parts) // of]
    return " ".join(piece for piece in (problem.stem, *own) if piece)


def build_prompt(
    topology: Topology,
    node: int,
    problem: Problem,
    messages: Sequence[str],
    codec: Codec,
    *,
    style: str,
    answer_format: str,
) -> Prompt:
    """The prompt of ``node``; ``messages`` are those of ``topology.incoming(node)``, in that order."""
    text = _template()[0][style]
    header = _header(topology, node, text, answer_format)
    question = question_for(topology, node, problem)
    asked = "" if question is None else text["question"].replace("{question}", question)
    edges = topology.incoming(node)
    one_layer = len({topology.nodes[edge.source].layer for edge in edges}) == 1
    told = "".join(
        text["message"]
        .replace(
            "{label}", str(topology.nodes[edge.source].index) if one_layer else _place(topology, edge.source)
        )
        .replace("{text}", one_line(message))
        for edge, message in zip(edges, messages, strict=True)
    )
    cue = text["output_cue" if node == topology.sink else "hidden_cue"]
    if style == "chat":
        before, after = codec.chat(header)
        prefix, suffix = before + codec.encode(asked), codec.encode(told + cue) + after
    else:
        prefix = codec.start_ids + codec.encode(header + asked)
        suffix = codec.encode(told + cue)
    # without messages all samples share the whole prompt
    return Prompt(prefix, suffix) if edges else Prompt(prefix + suffix, ())


def check_fits(topology: Topology, node: int, prompt: Prompt, new_tokens: int, context: int) -> None:
    """Raises PromptError, naming the node, if prompt and message together overflow the context."""
    size = len(prompt.prefix) + len(prompt.suffix)
    if size + new_tokens > context:
        raise PromptError(
            f"node {topology.nodes[node].name!r}: a prompt of {size} tokens and a message of {new_tokens} "
            f"do not fit the model's context of {context}"
        )


def _place(topology: Topology, node: int) -> str:
    """Position as ``layer.index``: a node's name is the user's and never shown to a node."""
    spec = topology.nodes[node]
    return f"{spec.layer}.{spec.index}"


def _header(topology: Topology, node: int, text: Mapping[str, str], answer_format: str) -> str:
    """The structural line of a node."""
    spec = topology.nodes[node]
    readers = ", ".join(_place(topology, edge.target) for edge in topology.outgoing(node))
    return text["output" if node == topology.sink else "hidden"].format(
        layer=spec.layer,
        depth=topology.depth,
        index=spec.index,
        width=spec.width,
        readers=readers,
        format=answer_format,
    )
