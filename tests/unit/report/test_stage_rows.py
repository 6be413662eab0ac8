"""What became of the stages of a run, from its logs."""

from __future__ import annotations

from neuromas.config import make_config
from neuromas.report.asked import asked_words
from neuromas.report.blocks import Shown
from neuromas.report.pages import run as run_page
from neuromas.report.stages import stages_table
from neuromas.storage import Run
from neuromas.topology.graph import Topology

STAGES = [
    {"shape": "2-1", "steps": 4, "question": "split", "until": 0.5},
    {"shape": "2-1", "steps": 2, "view": ["split", "all"], "lift": "reward", "lift_at": 0.4},
    {"shape": "2-2-1", "steps": 3, "task": {"n": 6}, "patience": 1},
    {"shape": "2-2-2-1", "steps": 5, "task": {"name": "hier"}},
]


def grown(step, best, after=0.25, run="", before="2-1"):
    told = {"step": step, "best": best, "accuracy_after": after, "run": run}
    return told | {"topology": Topology.parse(before).to_dict()}


def logs(**more):
    found = {
        "growth.jsonl": [grown(2, 2), grown(4, 2)],
        "validation.jsonl": [{"step": n, "accuracy": n / 10} for n in range(1, 6)],
        "metrics.jsonl": [{"step": n} for n in range(5)],
        "events.jsonl": [
            {"step": 2, "text": "stage 1 ends at step 2: validation 50.0% reached stages[1].until = 0.5"},
        ],
    }
    found["metrics.jsonl"][2]["lifted"], found["metrics.jsonl"][3]["lifted"] = 0.0, 0.05
    return found | more


def rows(stages=STAGES, status=None, made=None, **more):
    config = make_config({"stages": stages, "task": {"name": "max", "options": {"n": 4}}, **more})
    table = stages_table(config.model_dump(mode="json"), made or logs(), status or {"step": 5, "best": None})
    return [[one.text if isinstance(one, Shown) else one for one in row] for row in table.rows]


def test_each_stage_is_a_row():
    assert rows() == [
        [1, "2-1", "max n=4", "split", "2 of 4", "20.0 %", "20.0 % at step 2", "until 0.5"],
        [
            *(2, "2-1", "same", "split -> all, reward at 0.4, to 0.05 (not 1)", "2 of 2"),
            *("40.0 %", "25.0 % at its start", "steps"),
        ],
        [3, "2-2-1 from 2-1", "n=6", "all", "1 of 3", "50.0 %", None, "unfinished"],
        [4, "2-2-2-1", "hier", "all", "0 of 5", None, None, "not begun"],
    ]


def test_patience_of_an_old_run_and_a_whole_lift_that_it_did_not_log():
    events = [{"step": 5, "text": "stage 3 ends at step 5: growth.patience = 1"}]
    made = logs(**{"events.jsonl": events, "metrics.jsonl": [{"step": n} for n in range(5)]})
    found = rows(STAGES[:3], {"step": 5, "best": 5, "finished": True}, made)
    assert [row[-1] for row in found] == ["early", "steps", "patience 1"]
    assert found[1][3] == "split -> all, reward at 0.4, to 1"


def test_a_child_says_what_it_grew_out_of_and_a_single_network_nothing():
    first = grown(0, 7, run="runs/parent", before="1-1")
    made = logs(**{"growth.jsonl": [first]})
    config = {"growth": {"stages": [["2-1", 5]], "parent": "runs/parent"}}
    found = rows([], {"step": 5, "best": 0, "finished": True}, made, **config)
    assert [row[1] for row in found] == ["2-1 from 1-1"]
    assert found[0][-2:] == ["25.0 % at its start", "steps"]
    plain = make_config({"network": {"topology": "2-1"}}).model_dump(mode="json")
    assert stages_table(plain, logs(), {}) is None


def test_what_a_stranger_wrote_as_its_task_is_left_out():
    asked = {"task": "max", "options": {"n": 4}, "view": ["split", "all"]}
    assert asked_words(asked) == "max n=4; reads split -> all"
    for key, value in (("options", None), ("options", [1]), ("view", 3), ("view", [3])):
        assert asked_words(asked | {key: value}) == ""
    assert asked_words({"task": "max"}) == asked_words(None) == ""


def test_a_damaged_log_leaves_the_rest_of_the_page(tmp_path, monkeypatch):
    def damaged(*_):
        raise KeyError("accuracy")

    monkeypatch.setattr(run_page, "stages_table", damaged)
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "status.json").write_text("{}")
    (block,) = run_page._stages(Run(tmp_path))
    assert block.lines == ("stages cannot be shown: a log of them is damaged: no key 'accuracy'",)
