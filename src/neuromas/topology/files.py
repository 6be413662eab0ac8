"""Topologies from and to the outside: networkx graphs, and TOML, JSON or GraphML files.

A file lists edges, and where it matters nodes and who reads the question::

    question = "first"                      # or another mode, or a table {a = "all", b = "none"}
    nodes = ["a", "b", "out"]               # optional: their order within a layer
    edges = [["a", "b"], ["b", "out", 32], ["a", "out", {gate = 0.5}]]
                                            # source, target, and optionally a token budget or settings

The JSON form is the same; ``nodes`` may also be ``Topology.to_dict``'s list of names with questions.
GraphML is what networkx, yEd or Gephi write: directed edges, node data ``question``, edge data ``budget``,
``gate`` and ``fallback`` (``spare`` until 0.2.0). A file is a shape: positions shown to nodes of a grown
network are not in it.
"""

from __future__ import annotations

import io
import json
import tomllib
import warnings
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from xml.parsers import expat

from neuromas.core.errors import TopologyError, cut, one_line, plain, shown, unknown
from neuromas.core.files import read_bytes
from neuromas.storage import write_atomic
from neuromas.topology.graph import Edge, Topology
from neuromas.topology.shapes import FORMS, build_shape, is_shape

if TYPE_CHECKING:
    import networkx

_KEYS = ("nodes", "edges", "question")
_SETTINGS = ("budget", "gate", "fallback")
SUFFIXES = (".toml", ".json", ".graphml")


def to_networkx(topology: Topology) -> networkx.DiGraph:
    """A directed graph of node names in topological order.

    Nodes carry ``question`` (and ``layer``, for layouts such as networkx's multipartite), edges
    ``budget``, ``gate`` and ``fallback`` where they have their own. ``from_networkx`` is the inverse.
    """
    import networkx

    graph = networkx.DiGraph()
    for node in topology.nodes:
        graph.add_node(node.name, question=node.question, layer=node.layer)
    for edge in topology.edges:
        graph.add_edge(topology.nodes[edge.source].name, topology.nodes[edge.target].name, **_own(edge))
    return graph


def _own(edge: Edge) -> dict[str, Any]:
    """The settings in which an edge differs from a plain one."""
    plain = Edge(edge.source, edge.target)
    return {key: getattr(edge, key) for key in _SETTINGS if getattr(edge, key) != getattr(plain, key)}


def from_networkx(graph: networkx.DiGraph, question: str | None = None) -> Topology:
    """Read a directed graph: node attribute ``question`` (default all), edges' ``budget, gate, fallback``.

    ``question`` is a mode that overrides the attributes. Labels become names by ``str``; the order of
    nodes in a layer is that of the graph; other attributes are ignored. Raises TopologyError on an
    undirected or multigraph and on all that is no network, such as a cycle or two sinks.
    """
    if not graph.is_directed() or graph.is_multigraph():
        raise TopologyError(f"a topology is read from a simple directed graph, not {type(graph).__name__}")
    sees = {str(node): str(data.get("question", "all")) for node, data in graph.nodes(data=True)}
    edges = [
        (str(s), str(t), {key: data[key] for key in (*_SETTINGS, "spare") if key in data})
        for s, t, data in graph.edges(data=True)
    ]
    return Topology.build([str(node) for node in graph.nodes], edges, sees if question is None else question)


def load_topology(path_or_text: str | PathLike[str], question: str | None = None) -> Topology:
    """A topology from a shape such as ``"2-2-1"`` (see ``shapes``) or a .toml, .json or .graphml file.

    The JSON form itself, which begins with ``{``, is a shape, too.

    ``question`` (a mode, such as "split") overrides what the file says; None or "auto" leaves it to
    the file, and to "all" where that is silent. Raises TopologyError, one line, on a missing file, bad
    syntax, an unknown key, or an illegal network.
    """
    return _load(path_or_text, question)[0]


def agreed_topology(path_or_text: str | PathLike[str], question: str = "auto") -> Topology:
    """``load_topology``, but a mode that contradicts what the file says is refused with TopologyError."""
    topology, speaks = _load(path_or_text, question)
    if speaks and question != "auto" and topology != load_topology(path_or_text):
        raise TopologyError(
            f"question = {question!r} contradicts {cut(str(path_or_text), 120)!r}, which says itself who "
            "reads the question; leave the mode out ('auto'), or change the file"
        )
    return topology


def says_question(path_or_text: str | PathLike[str]) -> bool:
    """Whether this is a topology file that says who reads the question. Raises TopologyError."""
    return _load(path_or_text, None)[1]


def _load(path_or_text: str | PathLike[str], question: str | None) -> tuple[Topology, bool]:
    """The topology, and whether it comes from a file that says who reads the question."""
    text = str(path_or_text)
    if inline(text):
        return _from_data(_data(text.encode("utf-8"), ".json"), None if question == "auto" else question)
    path = Path(path_or_text)
    mode = None if question == "auto" else question
    if path.suffix not in SUFFIXES:
        if is_shape(text):
            return build_shape(text, "all" if mode is None else mode), False
        raise TopologyError(
            f"topology {shown(text)} is neither layer widths such as '2-2-1' nor another shape nor a "
            f".toml, .json or .graphml file; a shape is {FORMS}"
        )
    try:
        content = _read(path)
        if path.suffix == ".graphml":
            graph = _graphml(content)
            return from_networkx(graph, mode), any("question" in data for _, data in graph.nodes(data=True))
        return _from_data(_data(content, path.suffix), mode)
    except TopologyError as error:
        raise TopologyError(f"{cut(text, 300)}: {error}") from None


def inline(text: str) -> bool:
    """Whether a shape is the JSON form itself, in place of a file that holds it."""
    return text.startswith("{")


def as_shape(topology: Topology) -> str:
    """The JSON form in one line: a shape that needs no file, such as that of a grafted network."""
    return json.dumps(_plain_form(topology), separators=(",", ":"))


def short(shape: str) -> str:
    """A shape as it is shown: ``2-2-1``, a file's name, ``3-1-1 with 4 edges`` for the JSON form."""
    return str(load_topology(shape)) if inline(shape) else shape


def _plain_form(topology: Topology) -> dict[str, Any]:
    """Nodes with what they see, and edges; without positions of a grown network."""
    data = topology.to_dict()
    return {**data, "nodes": [{k: node[k] for k in ("name", "question")} for node in data["nodes"]]}


def save_topology(topology: Topology, path: str | PathLike[str]) -> None:
    """Write a ``.toml``, ``.json`` or ``.graphml`` file that ``load_topology`` reads as an equal topology.

    The file is there whole or not at all. Raises TopologyError on another suffix or a missing folder.
    """
    target = Path(path)
    if target.suffix not in SUFFIXES:
        raise TopologyError(f"cannot write topology {str(path)!r}: name a {', '.join(SUFFIXES)} file")
    if not target.parent.is_dir():
        raise TopologyError(
            f"cannot write topology {str(path)!r}: the folder {str(target.parent)!r} does not exist"
        )
    if target.suffix == ".graphml":
        import networkx

        lines = networkx.generate_graphml(to_networkx(topology))
        text = "\n".join(["<?xml version='1.0' encoding='utf-8'?>", *lines]) + "\n"
    elif target.suffix == ".toml":
        text = _as_toml(topology)
    else:
        text = json.dumps(_plain_form(topology), indent=1) + "\n"
    write_atomic(target, text)


def _as_toml(topology: Topology) -> str:
    """Names and questions need no escapes in TOML's strings: ``Topology`` allows only plain characters."""
    nodes = [f'    {{name = "{node.name}", question = "{node.question}"}},' for node in topology.nodes]
    edges = []
    for edge in topology.edges:
        ends = f'"{topology.nodes[edge.source].name}", "{topology.nodes[edge.target].name}"'
        own = _own(edge)
        if not own.keys() <= {"budget"}:
            table = ", ".join(f"{key} = {json.dumps(value)}" for key, value in own.items())
            edges.append(f"    [{ends}, {{{table}}}],")
        else:
            edges.append(f"    [{ends}, {edge.budget}]," if own else f"    [{ends}],")
    return "\n".join(["nodes = [", *nodes, "]", "edges = [", *edges, "]", ""])


def _read(path: Path) -> bytes:
    """The file's content."""
    try:
        return read_bytes(path)
    except OSError as error:
        raise TopologyError(f"cannot be read: {error.strerror or one_line(error)}") from None


def _data(content: bytes, suffix: str) -> Any:
    """What a TOML or JSON file holds, whatever its shape."""
    try:
        text = content.decode("utf-8")
        return tomllib.loads(text) if suffix == ".toml" else json.loads(text)
    except (ValueError, RecursionError) as error:  # bad syntax, bad UTF-8, or nested without end
        raise TopologyError(f"is not valid {suffix[1:].upper()}: {one_line(error)}") from None


def _graphml(content: bytes) -> networkx.DiGraph:
    """The graph of a GraphML file, its keys' defaults filled in.

    networkx parses with the standard library, which expands entities; they can only be declared in a
    DOCTYPE, no GraphML writer needs one, and so a file that has one is refused.
    """
    import networkx

    try:
        _scan(content)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of ports, and keys without a type
            graph = networkx.read_graphml(io.BytesIO(content))
        # networkx reads defaults and does not apply them
        for _, data in graph.nodes(data=True):
            data.update({**graph.graph.get("node_default", {}), **data})
        for _, _, data in graph.edges(data=True):
            data.update({**graph.graph.get("edge_default", {}), **data})
    except TopologyError:
        raise
    except Exception as error:  # a foreign parser: whatever it raises, the file is at fault
        raise TopologyError(f"is not valid GraphML: {one_line(error)}") from None
    return graph


def _scan(content: bytes) -> None:
    """Raises TopologyError at a DOCTYPE, before any entity can act, and for edges of undeclared nodes.

    networkx would make such an end, a typing error as a rule, a node of its own.
    """
    nodes: set[str | None] = set()
    ends: list[str | None] = []

    def refuse(*_: object) -> NoReturn:
        raise TopologyError("has a DOCTYPE, which GraphML does not need; remove it")

    def element(name: str, attributes: Mapping[str, str]) -> None:
        kind = name.rpartition(":")[2]
        if kind == "node":
            nodes.add(attributes.get("id"))
        elif kind == "edge":
            ends.extend((attributes.get("source"), attributes.get("target")))

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = element
    parser.Parse(content, True)
    for end in ends:
        if end is None or end not in nodes:
            raise TopologyError(unknown("node in an edge", end, (str(node) for node in nodes)))


def _from_data(data: Any, question: str | None) -> tuple[Topology, bool]:
    """Check the file's shape and build from it; and whether it says who reads the question."""
    if not isinstance(data, dict):
        raise TopologyError("holds no table with 'edges'")
    if extra := sorted(set(data) - set(_KEYS)):
        raise TopologyError(unknown("key", extra[0], _KEYS))
    edges = data.get("edges")
    if not isinstance(edges, list) or not all(isinstance(edge, list) for edge in edges):
        raise TopologyError("needs 'edges', a list of [source, target] or [source, target, tokens]")
    listed, sees = _nodes(data.get("nodes"))
    names = listed or list(dict.fromkeys(plain(end) for edge in edges for end in edge[:2]))
    mode = data.get("question")
    if mode is not None and sees:
        raise TopologyError("says who reads the question twice: in 'question' and in 'nodes'")
    if isinstance(mode, dict):
        mode = {name: plain(share) for name, share in mode.items()}
    elif mode is not None and not isinstance(mode, str):
        raise TopologyError(f"question {shown(mode)} is neither a mode nor a table of nodes")
    said: str | Mapping[str, str] = sees if mode is None else mode
    speaks = said != {}
    chosen = question if question is not None else (said if speaks else "all")
    return Topology.build(names, [tuple(edge) for edge in edges], chosen), speaks


def _nodes(listed: Any) -> tuple[list[str], dict[str, str]]:
    """Names, and what each sees of the question if the list says so."""
    if listed is None:
        return [], {}
    if not isinstance(listed, list) or not listed:
        raise TopologyError("'nodes' is not a list of names")
    names: list[str] = []
    sees: dict[str, str] = {}
    for node in listed:
        if isinstance(node, str):
            names.append(node)
            continue
        if not isinstance(node, dict) or "name" not in node or set(node) - {"name", "question"}:
            raise TopologyError(f"node {shown(node)} is neither a name nor a table of 'name' and 'question'")
        names.append(plain(node["name"]))
        if "question" in node:
            sees[names[-1]] = plain(node["question"])
    return names, sees
