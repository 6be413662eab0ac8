"""Results of one experiment from two folders, such as of two machines, as one."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any

from neuromas.core.errors import RunError
from neuromas.report.budgets import held
from neuromas.report.comparing import compare_points, correct
from neuromas.report.results import point

_LINE = ("task", "first", "second", "why", "equal")  # of a comparison
_UNSAID = {  # of seeds in results that were written before arms answered by methods
    **{"frozen": False, "oracle": False, "flops_a_question": None, "rollouts": None},
    "search": {"calls": 0, "tokens": 0},
}


def joined(
    earlier: Mapping[str, Any], later: Mapping[str, Any], of: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """``items``, ``asked``, ``points`` and ``comparisons`` of both (see ``results``); the later's where both
    have them.

    Arms, and comparisons, are those of the later one. ``of`` is a plan's ``asked``: what the earlier says
    of a network that the later one has trained anew is left out, or another network's answers would be
    compared with its own. Raises RunError if they asked different questions; of results that were written
    before there was ``asked``, those of the same ids count as the same.
    """
    items, texts = dict(later["items"]), dict(later.get("asked", {}))
    for name, asked in earlier["items"].items():
        told = earlier.get("asked", {}).get(name)
        if not items.get(name):
            items[name] = asked
            texts.pop(name, None)
            texts |= {name: told} if told else {}
        elif asked and (items[name] != asked or (told and texts.get(name, told) != told)):
            raise RunError(f"results that are to be joined asked different questions of {name!r}")
    anew = {(one["task"], one["arm"], seed["seed"]) for one in later["points"] for seed in one["seeds"]}
    known = {_key(one): _still(one, (of or {}).get(one["arm"]), anew) for one in earlier["points"]}
    points = [_both(known.get(_key(one)), one) for one in later["points"]]
    lines = [{name: one[name] for name in _LINE if name in one} for one in later["comparisons"]]
    return {
        "items": items,
        "asked": texts,
        "points": points,
        "comparisons": correct([held(compare_points(points, line), points) for line in lines]),
    }


def _key(one: Mapping[str, Any]) -> tuple[str, str, int]:
    return one["task"], one["arm"], one["stage"]


def _still(
    one: Mapping[str, Any], trained: str | None, anew: Container[tuple[str, str, int]]
) -> dict[str, Any]:
    """A point without the seeds whose network, of the arm ``trained``, is another now."""
    seeds = [seed for seed in one["seeds"] if (one["task"], trained, seed["seed"]) not in anew]
    return {**one, "seeds": seeds}


def _both(earlier: Mapping[str, Any] | None, later: Mapping[str, Any]) -> dict[str, Any]:
    """A point with the seeds of both, in their order."""
    seeds: dict[int, Any] = {seed["seed"]: {**_UNSAID, **seed} for seed in (earlier or {}).get("seeds", ())}
    seeds |= {seed["seed"]: seed for seed in later["seeds"]}
    ordered: Sequence[Any] = [seeds[number] for number in sorted(seeds)]
    return point(_key(later), later, ordered)
