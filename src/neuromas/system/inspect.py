"""What every node reads for one problem, section by section, before anything is generated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from neuromas.core.task import Problem
from neuromas.prompts.build import Section, Wording, build_prompt, layout
from neuromas.prompts.codec import Codec
from neuromas.system.tools import shown_with
from neuromas.topology.graph import Edge, Topology


@dataclass(frozen=True, slots=True)
class Piece:
    """A section of a prompt, its text as the model reads it, and its tokens.

    In the chat style ``template`` is what the tokenizer's own template puts around; it holds the system text.
    """

    name: str
    text: str
    tokens: int


@dataclass(frozen=True, slots=True)
class NodePrompt:
    """What a node reads. ``prefix`` and ``suffix`` are the token ids that an engine would get.

    Where messages are not known (``whole`` is False) they are read as empty: ``messages`` says how many
    tokens they have at most, ``suffix`` holds what stands around them.
    """

    row: int
    pieces: tuple[Piece, ...]
    prefix: tuple[int, ...]
    suffix: tuple[int, ...]
    messages: int
    budget: int
    whole: bool

    @property
    def tokens(self) -> int:
        """Tokens of the whole prompt without messages that are not known."""
        return len(self.prefix) + len(self.suffix)

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "sections": [{"name": p.name, "text": p.text, "tokens": p.tokens} for p in self.pieces],
            "tokens": self.tokens,
            "messages_at_most": self.messages,
            "writes_at_most": self.budget,
            "prefix_ids": list(self.prefix),
            "suffix_ids": list(self.suffix) if self.whole else None,
        }


Said = Callable[[Edge], str | None]


def nothing_said(edge: Edge) -> str | None:
    """No message is known."""
    return None


def heard(codec: Codec, edge: Edge, text: str, ids: Sequence[int], output: str | None = None) -> str:
    """A message as the reader of an edge sees it: cut to the edge's budget, its output behind it."""
    cut = text if edge.budget is None or len(ids) <= edge.budget else codec.decode(ids[: edge.budget])
    return shown_with(cut, output)


def inspect(
    topology: Topology,
    problem: Problem,
    codec: Codec,
    *,
    wording: Wording,
    budgets: tuple[int, int],
    said: Said = nothing_said,
) -> list[NodePrompt]:
    """The prompt of every node, in order; ``budgets`` are most tokens of a message and of the answer.

    ``said`` gives the message of an edge as its reader sees it, None where it is not known.
    Raises PromptError.
    """
    found = []
    for row in range(len(topology.nodes)):
        edges = topology.incoming(row)
        messages = [said(edge) for edge in edges]
        whole = all(message is not None for message in messages)
        read = [message or "" for message in messages]
        prompt = build_prompt(topology, row, problem, read, codec, wording=wording)
        limits = [topology.message_budget(edge.source, budgets[0]) for edge in edges]
        most = sum(min(limit, edge.budget or limit) for limit, edge in zip(limits, edges, strict=True))
        shown = read
        if not whole:
            names = [topology.nodes[edge.source].name for edge in edges]
            shown = [f"‹message of {name}›" for name in names]
        texts = layout(topology, row, problem, shown, codec, wording=wording)
        counted = layout(topology, row, problem, read, codec, wording=wording)
        pieces = _pieces(codec, wording.style, texts, counted)
        answers = row == topology.sink
        found.append(
            NodePrompt(
                row=row,
                pieces=tuple(pieces),
                prefix=prompt.prefix,
                suffix=prompt.suffix,
                messages=0 if whole else most,
                budget=budgets[1] if answers else topology.message_budget(row, budgets[0]),
                whole=whole,
            )
        )
    return found


def _pieces(codec: Codec, style: str, texts: Sequence[Section], counted: Sequence[Section]) -> list[Piece]:
    """The sections that are there; a token across a border counts to the later one."""
    both = list(zip(texts, counted, strict=True))
    head, shared, own = both[:3], both[3:5], both[5:]
    if style == "chat":
        before, after = codec.chat("".join(part.text for part, _ in head))
        frame = [Piece("template", codec.spell(before), len(before))]
        return [
            *frame,
            *_counted(codec, shared),
            *_counted(codec, own),
            Piece("template", codec.spell(after), len(after)),
        ]
    start = [Piece("start", codec.spell(codec.start_ids), len(codec.start_ids))] if codec.start_ids else []
    return [*start, *_counted(codec, [*head, *shared]), *_counted(codec, own)]


def _counted(codec: Codec, sections: Sequence[tuple[Section, Section]]) -> list[Piece]:
    """Sections that are encoded as one text, each with the tokens it adds."""
    found, text, before = [], "", 0
    for shown, real in sections:
        text += real.text
        after = len(codec.encode(text))
        if shown.text:
            found.append(Piece(shown.name, shown.text, after - before))
        before = after
    return found
