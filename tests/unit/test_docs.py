"""The documents keep pace with the code: figures, code blocks, files and links they name."""

from __future__ import annotations

import copy
import importlib.util
import json
import re
import runpy
from dataclasses import asdict
from pathlib import Path

import pytest

from neuromas.report.comparing import compare_points, correct
from neuromas.statistics import clustered_difference

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.fixture(autouse=True)
def _beside_each_other(monkeypatch):
    """Scripts of benchmarks/ find the files beside them, as they do when they are called."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))


def test_every_figure_of_the_pages_comes_from_a_result_file():
    made = runpy.run_path(str(ROOT / "benchmarks" / "readme.py"))
    for page in made["PAGES"]:
        text = page.read_text("utf-8")
        assert made["render"](text) == text, f"{page.name}: run python benchmarks/readme.py"
    pages = "".join(page.read_text("utf-8") for page in made["PAGES"])
    for name in (
        "demo",
        "learning",
        "speed",
        "simulated",
        "power",
        "config",
        *(f"{one}-report" for one in made["EXPERIMENTS"]),
    ):
        assert f"<!-- {name} -->" in pages, f"no page shows {name}"


def test_the_drawings_of_the_pages_come_from_the_results():
    """Each names the mark of its specification; bytes are held of the smallest, by the version that drew it.

    Another version of vl-convert may place a label elsewhere, and drawing all takes seconds.
    """
    from neuromas.report.charts import drawing

    made = _benchmark("readme").charts()
    found = {name: (ROOT / "docs" / name).read_text("utf-8") for name in made}
    for name, chart in made.items():
        assert f'data-spec="{drawing.mark(chart)}"' in found[name], f"{name}: run python benchmarks/readme.py"
    name = min(found, key=lambda one: len(found[one]))
    drawn = drawing.svg(made[name])
    version = re.compile(r'data-drawn-by="([^"]+)"')
    if version.search(drawn)[1] == version.search(found[name])[1]:
        assert drawn == found[name], f"{name}: run python benchmarks/readme.py"


def _benchmark(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_pages_show_results_with_and_without_scores_by_question():
    """A result file that 0.1.0 wrote has none; one written now has."""
    from parts.experiments import networks, report

    old = json.loads((ROOT / "tests" / "golden" / "experiment-0.1.0.json").read_text("utf-8"))
    new = copy.deepcopy(old)
    questions = [f"q{i}" for i in range(10)]
    new["items"] = {task: questions for task in {point["task"] for point in new["points"]}}
    for point in new["points"]:
        for seed in point["seeds"]:
            right = round(10 * seed["accuracy"])
            seed["scores"] = [1] * right + [0] * (10 - right)
        point["interval"] = {"low": 0.123, "high": 0.987}
    new["comparisons"] = correct([compare_points(new["points"], one) for one in new["comparisons"]])
    for data, tested in ((old, False), (new, True)):
        for text in (networks(data), report(data)):
            assert ("p = " in text) == tested
            assert ("98.7]" in text) == tested
            assert ("items were not kept" in text) != tested
            assert "pooled" not in text
            assert "+85, +80, +69" in text or "+85.0, +80.0, +69.0" in text or tested


def test_the_gain_over_seeds_is_tested_by_question_and_seed():
    from parts.learning import gain

    learning = _benchmark("learning")
    row = {"recipe": "r", "ids": ["a", "b", "c"], "scores": {"before": [0, 0, 1], "after": [1, 0, 1]}}
    rows = [row | {"gain": 1 / 3}, row | {"gain": 1 / 3}]
    rows.append({**row, "scores": {"before": [0, 0, 0], "after": [1, 1, None]}, "gain": 1.0})
    (found,) = learning._over_seeds(rows)
    expected = clustered_difference([[1, 0], [1, 0], [1, 1]], [[0, 0]] * 3)
    assert found["trainings"] == asdict(expected)
    assert f"p = {expected.p_value:.1g} by question and seed" in gain(found, rows)
    (few,) = learning._over_seeds(rows[:2])
    assert few["trainings"] is None
    rows[0] = {**row, "ids": ["x", "b", "c"], "gain": 0.0}
    assert learning._over_seeds(rows)[0]["trainings"] is None, "other questions"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text("utf-8")):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_house_names_what_exists():
    """Paths below the package, or in the project, that docs/house.md puts into backticks."""
    for named in re.findall(r"`([\w./-]+/[\w./-]*)`", (ROOT / "docs" / "house.md").read_text("utf-8")):
        assert (ROOT / "src" / "neuromas" / named).exists() or (ROOT / named).exists(), named


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_blocks_compile_and_name_what_exists(page):
    import neuromas

    for block in re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
        compile(block, page.name, "exec")
        for name in re.findall(r"neuromas\.(\w+)\(", block):
            assert name in neuromas.__all__


def test_the_readme_is_read_in_minutes():
    text = (ROOT / "README.md").read_text("utf-8")
    assert len(text.splitlines()) <= 120
    assert max(map(len, text.splitlines())) < 250
