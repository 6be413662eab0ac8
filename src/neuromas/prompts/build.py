"""What a node is told: its position and what it reads, from the one template file.

A prompt has two pieces. The prefix (position and question) is the same for all samples of a problem;
the suffix holds the messages of other nodes. Questions and messages are untrusted: control tokens in
them are broken (see ``models.codec``), a message is one line, so that it cannot forge another, and a line
of a question that looks like one of ours is quoted (see ``quote``).
"""

from __future__ import annotations

import hashlib
import re
import tomllib
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources

from neuromas.core.errors import PromptError
from neuromas.core.task import Problem
from neuromas.prompts.codec import Codec
from neuromas.topology.graph import Topology

STYLES = ("plain", "chat")
QUOTE = "> "
_NUMBERS = ("{layer}", "{depth}", "{index}", "{width}", "{label}")
_NUMBER = r"\s*\d+(?:\.\d+)*\s*"
# how chat templates without control tokens mark who speaks
_SPEAKERS = ("system", "developer", "user", "human", "assistant", "model", "ai", "bot", "tool")


@dataclass(frozen=True, slots=True)
class Prompt:
    """Token ids of a prompt, cut where samples of one problem begin to differ."""

    prefix: tuple[int, ...]
    suffix: tuple[int, ...]


@cache
def _template() -> tuple[Mapping[str, Mapping[str, str]], str]:
    """The template and its version: 12 digits of its hash."""
    raw = resources.files("neuromas.prompts").joinpath("template.toml").read_bytes()
    return tomllib.loads(raw.decode("utf-8")), hashlib.sha256(raw).hexdigest()[:12]


def template_version() -> str:
    """Identity of the template file; stored with every network."""
    return _template()[1]


def one_line(message: str) -> str:
    """A message as readers see it: one line, no control characters."""
    text = "".join(" " if unicodedata.category(c) in ("Cc", "Zl", "Zp") else c for c in message)
    return " ".join(text.split())


def quote(question: str, known: re.Pattern[str]) -> str:
    """The question with ``> `` before every line but the first that begins as a line of ours does.

    A question may have many lines (choices, tables, code), and all others stay as they are. A line that
    already looks so quoted is quoted once more: taking one ``> `` away gives the question back.
    """
    lines = question.splitlines(keepends=True)  # also at U+2028 and the like: a model may read them so
    return "".join([*lines[:1], *(QUOTE + line if known.match(_bare(line)) else line for line in lines[1:])])


@lru_cache(maxsize=1024)
def structure(frame: str | None = None) -> re.Pattern[str]:
    """What a line of ours begins with, in either style, for a line as ``_bare`` leaves it.

    ``frame`` is the text that a chat template puts around the user's: its lines and the names of speakers
    count, too.
    """
    texts = [text for style in STYLES for text in _template()[0][style].values()]
    starts = [_start(line) for text in texts for line in text.splitlines()]
    if frame is not None:
        for line in filter(str.strip, frame.splitlines()):
            starts.append(_loose(line) + (r"\s*$" if line.strip()[-1].isalnum() else ""))
        starts += [rf"{speaker}\s*:" for speaker in _SPEAKERS]
    return re.compile(rf"\s*(?:>\s*)*(?:{'|'.join(sorted(set(starts)))})")


def _start(line: str) -> str:
    """A pattern for the beginning of a template's line: its words, a position, and what follows that."""
    words, field, after, *_ = [*re.split(r"(\{\w+\})", line), "", ""]
    return _loose(words) + (_NUMBER + _loose(after) if field in _NUMBERS else "")


def _loose(text: str) -> str:
    """A pattern for these words and marks, however far apart."""
    return r"\s*".join(map(re.escape, re.findall(r"\w+|[^\w\s]", _bare(text))))


def _bare(line: str) -> str:
    """The line as an eye takes it in: compatible letters as one, lower case, nothing invisible."""
    plain = unicodedata.normalize("NFKC", line)
    return "".join(c for c in plain if c.isspace() or unicodedata.category(c)[0] not in "CM").casefold()


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
    header = _header(topology, node, text, one_line(answer_format))
    frame = codec.chat(header) if style == "chat" else None
    question = question_for(topology, node, problem)
    if question is not None and len(question.splitlines()) > 1:
        question = quote(question, structure("\n".join(map(codec.decode, frame)) if frame else None))
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
    if frame:
        prefix, suffix = frame[0] + codec.encode(asked), codec.encode(told + cue) + frame[1]
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
