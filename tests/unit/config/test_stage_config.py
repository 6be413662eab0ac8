"""A stage is the run's configuration with a few values in place of its own, or one line on why not."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuromas.config import apply_overrides, at_stage, make_config
from neuromas.config.reading import check_keys
from neuromas.config.stage import HOMES
from neuromas.core.errors import ConfigError
from neuromas.system.trust import outside

TWO = {"stages": [["2-1", 3], {"shape": "3-1", "steps": 4, "lr": 0.5}]}


def made(*overrides, **data):
    return make_config(apply_overrides({**TWO, **data}, overrides))


def test_a_stage_is_an_ordinary_configuration():
    config = made(train={"lr": 0.1}, task={"name": "max", "options": {"n": 4}})
    first, second = (at_stage(config, index) for index in (0, 1))
    assert (first.network.topology, first.train.steps, first.train.lr) == ("2-1", 3, 0.1)
    assert (second.network.topology, second.train.steps, second.train.lr) == ("3-1", 4, 0.5)
    assert first.stages == second.stages == ()
    assert config.train.steps == 7
    assert make_config(config.model_dump(mode="json")) == config
    assert at_stage(first, 0) is first


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "problems": st.integers(1, 9),
            "temperature": st.sampled_from([0.5, 1.0]),
            "question": st.sampled_from(["all", "split", "hints"]),
            "every": st.integers(1, 9),
            "tied": st.booleans(),
            "message_tokens": st.integers(1, 99),
        },
    )
)
def test_what_a_stage_names_is_set_and_all_else_stays(values):
    config = make_config({"stages": [{"shape": "2-1", "steps": 1, **values}]})
    stage = at_stage(config, 0).model_dump()
    wanted = make_config({"network": {"topology": "2-1"}, "train": {"steps": 1}}).model_dump()
    for key, value in values.items():
        section, name = HOMES[key]
        wanted[section][name] = value
    assert stage == wanted


def test_options_of_the_run_s_task_are_merged_and_those_of_another_are_its_own():
    task = {"name": "max", "options": {"n": 4, "parts": 2}}
    config = made("stages.1.task.n=6", "stages.2.task={name='hier'}", task=task)
    assert at_stage(config, 0).task.options == {"n": 6, "parts": 2}
    assert (at_stage(config, 1).task.name, at_stage(config, 1).task.options) == ("hier", {})


def test_overrides_speak_of_one_stage_or_append_one():
    config = made("stages.1.lr=0.25", "stages.3.shape=4-1", "stages.3.steps=2", "stages.2.task.n=8")
    assert [(stage.shape, stage.steps, stage.lr) for stage in config.stages] == [
        *(("2-1", 3, 0.25), ("3-1", 4, 0.5), ("4-1", 2, None)),
    ]
    check_keys(["stages.2.lr=3", "stages.4.task.n=2"])
    again = apply_overrides(config.model_dump(mode="json"), ["stages.1.task.n=2"])
    assert again["stages"][0]["task"] == {"n": 2}


def test_a_view_is_of_its_stage_and_says_what_is_seen_in_the_end():
    config = made("stages.2.view=['split','all']", "stages.2.lift_over=0.5", network={"question": "split"})
    assert at_stage(config, 0).lift.view == ()
    assert at_stage(config, 1).lift.modes == ("split", "all")
    assert at_stage(config, 1).network.question == "all"
    everywhere = made("stages.2.view=[]", lift={"view": ["hints", "all"], "way": "held"})
    assert at_stage(everywhere, 0).lift.way == "held"
    assert at_stage(everywhere, 1).lift.view == ()


WRONG = {
    "view twice": (["stages.2.view=['all','all']"], r"^stages\[2\].view = .*same view twice"),
    "one view": (["stages.2.view=['all']"], "is not two views"),
    "unknown view": (["stages.2.view=['all','spilt']"], "unknown view 'spilt'; did you mean 'split'"),
    "view as text": (["lift.view=ab"], "lift.view = 'ab': should be a list"),
    "no examples": (["stages.2.view=['all','all+examples']"], "network.examples = 0"),
    "unseen examples": (["stages.2.view=['split','all']", "stages.2.examples=2"], "under neither view"),
    "lift alone": (["stages.2.lift=held"], r"^stages\[2\].lift = 'held' lifts no view"),
    "lift of a run": (["lift.over=0.5"], "lift.over = 0.5 lifts no view"),
    "question": (
        ["stages.2.view=['split','all']", "stages.2.question=split"],
        r"^stages\[2\].question = 'split', but stages\[2\].view ends with 'all'",
    ),
    "both": (["growth.stages=[['2-1',3]]"], "stages and growth.stages are both given"),
    "rates": (["growth.lr=[1,2]"], r"a table of \[\[stages\]\] has lr"),
    "until": (["stages.2.until=0.5", "stages.2.every=0"], r"^stages\[2\].until is .* stages\[2\].every = 0"),
    "never lifted": (
        ["stages.2.view=['split','all']", "stages.2.lift=steps", "stages.2.every=0"],
        r"^stages\[2\].lift = 'steps' waits for validations, and stages\[2\].every = 0 makes none",
    ),
    "steps": (["stages.2.steps=-1"], r"stages\[2\].steps = -1"),
    "key": (["stages.2.foo=1"], r"unknown key 'stages\[2\].foo'"),
    "far": (["stages.4.steps=1"], "one of 2 stages or of one that is appended"),
    "missing": (["stages.3.steps=1"], r"stages\[3\].shape is missing"),
    "type": (["stages.2.lr=fast"], r"stages\[2\].lr = 'fast': should be a number"),
    "home": (["stages.2.lr=-1"], r"^stages\[2\].lr = -1"),
    "map": (["stages.2.map={'1.1'='1.1'}"], r"^stages\[2\].map needs growth.init = 'copy'"),
    "choice": (
        ["stages.2.view=['split','all']", "stages.2.lift=fast"],
        r"^unknown value of stages\[2\].lift:",
    ),
    "of the run": (["growth.until=0.5", "stages.2.every=0"], r"^growth.until is .* stages\[2\].every = 0"),
    "length": (["train.steps=9"], "train.steps = 9, but stages make it 7"),
    "no list": (["stages=3"], "stages = 3: should be a list"),
    "no table": (["stages=['2-1']", "stages.1.steps=2"], r"stages\[1\] = '2-1' is not a table"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_is_said_in_one_line(case):
    overrides, said = WRONG[case]
    with pytest.raises(ConfigError, match=said) as caught:
        made(*overrides)
    assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match=r"unknown key 'stages\.2\.foo'"):
        check_keys(["stages.2.foo=1"])


def test_the_page_of_all_keys_has_the_short_ones():
    page = (Path(__file__).parents[3] / "docs" / "config.md").read_text("utf-8")
    lines = page[page.index("<!-- stage-keys -->") : page.index("<!-- /stage-keys -->")].splitlines()
    for key, home in HOMES.items():
        assert any(f"`{key}`" in line and f"| `{'.'.join(home)}` |" in line for line in lines), key


def test_what_every_stage_names_is_asked_for_not_that_of_the_last_alone():
    config = made(
        *("stages.1.task={name='evil:Task',options={path='/a'}}", "stages.2.task={name='mine:Task'}"),
        task={"name": "file", "options": {"path": "/b"}},
    )
    named = set(outside(config))
    assert {("task.name", "evil:Task"), ("task.name", "mine:Task")} <= named
    assert {("task.options.path", "/a"), ("task.options.path", "/b")} <= named
