"""Parts of docs/paper.md, from results/paper.json."""

from __future__ import annotations

from typing import Any

from .cells import row, share, table


def constants(data: dict[str, Any]) -> str:
    """What the first option and the best constant earn, on files and on counts by hand."""
    rows = []
    for one in data["constants"]:
        labels = ", ".join(f"{label} {count}" for label, count in one["labels"].items())
        earned = (f"{of['answer']}: {share(of['accuracy'])} %" for of in (one["first"], one["best"]))
        rows.append((one["questions"], labels, *earned))
    return "\n".join(
        [
            *table(("questions", "labels", "always the first option", "best constant"), rows),
            "",
            "Made by `python benchmarks/paper.py constants FOLDER`. The files here hold a part of Navigate's "
            "and MMLU's questions; the last rows are of the whole public files, counted by hand.",
        ]
    )


def cost(data: dict[str, Any]) -> str:
    """Hours by estimate: the arms on ARC, those of Navigate alone, and all."""
    found = data["cost"]
    rates = list(found["hours"])
    heads = ("task", "arm", "nodes", "trainable", "calls of training")
    lines = table((*heads, *(f"GPU hours at {rate} TFLOP/s" for rate in rates)), [])
    for one in found["arms"]:
        if one["training"] and (one["task"] == "arc" or one["arm"].startswith("scratch")):
            sizes = (" → ".join(f"{n:,}" for n in one[key]) for key in ("nodes", "parameters"))
            hours = (f"{one['hours'][rate]:.1f}" for rate in rates)
            lines.append(row((one["task"], one["arm"], *sizes, f"{one['training']:,}", *hours)))
    total = " | ".join(f"{found['hours'][rate]:.0f}" for rate in rates)
    tasks = len({one["task"] for one in found["arms"]})
    lines.append(f"| all {tasks} | all | | | | {total} |")
    return "\n".join([*lines, "", "Made by `python benchmarks/paper.py cost FOLDER`."])


def rehearsal(data: dict[str, Any]) -> str:
    """How many cells of the recipe ran on tiny models, and what the largest process took."""
    found = data["rehearse"]
    ran, size = f"{found['finished']} of {found['cells']}", f"{found['largest_process_gb']:.1f} GB"
    return (
        f"{ran} pairs of arm and task ran on {found['machine']}, the largest process took {size} "
        f"(`python benchmarks/paper.py rehearse FOLDER`). In {found['rewarded']} of {found['updates']} "
        f"updates an episode earned something, as models are random; in {found['moved']} every adapter had a "
        "gradient, which the entropy bonus of the rehearsal sees to."
    )
