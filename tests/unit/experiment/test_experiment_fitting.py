"""Arms that could not be trained to the end are refused when the plan is laid out, not after others were."""

from __future__ import annotations

import pytest
import tomli_w

from neuromas.cli import main
from neuromas.config import make_config
from neuromas.core.errors import ConfigError, PartsError
from neuromas.experiment.plan import make_plan
from neuromas.training.run import start

STEP = {"name": "step", "stages": [{"shape": "1", "steps": 1, "task": {"depth": 1, "parts": 1}}]}


def deeper(name, begins, shape, depth, parts, **more):
    """An arm of one stage whose leaves read shares."""
    stage = {"shape": shape, "steps": 1, "question": "split", "task": {"depth": depth, "parts": parts}}
    given = {"stages": [{**stage, **more.pop("stage", {})}], **more}
    if "view" in given["stages"][0]:
        del given["stages"][0]["question"]
    return {"name": name, "start": begins, **given}


TWO = deeper("grown-2", "step", "2-1", 2, 2)
SUMS = {"name": "arithmetic", "label": "sums", "options": {"operators": "+", "ask": True}}


def data(*arms, **more):
    return {
        "name": "early",
        "seeds": [0],
        "base": {"model": {"backbone": "tiny", "rank": 2}, "growth": {"init": "copy"}},
        "tasks": [SUMS],
        "arms": [STEP, *arms],
    } | more


def three(**more):
    return deeper("grown-3", "grown-2", "tree:2,2", 3, more.pop("parts", 2), **more)


TOO_FEW = (
    "arm 'grown-3': stage 1: task 'arithmetic' does not fit topology tree:2,2{0}: node '1.1' reads share 1/4 "
    "of the question, but problem 'arithmetic-train-0-0' has 2 parts; parts = 2 must be at least 4"
)
PLAIN = {"network": {"topology": "4-1", "question": "split"}, "task": {"options": {"depth": 2, "parts": 2}}}
SPLIT = {"network": {"question": "split"}}
PICK = {"name": "pick", "label": "choices", "options": {"ask": True}, "by_depth": {"3": {"parts": 2}}}
WITHOUT = {"stage": {"task": {"depth": 3}}}  # how many parts is said by the task's own options


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (data(TWO, three()), TOO_FEW.format("")),
        (
            data(TWO, three(stage={"view": ["split", "all"]})),
            TOO_FEW.format(" under its view 'split'"),
        ),
        (data(TWO, three(stage={"view": ["all", "split"]})), TOO_FEW.format("")),
        (
            data(TWO, three(**WITHOUT), tasks=[{**SUMS, "by_depth": {"3": {"parts": 4}}}, PICK]),
            TOO_FEW.format("").replace("arithmetic", "pick"),
        ),
        (
            data({"name": "plain", **PLAIN}),
            "arm 'plain': stage 1: task 'arithmetic' does not fit topology 4-1: node '1.1' reads share 1/4",
        ),
        (
            data({"name": "pairs", **PLAIN, **SPLIT, "stages": [["2-1", 1], ["4-1", 1]]}),
            "arm 'pairs': stage 2: task 'arithmetic' does not fit topology 4-1: node '1.1' reads share 1/4",
        ),
        (
            data(
                TWO,
                {"name": "heir", "start": "grown-2", "stages": [["2-1", 1]], "network": {"question": "all"}},
                tasks=[{**SUMS, "options": {"depth": 1, "parts": 1}}],
            ),
            "arm 'heir': stage 1: it starts with 'grown-2:1': task 'arithmetic' does not fit topology 2-1: "
            "node '1.1' reads share 1/2 of the question, but problem 'arithmetic-train-0-0' has 1 parts; "
            "parts = 1 must be at least 2",
        ),
        (
            data({"name": "chain", "network": PLAIN["network"]}, tasks=[{"name": "lookup"}]),
            "has 2 parts; 4 parts are needed",
        ),
        (
            data(TWO, three(parts=4, model={"rank": 4})),
            "arm 'grown-3': stage 1: model.rank = 4, but the adapters of 'grown-2:1', with which it starts, "
            "have model.rank = 2; give both arms the same",
        ),
        (data(TWO, three(parts=4, model={"alpha": 4.0})), "model.alpha = 4.0, but the adapters of"),
        (
            data(TWO, three(parts=4, model={"rank": 2, "ranks": [2] * 5 + [4]})),
            "model.ranks = [2, 2, 2, 2, 2, 4], but the adapters of 'grown-2:1', with which it starts, have "
            "model.ranks = unset;",
        ),
    ],
)
def test_what_would_fail_late_is_refused_early(more, says):
    if more["tasks"][0]["name"] == "lookup":
        more["arms"] = more["arms"][1:]
    with pytest.raises(ConfigError) as caught:
        make_plan(more)
    assert says in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("flags", [["--dry-run"], []])
@pytest.mark.parametrize("arm", [three(), three(parts=4, model={"rank": 4})])
def test_the_command_runs_and_writes_nothing(tmp_path, monkeypatch, capsys, flags, arm):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "early.toml").write_text(tomli_w.dumps(data(TWO, arm)))
    assert main(["experiment", "early.toml", *flags]) == 2
    said = capsys.readouterr()
    assert said.err.startswith("neuromas: arm 'grown-3': stage 1: ")
    assert not said.out
    assert [path.name for path in tmp_path.iterdir()] == ["early.toml"]


def test_what_fits_is_let_through():
    views = ({"view": ["split", "all"]}, {"view": ["all", "split"]}, {})
    for number, stage in enumerate(views):
        assert make_plan(data(TWO, three(parts=4, stage=stage, model={"rank": 2}))), number
    ranked = [arm | {"model": {"rank": 4}} for arm in (STEP, TWO, three(parts=4))]
    assert make_plan(data(arms=ranked))


@pytest.mark.parametrize(
    "task",
    [
        {"name": "file", "options": {"path": "comes-later.jsonl"}},
        {"name": "hub", "options": {"dataset": "no/where"}},
        {"name": "nobodys_module:Task"},
    ],
)
def test_a_task_that_is_not_there_yet_is_left_for_its_run(tmp_path, monkeypatch, task):
    """Its stage alone asks it, so that nothing else of the plan needs it."""
    monkeypatch.chdir(tmp_path)
    for library in ("huggingface_hub.constants", "datasets.config"):  # the variable is read at their import
        monkeypatch.setattr(f"{library}.HF_HUB_OFFLINE", True)
    stage = {"shape": "4-1", "steps": 1, "question": "split", "task": task}
    assert make_plan(data(arms=[{"name": "later", "stages": [stage]}]))


@pytest.mark.parametrize(
    ("stages", "says"),
    [
        ([["2-1", "split", 2], ["tree:2,2", "split", 2]], "stage 2: "),
        ([["tree:2,2", "split", 2], ["tree:2,2", "all", 2]], "stage 1: "),
    ],
)
def test_one_run_says_stage_key_and_need_too(tmp_path, stages, says):
    listed = [
        {"shape": shape, "steps": 1, "question": question, "task": {"parts": parts}}
        for shape, question, parts in stages
    ]
    config = {
        "model": {"backbone": "tiny", "device": "cpu"},
        "growth": {"init": "copy"},
        "task": {"name": "pick", "options": {"depth": 3}},
        "train": {"problems": 1, "samples": 2},
        "evaluate": {"every": 0, "validation": 1, "test": 1},
        "stages": listed,
    }
    with pytest.raises(PartsError) as caught:
        start(make_config(config), tmp_path / "run")
    assert str(caught.value).startswith(f"{says}task 'pick' does not fit topology tree:2,2: node ")
    assert str(caught.value).endswith("has 2 parts; parts = 2 must be at least 4")
    assert not (tmp_path / "run").exists()
