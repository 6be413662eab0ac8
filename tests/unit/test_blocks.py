"""Code on the pages is run, Python and console lines on the tiny model, or a reason stands here why not.

Every console line is read by the real parser, whether it is run or not; its keys must be keys of a
configuration, its extras, targets and scripts must exist.
"""

from __future__ import annotations

import re
import shutil
import tomllib
from pathlib import Path

import pytest

import neuromas
import neuromas.config
from endpoint import completion, serving
from neuromas.cli import main
from neuromas.cli.parser import build_parser, parse
from neuromas.cli.verbs import VERBS
from neuromas.config import check_keys
from pages import PAGES, ROOT, Line, blocks, console, spans

SMALL = [
    *("model.backbone=tiny", "model.dtype=float32", "model.device=cpu", "model.rank=2"),
    *("train.problems=2", "train.samples=2", "evaluate.test=4", "evaluate.every=0", "evaluate.validation=2"),
    *("network.message_tokens=3", "network.answer_tokens=3"),
]
STEP = [*SMALL, "train.steps=1"]

NOT_RUN = {  # console lines by a pattern, and why they are only read
    r"^(\S+=\S+ )?make |^pip |^apt |^export |^echo |^urls=|-m venv": "installs, or sets up a shell",
    r"^\S*python benchmarks/|-m pytest": "a script or a suite of its own",
    r"neuromas experiment ": "takes minutes to hours; tests/recipes runs experiments of the tiny model",
    r"neuromas evaluate runs/organisation/": "a cell of an experiment of hours; tests/recipes measures nodes",
    r"engine\.name=vllm|neuromas engine ": "needs a vLLM server; make test-engines",
    r"engine\.name=openai": "needs an endpoint; the Python block of that page is run with a stub",
    r"^torchrun ": "several processes; make test-processes",
    r"task\.name=(mbpp|humaneval)|pass-at-n": "needs a sandbox and data; make test-sandbox",
    r"train\.algorithm=malt": "tests/unit/training trains with it",
    r"--graft|--copy|stages\.": "needs a network of that shape; tests/unit/growth and tests/recipes",
    r"neuromas doctor": "measures the machine",
    r"runs/larger --page lineage": "of a run of one's own",
    r"runs/demo --local": "needs a task whose nodes have steps; tests/unit/cli",
    r"neuromas runs results": "a folder of one's own",
    r"neuromas export RUN|hub:|--push": "needs such a network, or a hub; tests/recipes",
    r"neuromas (report|figure) runs/(growth|grown|\*)": "runs of one's own; tests/recipes, tests/unit/cli",
    r"neuromas (chat|serve) |--watch": "runs until it is ended; tests/unit/serving, tests/unit/cli",
}
ELSEWHERE = {"CONTRIBUTING.md": "tests/unit/test_contributing.py runs all of that page"}
NOT_CODE = {  # indented blocks that are no console lines, by page
    "CONTRIBUTING.md": 1,  # a commit's message
    "endpoints.md": 1,  # what an evaluation prints
    "method.md": 3,  # formulas
    "examples.md": 1,  # scripts, which tests/recipes/test_example_files.py runs
    "numbers.md": 1,  # a formula
    "serving.md": 2,  # what it prints, and the lines for a harness
}
LINES = [line for page in PAGES for line in console(page)[0]]
CALLS = [line for line in LINES if line.command is not None]


def why_not(line: Line) -> str | None:
    """Why a line is not run here; None where it is."""
    found = [why for pattern, why in NOT_RUN.items() if re.search(pattern, line.text)]
    return (found or [ELSEWHERE.get(line.page)])[0]


def test_every_reason_is_needed_and_every_block_is_known():
    for pattern in NOT_RUN:
        assert any(re.search(pattern, line.text) for line in LINES), f"no line of a page is {pattern}"
    others = {page.name: len(found) for page in PAGES if (found := console(page)[1])}
    assert others == NOT_CODE
    assert all(line.command is not None or why_not(line) for line in LINES)
    run = sum(why_not(line) is None for line in LINES)
    assert run >= 42, f"only {run} of {len(LINES)} console lines are run"


@pytest.mark.parametrize("line", CALLS, ids=lambda line: f"{line.page}: {line.text[:50]}")
def test_console_lines_are_what_the_program_reads(line, capsys):
    words = [word.replace("…", "x") for word in line.command]
    try:
        args = parse(words)
    except SystemExit:
        pytest.fail(f"{line.page}: {line.text}: {capsys.readouterr().err}")
    settings = [word for word in getattr(args, "settings", []) or [] if "=" in word and "$" not in word]
    check_keys(settings)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_within_the_text_exist_with_their_options(page):
    verbs = build_parser().verbs
    for words in spans(page):
        if words[0] == "COMMAND" or words[0].startswith("-"):
            continue
        assert words[0] in VERBS, f"{page.name}: neuromas {' '.join(words)}"
        known = [flag for flags in _flags(verbs[words[0]]) for flag in flags]
        for word in words[1:]:
            if word.startswith("--"):
                assert word.partition("=")[0] in known, f"{page.name}: neuromas {' '.join(words)}"


def _flags(parser):
    """Options of a command and of its own commands."""
    for action in parser._actions:
        yield action.option_strings
        for one in action.choices.values() if isinstance(action.choices, dict) else ():
            yield from _flags(one)


def test_extras_targets_and_scripts_exist():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for page in PAGES:
        for extra in re.findall(r"neuromas\[([\w,]+)\]", page.read_text("utf-8")):
            assert set(extra.split(",")) <= set(extras), f"{page.name}: neuromas[{extra}]"
    for line in LINES:
        words = line.words
        if words and words[0] == "make" and not words[1].startswith("."):
            assert re.search(rf"^{words[1]}:", makefile, re.MULTILINE), line.text
        for word in words:
            if word.startswith(("benchmarks/", "recipes/", "tests/")):
                assert (ROOT / word).exists(), line.text


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder in which the pages' commands make sense: recipes, a trained run, and files that pages show."""
    folder = tmp_path_factory.mktemp("world")
    shutil.copytree(ROOT / "recipes", folder / "recipes")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["train", "demo", *STEP, "--run", "runs/demo"]) == 0
        assert (
            main(["evaluate", "runs/demo", "--method", "direct", "--items", "4", "--name", "test-200-direct"])
            == 0
        )
    for name in ("a", "b", "c", "a0", "b0", "a1", "b1", "a2", "b2", "mine"):
        shutil.copytree(folder / "runs/demo", folder / "runs" / name)
    (folder / "data.csv").write_text("question,answer\n" + "".join(f"{i} + 1?,{i + 1}\n" for i in range(60)))
    (folder / "own.toml").write_text(blocks(ROOT / "docs" / "prompts.md", "toml")[0][1])
    return folder


def fitted(line: Line) -> list[str]:
    """The words of a line with the tiny model, few steps and few questions."""
    words = ["runs/demo" if word == "RUN" else word for word in line.command]
    again = "--resume" in words
    words = [
        re.sub(r", \d+(?=\])", ", 3" if again else ", 1", word) if "stages=" in word else word
        for word in words
    ]
    stages = sum(word.count(", 1]") for word in words if "stages=" in word)
    words = [
        re.sub(r"train\.steps=\d+", f"train.steps={2 if again else stages or 1}", word) for word in words
    ]
    if again:
        return words
    if stages:
        return [*words, *SMALL]
    more = {
        "train": STEP,
        "grow": ["--steps", "1", *SMALL[4:]],
        "evaluate": ["--items", "4"],
        "prompts": SMALL[:4],
        "probe": ["--items", "2", "--samples", "2", "--examples", "0"],
    }
    words += more.get(words[0], [])
    if words[0] == "probe" and "--run" not in words:
        words += ["--backbone", "tiny"]
    if words[0] == "evaluate":  # a name of its own for every line
        words += ["--name", f"test-{abs(hash(line.text))}"]
    return words


@pytest.mark.parametrize("page", sorted({line.page for line in CALLS if why_not(line) is None}))
def test_console_lines_run(world, tmp_path, monkeypatch, capsys, page):
    """All lines of a page in their order, in a folder of their own."""
    shutil.copytree(world, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    (path,) = (one for one in PAGES if one.name == page and one.parent.name != "reference")
    for before, code in blocks(path, "python"):  # "In `my_pages.py`:"
        if named := re.search(r"`(\w+\.py)`:\s*$", before):
            Path(named[1]).write_text(code)
    for line in console(path)[0]:
        if line.command is not None and why_not(line) is None:
            status = main(fitted(line))
            assert status == 0, f"{line.text}: {capsys.readouterr().err}"


@pytest.fixture
def small(monkeypatch):
    """``neuromas.load_config`` as on the pages, but with the tiny model and one step."""
    read = neuromas.load_config

    def load_config(path=None, overrides=()):
        return read(path, [*overrides, *STEP])

    monkeypatch.setattr(neuromas, "load_config", load_config, raising=False)


PYTHON_ELSEWHERE = {
    **ELSEWHERE,
    "exporting.md": "needs a base model of the hub; tests/recipes/test_export.py loads what is written",
    "serving.md": "needs a running service; tests/unit/serving asks one through the same client",
}
PYTHON = [page for page in PAGES if blocks(page, "python") and page.name not in PYTHON_ELSEWHERE]


@pytest.mark.parametrize("page", PYTHON, ids=lambda page: page.name)
@pytest.mark.usefixtures("small")
def test_python_blocks_run(world, tmp_path, monkeypatch, page):
    """All of a page, one after another, each with its own names."""
    shutil.copytree(world, tmp_path / "here")
    shutil.rmtree(tmp_path / "here/runs/mine")
    monkeypatch.chdir(tmp_path / "here")
    with serving(lambda body, number: completion("7")) as stub:
        for _, code in blocks(page, "python"):
            here = code.replace("http://localhost:8000/v1", stub.url)
            here = re.sub(r"\b(items|steps)=\d+", r"\1=1", here)
            exec(compile(here, page.name, "exec"), {"__name__": "__main__"})
    assert bool(stub.bodies) == ("localhost" in page.read_text("utf-8"))


TOML = [(page, code) for page in PAGES for _, code in blocks(page, "toml")]


@pytest.mark.parametrize(("page", "code"), TOML, ids=[page.name for page, _ in TOML])
def test_toml_blocks_are_what_they_are_shown_as(page, code):
    """A configuration, a prompt file, an experiment's tasks, or a package's entry points."""
    from neuromas.experiment.arms import TaskPlan
    from neuromas.experiment.plan import make_plan
    from neuromas.prompts.reading import read_template

    data = tomllib.loads(code)
    if "arms" in data:
        assert make_plan(data).arms
    elif isinstance(data.get("tasks"), list):  # a part of such a file
        assert [TaskPlan.model_validate(one) for one in data["tasks"]]
    elif {"plain", "nodes"} & set(data):
        assert read_template(code.encode(), page.name, "plain")
    elif "project" not in data:  # entry points, which tests/unit/test_contributing.py installs
        assert neuromas.make_config(data)
