"""How what decides was itself tried: the statistics, the tasks, the sandboxes, runs that were killed."""

from __future__ import annotations

from collections import Counter
from typing import Any

from neuromas.tasks import gym

from .cells import row, span, table

TESTS = {
    "in_use": "**in use**",
    "pooled_mcnemar": "McNemar, answers of all seeds pooled (0.1.0)",
    "pooled_interval": "bootstrap of pooled answers (0.1.0), normal limit",
    "questions_sign_flip": "sign-flip of questions, summed over seeds",
    "questions_t": "t over questions, summed over seeds",
    "seeds_t": "t over seeds",
    "seeds_sign_flip": "sign-flip of seeds",
    "two_way_sign_flip": "sign-flip of questions and of seeds",
    "two_way_bootstrap": "bootstrap of questions and of seeds, percentiles",
    "two_way_normal": "two-way clustered variance, normal",
    "two_way_smallest": "two-way clustered variance, t with seeds - 1",
    "satterthwaite": "variance in use, Satterthwaite's degrees of freedom",
    "cochran_cox": "variance in use, Cochran and Cox's limit",
    "unpaired_seeds": "as in use, seeds of the arms not paired",
}


def simulated(data: dict[str, Any]) -> str:
    """How often each test rejects where nothing differs: lowest and highest of the nine settings."""
    cells = data["acceptance"]
    groups = [[one for one in cells if one["seeds"] == seeds] for seeds in (3, 5, 10)]
    groups.append([one for one in data["beyond"] if "shared" in one])
    rows = [
        (words, *(span(one["rejects"][test] for one in group) for group in groups))
        for test, words in TESTS.items()
    ]
    heads = ("rejects at 5 %, in % of trials", "3 seeds", "5 seeds", "10 seeds", "seeds share their training")
    covers = [one["covers"] for one in cells]
    none = span(1 - one["rejects"]["in_use"] for one in cells)
    true = span(one["covers"] for one in data["difference"])
    accuracy, networks, questions = (span(c[name] for c in covers) for name in covers[0])
    return "\n".join(
        [
            *table(heads, rows),
            "",
            f"The interval in use covers 0 in {none} % of the trials, and where the arms do differ the true "
            f"difference in {true} %; the interval of an accuracy covers it in {accuracy} %. Of the narrower "
            f"questions, a t interval over questions covers for these networks in {networks} %, one over "
            f"seeds for these questions in {questions} %.",
        ]
    )


def power(data: dict[str, Any]) -> str:
    """The smallest differences and how often they were found."""
    rows = []
    for one in data["power"]:
        found = f"{100 * one['smallest']:.0f}", f"{100 * one['finds']:.0f} %"
        rows.append((one["seeds"] or "these networks", one["questions"], *found))
    return "\n".join(table(("seeds", "questions", "smallest difference, points", "found in"), rows))


def validate(data: dict[str, Any]) -> str:
    """Every task under `neuromas validate`: the verdict, the bars, the worst cheat, who scores."""
    rows = data["tasks"]
    failed = [one["task"] for one in rows if not one["ok"]]
    easy = [
        f"{one['task']} ({100 * best:.0f} %)"
        for one in rows
        if (best := max(one.get(kind, {"earned": 0})["earned"] for kind in ("constant", "echo"))) > 2 / 3
    ]
    fewest = min(one["items_per_split"] for one in rows)
    heads = ("task", "verdict", "best constant", "best echo", "most paid cheat", "right elsewhere")
    lines = [
        f"{len(rows)} settings, {data['items_per_split']} problems of each split ({fewest} of slow ones), "
        f"reasoning-gym {data['reasoning_gym']}, {data['seconds'] / 60:.0f} minutes on one core. "
        f"{'All pass' if not failed else 'Failing: ' + ', '.join(failed)}. "
        f"One rule without thought is right in more than two thirds of {', '.join(easy) or 'no task'}.",
        "",
        *table((*heads, "scored by"), []),
    ]
    return "\n".join([*lines, *map(_validated, rows)])


def _validated(one: dict[str, Any]) -> str:
    """The line of one task."""
    if "constant" not in one:
        return f"| {one['task']} | fails: {'; '.join(one['checks'].values())} | | | | | |"
    echo = one["echo"]["name"].removeprefix("echo of ") if one["echo"]["earned"] else ""
    worst = one["worst"]["name"] if one["worst"]["unearned"] else ""
    return row(
        (
            one["task"],
            "ok" if one["ok"] else f"fails: {', '.join(one['failed'])}",
            f"{100 * one['constant']['earned']:.0f} %",
            f"{100 * one['echo']['earned']:.0f} % {echo}".rstrip(),
            f"{100 * one['worst']['unearned']:.0f} % {worst}".rstrip(),
            f"{100 * one['other']['other']:.0f} %",
            _scorer(one["task"]),
        )
    )


def _scorer(task: str) -> str:
    """Who decides what is right, and why not the generator itself."""
    task, _, options = task.partition(" ")
    name = task.removeprefix(gym.PREFIX)
    if name == task:
        return "last number or word" if "read=last" in options else "whole text"
    if name in gym.EXACT:
        return f"whole text; its own {gym.EXACT[name]}"
    if name in gym.CLOSE:
        tolerance, why = gym.CLOSE[name]
        return f"number within {tolerance:g} of it; its own {why}"
    form = ", after a check of the form" if name in gym.FORMULAS or name in gym.ALPHABET else ""
    many = gym.MANY_ANSWERS.get(name)
    return f"its own, full credit only{form}" + (f"; {many}" if many else "")


def code(data: dict[str, Any]) -> str:
    """What the sandboxes did of reference solutions, cheats and attacks, and the names of what was tried."""
    rows = []
    for name, found in data["sandboxes"].items():
        sets = found["references"]
        passed = ", ".join(f"{key} {one['pass']} of {one['problems']}" for key, one in sets.items())
        alone = ", ".join(f"{one['median milliseconds alone']:.0f}" for one in sets.values())
        rate = ", ".join(f"{one['judged a second']:.1f}" for one in sets.values())
        tried = (f"{found[kind]['refused']} of {found[kind]['tried']}" for kind in ("cheats", "attacks"))
        rows.append((name, f"{found['milliseconds of a start']:.0f}", passed, alone, rate, *tried))
    heads = ("sandbox", "start, ms", "reference solutions that pass", "one alone, ms", "judged a second")
    lines = [f"On {data['machine']}, {data['at once']} programs at once.", ""]
    lines += table((*heads, "cheats refused", "attacks refused"), rows)
    first = next(iter(data["sandboxes"].values()))
    for kind in ("cheats", "attacks"):
        lines += ["", f"{kind.title()}: {'; '.join(first[kind]['words'])}."]
    return "\n".join(lines)


def kills(data: dict[str, Any]) -> str:
    """Runs by what was done to them, and how they ended."""
    rows = []
    for kind, counts in data["counts"].items():
        hits = counts.get("hit", 0) + counts.get("stopped with one line", 0)
        rows.append((kind, counts["runs"], hits, counts["bit-identical"], counts.get("faults", 0)))
    phases = sum((Counter(counts) for counts in data["counts"].values()), Counter())
    where = ", ".join(f"{phases[key]} {key}" for key in sorted(phases) if key.startswith("in "))
    heads = ("done to the run", "runs", "hits", "ended bit-identical", "faults")
    lines = [*table(heads, rows), "", f"Kills by where they struck: {where}.", ""]
    return "\n".join([*lines, f"`{data['command']}`"])
