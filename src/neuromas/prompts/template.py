"""The texts nodes are told: the built-in ones (``template.toml``), or those of a user's own prompt file.

A prompt file is data: its placeholders are replaced by name, once, and nothing else of it is interpreted. It
may come out of a stranger's network, so its size is limited and its texts cannot act as control tokens
(``codec``) nor let one node's message pass for another's (``reading``).
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from neuromas.core.choices import STYLES
from neuromas.core.errors import PromptError, cut, unknown
from neuromas.prompts.codec import Codec
from neuromas.topology.graph import Topology

LINE, TURN = "line", "turn"
PLACE = ("layer", "depth", "index", "width", "readers", "format")
_FIELD = re.compile(r"\{\{(\w+)\}\}|\{(\w+)\}")
# what the built-in file does not hold, because its bytes are the identity of networks already trained
_MORE: Mapping[str, Mapping[str, Any]] = {
    "plain": {"system": "", "example": "Question: {question}\nAnswer: {answer}\n", "stop": (LINE,)},
    "chat": {"system": "", "example": "Question: {question}\nAnswer: {answer}\n", "stop": (TURN,)},
}


@dataclass(frozen=True, slots=True)
class Texts:
    """What one node is told, placeholders and all. ``stop`` are the rules that end its message."""

    system: str
    role: str
    header: str
    question: str
    message: str
    example: str
    cue: str
    stop: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Template:
    """The texts of a network. Two with equal ``digest`` are the same.

    ``nodes`` are the overrides, by node (see ``keys``); ``shown`` the nodes that read worked examples.
    ``name`` and ``source`` are those of the prompt file, both empty for the built-in texts.
    """

    digest: str
    styles: Mapping[str, Mapping[str, Any]] = field(compare=False, repr=False)
    nodes: Mapping[str, Mapping[str, Any]] = field(compare=False, repr=False, default_factory=dict)
    shown: tuple[str, ...] = field(compare=False, default=("sink",))
    roles: bool = field(compare=False, default=False)
    name: str = field(compare=False, default="")
    source: bytes = field(compare=False, repr=False, default=b"")

    def texts(self, topology: Topology, node: int, style: str) -> Texts:
        """Those of one node: its style's, then what is said for leaves or sink, its position, its name."""
        own = self.styles[style]
        kind = "output" if node == topology.sink else "hidden"
        found = Texts(
            system=own["system"],
            role="",
            header=own[kind],
            question=own["question"],
            message=own["message"],
            example=own["example"],
            cue=own[f"{kind}_cue"],
            stop=own["stop"],
        )
        for key in keys(topology, node) if self.nodes else ():
            if key in self.nodes:
                found = replace(found, **self.nodes[key])
        return found

    def shows_examples(self, topology: Topology, node: int) -> bool:
        """Whether the node is one of those that read worked examples."""
        return "all" in self.shown or not set(self.shown).isdisjoint(keys(topology, node))

    def lines(self) -> Iterator[str]:
        """Every line that a prompt of any node and style may have from here."""
        tables = [*self.styles.values(), *self.nodes.values()]
        for text in (value for table in tables for value in table.values() if isinstance(value, str)):
            yield from text.splitlines()

    @property
    def mark(self) -> str:
        """What a report says of it: nothing if it is built in, else ``roles (file.toml)`` or the file."""
        if not self.name:
            return ""
        return f"roles ({self.name})" if self.roles else self.name


def keys(topology: Topology, node: int) -> tuple[str, ...]:
    """The names a prompt file may call a node by, the most particular last.

    ``leaves`` read no message, ``sink`` answers, ``2/1`` is told that it is first in layer 2 (nodes of
    a grown network keep their numbers), and every node has its own name.
    """
    place = topology.place(node)
    kinds = ["leaves"] if not topology.incoming(node) else []
    kinds += ["sink"] if node == topology.sink else []
    return (*kinds, f"{place.layer}/{place.index}", topology.nodes[node].name)


@cache
def built_in() -> Template:
    """The package's own texts: structure only, never a role. The digest is that of their file."""
    raw = resources.files("neuromas.prompts").joinpath("template.toml").read_bytes()
    styles = tomllib.loads(raw.decode("utf-8"))
    return Template(hashlib.sha256(raw).hexdigest()[:12], {s: {**styles[s], **_MORE[s]} for s in STYLES})


def with_roles(template: Template, roles: Mapping[str, str], name: str) -> Template:
    """The template with these roles of nodes, by their names; reports call it ``roles (name)``."""
    nodes = {node: {**template.nodes.get(node, {}), "role": role} for node, role in roles.items()}
    told = hashlib.sha256(repr((template.digest, sorted(roles.items()))).encode()).hexdigest()[:12]
    return replace(template, digest=told, nodes={**template.nodes, **nodes}, roles=True, name=name)


def fill(text: str, values: Mapping[str, str]) -> str:
    """The text with ``{name}`` replaced by its value, all in one pass: a value's own braces are text.

    ``{{name}}`` is the text ``{name}``; any other brace is a brace.
    """

    def one(found: re.Match[str]) -> str:
        return f"{{{found[1]}}}" if found[1] else values.get(found[2], found[0])

    return _FIELD.sub(one, text) if "{" in text else text


def placeholders(text: str) -> list[str]:
    """Names of the placeholders of a text, in order."""
    return [name for _, name in _FIELD.findall(text) if name]


def ends(codec: Codec, stop: tuple[str, ...]) -> frozenset[int]:
    """Tokens that end a message under these rules; the end of a turn always does."""
    found = set(codec.end_ids)
    for rule in stop:
        if rule != TURN:
            found |= codec.line_end_ids if rule == LINE else codec.holding(rule)
    return frozenset(found)


def ended_text(text: str, stop: tuple[str, ...]) -> str:
    """A message that an end token ended, without what ended it and what that token had after it."""
    marks = ["[\r\n]" if rule == LINE else re.escape(rule) for rule in stop if rule != TURN]
    return re.split("|".join(marks), text, maxsplit=1)[0] if marks else text


def check_reached(template: Template, topology: Topology, style: str, codec: Codec) -> None:
    """Raises PromptError for a stop rule that no token of this tokenizer could ever fulfil."""
    for node in range(len(topology.nodes)):
        for rule in template.texts(topology, node, style).stop:
            if not ends(codec, (rule,)) if rule in (LINE, TURN) else not codec.holding(rule):
                what = "no token ends a turn" if rule == TURN else f"no single token holds {rule!r}"
                raise PromptError(
                    f"{template.name or 'the built-in prompts'}: stop = {rule!r} of node "
                    f"{topology.nodes[node].name!r} is never reached, because {what} of this backbone's "
                    f"tokenizer (valid: {LINE!r}, {TURN!r}, or text that one token holds, such as '.')"
                )


def check_nodes(template: Template, topologies: list[Topology]) -> None:
    """Raises PromptError if the file speaks of a node that is in none of the networks."""
    known = {key for graph in topologies for node in range(len(graph.nodes)) for key in keys(graph, node)}
    order = [*dict.fromkeys(["sink", "leaves"]), *sorted(known - {"sink", "leaves"})]
    for key in template.nodes:
        if key not in known:
            raise PromptError(cut(f"{template.name}: {unknown('node in nodes', key, order)}"))
    for key in template.shown:
        if key not in known and key != "all":
            raise PromptError(cut(f"{template.name}: {unknown('node in examples', key, ['all', *order])}"))


def file_name(path: str | Path) -> str:
    """The last part of a prompt file's path, by which reports call it."""
    return Path(path).name
