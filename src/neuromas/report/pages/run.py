"""One run: before and after, the message controls, alarms, three examples, and where it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from neuromas.config import make_config
from neuromas.core.errors import NeuromasError
from neuromas.report.blocks import Block, Cell, Table, Text, difference, number, percent, share
from neuromas.report.lineage import sharing_lines
from neuromas.report.pages import Page, one_path
from neuromas.report.reading import marked, origins, prompt_mark, read_evaluation, readable
from neuromas.report.stages import LOGS, stages_table
from neuromas.report.tables import failures, paired, paired_line
from neuromas.report.terminal import quoted
from neuromas.report.writers import as_text
from neuromas.storage import MANIFEST, Run, read_json
from neuromas.topology.files import short

Items = Sequence[Mapping[str, Any]]
_EXAMPLES = 3
_EVENTS = 12
_SUMMARY = (  # what a run's report shows
    *("accuracy", "interval", "majority", "first_option", "parse_failures", "calls"),
    *("prompt_tokens", "new_tokens", "message_tokens"),
)
_ITEM = ("id", "question", "score", "gold", "messages")
_CONTROLS = (("blank", "blanked"), ("shuffle", "shuffled"))


def run_report(run: Run) -> str:
    """The page of a run as plain text, without a final newline.

    Raises RunError with one line if the run is not finished or what it holds is damaged.
    """
    return as_text(run_blocks(run))


def run_blocks(run: Run) -> list[Block]:
    """The page of a run. Raises RunError as ``run_report`` does."""
    with readable(f"run {str(run.path)!r}"):
        return _blocks(run)


def _blocks(run: Run) -> list[Block]:
    """The same, of a run that has its keys."""
    before, items_before = read_evaluation(run, "test-before", _SUMMARY, _ITEM)
    after, items_after = read_evaluation(run, "test-after", _SUMMARY, _ITEM)
    test, interval, count = paired(items_before, items_after)
    gain = difference(test.difference, None if interval is None else asdict(interval))
    row = (gain, test.p_value, test.wins, test.losses, test.ties, count, test.method)
    controls = [(words, *_control(run, name)) for name, words in _CONTROLS if _has(run, name)]
    return [
        Text((_head(run), *_shared(run))),
        *_stages(run),
        _table(before, after),
        Text(
            (
                "gain      " + paired_line(test, interval, count),
                *_control_lines(controls, before["accuracy"] or 0.0, after["accuracy"]),
                *(
                    f"failed {when}: {failures(s)}"
                    for when, s in (("before", before), ("after", after))
                    if s["failed"]
                ),
                *_events(run),
            )
        ),
        Table(("gain", "p", "won", "lost", "tied", "items", "test"), (row,), "gain", aside=True),
        *_aside(controls),
        *_examples(items_before, items_after, origins(run)),
        Text((f"run directory: {run.path}",)),
    ]


def _head(run: Run) -> str:
    """One line: what was trained, how long, and which of its states was tested."""
    config = make_config(run.read("config.json"))
    status = {"best": None, "step": 0, "seconds": 0.0, **run.read("status.json")}
    best = status["best"] if status["best"] is not None else status["step"]
    shapes = [short(shape) for shape, _ in config.shapes]
    network = marked(" -> ".join(shapes), prompt_mark(run))
    return (
        f"{config.task.name} · network {network} (question: {config.network.question}) · "
        f"{config.model.backbone} · seed {config.seed} · {status['step']} steps, checkpoint of step {best} · "
        f"{status['seconds']:.0f} s of training"
    )


def _shared(run: Run) -> list[str]:
    """Which nodes of the network that was handed on share an adapter."""
    return sharing_lines(read_json(run.handed_on / MANIFEST)) if run.checkpoints() else []


def _stages(run: Run) -> list[Block]:
    """A row for every stage, where there are some; where logs are damaged the rest is shown without them."""
    logs = {name: list(run.lines(name)) for name in LOGS}
    try:
        with readable("a log of them"):
            table = stages_table(run.read("config.json"), logs, run.read("status.json"))
    except NeuromasError as error:
        return [Text((f"stages cannot be shown: {error}",))]
    return [] if table is None else [table]


def _table(before: Mapping[str, Any], after: Mapping[str, Any]) -> Table:
    """Before and after, side by side."""
    both = (before, after)
    rows: list[tuple[Cell, ...]] = [
        ("accuracy", *(share(s["accuracy"], s["interval"]) for s in both)),
        ("constant answer", *(share(s["majority"]["accuracy"]) for s in both)),
        ("parse failures", *(share(s["parse_failures"]) for s in both)),
        ("calls a question", *(number(s["calls"]) for s in both)),
        ("tokens read", *(number(s["prompt_tokens"]) for s in both)),
        ("tokens written", *(number(s["new_tokens"]) for s in both)),
        ("tokens by node", *(", ".join(f"{n:.1f}" for n in s["message_tokens"]) for s in both)),
    ]
    if before["first_option"] is not None:
        rows.insert(2, ("first option", *(share(s["first_option"]) for s in both)))
    return Table(("", "before", "after"), tuple(rows))


def _events(run: Run) -> list[str]:
    """Alarms and what was done about them, and stages that ended below their start."""
    rows = list(run.lines("events.jsonl"))
    shown = [f"step {row['step']}: {row['text']}" for row in rows[:_EVENTS]]
    more = len(rows) - len(shown)
    torn = [
        f"{name}: {count} damaged line(s) left out"
        for name in ("validation.jsonl", "events.jsonl", "growth.jsonl", "episodes.jsonl")
        if (count := run.damaged_lines(name))
    ]
    return [*shown, *([f"and {more} more in events.jsonl"] if more else []), *torn]


def _has(run: Run, name: str) -> bool:
    return (run.path / "evaluations" / f"test-after-{name}.json").is_file()


def _control(run: Run, name: str) -> tuple[float | None, Mapping[str, Any] | None]:
    """Accuracy and interval under a message control."""
    summary, _ = read_evaluation(run, f"test-after-{name}")
    return summary["accuracy"], summary["interval"]


def _control_lines(
    controls: Sequence[tuple[str, Any, Any]], before: float, after: float | None
) -> Iterator[str]:
    """What is left of the gain when the messages say nothing, or belong to another question."""
    gain = (after or 0.0) - before
    for words, accuracy, interval in controls:
        kept = ""
        if gain > 0 and accuracy is not None and after is not None:
            kept = f", which costs {100 * (after - accuracy) / gain:.0f} % of the gain"
        yield f"messages {words}: {percent(accuracy, interval)}{kept}"


def _aside(controls: Sequence[tuple[str, Any, Any]]) -> list[Table]:
    """The controls as a table; none where there are none."""
    rows = tuple((words, share(accuracy, interval)) for words, accuracy, interval in controls)
    return [Table(("messages", "accuracy"), rows, "message controls", aside=True)] if rows else []


def _examples(before: Items, after: Items, origin: Mapping[int, int] | None) -> Iterator[Text]:
    """The first test questions (not chosen), with every node's message before and after."""
    later = {item["id"]: item for item in after}
    for item in list(before)[:_EXAMPLES]:
        new = later.get(item["id"])
        if new is None:
            continue
        lines = [f"question {quoted(item['question'], 90)}  gold {quoted(item['gold'], 30)}"]
        nodes = len(new["messages"])
        for node, now in enumerate(new["messages"]):
            name = "output" if node == nodes - 1 else f"node {node + 1}"
            was = message_before(node, nodes, item["messages"], origin)
            shown = f"({was.why})" if isinstance(was, Missing) else quoted(was, 40)
            lines.append(f"    {name:7} before {shown:42} after {quoted(now, 40)}")
        yield Text(tuple(lines))


@dataclass(frozen=True, slots=True)
class Missing:
    """Why a node has no message before training."""

    why: str


def message_before(
    node: int, nodes: int, said: Sequence[str], origin: Mapping[int, int] | None
) -> str | Missing:
    """What the node, or the one it grew out of, wrote before training, or why there is nothing.

    ``said`` are all messages before training; without ``origin`` the output is taken for the output.
    """
    if origin is not None:
        was = origin.get(node)
        if was is None:
            return Missing("a new node")
    elif nodes == len(said):
        was = node
    elif node == nodes - 1:
        was = len(said) - 1
    else:
        return Missing("not known: the run keeps no growth of this network")
    return said[was] if 0 <= was < len(said) else Missing("never spoke")


def _build(paths: Sequence[Path], options: Mapping[str, str]) -> Sequence[Block]:
    return run_blocks(Run.open(one_path("run", paths)))


PAGE = Page("run", "a finished run", _build)
