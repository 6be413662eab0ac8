"""What nodes see of the question, changed: the same graph under another mode."""

from __future__ import annotations

from neuromas.topology.graph import Topology


def under(topology: Topology, mode: str) -> Topology:
    """The same nodes, edges and shown positions; nodes see what ``mode`` says (see ``Topology.build``).

    Raises TopologyError for another mode.
    """
    data = topology.to_dict()
    told = {node.name: node.shown_position for node in topology.nodes if node.shown_position is not None}
    return Topology.build([node["name"] for node in data["nodes"]], data["edges"], mode, told)
