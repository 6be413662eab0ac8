"""Topologies from and to the outside: networkx graphs, and TOML or JSON files.

A file lists edges, and where it matters nodes and who reads the question::

    question = "first"                      # or "all", "split", or a table {a = "all", b = "none"}
    nodes = ["a", "b", "out"]               # optional: their order within a layer
    edges = [["a", "b"], ["b", "out", 32]]  # source, target, and optionally a token budget

The JSON form is the same; ``nodes`` may also be ``Topology.to_dict``'s list of names with questions.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuromas.errors import TopologyError, one_line, unknown
from neuromas.topology import Topology

if TYPE_CHECKING:
    import networkx

_KEYS = ("nodes", "edges", "question")
_WIDTHS = re.compile(r"\s*[0-9][0-9\s-]*")


def to_networkx(topology: Topology) -> networkx.DiGraph:
    """A directed graph of node names in topological order.

    Nodes carry ``question`` (and ``layer``, for layouts such as networkx's multipartite), edges
    ``budget`` where they have one of their own. ``from_networkx`` is the inverse.
    """
    import networkx

    graph = networkx.DiGraph()
    for node in topology.nodes:
        graph.add_node(node.name, question=node.question, layer=node.layer)
    for edge in topology.edges:
        budget = {} if edge.budget is None else {"budget": edge.budget}
        graph.add_edge(topology.nodes[edge.source].name, topology.nodes[edge.target].name, **budget)
    return graph


def from_networkx(graph: networkx.DiGraph) -> Topology:
    """Read a directed graph: node attribute ``question`` (default all), edge attribute ``budget``.

    Labels become names by ``str``; the order of nodes in a layer is that of the graph; other attributes
    are ignored. Raises TopologyError on an undirected or multigraph and on all that is no network, such
    as a cycle or two sinks.
    """
    if not graph.is_directed() or graph.is_multigraph():
        raise TopologyError(f"a topology is read from a simple directed graph, not {type(graph).__name__}")
    sees = {str(node): str(data.get("question", "all")) for node, data in graph.nodes(data=True)}
    edges = [(str(s), str(t), data.get("budget")) for s, t, data in graph.edges(data=True)]
    return Topology.build([str(node) for node in graph.nodes], edges, sees)


def load_topology(path_or_text: str | PathLike[str], question: str | None = None) -> Topology:
    """A topology from widths such as ``"2-2-1"`` or from a ``.toml`` or ``.json`` file.

    ``question`` ("all", "first" or "split") overrides what the file says; None leaves it to the file,
    and to "all" where that is silent. Raises TopologyError, one line, on a missing file, bad syntax, an
    unknown key, or an illegal network.
    """
    text = str(path_or_text)
    if _WIDTHS.fullmatch(text):
        return Topology.parse(text, "all" if question is None else question)
    path = Path(path_or_text)
    if path.suffix not in (".toml", ".json"):
        raise TopologyError(
            f"topology {text!r} is neither layer widths such as '2-2-1' nor a .toml or .json file"
        )
    try:
        return _from_data(_read(path), question)
    except TopologyError as error:
        raise TopologyError(f"{text}: {error}") from None


def _read(path: Path) -> Any:
    """The file's data, whatever its shape."""
    try:
        content = path.read_text(encoding="utf-8")
        return tomllib.loads(content) if path.suffix == ".toml" else json.loads(content)
    except OSError as error:
        raise TopologyError(f"cannot be read: {error.strerror or one_line(error)}") from None
    except (ValueError, RecursionError) as error:  # bad syntax, bad UTF-8, or nested without end
        raise TopologyError(f"is not valid {path.suffix[1:].upper()}: {one_line(error)}") from None


def _from_data(data: Any, question: str | None) -> Topology:
    """Check the file's shape and build from it."""
    if not isinstance(data, dict):
        raise TopologyError("holds no table with 'edges'")
    if extra := sorted(set(data) - set(_KEYS)):
        raise TopologyError(unknown("key", extra[0], _KEYS))
    edges = data.get("edges")
    if not isinstance(edges, list) or not all(isinstance(edge, list) for edge in edges):
        raise TopologyError("needs 'edges', a list of [source, target] or [source, target, tokens]")
    listed, sees = _nodes(data.get("nodes"))
    names = listed or list(dict.fromkeys(str(end) for edge in edges for end in edge[:2]))
    mode = data.get("question")
    if mode is not None and sees:
        raise TopologyError("says who reads the question twice: in 'question' and in 'nodes'")
    if isinstance(mode, dict):
        mode = {name: str(share) for name, share in mode.items()}
    elif mode is not None and not isinstance(mode, str):
        raise TopologyError(f"question {mode!r} is neither a mode nor a table of nodes")
    chosen: str | Mapping[str, str] = question if question is not None else (mode or sees or "all")
    return Topology.build(names, [tuple(edge) for edge in edges], chosen)


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
            raise TopologyError(f"node {node!r} is neither a name nor a table of 'name' and 'question'")
        names.append(str(node["name"]))
        if "question" in node:
            sees[names[-1]] = str(node["question"])
    return names, sees
