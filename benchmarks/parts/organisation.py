"""Parts of docs/organisation.md, from results/organisation.json, families.json and influence.json."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from typing import Any

from . import short_tables
from .cells import accuracy, share, table
from .experiments import there
from .reading import NOT_RUN

BESIDE_ONE = (("grown-2:2", "single-2:3", "3 nodes"), ("lifted-3:1", "longer-3:1", "7 nodes"))
AGAINST = "Network / one model, equal parameters and calls, the whole question read, percent (seeds)"


def headline(experiments: Iterable[dict[str, Any]]) -> list[str]:
    """Grown networks that read the whole question beside the single model: sums, then the rest."""
    found = [point for data in experiments for point in data["points"]]
    at = {(p["task"], f"{p['arm']}:{p['stage']}"): p for p in found if p["accuracy"] is not None}
    lines: dict[bool, list[str]] = {True: [], False: []}
    for task in dict.fromkeys(point["task"] for point in found):
        pairs = [(at.get((task, a)), at.get((task, b)), who) for a, b, who in BESIDE_ONE]
        told = [
            f"{who} {share(a['accuracy'])} / {share(b['accuracy'])} ({min(len(a['seeds']), len(b['seeds']))})"
            for a, b, who in pairs
            if a and b
        ]
        if told:
            lines[task == "sums"].append(f"`{task}` {', '.join(told)}")
    return [
        f"- {about}: {'; '.join(kept)} ([all arms](docs/organisation.md))"
        for about, kept in zip((AGAINST, "The same of other tasks"), lines.values(), strict=True)
        if kept
    ]


def answer(experiments: Iterable[dict[str, Any]]) -> str:
    """The same lines for the page itself."""
    lines = "\n".join(headline(experiments))
    return lines.replace("docs/organisation.md", "#in-short") or NOT_RUN["organisation.json"]


def organisation(data: dict[str, Any]) -> str:
    """What is there of the experiment, its figures, its short tables."""
    lines = [there(data), "", short_tables.by_depth(data)]
    for name, text in (("depth", "Accuracy over depth"), ("calls", "Accuracy over calls spent in training")):
        lines += ["", f"![{text}](organisation-{name}.svg)"]
    return "\n".join([*lines, "", short_tables.compared(data)])


def families(data: dict[str, Any]) -> str:
    """What is there of the other families: how much, the table of depths, the comparisons."""
    return "\n\n".join([there(data), short_tables.by_depth(data), short_tables.compared(data)])


def aloud(data: dict[str, Any]) -> str:
    """What every node of a grown network read and wrote on one question."""
    lines = []
    for one in data["aloud"]:
        lines += [f"`{one['cell']}`, right is {one['gold']}:", "", "```"]
        for prompt, message in zip(one["prompts"], one["messages"], strict=False):
            lines += [f"{prompt.rstrip()} >> {message}", ""]
        lines[-1] = "```"
    return "\n".join(lines) or "No grown network is there yet."


def influence(data: dict[str, Any]) -> str:
    """What single nodes of one network are needed for: a row a node."""
    rows = []
    for one in data["nodes"]:
        ends = one["drop_interval"]
        interval = f" [{share(ends['low'])}, {share(ends['high'])}]" if ends else ""
        counts = f"{one['lost']}, {one['gained']}, {one['tied']}"
        drop = f"{share(one['drop'])}{interval}"
        rows.append((one["node"], f"{accuracy(one)} %", drop, counts, f"{one['p_holm']:.0e}"))
    heads = ("node", "accuracy without its message", "drop in points", "lost, gained, tied", "p, Holm")
    whole = data["baseline"]
    about = (
        f"`{data['network']}`, {whole['items']} test questions, accuracy {accuracy(whole)} % with all "
        "messages; of each node in turn the message was blanked for its readers:"
    )
    return "\n".join([about, "", *table(heads, rows)])


def divided(data: dict[str, Any]) -> str:
    """Whose step each leaf of the networks of seven did: mean over seeds, lowest and highest."""
    kept = data.get("divided", ())
    found = [one["leaves"] for one in kept]
    if not found:
        return "No such network is there yet."
    rows = []
    for leaf in found[0]:
        cells = []
        for shares in zip(*(one[leaf] for one in found), strict=True):
            low, mean, high = (share(f(shares)) for f in (min, statistics.mean, max))
            cells.append(f"{mean} %" if low == high else f"{mean} % ({low}–{high})")
        rows.append((leaf, *cells))
    lines = table(("leaf", *(f"answer of step {n}" for n in range(1, len(found[0]) + 1))), rows)
    if not all("output" in one for one in kept):
        return "\n".join(lines)
    of, wrong, ten = (sum(one["output"][key] for one in kept) for key in ("of", "wrong", "ten"))
    made = f"Of {of} sums of the two numbers they read, outputs made {wrong} wrong"
    return "\n".join([*lines, "", f"{made}, {ten} of them by exactly ten: the carry."])


def law(data: dict[str, Any]) -> str:
    """Accuracy of every network beside the product of its nodes' local accuracies."""
    found = data["law"]
    rows = []
    for one in sorted(found["cells"], key=lambda one: one["cell"]):
        off = f"off: {100 * one['low']:+.0f} to {100 * one['high']:+.0f} points" if one["off"] else "follows"
        shares = (f"{share(one[key])} %" for key in ("accuracy", "predicted"))
        rows.append((one["cell"], _by_layer(one.get("layers")), *shares, off))
    heads = ("network", "of every layer", "accuracy", "product of local accuracies", "beside the law")
    lines = table(heads, rows)
    if found["unknown"]:
        lines += ["", f"Not known of every node: {', '.join(found['unknown'])}."]
    if found["fit"]:
        line = "log accuracy = {intercept:.2f} + {slope:.2f} [{low:.2f}, {high:.2f}] log product"
        line += ", r2 = {r2:.2f}"
        about = "over {cells} networks; {left_out} without a product, or with 0, are left out."
        lines += ["", f"{line}, {about}".format(**found["fit"])]
        if found.get("divided"):
            whose = "Over the {cells} whose leaves are right in at least half of their steps"
            lines += ["", f"{whose}: {line}.".format(**found["divided"])]
    return "\n".join(lines)


def _by_layer(layers: list[list[float | None]] | None) -> str:
    """Lowest and highest local accuracy of every layer's nodes, in percent."""
    if layers is None:
        return "not kept"
    found = []
    for layer in layers:
        known = [f"{100 * one:.0f}" for one in sorted(one for one in layer if one is not None)]
        ends = list(dict.fromkeys([*known[:1], *known[-1:]]))
        found.append(("–".join(ends) or "?") + (", ?" if known and len(known) < len(layer) else ""))
    return " → ".join(found)


def samples(data: dict[str, Any], task: str) -> str:
    """Episodes of a task until an accuracy, by depth and way, beside the toy's signal to noise."""
    rows = []
    for one in (found for found in data.get("samples", []) if found.get("task", "sums") == task):
        first = next((at["median"] for at in one["depths"] if at["depth"] == 1), None)
        for at in one["depths"]:
            shown = ", ".join("never" if n is None else f"{n:.0f}" for n in at["episodes"].values())
            ratio = f"{at['median'] / first:.1f}" if first and at["median"] else "-"
            toy = f"{at['predicted']:.3g}" if at["predicted"] is not None else "-"
            half = "never" if at["median"] is None else f"{at['median']:.0f}"
            rows.append((f"{100 * one['target']:.0f} %", one["way"], at["depth"], shown, half, ratio, toy))
    heads = ("until", "way", "depth", "episodes of every seed", "median", "to depth 1", "toy")
    return "\n".join(table(heads, rows))


def swapped(data: dict[str, Any]) -> str:
    """Whose part leaves answer when they are told the number of a neighbour, seeds together."""
    rows = []
    for task, arm in dict.fromkeys((one["task"], one["arm"]) for one in data["swapped"]):
        own = [one for one in data["swapped"] if (one["task"], one["arm"]) == (task, arm)]
        count = sum(one["count"] for one in own)
        shares = (f"{share(sum(one[key] for one in own) / max(1, count))} %" for key in ("own", "told"))
        rows.append((task, arm, len(own), count, *shares))
    heads = ("task", "arm", "seeds", "messages", "part of their adapter", "part of their number")
    return "\n".join(table(heads, rows))
