"""What a card says was measured: the tests of a run, their gain, what a question costs, and where it ran."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neuromas.core.errors import RunError
from neuromas.report.reading import ITEM, SUMMARY, read_evaluation
from neuromas.report.tables import paired, paired_line
from neuromas.report.terminal import visible
from neuromas.storage import MANIFEST, Run

_TESTS = (
    ("test-before", "before training"),
    ("test-after", "after training"),
    ("test-after-blank", "messages blanked"),
    ("test-after-shuffle", "messages shuffled"),
)
_SHOWN = ("torch", "transformers", "numpy")


@dataclass(frozen=True, slots=True)
class Test:
    """One test in words. ``interval`` has ``low`` and ``high``."""

    words: str
    accuracy: float | None
    interval: Mapping[str, Any] | None
    items: int


@dataclass(frozen=True, slots=True)
class Results:
    """All that was found beside a network; empty of one that comes without its run."""

    tests: tuple[Test, ...] = ()
    constant: float | None = None
    gain: str = ""
    cost: str = ""
    version: str = ""
    facts: tuple[tuple[str, str], ...] = ()


def results_of(path: Path, manifest: Mapping[str, Any]) -> Results:
    """The results of the run at ``path``; of a checkpoint or an exported network only what it cost."""
    facts = tuple(_spent(manifest))
    if (path / MANIFEST).is_file() or not (path / "config.json").is_file():
        return Results(facts=facts)
    run = Run.open(path)
    found = dict(_evaluations(run))
    tests = tuple(
        Test(words, found[name][0]["accuracy"], found[name][0]["interval"], len(found[name][1]))
        for name, words in _TESTS
        if name in found
    )
    after = found["test-after"][0] if "test-after" in found else None
    about = run.read("run.json") if (path / "run.json").is_file() else {}
    versions = about.get("versions", {})
    return Results(
        tests,
        None if after is None else after.get("majority", {}).get("accuracy"),
        _gain(found),
        "" if after is None else _cost(after),
        f"NeuroMAS {versions['neuromas']}" if versions.get("neuromas") else "",
        (*facts, *_made(about)),
    )


def _evaluations(run: Run) -> Iterator[tuple[str, Any]]:
    """Summary and items of every test there is and that can be read."""
    for name, _ in _TESTS:
        try:
            yield name, read_evaluation(run, name, SUMMARY, ITEM)
        except RunError:
            continue


def _gain(found: Mapping[str, Any]) -> str:
    """After against before, item by item; "" where they cannot be paired."""
    if not {"test-before", "test-after"} <= found.keys():
        return ""
    try:
        return paired_line(*paired(found["test-before"][1], found["test-after"][1]))
    except RunError:
        return ""


def _cost(summary: Mapping[str, Any]) -> str:
    """What an answer takes; "" where an old run does not say."""
    if not {"calls", "prompt_tokens", "new_tokens"} <= summary.keys():
        return ""
    return (
        f"A question takes {summary['calls']:.1f} calls, {summary['prompt_tokens']:.0f} tokens read and "
        f"{summary['new_tokens']:.0f} written."
    )


def _spent(manifest: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What the network had cost when it was saved."""
    spent = manifest.get("spent")
    if isinstance(spent, Mapping):
        yield (
            "spent",
            (
                f"{spent['steps']} steps, {spent['calls']:,} calls, {spent['prompt_tokens']:,} tokens read "
                f"and {spent['new_tokens']:,} written, {spent['seconds']:.0f} s"
            ),
        )


def _made(about: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Versions, commit and kind of machine, as the run noted them."""
    versions, machine = about.get("versions", {}), about.get("machine", {})
    said = [f"{name} {versions[name]}" for name in _SHOWN if versions.get(name)]
    python = [f"Python {about['python']}"] if about.get("python") else []
    if said or python:
        yield "versions", ", ".join([*python, *said])
    if about.get("commit"):
        yield "commit", visible(str(about["commit"]))
    if machine:
        where = machine.get("accelerator") or f"CPU ({machine.get('processor')})"
        yield "machine", f"{where}, {machine.get('threads')} thread(s)"
