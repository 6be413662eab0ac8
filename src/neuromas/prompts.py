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
    shown = own if problem.alone else (problem.stem, *own)
    return " ".join(piece for piece in shown if piece)


def build_prompt(
    topology: Topology,
    node: int,
    problem: Problem,
    messages: Sequence[str | None],
    codec: Codec,
    *,
    style: str,
    answer_format: str,
) -> Prompt:
    """The prompt of ``node``; ``messages`` are those of ``topology.incoming(node)``, in that order.

    None is a message that this episode does not show: the prompt is as if its edge did not exist.
    Messages stand in the order of the positions their writers are known by.
    """
    text = _template()[0][style]
    header = _header(topology, node, text, answer_format)
    question = question_for(topology, node, problem)
    asked = "" if question is None else text["question"].replace("{question}", question)
    edges = topology.incoming(node)
    shown = [(e.source, m) for e, m in zip(edges, messages, strict=True) if m is not None]
    shown.sort(key=lambda one: [int(number) for number in topology.label(one[0]).split(".")])
    labels = _labels(topology, [source for source, _ in shown])
    told = "".join(
        text["message"].replace("{label}", label).replace("{text}", one_line(message))
        for label, (_, message) in zip(labels, shown, strict=True)
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


def _labels(topology: Topology, sources: Sequence[int]) -> list[str]:
    """How a reader tells its messages apart: by index, or by layer and index if layers differ.

    Where kept positions coincide, the nodes' own positions take their place.
    """
    labels = [topology.label(source) for source in sources]
    if len(set(labels)) < len(labels):
        labels = [f"{topology.nodes[source].layer}.{topology.nodes[source].index}" for source in sources]
    if len({label.partition(".")[0] for label in labels}) == 1:
        return [label.partition(".")[2] for label in labels]
    return labels


def _header(topology: Topology, node: int, text: Mapping[str, str], answer_format: str) -> str:
    """The structural line of a node."""
    place = topology.place(node)
    return text["output" if node == topology.sink else "hidden"].format(
        layer=place.layer,
        depth=place.depth,
        index=place.index,
        width=place.width,
        readers=", ".join(place.readers),
        format=answer_format,
    )
