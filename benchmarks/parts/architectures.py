"""Parts of docs/architectures.md: families served, and the cost of fewer bits, large heads, long messages."""

from __future__ import annotations

from typing import Any

from .cells import table


def served(data: dict[str, Any]) -> str:
    """The families that are right, and how far from transformers and PEFT."""
    rows = []
    for one in data["served"]:
        targets = " ".join(one["targets"]).replace("_proj", "")
        greedy = "{} of {}".format(*one["greedy"])
        distances = (f"{one['logits']:.0e}", f"{one['logprobs']:.0e}", greedy, f"{one['gradients']:.0e}")
        rows.append((one["family"], f"`{one['kind']}`", targets, *distances))
    heads = ("family", "`model_type`", "adapters tried on", "logits at loading", "log-probabilities")
    return "\n".join(table((*heads, "greedy", "gradients"), rows))


def refused(data: dict[str, Any]) -> str:
    """The families that are not served, and what is said."""
    rows = []
    for one in data["refused"]:
        says = one["says"].removeprefix("backbone 'random'").replace("|", "\\|").strip(" :")
        rows.append((one["family"], f"`{one['kind']}`", says))
    return "\n".join(table(("family", "`model_type`", "the line"), rows))


def check(data: dict[str, Any]) -> str:
    """What the check at loading costs, and how far two right kernels are from each other."""
    found = data["check"]
    return (
        f"SmolLM2-135M in bf16: {found['check_seconds']:.1f} s beside "
        f"{found['loading_seconds']:.1f} s of loading; "
        f"our error is {found['error']:.3f}, and two right kernels of transformers differ by "
        f"{found['between_kernels']:.3f}."
    )


def quantised(data: dict[str, Any]) -> str:
    """Memory, time and distances of a backbone in fewer bits."""
    rows = []
    for one in data["ways"]:
        seconds = (f"{one[key]} s" for key in ("sampling_seconds", "update_seconds"))
        distances = (f"{one[key]:.3f}" for key in ("drift", "moved", "kl"))
        rows.append((one["way"], f"{one['layer_megabytes']} MB", *seconds, *distances))
    heads = ("`model.quantise`", "layers", "sampling", "update", "sampler to scorer", "moved")
    return "\n".join(table((*heads, "KL from 16 bits"), rows))


def vocabulary(data: dict[str, Any]) -> str:
    """Peaks of what is done with a large head."""
    what = {
        "pack": f"packing the head ({data['head_megabytes']} MB)",
        "draw": f"drawing {data['rows']} rows",
        "score": f"scoring {data['places']} places, forward and backward",
        "kl": "the same with a KL to the backbone",
    }
    rows = []
    for one in data["parts"]:
        logits = f"{one['logits']} MB" if one["logits"] else "-"
        rows.append((what[one["part"]], logits, f"{one['megabytes']} MB"))
    return "\n".join(table(("part", "logits in bf16", "peak"), rows))


def long(data: dict[str, Any]) -> str:
    """Peaks by the length of messages."""
    lengths = sorted({one["tokens"] for one in data["points"]})
    rows = []
    for phase in ("rollout", "update"):
        mine = {one["tokens"]: one["megabytes"] for one in data["points"] if one["phase"] == phase}
        rows.append((phase, *(f"{mine[length]} MB" for length in lengths)))
    return "\n".join(table(("tokens a message", *lengths), rows))
