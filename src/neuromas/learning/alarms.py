"""Named alarms: what a step's report shows when training cannot work, or is destroying what was there.

Pure functions of the reports of past steps. What an alarm leads to is decided in ``training.alarms``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from neuromas.config import AlarmsConfig

Report = Mapping[str, Any]
_LOST = 0.1  # share of its first entropy below which a node has collapsed
_SOLVED = 0.9  # from this mean reward on, agreeing samples and low entropy are success, not failure


@dataclass(frozen=True, slots=True)
class Alarm:
    """``breaking`` tells alarms of a network being destroyed from those of one that cannot learn."""

    name: str
    text: str
    breaking: bool


def alarms(rows: Sequence[Report], first: Sequence[Report], limits: AlarmsConfig) -> list[Alarm]:
    """The alarms that are on after these reports, oldest first (see ``AlarmsConfig`` for each limit).

    ``first`` are the stage's first reports, with which its later ones are compared.
    """
    found = [_zero(rows, limits), *_of_window(rows[-limits.window :], first, limits)]
    return [alarm for alarm in found if alarm is not None]


def fallen(accuracy: float | None, best: float | None, limits: AlarmsConfig) -> Alarm | None:
    """Whether a validation lies too far below the stage's best; both in [0, 1]."""
    if not limits.fallen or accuracy is None or best is None or accuracy >= best - limits.fallen:
        return None
    text = (
        f"validation fell to {100 * accuracy:.1f} % from {100 * best:.1f} %; "
        "try a lower train.lr or train.max_kl, or train.anchor"
    )
    return Alarm("fallen", text, breaking=True)


def _zero(rows: Sequence[Report], limits: AlarmsConfig) -> Alarm | None:
    """No reward, or next to none, for many steps: there is nothing to learn from."""
    last = rows[-limits.zero :]
    reward = _mean(row["reward"] for row in last)
    if not limits.zero or len(last) < limits.zero or reward > limits.earned:
        return None
    cut, unread = _mean(row["truncated"][-1] for row in last), _mean(row["parse_failures"] for row in last)
    causes = [f"{100 * cut:.0f} % of the answers were cut at their limit"] if cut > 0.2 else []
    causes += [f"{100 * unread:.0f} % could not be read as an answer"] if unread > 0.2 else []
    tries = ["a larger network.answer_tokens"] if cut > 0.2 else []
    tries += ["another network.style"] if unread > 0.2 else []
    tries += ["an easier task", "a lower train.temperature", "a larger model"]
    why = ", ".join(causes) or "answers were read, and all of them were wrong"
    silent = _mean(row["silent_groups"] for row in last)
    text = (
        f"answers earned {100 * reward:.1f} % of the reward in {len(last)} steps, and {100 * silent:.0f} % "
        f"of the problems gave no signal, so nothing can be learned: {why}; "
    )
    return Alarm("zero", text + "try " + ", ".join(tries), breaking=False)


def _of_window(rows: Sequence[Report], first: Sequence[Report], limits: AlarmsConfig) -> list[Alarm | None]:
    """Alarms on means over a window; none before the window is full, or where nothing is earned anyway."""
    reward = _mean(row["reward"] for row in rows)
    if len(rows) < limits.window or reward <= limits.earned:
        return []
    solved = reward >= _SOLVED
    return [
        None if solved else _silent(rows, limits),
        None if solved else _collapsed(rows, first, limits),
        _truncated(rows, limits),
        None if solved else _favourite(rows, limits),
    ]


def _silent(rows: Sequence[Report], limits: AlarmsConfig) -> Alarm | None:
    share = _mean(row["silent_groups"] for row in rows)
    if not limits.silent or share < limits.silent:
        return None
    text = (
        f"{100 * share:.0f} % of the problems gave no signal, as all their samples earned the same; "
        "try more train.samples, a higher train.temperature, or problems of another difficulty"
    )
    return Alarm("silent", text, breaking=False)


def _collapsed(rows: Sequence[Report], first: Sequence[Report], limits: AlarmsConfig) -> Alarm | None:
    """A node that has lost nearly all variety it had. One that was sure from the start is none."""
    for node in range(len(rows[-1]["node_entropy"])):
        now, then = _entropies(rows, node), _entropies(first, node)
        varied = _mean(then) > limits.entropy
        if len(now) == len(rows) and varied and _mean(now) < min(limits.entropy, _LOST * _mean(then)):
            text = (
                f"node {node + 1} hardly varies any more ({_mean(now):.4f} nats a token, "
                f"{_mean(then):.4f} at first), "
                "so it cannot find anything better; try train.entropy, a higher train.temperature or a lower "
                "train.lr"
            )
            return Alarm("entropy", text, breaking=True)
    return None


def _entropies(rows: Sequence[Report], node: int) -> list[float]:
    """A node's entropy in the steps in which it learned."""
    known = [row["node_entropy"][node] for row in rows if len(row["node_entropy"]) > node]
    return [value for value in known if value is not None]


def _truncated(rows: Sequence[Report], limits: AlarmsConfig) -> Alarm | None:
    share = _mean(row["truncated"][-1] for row in rows)
    if not limits.truncated or share < limits.truncated:
        return None
    text = f"{100 * share:.0f} % of the answers were cut at their limit; try a larger network.answer_tokens"
    return Alarm("truncated", text, breaking=False)


def _favourite(rows: Sequence[Report], limits: AlarmsConfig) -> Alarm | None:
    shown = [row.get("favourite") for row in rows]
    share = _mean(0.0 if one is None else one["share"] for one in shown)
    last = shown[-1]
    if not limits.favourite or last is None or share < limits.favourite:
        return None
    text = (
        f"{100 * share:.0f} % of the answers are one and the same, now {last['answer']!r}; "
        "try a lower train.lr, train.entropy, or problems whose answers differ more"
    )
    return Alarm("favourite", text, breaking=True)


def _mean(values: Iterable[float | None]) -> float:
    """Mean of the values that are known; 0 if there are none."""
    known = [float(value) for value in values if value is not None]
    return sum(known) / len(known) if known else 0.0
