"""Where a network comes from: its ancestors, the operators between them, and what all of it cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from pydantic import Field

from neuromas.config import Config
from neuromas.core.episode import Episode
from neuromas.core.errors import RunError, TopologyError, one_line
from neuromas.evaluation.evaluate import Evaluation
from neuromas.growth.operators import Growth
from neuromas.system.saved_state import Count, Saved, parsed
from neuromas.topology.graph import Topology


@dataclass(frozen=True, slots=True)
class Budget:
    """What training cost: steps, calls (messages sampled), tokens read and written, seconds."""

    steps: int = 0
    calls: int = 0
    prompt_tokens: int = 0
    new_tokens: int = 0
    seconds: float = 0.0

    @classmethod
    def of(cls, report: Mapping[str, Any], seconds: float) -> Budget:
        """The cost of one step from its report."""
        return cls(1, report["calls"], report["prompt_tokens"], report["new_tokens"], seconds)

    @classmethod
    def of_episodes(cls, episodes: Sequence[Episode]) -> Budget:
        """The cost of sampling these, outside of a training step."""
        calls = sum(len(one.turns) for one in episodes)
        return cls(0, calls, sum(e.prompt_tokens for e in episodes), sum(e.new_tokens for e in episodes))

    def __add__(self, other: Budget) -> Budget:
        return Budget(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def __sub__(self, other: Budget) -> Budget:
        return Budget(*(getattr(self, f.name) - getattr(other, f.name) for f in fields(self)))


class _Cost(Saved):
    """A ``Budget`` in a manifest."""

    steps: Count
    calls: Count
    prompt_tokens: Count
    new_tokens: Count
    seconds: float = Field(ge=0)


class _Asked(Saved):
    """See ``asked``."""

    task: str
    options: dict[str, Any]
    view: list[str]


class _Entry(Saved):
    """One growth in a manifest, see ``describe``."""

    run: str
    step: Count
    best: Count | None = None
    to: str
    operators: list[str]
    new: list[str]
    origin: dict[str, str]
    topology: dict[str, Any]
    spent: _Cost
    copies: dict[str, str] | None = None
    assignment: list[Count] | None = None
    module: _Grafted | None = None
    asked: _Asked | None = None


class _Past(Saved):
    lineage: list[_Entry]
    spent: _Cost


class _Grafted(_Past):
    """The past of a network that was grafted in, see ``Lineage.joined``."""

    run: str
    topology: dict[str, Any]
    asked: _Asked | None = None


@dataclass(frozen=True, slots=True)
class Lineage:
    """``entries`` of growth, oldest first (see ``describe``), and what the network cost until now."""

    entries: tuple[Mapping[str, Any], ...] = ()
    spent: Budget = Budget()

    @classmethod
    def from_manifest(cls, manifest: Mapping[str, Any], child_of: str) -> Lineage:
        """The lineage a checkpoint holds; with ``child_of`` it goes on in a run of its own.

        Raises RunError if it is damaged.
        """
        try:
            past = parsed(_Past, {key: manifest[key] for key in ("lineage", "spent")}, "network")
            _check_graphs(past.lineage)
        except (KeyError, RunError, TopologyError) as error:
            raise RunError(f"a network's lineage is missing or damaged ({one_line(error)})") from error
        entries = tuple({**entry, "run": entry["run"] or child_of} for entry in manifest["lineage"])
        return cls(entries, Budget(**past.spent.model_dump()))

    def to_dict(self) -> dict[str, Any]:
        """Plain data for a manifest."""
        return {"lineage": [dict(entry) for entry in self.entries], "spent": asdict(self.spent)}

    def paid(self, cost: Budget) -> Lineage:
        """The lineage after this cost."""
        return replace(self, spent=self.spent + cost)

    def joined(self, other: Lineage) -> Lineage:
        """The lineage with what another network cost; ancestors of both are paid for once.

        They are known by what they had cost, seconds included, which no two trainings share.
        """
        common = self._costs & other._costs
        shared = max(common, key=lambda cost: (cost.steps, cost.calls), default=Budget())
        return self.paid(other.spent - shared)

    @property
    def _costs(self) -> set[Budget]:
        """What it and all its ancestors had cost."""
        found = {self.spent, *(Budget(**entry["spent"]) for entry in self.entries)}
        for module in (entry["module"] for entry in self.entries if "module" in entry):
            found |= Lineage(tuple(module["lineage"]), Budget(**module["spent"]))._costs
        return found

    def grown(self, entry: Mapping[str, Any]) -> Lineage:
        """The lineage after a growth."""
        return replace(self, entries=(*self.entries, entry))

    def undone(self) -> Lineage:
        """The lineage without its last growth; what it cost was spent."""
        return replace(self, entries=self.entries[:-1])

    @property
    def steps(self) -> set[int]:
        """Steps of the run's own checkpoints that are ancestors or ended an ancestor's stage."""
        own = [entry for entry in self.entries if not entry["run"]]
        return {int(step) for entry in own for step in (entry["step"], entry.get("best", entry["step"]))}


def _check_graphs(entries: Sequence[_Entry]) -> None:
    """Raises TopologyError for an ancestor's broken graph, also of a network that was grafted in."""
    for entry in entries:
        Topology.from_dict(entry.topology)
        if entry.module is not None:
            Topology.from_dict(entry.module.topology)
            _check_graphs(entry.module.lineage)


def describe(
    change: Growth, parent: Topology, spent: Budget, step: int, assignment: Sequence[int] = ()
) -> dict[str, Any]:
    """One entry: the parent and the step it ended with, what was done, which node is which, and its cost.

    After a growth by substitution ``copies`` has of every node the one it copied. ``assignment`` is the
    parent's, by which the growth can be undone.

    ``run`` is empty for an ancestor in the same run directory; ``best``, which a run adds, is the step of
    the checkpoint that grew.
    """
    both = {**change.origin, **change.like}
    copies = {node.name: both[node.name] for node in change.goal.nodes} if change.exact else {}
    return {
        "run": "",
        "step": step,
        "to": str(change.goal),
        "operators": list(change.steps),
        "new": list(change.new),
        "origin": dict(change.origin),
        "topology": parent.to_dict(),
        "spent": asdict(spent),
        **({"copies": copies} if copies else {}),
        **({"assignment": list(assignment)} if assignment else {}),
    }


def asked(config: Config) -> dict[str, Any]:
    """What an ancestor with this configuration was asked last: its task, and what nodes saw of the question.

    Part of an entry, beside ``describe``; networks of 0.4.0 and before have none.
    """
    view = list(config.lift.view) or [config.network.question]
    return {"asked": {"task": config.task.name, "options": dict(config.task.options), "view": view}}


def changed(before: Evaluation | None, after: Evaluation) -> dict[str, Any]:
    """What the growth itself did to the answers on the validation problems, before any training.

    ``before`` is None where the network before could not be asked the new stage's questions.
    """
    if before is None:
        answers, accuracy = len(after.items), after.summary["accuracy"]
        return {"answers": answers, "same_answers": None, "accuracy_before": None, "accuracy_after": accuracy}
    pairs = list(zip(before.items, after.items, strict=True))
    return {
        "answers": len(pairs),
        "same_answers": sum(a.answer == b.answer for a, b in pairs) / len(pairs),
        "accuracy_before": before.summary["accuracy"],
        "accuracy_after": after.summary["accuracy"],
    }
