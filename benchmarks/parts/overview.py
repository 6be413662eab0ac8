"""The results in the README: one line each, with its page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from . import organisation, rivals
from .cells import share, span


def results(learned: Iterable[dict[str, Any]], found: dict[str, dict[str, Any]]) -> str:
    """Every line, from the files of the learning benchmark and the others by name."""
    lines = [*_learned([row for data in learned for row in data["rows"]])]
    grown = ("organisation.json", "families.json")
    lines += organisation.headline(found[name] for name in grown if name in found)
    if "rivals.json" in found:
        lines.append(rivals.headline(found["rivals.json"]))
    lines += [_grown(name, found[f"{name}.json"]["points"]) for name in ("depth", "growth")]
    ratio = {name: f"{entry['ratio']:.3g}" for name, entry in found["cpu.json"]["results"].items()}
    lines.append(
        f"- Speed on two cores: {ratio['rollout']} times the rollout and {ratio['step']} times the step of "
        f"PEFT node by node, {ratio['trl']} times TRL, {ratio['comlrl']} times CoMLRL; seven nodes need "
        f"{ratio['memory']} times the memory of one ([table](docs/results.md#how-fast-it-is))"
    )
    rejects = span(one["rejects"]["in_use"] for one in found["statistics.json"]["acceptance"])
    lines.append(
        f"- Statistics: where nothing differs the test rejects in {rejects} % of trials "
        "([how](docs/numbers.md))"
    )
    if "kills.json" in found:
        kills = found["kills.json"]["counts"].values()
        runs, faults = (sum(counts.get(key, 0) for counts in kills) for key in ("runs", "faults"))
        lines.append(
            f"- Durability: {runs} runs killed or starved of disk, {faults} faults "
            "([how](docs/durability.md))"
        )
    return "\n".join(lines)


def _learned(rows: list[dict[str, Any]]) -> Iterator[str]:
    """A line a recipe: before and after of every seed."""
    for recipe in dict.fromkeys(row["recipe"] for row in rows):
        own = [row for row in rows if row["recipe"] == recipe]
        after = " / ".join(share(row["test-after"]["accuracy"]) for row in own)
        blank = max(row["test-after-blank"]["accuracy"] for row in own)
        before = " / ".join(dict.fromkeys(share(row["test-before"]["accuracy"]) for row in own))
        yield (
            f"- `{recipe}`: {before} → {after} % on {own[0]['items']} held-out items in {len(own)} seed(s), "
            f"messages blanked at most {share(blank)} % ([table](docs/results.md#what-it-learned))"
        )


def _grown(name: str, points: Iterable[dict[str, Any]]) -> str:
    """Seven grown nodes beside the controls at equal calls."""
    at = {f"{point['arm']}:{point['stage']}": point["accuracy"] for point in points}
    last = max(key for key in at if key.startswith("grown:"))
    grown, scratch, small = (f"{share(at[key])} %" for key in (last, "scratch-7:2", "small:3"))
    return (
        f"- Growing, `{name}`: seven grown nodes {grown}, from scratch with equal calls {scratch}, "
        f"the small network with equal calls {small}, means of three seeds ([all arms](docs/growth.md))"
    )
