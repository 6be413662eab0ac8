"""Puts the figures of benchmarks/results/ into README.md and pages of docs/, between their markers.

python benchmarks/readme.py            rewrite them, and the experiments' drawings in docs/
python benchmarks/readme.py --check    exit 1 if a page is not up to date (a test does this)

What stands between two markers is made in parts/, a file a subject; which results it is made of is said here.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from parts import (
    architectures,
    checks,
    experiments,
    keys,
    learning,
    measured,
    organisation,
    overview,
    paper,
    rivals,
    short_tables,
)
from parts.reading import NOT_RUN, kept, learned, load, there

from neuromas.report.charts import cost, drawing, experiment, law
from neuromas.report.charts.frame import Chart

ROOT = Path(__file__).parents[1]
DOCS = (
    "start",
    "results",
    "growth",
    "organisation",
    "rivals",
    "numbers",
    "tasks",
    "durability",
    "training",
    "config",
    "methods",
    "code",
    "paper",
    "architectures",
    "serving",
)
PAGES = [ROOT / "README.md", *(ROOT / "docs" / f"{name}.md" for name in DOCS)]
EXPERIMENTS = ("depth", "growth", "remedies")
OVERVIEW = ("organisation", "families", "rivals", "depth", "growth", "cpu", "statistics", "kills")


def of(make: Callable[..., str], *files: str) -> Callable[[], str]:
    """The part made of these result files, or the line that stands there until they are."""

    def part() -> str:
        missing = [NOT_RUN[name] for name in files if name in NOT_RUN and not there(name)]
        return missing[0] if missing else make(*map(load, files))

    return part


MARKS: dict[str, Callable[[], str]] = {
    "results": lambda: overview.results(learned(), kept(*(f"{name}.json" for name in OVERVIEW))),
    "demo": of(learning.demo, "demo-0.txt"),
    "demo-short": of(learning.demo_short, "demo-0.txt"),
    "learning": lambda: learning.learning(learned()),
    "seven": of(learning.seven, "seven.json"),
    "local-steps": of(learning.local_steps, "local_steps.json"),
    "config": keys.config,
    "stage-keys": keys.stage_keys,
    "experiment-keys": keys.experiment_keys,
    "methods": keys.methods,
    **{name: of(experiments.networks, f"{name}.json") for name in EXPERIMENTS},
    **{f"{name}-report": of(experiments.report, f"{name}.json") for name in EXPERIMENTS},
    **{f"{name}-tables": of(experiments.report, f"{name}.json") for name in ("organisation", "rivals")},
    "organisation": of(organisation.organisation, "organisation.json"),
    "organisation-answer": lambda: organisation.answer(kept("organisation.json", "families.json").values()),
    "organisation-aloud": of(organisation.aloud, "organisation.json"),
    "organisation-divided": of(organisation.divided, "organisation.json"),
    "organisation-influence": of(organisation.influence, "influence.json"),
    "organisation-law": of(organisation.law, "organisation.json"),
    "organisation-samples": of(partial(organisation.samples, task="sums"), "organisation.json"),
    "organisation-swapped": of(organisation.swapped, "organisation.json"),
    "families": of(organisation.families, "families.json"),
    "families-divided": of(organisation.divided, "families.json"),
    "families-law": of(organisation.law, "families.json"),
    "rivals": of(rivals.rivals, "rivals.json"),
    "rivals-answers": of(short_tables.answered, "rivals.json"),
    "rivals-public": of(rivals.public, "public.json"),
    "rivals-written": of(rivals.written, "rivals.json"),
    "speed": of(measured.speed, "cpu.json"),
    "alike": of(measured.alike, "alike.json"),
    "precision": of(measured.precision, "precision.json"),
    "methods-speed": of(measured.methods, "methods.json"),
    "serving": of(measured.serving, "serving.json"),
    "harness": of(measured.harness, "harness.json"),
    "architectures": of(architectures.served, "architectures.json"),
    "architectures-refused": of(architectures.refused, "architectures.json"),
    "architectures-check": of(architectures.check, "architectures.json"),
    "quantised": of(architectures.quantised, "quantised.json"),
    "vocabulary": of(architectures.vocabulary, "vocabulary.json"),
    "long": of(architectures.long, "long.json"),
    "paper-constants": of(paper.constants, "paper.json"),
    "paper-cost": of(paper.cost, "paper.json"),
    "paper-rehearsal": of(paper.rehearsal, "paper.json"),
    "simulated": of(checks.simulated, "statistics.json"),
    "power": of(checks.power, "statistics.json"),
    "validate": of(checks.validate, "validate.json"),
    "code": of(checks.code, "code.json"),
    "kills": of(checks.kills, "kills.json"),
}


def main() -> int:
    """Rewrite or check."""
    wanted = {page: render(page.read_text("utf-8")) for page in PAGES}
    if "--check" in sys.argv:
        return int(any(page.read_text("utf-8") != text for page, text in wanted.items()))
    for page, text in wanted.items():
        page.write_text(text, "utf-8")
    for name, chart in charts().items():
        (ROOT / "docs" / name).write_text(drawing.svg(chart), "utf-8")
    return 0


def charts() -> dict[str, Chart]:
    """The drawings in docs/ by their files' names, made of the results that are there."""
    found = {f"{name}.svg": experiment.calls(load(f"{name}.json"), name) for name in EXPERIMENTS}
    if there("organisation.json"):
        data = load("organisation.json")
        found["organisation-calls.svg"] = experiment.calls(data, "organisation")
        found["organisation-depth.svg"] = experiment.depth(data, "organisation")
        found["organisation-law.svg"] = law.law(law.of_results(data), "organisation")
    if there("rivals.json"):
        for task, points in rivals.costs(load("rivals.json")).items():
            found[f"rivals-{task}.svg"] = cost.cost(points, f"rivals, {task}")
    return found


def render(text: str) -> str:
    """A page's text with every marked part made anew from the results."""
    for name, make in MARKS.items():
        mark = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        if mark.search(text):
            made = make()
            text = mark.sub(lambda found, made=made: found[1] + made + "\n" + found[2], text)
    return text


if __name__ == "__main__":
    raise SystemExit(main())
