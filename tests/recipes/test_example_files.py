"""The examples run: on a random model in every run of the tests, on the real one with ``make examples``."""

from __future__ import annotations

import json
import os
import re
import runpy
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
SCRIPTS = sorted(path.stem for path in EXAMPLES.glob("*.py"))
NOTEBOOK = EXAMPLES / "what_nodes_say.ipynb"
WHOLE = pytest.mark.skipif(
    os.environ.get("NEUROMAS_EXAMPLES") != "1", reason="takes minutes: make examples runs the whole ones"
)


def script(name, monkeypatch, *flags):
    """Run it as from a shell, in this process, where torch is loaded already."""
    monkeypatch.setattr(sys, "argv", [f"{name}.py", *flags])
    monkeypatch.chdir(EXAMPLES.parent)
    runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")


def notebook(folder, **environment):
    """Execute it in a kernel of its own; returns the text of all outputs."""
    import nbformat
    from nbclient import NotebookClient

    book = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(book)
    source = str(EXAMPLES.parent / "src")
    paths = os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH", "")]))
    env = {**os.environ, "PYTHONPATH": paths, **environment}
    where = {"metadata": {"path": str(folder)}}
    client = NotebookClient(book, timeout=900, kernel_name="python3", resources=where)
    client.execute(env=env)
    shown = [output for cell in book.cells if cell.cell_type == "code" for output in cell.outputs]
    return json.dumps(shown)


def test_there_are_three_scripts_and_a_notebook():
    assert SCRIPTS == ["beside_a_rival", "grow_a_network", "your_own_task"]
    assert [path.name for path in EXAMPLES.glob("*.ipynb")] == [NOTEBOOK.name]


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_runs_on_a_random_model(name, monkeypatch, tmp_path, capsys):
    script(name, monkeypatch, "--tiny", "--out", str(tmp_path / "out"))
    assert re.search(r"^\d+ s", capsys.readouterr().out, re.MULTILINE)
    assert (tmp_path / "out" / "run" / "status.json").is_file()


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_takes_the_public_interface_alone(name):
    source = (EXAMPLES / f"{name}.py").read_text("utf-8")
    found = re.findall(r"^\s*(?:from|import) (neuromas[\w.]*)", source, re.MULTILINE)
    assert found == ["neuromas"]


def test_the_notebook_runs_on_a_random_model(tmp_path):
    shown = notebook(tmp_path, NEUROMAS_TINY="1", OMP_NUM_THREADS="1")
    assert "<svg" in shown
    assert "evaluation" in shown
    assert "vega" in shown


def test_the_notebook_is_kept_without_outputs():
    book = json.loads(NOTEBOOK.read_text("utf-8"))
    for cell in book["cells"]:
        assert cell["cell_type"] == "markdown" or (cell["outputs"] == [] and cell["execution_count"] is None)
    assert "neuromas." not in "".join(re.findall(r"(?:from|import) (\S+)", NOTEBOOK.read_text("utf-8")))


@WHOLE
@pytest.mark.real
@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_runs_whole(name, monkeypatch, tmp_path, capsys):
    script(name, monkeypatch, "--out", str(tmp_path / "out"))
    assert "after" in capsys.readouterr().out or name == "beside_a_rival"


@WHOLE
@pytest.mark.real
def test_the_notebook_runs_whole(tmp_path):
    assert "<svg" in notebook(tmp_path)


def test_the_page_shows_what_is_kept(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES.parent / "benchmarks"))
    made = runpy.run_path(str(EXAMPLES.parent / "benchmarks" / "examples.py"))
    page = (EXAMPLES.parent / "docs" / "examples.md").read_text("utf-8")
    assert made["render"](page, made["load"]()) == page, "run python benchmarks/examples.py --docs"
    for name in SCRIPTS:
        assert f"<!-- example {name} -->" in page
    one = {"output": "a\n```\nb", "seconds": 1.6, "cpu_seconds": 2, "threads": 1, "machine": "x"}
    kept = dict.fromkeys(SCRIPTS, one)
    shown = made["render"](page, kept)
    assert shown.count("2 s on x with 1 thread(s)") == len(SCRIPTS)
    assert made["render"](shown, kept) == shown
    assert "````\na\n```\nb\n````" in shown
