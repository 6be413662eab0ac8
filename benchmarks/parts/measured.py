"""What was timed and counted: speed beside others, methods, a network that is served."""

from __future__ import annotations

from typing import Any

from .cells import table

WORDS = {
    "rollout": "rollout, new tokens/s against PEFT `generate` switched node by node",
    "step": "training step against PEFT node by node, logits everywhere",
    "memory": "peak memory, 7 nodes over 1 node (lower is better)",
    "trl": "whole step, sampled tokens/s against TRL GRPO",
    "comlrl": "whole step, sampled tokens/s against CoMLRL MAGRPO, 2 agents",
}


def speed(data: dict[str, Any]) -> str:
    """Ratios within one run on one machine."""
    found = data["results"]
    heads = ("what", "threads", "ours", "theirs", "ratio", "ratio of CPU time", "bar")
    repaired = [
        f"{name} {entry['ratio_improved']:.2f}" for name, entry in found.items() if "ratio_improved" in entry
    ]
    lines = [
        "Ratios of two processes run in turn on the same two cores (bf16).",
        "",
        *table(heads, (_pair(name, entry) for name, entry in found.items())),
        "",
        "Peers run as they come. `generate` loses much of its time to one strided product (see "
        "[the peers' page](../benchmarks/peers/README.md)); with that repaired "
        f"(where it was timed) the ratios are {', '.join(repaired)}.",
        "",
        str(data.get("note", "")),
    ]
    for name, entry in found.items():
        if "peer_one_thread" in entry:  # a peer may be at its best with fewer threads than ours
            alone, both = (entry[side]["tokens_per_second"] for side in ("peer_one_thread", "peer"))
            lines += [
                "",
                f"The {name} peer makes {alone:.1f} tokens/s with one thread and {both:.1f} with "
                f"{entry['peer']['sizes']['threads']}; against its one thread the ratio is "
                f"{entry['ours']['tokens_per_second'] / alone:.1f}.",
            ]
    late = [name for name, entry in found.items() if (entry["ratio"] > entry["bar"]) == (name == "memory")]
    if late:
        lines += ["", f"Not reached yet: {', '.join(late)}."]
    return "\n".join(lines)


def _pair(name: str, entry: dict[str, Any]) -> tuple[object, ...]:
    """The cells of one thing measured on both sides."""
    bar = ("≤ " if name == "memory" else "≥ ") + str(entry["bar"])
    if name == "memory":
        ours, theirs = (f"{entry[side]['peak_rss_gb']:.2f} GB" for side in ("seven_nodes", "one_node"))
    elif name == "step":
        ours, theirs = (f"{entry[side]['seconds_per_step']:.1f} s" for side in ("ours", "peer"))
    else:
        ours, theirs = (f"{entry[side]['tokens_per_second']:.0f}" for side in ("ours", "peer"))
    cpu = f"{entry['ratio_of_cpu_time']:.2f}" if "ratio_of_cpu_time" in entry else ""
    threads = entry["one_node" if name == "memory" else "ours"]["sizes"]["threads"]
    return WORDS[name], threads, ours, theirs, f"{entry['ratio']:.2f}", cpu, bar


def alike(data: dict[str, Any]) -> str:
    """Seconds of a step's rollouts before samples shared rows, and since."""
    rows = []
    for which in ("trained", "untrained"):
        one = data[which]
        before, now = one["seconds"]["before"], one["seconds"]["now"]
        each = sorted(old / new for old, new in zip(before, now, strict=True))
        ratio = f"{min(before) / min(now):.2f} ({each[0]:.2f}–{each[-1]:.2f})"
        times = (f"{min(before):.1f} s", f"{min(now):.1f} s", ratio)
        rows.append((which, one["tokens"], one["distinct"], *times))
    heads = ("network", "tokens decoded", "of them distinct", "a row each", "shared rows", "ratio (rounds)")
    return "\n".join(table(heads, rows))


def precision(data: dict[str, Any]) -> str:
    """Seconds of a step in both precisions, a row for every kind of processor."""
    heads = ("processor", "threads", "bfloat16", "float32", "bfloat16 / float32", "`auto`")
    rows = []
    for one in data["processors"]:
        whole = {dtype: sum(parts.values()) for dtype, parts in one["seconds"].items()}
        times = (f"{whole[dtype]:.1f} s" for dtype in ("bfloat16", "float32"))
        ratio = f"{whole['bfloat16'] / whole['float32']:.2f}"
        rows.append((", ".join(one["flags"]), one["threads"], *times, ratio, one["auto"]))
    return "\n".join(table(heads, rows))


def methods(data: dict[str, Any]) -> str:
    """Time of debates and mixtures over that of as many calls of a network."""
    rows = []
    for model, found in data.items():
        for one in found:
            tokens = one["tokens"][0] / one["tokens"][1]
            what = (model, one["method"], one["network"], one["calls"])
            rows.append((*what, f"{one['ratio']:.2f}", f"{tokens:.2f}"))
    over = ("time, over the network's", "tokens, over the network's")
    return "\n".join(table(("model", "method", "network", "calls", *over), rows))


def serving(data: dict[str, Any]) -> str:
    """Requests a second of a served network by clients, joined and one by one; answers that were others."""
    found = data["summary"]
    rows = []
    for clients in ("1", "8", "32"):
        cpu, clock = found[clients]["cpu"], found[clients]["seconds"]
        rates = (f"{cpu[way]:.2f}" for way in ("joined", "single"))
        rounds = ", ".join(f"{ratio:.2f}" for ratio in cpu["ratios"])
        rows.append((clients, *rates, f"{cpu['ratio']:.2f}", rounds, f"{clock['ratio']:.2f}"))
    heads = ("clients", "requests a CPU second, joined", "one by one", "ratio", "by round")
    others = {way: "{} of {}".format(*found[f"other_{way}"]) for way in ("greedy", "drawn")}
    return "\n".join(
        [
            *table((*heads, "ratio by the clock"), rows),
            "",
            f"Network {data['network']} over {data['model']}, messages and answers of up to "
            f"{data['tokens']['answer']} tokens, {data['machine']}. Answers that came out otherwise played "
            f"together than alone: {others['greedy']} greedy ones, {others['drawn']} drawn at temperature "
            f"0.7 with a seed. CPU time of a batch of "
            f"{data['telling']['requests']} messages whose tokens are told, over the same batch untold: "
            f"{data['telling']['ratio']:.3f}.",
        ]
    )


def harness(data: dict[str, Any]) -> str:
    """What lm-evaluation-harness found of a served network, and the run's own evaluation."""
    return (
        f"lm-evaluation-harness {data['harness']} found an exact match of "
        f"{data['harness_exact_match']:.3f} on the first {data['items']} test questions of a network "
        f"{data['network']} over {data['model']}; the run's own evaluation of the same questions, an "
        f"accuracy of {data['own_accuracy']:.3f}."
    )
