"""The network that is handed on, with the length of its messages and what was measured of its nodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from neuromas.report import influence
from neuromas.report.blocks import Cell, Shown, Table, percent
from neuromas.report.html.kept import Kept, Row, bearing, below, number, rows, scored
from neuromas.report.html.parts import Network, Note, Part
from neuromas.report.html.picture import Measured, drawing
from neuromas.topology.graph import Topology
from neuromas.topology.places import speakers

_TABLES = 4  # of influence: one an alteration and set of questions


def measured(run: Kept, topology: Topology) -> Measured:
    """What evaluations say of every node: length of its messages, and how often its step was right."""
    summary = _last(run)
    tokens = {
        row: value for row, one in enumerate(_tokens(summary, topology)) if (value := number(one)) is not None
    }
    local = local_shares(summary, topology)
    notes = {row: f"{value:.1f} tok" for row, value in tokens.items()}
    titles = {row: _title(row, topology, tokens, local) for row in range(len(topology.nodes))}
    return Measured(notes, titles, tokens, {row: one for row, (one, _) in local.items()})


def local_shares(summary: Row, topology: Topology) -> dict[int, tuple[float, int]]:
    """Of every node how often its message was its right local answer, and of how many; as far as measured."""
    places = {node.name: row for row, node in enumerate(topology.nodes)}
    found = {}
    for one in rows(summary.get("local")):
        share, of = (number(below(one, "right").get(key)) for key in ("share", "of"))
        if (
            share is not None
            and of
            and 0 <= share <= 1
            and isinstance(one, Mapping)
            and one.get("node") in places
        ):
            found[places[one["node"]]] = (share, int(of))
    return found


def network_parts(run: Kept, topology: Topology | None) -> list[Part]:
    """The drawing and a table of its nodes."""
    if topology is None:
        return [
            Note("the network is not known: no checkpoint was kept, and its shape stands in a file elsewhere")
        ]
    tables, notes = _influence(run, topology)
    found = measured(run, topology)
    if tables:
        found = replace(found, needed=influence.drawn(tables[0], topology))
    caption = (
        "Solid curves carry messages, as thick as these are long (mean tokens on test questions, in the "
        "boxes); dashed ones carry the question. A number on a curve is a token budget or the share of the "
        "question."
    )
    if found.shares:
        caption += " The bar at the foot of a box is how often its message is its right local answer."
    if found.needed is not None:
        caption += f" {found.needed.legend}"
    parts: list[Part] = [Network(drawing(topology, found), caption)]
    if not found.tokens:
        parts.append(Note("message lengths are not measured yet: they come with the first evaluation"))
    return [*parts, _table(run, topology), *map(influence.table, tables), *map(Note, notes)]


def _influence(run: Kept, topology: Topology) -> tuple[list[influence.Influence], list[str]]:
    """What was measured of single nodes' messages, and what was not, with the command that measures it."""
    if not run.checkpoint:
        return [], []
    found: list[influence.Influence] = []
    notes: list[str] = []
    with bearing(notes, "the influence of single nodes"):
        kept = influence.Kept(
            {name: one.summary for name, one in run.evaluations.items()},
            lambda name: scored(run.evaluations[name].items),
            run.checkpoint,
        )
        found, left = influence.influences(kept, topology)
        notes += left
    known = {one.node for table in found[:1] for one in table.needs}
    missing = [name for name in speakers(topology) if name not in known]
    if missing:
        who = "single nodes" if not known else ", ".join(missing[:20]) + (" …" if len(missing) > 20 else "")
        measure = influence.command(str(run.run.path))
        notes.append(f"how much the answer needs the messages of {who} is not measured yet: {measure}")
    return found[:_TABLES], notes


def _table(run: Kept, topology: Topology) -> Table:
    """A row a node: what it reads, how long it writes, what training moved."""
    summary, before = _last(run), run.evaluations.get("test-before")
    now = _tokens(summary, topology)
    was = _tokens(before.summary if before else {}, topology)
    cut = rows(summary.get("truncated"))
    local = local_shares(summary, topology)
    metrics = run.lines["metrics.jsonl"]
    adapters = rows(run.manifest.get("assignment"))
    body: list[tuple[Cell, ...]] = []
    for row, node in enumerate(topology.nodes):
        reads = ", ".join(topology.nodes[edge.source].name for edge in topology.incoming(row)) or "–"
        question = {"all": "whole", "none": "–", "stem": "stem"}.get(node.question, node.question)
        adapter = adapters[row] if row < len(adapters) else None
        share = local.get(row)
        body.append(
            (
                *(node.name, question, reads, _at(was, row), _at(now, row)),
                _percent(cut[row]) if row < len(cut) else None,
                *((None if share is None else Shown(percent(share[0]), share[0]),) if local else ()),
                _entropy(metrics, row),
                adapter if isinstance(adapter, int) else None,
            )
        )
    columns = (
        *("node", "question", "reads", "tokens before", "tokens after", "cut off"),
        *(("local step right",) if local else ()),
        *("entropy, last step", "adapter"),
    )
    return Table(columns, tuple(body), "nodes")


def _last(run: Kept) -> Row:
    """The summary of the last evaluation there is: after training, else the last validation, else before."""
    after = run.evaluations.get("test-after")
    if after is not None:
        return after.summary
    checks = run.lines["validation.jsonl"]
    before = run.evaluations.get("test-before")
    return checks[-1] if checks else before.summary if before else {}


def _tokens(summary: Row, topology: Topology) -> list[object]:
    """Mean tokens of every node's messages; none where they are of another network."""
    found = rows(summary.get("message_tokens"))
    return found if len(found) == len(topology.nodes) else []


def _title(
    row: int, topology: Topology, tokens: Mapping[int, float], local: Mapping[int, tuple[float, int]]
) -> str:
    node = topology.nodes[row]
    words = [f"{node.name}: layer {node.layer}, node {node.index} of {node.width}"]
    if row in tokens:
        words.append(f"{tokens[row]:.1f} tokens a message")
    if row in local:
        words.append(f"local step right in {percent(local[row][0])} of {local[row][1]}")
    return "; ".join(words)


def _at(values: list[object], row: int) -> Shown | None:
    value = number(values[row]) if row < len(values) else None
    return None if value is None else Shown(f"{value:.1f}", value)


def _percent(value: object) -> Shown | None:
    found = number(value)
    return None if found is None else Shown(f"{100 * found:.0f} %", found)


def _entropy(metrics: tuple[Row, ...], row: int) -> Shown | None:
    """Nats a token of a node's messages at the last step that says so."""
    for line in reversed(metrics[-20:]):
        values = rows(line.get("node_entropy"))
        value = number(values[row]) if row < len(values) else None
        if value is not None:
            return Shown(f"{value:.3f}", value)
    return None
