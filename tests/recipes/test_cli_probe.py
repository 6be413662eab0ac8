"""``neuromas probe`` and ``neuromas show --local`` through the real command line on the tiny model."""

from __future__ import annotations

import json

import pytest

from neuromas.cli import main

SMALL = ("--backbone", "tiny", "--items", "3", "--samples", "2", "--examples", "0,1")
ADD = ("arithmetic", "ask=true", "operators=+")


def test_a_page_and_json(cli):
    status, out, err = cli("probe", *ADD, *SMALL)
    assert status == 0
    assert "parts: What is # + #?" in out
    assert "step 1: What is A + B?" in out
    assert "- the whole question" in out
    assert len(err.splitlines()) == 6
    assert err.startswith("1/6 the whole question, 0 examples")
    status, out, _ = cli("probe", *ADD, *SMALL, "--json")
    found = json.loads(out)
    assert status == 0
    assert [one["kind"] for one in found["standings"]] == ["whole"] * 2 + ["part"] * 2 + ["step"] * 2
    assert found["about"]["split"] == "validation"
    assert found["advice"]


@pytest.mark.parametrize(
    ("words", "kinds"),
    [
        (("pick", "rules=later", "ask=true", "depth=2", "parts=2"), ["part", "step"]),
        (("lookup", "ask=true", "hops=3"), ["part", "step", "step"]),
        (("recall", "ask=true"), ["part", "step"]),
    ],
)
def test_parts_made_of_words_are_one_row_with_worked_examples(cli, words, kinds):
    status, out, _ = cli("probe", *words, "--backbone", "tiny", "--items", "3", "--samples", "1",
                         "--examples", "2", "--json")  # fmt: skip
    found = json.loads(out)["standings"]
    assert status == 0
    assert [one["kind"] for one in found] == ["whole", *kinds]
    assert [(one["items"], one["failure"]) for one in found] == [(3, None)] * len(found)


def test_a_task_without_parts(cli):
    status, out, _ = cli("probe", "max", *SMALL)
    assert status == 0
    assert "this task does not hand out" in out


def test_a_trained_network_is_asked_and_its_local_answers_are_shown(cli, tmp_path):
    run = tmp_path / "run"
    settings = ("task.name=arithmetic", "task.options.ask=true", "task.options.operators=+",
                "network.topology=2-1", "network.question=split", "model.backbone=tiny", "train.steps=1",
                "train.problems=2", "train.samples=2", "evaluate.test=6", "evaluate.validation=4",
                "network.message_tokens=4", "network.answer_tokens=4", "--run", run)  # fmt: skip
    assert cli("train", *settings)[0] == 0
    status, out, _ = cli("probe", *ADD, "--run", run, "--items", "3", "--samples", "2", "--json")
    assert status == 0
    found = json.loads(out)
    assert [one["kind"] for one in found["standings"]] == ["whole", "part", "step"]
    assert "advice" in found
    status, out, _ = cli("show", run, "--local")
    assert status == 0
    assert "test-after: 6 items" in out
    assert "value of 2" in out
    facts = json.loads(cli("show", run, "--local", "--json")[1])
    assert [node["node"] for node in facts["nodes"]] == ["1.1", "1.2", "2.1"]
    assert facts["nodes"][0]["right"]["of"] == 6
    status, out, err = cli("show", run, "--local", "--item", "x")
    assert (status, out, len(err.splitlines())) == (2, "", 1)
    lines = (run / "evaluations" / "test-after.jsonl").read_text().replace('"gold": "', '"gold": "9')
    (run / "evaluations" / "test-after.jsonl").write_text(lines)
    status, _, err = cli("show", run, "--local")
    assert status == 2
    assert "not of the problems" in err


def test_local_answers_that_nobody_knows_are_one_line(cli, tmp_path):
    run = tmp_path / "run"
    settings = ("task.name=max", "network.topology=1", "model.backbone=tiny", "train.steps=1",
                "train.problems=1", "train.samples=2", "evaluate.test=2", "evaluate.validation=2",
                "--run", run)  # fmt: skip
    assert cli("train", *settings)[0] == 0
    status, out, err = cli("show", run, "--local")
    assert (status, out) == (2, "")
    assert "no known local answers" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("no-such-task",), "no-such-task"),
        ((*ADD, "--examples", "0,x"), "0,1,2,4"),
        ((*ADD, "--examples", "99"), "from 0 to 16"),
        ((*ADD, "--temperature", "0"), "greedy"),
        ((*ADD, "--items", "0"), "at least 1"),
        ((*ADD, "--run", "/nowhere"), "/nowhere"),
        ((*ADD, "--run", "/nowhere", "--style", "chat"), "--style"),
        ((*ADD, "--backbone", "tiny", "--style", "loud"), "loud"),
        (("arithmetic", "dept=2"), "depth"),
    ],
)
def test_bad_input_is_one_line(cli, words, said):
    status, out, err = cli("probe", *words)
    assert (status, out, len(err.splitlines())) == (2, "", 1), err
    assert said in err


def test_ctrl_c_prints_what_was_found_so_far(capsys, monkeypatch):
    from neuromas.engines.local.engine import LocalEngine

    real, calls = LocalEngine.generate, iter(range(100))

    def generate(self, *arguments):
        if next(calls) == 4:
            raise KeyboardInterrupt
        return real(self, *arguments)

    monkeypatch.setattr(LocalEngine, "generate", generate)
    assert main(["probe", *ADD, *SMALL]) == 130
    out, err = capsys.readouterr()
    assert "the whole question  1" in out
    assert "parts" not in out
    assert err.splitlines()[-1].startswith("neuromas: interrupted")
