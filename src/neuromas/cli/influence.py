"""``neuromas evaluate RUN --messages blank --node each``: what each node's message is needed for."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from neuromas.report.blocks import Text
from neuromas.report.influence import MEANS, influence, plain, table
from neuromas.report.writers import as_text

if TYPE_CHECKING:
    from neuromas.cli.evaluate import Keeper
    from neuromas.evaluation.evaluate import Evaluation

Ask = Callable[[Sequence[str] | None, str], "Evaluation"]


def each(args: argparse.Namespace, ask: Ask, keeper: Keeper, names: tuple[str, Mapping[str, str]]) -> int:
    """Evaluate the network as it is, then with one node's messages altered after another.

    ``names`` are the first one's, and by node those of the others; each is kept as soon as it is there.
    Prints one table, or as JSON the rows of it.
    """
    kept: list[str] = []

    def keep(result: Evaluation, wanted: str) -> tuple[str, tuple[dict[str, Any], list[dict[str, Any]]]]:
        summary, under, where = keeper.keep(result, wanted)
        kept.append(where)
        return under, (summary, [item.line() for item in result.items])

    name, whole = keep(ask(None, "none"), names[0])
    altered = {node: keep(ask([node], args.messages), wanted)[1] for node, wanted in names[1].items()}
    measured = influence(args.messages, name, whole, altered)
    if args.json:
        told = {"messages": args.messages, "baseline": whole[0], "nodes": plain(measured)}
        print(json.dumps(told))  # in ASCII: nothing in it can act on a terminal
    else:
        print(as_text([table(measured), Text((MEANS,)), Text(tuple(dict.fromkeys(kept)))]))
    return 0
