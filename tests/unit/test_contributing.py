"""CONTRIBUTING.md is run: every part from outside, by address and by entry point, and from inside."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from neuromas.cli import main

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
KINDS = ("estimator", "method", "engine", "page")
SMALL = [
    *("model.backbone=tiny", "model.dtype=float32", "model.device=cpu", "model.rank=2"),
    *("train.steps=1", "train.problems=2", "train.samples=2", "evaluate.test=4", "evaluate.every=0"),
    *("network.message_tokens=3", "network.answer_tokens=3"),
]


def part(kind: str) -> str:
    """The section about one kind."""
    (found,) = re.findall(rf"^## \d\. An? {kind}.*?(?=^## |^# )", PAGE, re.DOTALL | re.MULTILINE)
    return found


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def outside(tmp_path_factory):
    """A folder with the four files, the entry points of a package, and a run with two of the parts."""
    folder = tmp_path_factory.mktemp("outside")
    for kind in KINDS:
        assert f"`my_{kind}.py`" in part(kind)
        (folder / f"my_{kind}.py").write_text(blocks(part(kind), "python")[0])
    (points,) = blocks(PAGE, "toml")
    lines = []
    for group, names in tomllib.loads(points)["project"]["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {address}" for name, address in names.items())]
    installed = folder / "my_parts-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: my-parts\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text("\n".join(lines) + "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.chdir(folder)
        parts = ["train.baseline=median", "train.baseline_options.window=8", "engine.name=journal"]
        assert main(["train", *SMALL, *parts, "--run", "runs/demo"]) == 0
        yield folder


def test_an_estimator_and_an_engine_of_ones_own_train(outside):
    """The journal has every message; the estimator's state is in the checkpoint."""
    assert len((outside / "journal.jsonl").read_text().splitlines()) > 12
    (state,) = (outside / "runs/demo/checkpoints").glob("step-000001/*.json")
    assert '"ema": {\n   "0": [' in state.read_text()


@pytest.mark.parametrize("kind", KINDS)
def test_the_check_of_the_page_passes(outside, kind):
    _, check = blocks(part(kind), "python")
    assert f"check_{kind}(" in check
    exec(compile(check, "CONTRIBUTING.md", "exec"), {})


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("evaluate", "runs/demo", "--items", "3", "--method", "panel", "--with", "agents=2"), "4.0"),
        (("report", "runs/demo", "--page", "answers"), "given"),
        (("report", "runs/demo", "--page", "my_page:PAGE", "--csv"), "answer,given,right"),
        (("methods",), "panel "),
        (("report",), "answers"),
    ],
)
def test_a_package_of_parts_is_used_by_its_names(outside, capsys, words, says):
    assert main(list(words)) == 0
    assert says in capsys.readouterr().out


def commands() -> list[str]:
    return re.findall(r"^    neuromas (.+)$", PAGE, re.MULTILINE)


def test_the_commands_run_with_the_addresses(outside, capsys):
    assert [line.split()[0] for line in commands()] == ["train", "evaluate", "compare", "train", "report"]
    shutil.copytree(ROOT / "recipes", outside / "recipes", symlinks=False, dirs_exist_ok=True)
    for number, line in enumerate(commands()):
        words = line.replace("test-200-", "test-4-").split()
        if words[0] == "train":
            words += [*SMALL, "--run", f"runs/{number}"]
        if words[0] == "evaluate":
            words += ["--items", "4"]
        status = main(words)
        assert status == 0, (line, capsys.readouterr().err)


@pytest.fixture(scope="module")
def inside(tmp_path_factory):
    """A copy of the package with the four files in their rooms and the four lines in the registries."""
    copy = tmp_path_factory.mktemp("inside") / "neuromas"
    shutil.copytree(ROOT / "src" / "neuromas", copy)  # with what Python compiled, where it may
    book = copy / "core" / "parts.py"
    for kind in KINDS:
        (name,) = re.findall(r"the file is `src/neuromas/([\w/]+\.py)`", part(kind))
        (copy / name).write_text(blocks(part(kind), "python")[0])
        (diff,) = blocks(part(kind), "diff")
        before = "".join(line[1:] + "\n" for line in diff.splitlines() if line[0] != "+")
        after = "".join(line[1:] + "\n" for line in diff.splitlines() if line[0] != "-")
        text = book.read_text()
        assert text.count(before) == 1, f"core/parts.py has no\n{before}"
        book.write_text(text.replace(before, after))
    return copy.parent


@pytest.fixture(scope="module")
def said(inside):
    """What a fresh process with that package says: what of its door is not there, and of the parts."""
    code = (
        "import neuromas; print([n for n in dir(neuromas) if not hasattr(neuromas, n)], flush=True)\n"
        "from neuromas.core.parts import *; from neuromas.testing import *;"
        "check_estimator(ESTIMATORS.get('median')()); check_method(METHODS.get('panel')());"
        "check_engine('journal'); print(PAGES.get('answers').name, *METHODS.names()[-1:])"
    )
    environment = {**os.environ, "PYTHONPATH": str(inside)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=inside, check=False
    )
    return done.stdout.splitlines(), done.returncode, done.stderr


def test_every_name_that_dir_lists_is_there_in_a_fresh_process(said):
    """Here, as the process is: torch takes seconds to load."""
    lines, _, error = said
    assert lines[:1] == ["[]"], error


def test_one_file_and_one_line_bring_a_part_in(said):
    lines, status, error = said
    assert (status, lines[1:]) == (0, ["answers panel"]), error
