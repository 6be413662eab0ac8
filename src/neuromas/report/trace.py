"""One episode for reading: who said what to whom, and what it earned."""

from __future__ import annotations

from neuromas.core.episode import Episode, Turn
from neuromas.report.terminal import block, quoted, visible
from neuromas.topology.graph import Topology


def trace_text(topology: Topology, episode: Episode, width: int = 100) -> str:
    """The episode as lines for a terminal ``width`` cells wide, without a final newline.

    Every node in order: what it could read, by position, then its message and to whom it goes. All text
    of models and data stands behind a gutter with control characters escaped. Inputs are those of the
    topology; if an experiment blanked or shuffled messages, the trace shows what was written, not what
    was put in its place. Raises ValueError if the episode is of another network.
    """
    for turn in episode.turns:
        if not 0 <= turn.node < len(topology.nodes):
            raise ValueError(f"a turn of node {turn.node}, but the network has {len(topology.nodes)} nodes")
    said = {turn.node: turn for turn in episode.turns}
    lines = [f"question {visible(episode.problem.id)}, sample {episode.sample}"]
    lines += block(episode.problem.question, width=width)
    for row in range(len(topology.nodes)):
        lines += ["", *_node(topology, row, said, width)]
    return "\n".join([*lines, "", *_ending(episode, len(topology.nodes), width)])


def _node(topology: Topology, row: int, said: dict[int, Turn], width: int) -> list[str]:
    """One node: heading, inputs, message."""
    node, turn = topology.nodes[row], said.get(row)
    lines = [f"{visible(node.name)}  (layer {node.layer}, node {node.index} of {node.width})"]
    if node.question != "none":
        what = {"all": "the question", "stem": "what is asked, without the data"}
        lines.append(f"  reads {what.get(node.question, f'share {node.question} of the question')}")
    for edge in topology.incoming(row):
        source = said.get(edge.source)
        message = "nothing: it never spoke" if source is None else quoted(source.text, width - 28)
        lines.append(f"  reads {_place(topology, edge.source)}: {message}")
    if turn is None:
        return [*lines, "  never spoke"]
    if turn.cut_inputs:
        lines.append(f"  {turn.cut_inputs} of these messages cut to the token budget of the edge")
    heard_by = ", ".join(_place(topology, edge.target) for edge in topology.outgoing(row))
    verb = f"writes to {heard_by}" if heard_by else "answers"
    ending = ", cut off by its token budget" if turn.truncated else ""
    lines.append(f"  {verb} ({_n(len(turn.ids), 'token')}{ending}):")
    lines += block(turn.text, "    │ ", width) if turn.text else ["    (an empty message)"]
    if turn.output is not None:
        lines += ["  its program prints:", *block(turn.output, "    │ ", width)]
    return lines


def _place(topology: Topology, row: int) -> str:
    """A node by its position, as its readers know it."""
    node = topology.nodes[row]
    return f"layer {node.layer} node {node.index}"


def _n(count: int, thing: str) -> str:
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def _ending(episode: Episode, nodes: int, width: int) -> list[str]:
    """Answer, score, what it should have been, and the cost."""
    room = width - 20
    counts = [
        (len(episode.turns), "call"),
        (episode.prompt_tokens, "prompt token"),
        (episode.new_tokens, "new token"),
    ]
    if episode.tool_calls:
        counts.append((episode.tool_calls, "tool call"))
    cost = ", ".join(_n(count, thing) for count, thing in counts)
    if not episode.problem.answer and len(episode.turns) == nodes:  # asked by a person: no gold answer
        return [f"answer   {quoted(episode.turns[-1].text.strip(), room)}", f"cost     {cost}"]
    if episode.score is None:
        cause = "unknown cause" if episode.failure is None else quoted(episode.failure, room)
        return [f"failed   {cause}", "score    none: a failed episode counts in no mean", f"cost     {cost}"]
    parsed = episode.score.parsed
    understood = "nothing that could be understood" if parsed is None else quoted(parsed, room)
    return [
        f"answer   {understood}",
        f"expected {quoted(episode.problem.answer, room)}",
        f"score    {episode.score.value:g}",
        f"cost     {cost}",
    ]
