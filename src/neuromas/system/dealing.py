"""Passes dealt out among the processes of a run: each plays its pieces, and all have every episode after."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from neuromas.core.episode import Episode
from neuromas.core.errors import ContractError
from neuromas.models.ranks import Ranks

if TYPE_CHECKING:  # a rollout deals out its passes
    from neuromas.system.rollout import Pass

Play = Callable[[Sequence["Pass"]], list[Episode]]
_TOLD = tuple(one.name for one in fields(Episode) if one.name != "problem")  # which all have


def deal_out(ranks: Ranks, passes: Sequence[Pass], play: Play, whole: bool = False) -> list[Episode]:
    """The episodes of all passes in their order, and the passes as ``play`` leaves them.

    They are cut into ``ranks.pieces``, whatever the number of processes: what is decoded side by side is
    rounded alike. Passes of one problem stay together, as they share their prompts. ``whole``: they are not
    cut, because they read each other. Raises ContractError where processes have other problems.
    """
    pieces = [passes] if whole else cut(passes, ranks.pieces)
    if len(pieces) == 1 and ranks.size == 1:
        return play(passes)

    def one(piece: Sequence[Pass]) -> list[Any]:
        episodes = play(piece)
        each = len(episodes) // max(1, len(piece))
        return [
            (
                (a_pass.problem.id, a_pass.wrote, a_pass.failure, a_pass.askable, a_pass.missing),
                [tuple(getattr(e, name) for name in _TOLD) for e in episodes[i * each : (i + 1) * each]],
            )
            for i, a_pass in enumerate(piece)
        ]

    found: list[Episode] = []
    for piece, results in zip(pieces, ranks.deal(pieces, one), strict=True):
        for a_pass, (about, episodes) in zip(piece, results, strict=True):
            found += _taken(a_pass, about, episodes)
    return found


def cut(passes: Sequence[Pass], count: int) -> list[Sequence[Pass]]:
    """At most ``count`` pieces of about as many problems each; a problem's passes are not parted."""
    starts = [i for i, one in enumerate(passes) if not i or one.problem is not passes[i - 1].problem]
    count = min(count, len(starts))
    if count < 2:
        return [passes]
    edges = [starts[number * len(starts) // count] for number in range(count)]
    return [passes[a:b] for a, b in zip(edges, [*edges[1:], len(passes)], strict=True)]


def _taken(a_pass: Pass, about: Any, episodes: Sequence[Any]) -> list[Episode]:
    """The episodes that another process played of a pass, which is then as it was left there."""
    problem, wrote, *ended = about
    if problem != a_pass.problem.id:
        raise ContractError(
            f"another process has problem {problem!r} where this one has {a_pass.problem.id!r}: a task must "
            "give the same problems to every process"
        )
    found = [Episode(a_pass.problem, **dict(zip(_TOLD, one, strict=True))) for one in episodes]
    a_pass.wrote[:] = wrote
    a_pass.failure, a_pass.askable, a_pass.missing = ended
    if len(found) == 1:
        a_pass.turns[:] = found[0].turns
    return found
