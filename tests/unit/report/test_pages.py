"""Pages: what each is built from, one from outside, and that damage is one line."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
import types
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from neuromas.cli import main
from neuromas.config import Config
from neuromas.core import registry
from neuromas.core.errors import ConfigError, NeuromasError, RunError
from neuromas.core.parts import PAGES
from neuromas.report.blocks import Text
from neuromas.report.pages import Page, build_page
from neuromas.report.pages.compare import compare_sides
from neuromas.report.writers import WRITERS, as_text
from neuromas.storage import Run
from neuromas.testing import check_page
from neuromas.topology.graph import Topology

HOSTILE = "\x1b[2J\u202eevil\r\n[red]\u2028"
LONG = "a message of many words " * 30
INTERVAL = {"low": 0.1, "high": 0.9}
TOKENS = {"message_tokens": [2, 3, 4], "truncated": [False, True, False]}


def summary(accuracy):
    return {
        **{"items": 4, "failed": 0, "accuracy": accuracy, "interval": INTERVAL, "first_option": None},
        **{"majority": {"answer": "7", "accuracy": 0.5}, "parse_failures": 0.25, "labels": {"7": 1}},
        **{"calls": 3.0, "prompt_tokens": 9.0, "new_tokens": 9.0, "message_tokens": [3.0] * 3},
        "truncated": [0.0] * 3,
    }


def items(scores):
    return [
        {
            **{"id": f"item-{i}", "question": f"What is {i}? {HOSTILE}", "gold": "7", "score": score},
            **{"messages": [HOSTILE, LONG, "7"], "parsed": "7", "failure": None, **TOKENS},
        }
        for i, score in enumerate(scores)
    ]


def make(path, before=(0, 0, 1, 1), after=(1, 0, 0, 1), **changes) -> Run:
    """A finished run of a 2-1 network without a model."""
    run = Run.create(path, Config(**changes).model_dump(mode="json"), {})
    run.write("status.json", {"finished": True, "step": 30, "best": 20, "seconds": 1.0})
    prompts = {f"item-{i}": [f"prompt of {node} {HOSTILE}" for node in "abc"] for i in range(4)}
    run.write_evaluation("test-before", summary(0.5), items(before), prompts)
    run.write_evaluation("test-after", summary(0.75), items(after), prompts)
    network = {"topology": Topology.parse("2-1").to_dict(), "lineage": []}
    run.save_checkpoint(20, lambda folder: (folder / "network.json").write_text(json.dumps(network)))
    return run


@pytest.fixture
def run(tmp_path) -> Run:
    return make(tmp_path / "run")


def text(page, *paths, **options) -> str:
    return as_text(build_page(page, paths, options))


# -- show


def test_an_overview_has_won_items_first_then_lost_ones(run):
    lines = text("show", run.path).split("\n")
    assert lines[0] == "test-before -> test-after: 4 items (1 won, 1 lost, 1 tied wrong, 1 tied right)"
    assert [line.split("  ")[0] for line in lines[3:7]] == ["item-0", "item-2", "item-1", "item-3"]
    assert "and 3 more (--limit 4 shows all)" in text("show", run.path, limit="1")


def test_one_item_is_shown_whole_before_and_after(run):
    shown = text("show", run.path, item="item-0")
    assert 'item "item-0" (won)' in shown
    for part in ("prompt of a", "prompt of b", "prompt of c"):
        assert shown.count(part) == 2, "before and after"
    written = "".join(line.removeprefix("    │ ") for line in shown.split("\n") if line.startswith("    │"))
    assert written.count(LONG) == 2, "nothing is cut"
    assert "1.2 (layer 1, node 2 of 2) writes 3 tokens, cut off by its token budget" in shown
    assert "== test-after, network 2-1" in shown
    assert 'answer "7", score 1' in shown


def test_without_prompts_a_line_says_how_to_get_them(run):
    for name in ("test-before", "test-after"):
        (run.path / "evaluations" / f"{name}.prompts.jsonl").unlink()
    shown = text("show", run.path, item="item-1")
    assert "was not kept with this evaluation; neuromas evaluate" in shown
    assert "--items 4 --name again keeps it" in shown
    assert shown.count("1.1 (layer 1, node 1 of 2) writes") == 2


def test_an_evaluation_made_anew_has_no_prompts_of_an_older_one(run):
    run.write_evaluation("test-after", summary(0.75), items([1, 1, 1, 1]))
    assert run.prompts("test-after") == {}
    assert len(run.prompts("test-before")) == 4
    assert "was not kept" in text("show", run.path, item="item-1")


def test_another_evaluation_and_an_unfinished_run_are_shown_alone(run):
    run.write_evaluation("mine", summary(0.5), items([1, 0]))
    assert text("show", run.path, evaluation="mine").startswith("mine: 2 items\n")
    (run.path / "evaluations" / "test-after.json").unlink()
    assert text("show", run.path).startswith("test-before: 4 items\n")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"item": "item-9"}, "no item 'item-9' in test-after of .*did you mean 'item-"),
        ({"evaluation": "mine"}, "unknown evaluation"),
        ({"limit": "x"}, "no whole number"),
        ({"itm": "x"}, "unknown option of the page 'show' 'itm'; did you mean 'item'"),
    ],
)
def test_what_cannot_be_shown_is_one_line(run, options, says):
    with pytest.raises(NeuromasError, match=says) as caught:
        text("show", run.path, **options)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    "row", ['{"id": "item-0", "prompts": [3]}', '{"id": "item-0", "prompts": "a"}', "{}"]
)
def test_damaged_prompts_are_one_line(run, row):
    (run.path / "evaluations" / "test-after.prompts.jsonl").write_text(row + "\n")
    with pytest.raises(RunError, match="damaged"):
        text("show", run.path, item="item-0")


# -- runs


def test_runs_are_listed_with_figures_and_damaged_ones_named(tmp_path, capsys):
    make(tmp_path / "b")
    make(tmp_path / "deep" / "in" / "a", seed=3)
    young = Run.create(tmp_path / "young", Config().model_dump(mode="json"), {})
    young.append("events.jsonl", [{"step": 1, "event": "alarm", "text": "x"}, {"event": "stage"}])
    broken = make(tmp_path / "broken")
    (broken.path / "config.json").write_text("{")
    assert main(["runs", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.split("\n")
    assert [line.split()[0] for line in lines[1:5]] == ["b", "broken", "deep/in/a", "young"]
    assert "30/60  finished     50.0 % [10.0, 90.0]  75.0 % [10.0, 90.0]  0 " in lines[1]
    assert "damaged" in lines[2]
    assert "0/60   interrupted  –                    –                    1 " in lines[4]
    assert lines[6].startswith("damaged: ")
    assert "not JSON" in lines[6]
    assert main(["runs", str(tmp_path), "--sort", "seed", "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["seed"] for row in rows] == ["0", "0", "3", ""]
    assert rows[0]["after high"] == "0.9"


def test_a_run_at_work_is_running(run, tmp_path):
    (run.path / "status.json").unlink()
    assert "interrupted" in text("runs", tmp_path)
    with run.lock():
        assert "running" in text("runs", tmp_path)


@pytest.mark.parametrize(
    "name", ["status.json", "evaluations/test-after.json", "evaluations/test-before.json"]
)
@pytest.mark.parametrize("content", ["{", "[]", '{"step": "x", "accuracy": "y"}'])
def test_whatever_is_damaged_the_others_are_listed(run, tmp_path, name, content):
    make(tmp_path / "other")
    (run.path / name).write_text(content)
    shown = text("runs", tmp_path)
    assert "damaged" in shown
    assert "finished" in shown.split("\n")[1], "the other one"


def test_a_folder_without_runs_and_one_that_is_none(tmp_path):
    assert text("runs", tmp_path) == f"no runs in {tmp_path}"
    with pytest.raises(RunError, match="is no folder"):
        text("runs", tmp_path / "none")
    with pytest.raises(ConfigError, match="unknown column 'sed'; did you mean 'seed'"):
        text("runs", tmp_path, sort="sed")


# -- compare


def test_any_number_is_compared_with_the_first(tmp_path, capsys):
    base = make(tmp_path / "a", train={"steps": 1})
    better = make(tmp_path / "b", after=(1, 1, 1, 1), train={"steps": 2})
    third = make(tmp_path / "c", train={"steps": 3})
    names = [str(one.path) for one in (base, better, third)]
    assert main(["compare", *names]) == 0
    lines = capsys.readouterr().out.split("\n")
    assert lines[0].split() == [
        *("evaluation", "accuracy", "items", "difference", "shared"),
        *("p", "p", "Holm", "won", "lost", "tied"),
    ]
    assert "+50.0 points" in lines[2]
    assert "corrected over 2 comparisons" in lines[5]
    assert main(["compare", *names, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["test"]["wins"] for one in found["others"]] == [2, 0]
    assert found["others"][0]["holm"] == pytest.approx(2 * found["others"][0]["test"]["p_value"])


def test_seeds_of_two_arms_are_taken_for_pairs(tmp_path):
    runs = [
        make(tmp_path / f"{arm}{seed}", seed=seed, train={"steps": arm}, after=(1, 1, arm - 1, 1))
        for seed in (0, 1, 2, 3)
        for arm in (1, 2)
    ]
    names = [str(one.path) for one in runs]
    assert "all trainings" in as_text(compare_sides(names).blocks)
    assert "all trainings" not in as_text(compare_sides(names, "first").blocks)
    mixed = [names[i] for i in (0, 1, 3, 2, 4, 5, 6, 7)]
    assert "all trainings" not in as_text(compare_sides(mixed).blocks), "arms change sides"
    assert "all trainings" in as_text(compare_sides(mixed, "pairs").blocks)
    same = names[::2]
    assert "all trainings" not in as_text(compare_sides(same).blocks), "one arm alone"


def test_two_in_a_table_format_have_their_test_in_it(tmp_path, run, capsys):
    assert main(["compare", f"{run.path}:test-before", str(run.path), "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert rows[1]["difference"] == "0.0"
    assert (rows[1]["won"], rows[1]["lost"]) == ("1", "1")


@pytest.mark.parametrize(
    ("names", "says"), [(["RUN"], "at least two"), (["RUN", "o", "RUN"], "compared with itself")]
)
def test_what_is_no_comparison_is_one_line(run, tmp_path, names, says):
    make(tmp_path / "o")
    given = [{"RUN": str(run.path), "o": str(tmp_path / "o")}[name] for name in names]
    with pytest.raises(ConfigError, match=says):
        compare_sides(given)


# -- all pages, and one from outside


def test_report_takes_the_page_that_fits(run, tmp_path, capsys):
    assert main(["report", str(run.path), "--page", "run"]) == 0
    assert "gain      +0.0 points" in capsys.readouterr().out
    assert main(["report", str(tmp_path), "--csv"]) == 0
    assert capsys.readouterr().out.startswith("run,task")
    assert main(["report", str(run.path), "--page", "show", "--option", "limit=1", "--latex"]) == 0
    assert r"\begin{tabular}{llllll}" in capsys.readouterr().out
    for form in ("markdown", "csv", "latex", "json"):
        assert main(["report", str(run.path), f"--{form}"]) == 0
    capsys.readouterr()
    assert main(["report"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in PAGES.names())


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["none"], "'none' does not exist"),
        (["RUN", "--page", "rnu"], "unknown page 'rnu'; did you mean 'run'"),
        (["RUN", "--page", "json:loads"], "is no neuromas.report.pages.Page"),
        (["RUN", "--page", "no_such_module:PAGE"], "cannot be imported"),
        (["RUN", "--option", "x"], "is not KEY=VALUE"),
        (["RUN", "--option", "x=1"], "unknown option of the page 'run' 'x'"),
        (["RUN", "RUN", "--page", "run"], "reads one path, not 2"),
        (["RUN", "--page", "experiment"], "results.json"),
    ],
)
def test_report_refuses_in_one_line(run, capsys, words, says):
    assert main(["report", *(str(run.path) if word == "RUN" else word for word in words)]) == 2
    err = capsys.readouterr().err
    assert says in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("page", ["run", "show", "runs"])
@pytest.mark.parametrize("form", WRITERS)
def test_pages_of_untrusted_runs_are_safe(run, page, form):
    config = run.read("config.json")
    config["network"]["topology"] = config["model"]["backbone"] = config["task"]["name"] = HOSTILE
    run.write("config.json", config)
    path = run.path.parent if page == "runs" else run.path
    for options in ({}, {"item": "item-0"}) if page == "show" else ({},):
        assert not set("\x1b\u202e\u2028\r") & set(WRITERS[form](build_page(page, [path], options)))


COUNT = iter(range(9))
DOC = Path(__file__).parents[3] / "docs" / "looking.md"


def test_the_page_of_the_docs_is_a_file_beside_the_user(run, tmp_path, monkeypatch, capsys):
    """Written as docs/looking.md says, found in the working directory, in every form."""
    code = re.search(r"```python\n(.*?)```", DOC.read_text("utf-8"), re.DOTALL)[1]
    (tmp_path / "my_pages.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    assert main(["report", str(run.path), "--page", "my_pages:LONGEST", "--csv"]) == 0
    assert capsys.readouterr().out == "item,tokens\n" + "".join(f"item-{i},4\n" for i in range(4))
    check_page(sys.modules.pop("my_pages").LONGEST, [run.path], {"evaluation": "test-before"})


@pytest.mark.parametrize("page", ["run", "show", "runs"])
def test_shipped_pages_pass_the_shipped_check(run, page):
    check_page(PAGES.get(page), [run.path.parent if page == "runs" else run.path])


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda paths, options: ["text"], "block 0 is str"),
        (lambda paths, options: [Text((str(next(COUNT)),))], "another page"),
    ],
)
def test_the_shipped_check_finds_what_is_wrong(build, says):
    with pytest.raises(AssertionError, match=says):
        check_page(Page("bad", "anything", build), [])


def outside(name, paths, options):
    return [Text((f"{name} of {len(paths)} paths, {options}",))]


@pytest.fixture
def stranger(monkeypatch):
    """A module that offers a page, as a user's file or an installed package would."""
    module = types.ModuleType("stranger")
    module.MINE = Page(
        "mine", "anything", lambda paths, options: outside("mine", paths, options), {"k": "a key"}
    )
    monkeypatch.setitem(sys.modules, "stranger", module)
    return module


def test_a_page_from_outside_by_address_by_entry_point_and_by_registration(stranger, monkeypatch, capsys):
    assert main(["report", "a", "b", "--page", "stranger:MINE", "--option", "k=1"]) == 0
    assert capsys.readouterr().out == "mine of 2 paths, {'k': '1'}\n"
    point = EntryPoint("theirs", "stranger:MINE", "neuromas.pages")
    monkeypatch.setattr(registry, "entry_points", lambda group: [point] if group == point.group else [])
    assert main(["report", "a", "--page", "theirs"]) == 0
    assert "mine of 1 paths" in capsys.readouterr().out
    monkeypatch.setattr(registry, "entry_points", lambda group: [])
    monkeypatch.setitem(PAGES.own, "ours", None)  # taken back after the test
    PAGES.register("ours")(stranger.MINE)
    assert "mine of 1 paths" in text("ours", run)
