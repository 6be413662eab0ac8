"""The documents keep pace with the code: figures, code blocks, files and links they name."""

from __future__ import annotations

import re
import runpy
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_every_figure_of_the_pages_comes_from_a_result_file():
    made = runpy.run_path(str(ROOT / "benchmarks" / "readme.py"))
    for page in made["PAGES"]:
        text = page.read_text("utf-8")
        assert made["render"](text) == text, f"{page.name}: run python benchmarks/readme.py"
    pages = "".join(page.read_text("utf-8") for page in made["PAGES"])
    for name in ("demo", "learning", "speed", *(f"{one}-report" for one in made["EXPERIMENTS"])):
        assert f"<!-- {name} -->" in pages, f"no page shows {name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text("utf-8")):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_blocks_compile_and_name_what_exists(page):
    import neuromas

    for block in re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
        compile(block, page.name, "exec")
        for name in re.findall(r"neuromas\.(\w+)\(", block):
            assert name in neuromas.__all__


def test_commands_in_the_readme_are_understood():
    from neuromas.cli.parser import build_parser

    text = (ROOT / "README.md").read_text("utf-8")
    found = re.findall(r"^    \.venv/bin/neuromas (.+)$", text, re.MULTILINE)
    found += re.findall(r"`neuromas ([^`]+)`", text)
    assert len(found) > 4
    for line in found:
        build_parser().parse_args(shlex.split(line))


def test_the_five_line_interface_runs_on_the_tiny_model(tmp_path):
    """The README's Python block, with a tiny model and few steps."""
    text = (ROOT / "README.md").read_text("utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    small = (
        '["model.backbone=tiny", "model.dtype=float32", "train.steps=1", "train.problems=2", '
        '"evaluate.test=4", "evaluate.validation=2"]'
    )
    recipe = str(ROOT / "recipes" / "demo.toml")
    block = block.replace('"recipes/demo.toml"', f"{recipe!r}, {small}")
    block = block.replace('"runs/mine"', repr(str(tmp_path / "mine")))
    exec(compile(block, "README.md", "exec"), {})
    assert (tmp_path / "mine" / "status.json").is_file()
