"""The prompt of a node as text and as tokens: its position, the question, what it reads.

A prompt has two pieces. The prefix (texts, worked examples, question) is the same for all samples of a
problem; the suffix holds the messages of other nodes. Questions and messages are untrusted: control tokens in
them are broken (see ``codec``), and no line of theirs can pass for one of ours (see ``boundary``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from neuromas.core.errors import PromptError
from neuromas.core.task import Problem
from neuromas.prompts.boundary import one_line, quote, structure
from neuromas.prompts.codec import Codec
from neuromas.prompts.template import Template, Texts, built_in, fill
from neuromas.topology.graph import Topology


@dataclass(frozen=True, slots=True)
class Wording:
    """How all nodes of a network are told: style, form of the answer, texts, worked examples."""

    style: str
    answer_format: str
    template: Template = field(default_factory=built_in)
    examples: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Prompt:
    """Token ids of a prompt, cut where samples of one problem begin to differ."""

    prefix: tuple[int, ...]
    suffix: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Section:
    """A piece of a prompt by name: ``system``, ``role``, ``header``, ``examples``, ``question``, …"""

    name: str
    text: str


def question_for(topology: Topology, node: int, problem: Problem) -> str | None:
    """The part of the question this node sees, ``None`` if it sees none.

    Raises PromptError when the topology hands out more shares than the problem has parts.
    """
    spec = topology.nodes[node]
    if spec.question == "none":
        return None
    if spec.question == "all":
        return problem.question
    if spec.question == "hints":
        return " ".join(piece for piece in (*problem.parts, problem.question) if piece)
    if spec.question == "stem":
        return (local_stem(topology, node, problem) or problem.stem) or None
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


def local_stem(topology: Topology, node: int, problem: Problem) -> str | None:
    """What ``problem.stems`` asks of this node, ``None`` if there is nothing for one in its place.

    Its level is the one of as many entries as its layer has nodes, each made of as many answers as it reads
    messages: with four parts, one that reads all four is asked for the whole, not "What is A + B?".
    """
    spec, read = topology.nodes[node], len(topology.incoming(node))
    sizes = (len(problem.parts), *map(len, problem.stems))
    for below, level in zip(sizes, problem.stems, strict=False):
        if len(level) == spec.width and below == read * spec.width:
            return level[spec.index - 1]
    return None


def build_prompt(
    topology: Topology,
    node: int,
    problem: Problem,
    messages: Sequence[str | None],
    codec: Codec,
    *,
    wording: Wording,
) -> Prompt:
    """The prompt of ``node``; ``messages`` are those of ``topology.incoming(node)``, in that order.

    None is a message that this episode does not show: the prompt is as if its edge did not exist.
    Messages stand in the order of the positions their writers are known by.
    """
    sections = layout(topology, node, problem, messages, codec, wording=wording)
    told = "".join(part.text for part in sections if part.name in _OWN)
    shared = "".join(part.text for part in sections if part.name in _SHARED)
    head = "".join(part.text for part in sections if part.name in _HEAD)
    if wording.style == "chat":
        before, after = _frame(codec, head)
        prefix, suffix = before + codec.encode(shared), codec.encode(told) + after
    else:
        prefix, suffix = codec.start_ids + codec.encode(head + shared), codec.encode(told)
    # without messages all samples share the whole prompt
    return Prompt(prefix, suffix) if topology.incoming(node) else Prompt(prefix + suffix, ())


_HEAD, _SHARED, _OWN = ("system", "role", "header"), ("examples", "question"), ("messages", "cue")


def layout(
    topology: Topology,
    node: int,
    problem: Problem,
    messages: Sequence[str | None],
    codec: Codec,
    *,
    wording: Wording,
) -> list[Section]:
    """The sections of a node's prompt in their order; what a node does not read is an empty one.

    In the chat style the first three are the system's text, the others the user's.
    """
    texts = wording.template.texts(topology, node, wording.style)
    place = _place(topology, node, wording)
    head = _head(texts, place)
    known = None
    if wording.style == "chat":
        frame = _frame(codec, "".join(part.text for part in head))
        known = "\n".join(map(codec.decode, frame))
    question = question_for(topology, node, problem)

    def asked(text: str, shown: str, **more: str) -> str:
        """A question in its text, with lines quoted that would pass for ours."""
        at_start = not text.partition("{question}")[0].rpartition("\n")[2].strip()
        if at_start or len(shown.splitlines()) > 1:
            shown = quote(shown, structure(known, wording.template), at_start)
        return fill(text, {"question": shown, **more})

    examples = ""
    for example in _examples(topology, node, problem, wording):
        shown = question_for(topology, node, example)
        if shown is not None:
            examples += asked(texts.example, shown, answer=one_line(example.answer))
    return [
        *head,
        Section("examples", examples),
        Section("question", "" if question is None else asked(texts.question, question)),
        Section("messages", _told(topology, node, messages, texts)),
        Section("cue", fill(texts.cue, place)),
    ]


def _frame(codec: Codec, system: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """What a chat has before and after the user's text. Raises PromptError."""
    try:
        return codec.chat(system)
    except Exception as error:  # a chat template is foreign code: whatever it raises, it cannot be used
        raise PromptError(f"the chat template cannot be used: {one_line(str(error))[:200]}") from error


def _head(texts: Texts, place: Mapping[str, str]) -> list[Section]:
    """System text, role and header; the first two are lines of their own."""
    lines = [("system", fill(texts.system, place)), ("role", fill(texts.role, place))]
    ended = [(name, text if not text or text.endswith("\n") else text + "\n") for name, text in lines]
    return [Section(name, text) for name, text in (*ended, ("header", fill(texts.header, place)))]


def _examples(topology: Topology, node: int, problem: Problem, wording: Wording) -> list[Problem]:
    """The worked examples that the node reads: never the problem itself, which would hand it the answer."""
    if not wording.examples or not wording.template.shows_examples(topology, node):
        return []
    asked = one_line(problem.question)
    return [one for one in wording.examples if one.id != problem.id and one_line(one.question) != asked]


def _told(topology: Topology, node: int, messages: Sequence[str | None], texts: Texts) -> str:
    """The messages that are shown, each on its line."""
    edges = topology.incoming(node)
    shown = [(e.source, m) for e, m in zip(edges, messages, strict=True) if m is not None]
    shown.sort(key=lambda one: [int(number) for number in topology.label(one[0]).split(".")])
    labels = _labels(topology, [source for source, _ in shown])
    return "".join(
        fill(texts.message, {"label": label, "text": one_line(message)})
        for label, (_, message) in zip(labels, shown, strict=True)
    )


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


def _place(topology: Topology, node: int, wording: Wording) -> dict[str, str]:
    """What a text may say of a node, and of the form of the answer."""
    place = topology.place(node)
    numbers = {key: str(getattr(place, key)) for key in ("layer", "depth", "index", "width")}
    form = one_line(wording.answer_format)
    return {**numbers, "readers": ", ".join(place.readers), "format": form}
