"""``neuromas evaluate CONFIG`` over an endpoint: what it prints and keeps, and what is never seen."""

from __future__ import annotations

import json
import re

import pytest
import torch

from endpoint import completion, refusal, serving
from neuromas import load_config, untrained
from neuromas.cli import main
from neuromas.core.errors import ConfigError
from neuromas.evaluation.probe import Draws, probe
from neuromas.experiment.cells import lay_out
from neuromas.experiment.plan import make_plan
from neuromas.experiment.size import UNKNOWN
from neuromas.storage import Run
from neuromas.system.saving import load_bundle
from neuromas.training.untrained import Untrained

pytest.importorskip("openai", reason="the extra 'endpoint' is not installed")

KEY = "sk-very-secret-0123456789"
CONFIG = """
[model]
backbone = "tiny"
[network]
topology = "2-1"
style = "chat"
[task]
name = "max"
options = { n = 4 }
[train]
steps = 30
"""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.01)
    monkeypatch.setenv("A_KEY", KEY)
    torch.set_num_threads(1)
    (tmp_path / "max.toml").write_text(CONFIG)
    return tmp_path


def largest(body, number=0):
    """The right answer, from whatever stands in the question's line."""
    question = body["messages"][-1]["content"].partition("\n")[0]
    return completion(max(re.findall(r"[0-9]+", question), key=int), read=100, wrote=5)


def through(stub, **options):
    """Overrides that name the endpoint."""
    given = {"url": stub.url, "model": "m", "retries": 1, "timeout": 5.0} | options
    return ["engine.name=openai", *(f"engine.options.{k}={json.dumps(v)}" for k, v in given.items())]


def evaluated(stub, *words, **options):
    """Exit status of an evaluation of two problems."""
    return main(["evaluate", "max.toml", "--items", "2", *words, "--set", *through(stub, **options)])


@pytest.mark.parametrize(
    ("words", "calls"),
    [
        ([], 3),
        (["--method", "untrained", "--with", "roles=true"], 3),
        (["--method", "direct"], 1),
        (["--method", "debate"], 6),
        (["--method", "mixture-of-agents"], None),
        (["--method", "self-refine"], None),
        (["--method", "self-consistency", "--with", "votes=3", "of=direct"], 3),
        (["--votes", "2"], 6),
    ],
)
def test_any_method_answers_through_an_endpoint(here, capsys, words, calls):
    with serving(largest) as stub:
        assert evaluated(stub, *words) == 0
    said = capsys.readouterr().out
    assert "accuracy          100.0 %" in said
    assert re.search(r'endpoint          "stub-1", \d+ messages; ended: "stop" \d+\n', said)
    run = Run.open(here / "runs" / "max-2-1-tiny-seed0")
    (name,) = [path.stem for path in (run.path / "evaluations").glob("*.json")]
    summary, items = run.evaluation(name)
    asked = len(stub.bodies) / 2
    assert calls in (None, asked)
    assert summary["calls"] == asked
    assert summary["prompt_tokens"] == 100 * asked
    assert summary["new_tokens"] == 5 * asked
    assert summary["flops"] is None
    assert summary.get("parameters", 0) == 0
    assert summary["checkpoint"] == "step-000000"
    about = summary["endpoint"]
    assert (about["models"], about["fingerprints"]) == ({"stub-1": 2 * asked}, {"fp-1": 2 * asked})
    assert (about["missing"], about["counted"], len(items)) == (0, 2 * asked, 2)


def test_the_run_is_one_to_compare_and_ask(here, capsys):
    with serving(largest) as stub:
        assert evaluated(stub, "--run", "r", "--method", "debate") == 0
        assert evaluated(stub, "--run", "r", "--method", "direct") == 0
        assert main(["evaluate", "r", "--items", "2", "--method", "untrained"]) == 0
        assert main(["compare", "r:test-2-debate", "r:test-2-direct"]) == 0
        assert main(["ask", "r", "the largest of 5, 9?"]) == 0
        assert capsys.readouterr().out.endswith("\n9\n")
        assert main(["runs", "."]) == 0
        assert "untrained" in capsys.readouterr().out
        assert evaluated(stub, "--run", "r", "--method", "direct", concurrency=2) == 2
        assert "engine.options.concurrency = None there, 2 here" in capsys.readouterr().err


@pytest.mark.parametrize("node", ["node 1 of", "the output node"])
def test_of_what_fails_the_endpoint_s_part_is_missing_and_not_wrong(here, capsys, node):
    asked = []

    def second_fails(body, number):
        question = re.search(r"Question: .*", body["messages"][-1]["content"])[0]
        asked.extend({question} - {*asked})
        lost = f"You are {node}" in str(body) and asked.index(question) == 1
        return refusal(500, f"oh {KEY}") if lost else largest(body)

    with serving(second_fails) as stub:
        assert evaluated(stub, concurrency=1, key_env="A_KEY") == 0
    said = capsys.readouterr().out
    assert "accuracy          100.0 %" in said
    assert "on 2 items" in said
    assert "failed rollouts   1 of 2, 1 of them without an answer of the endpoint and left out" in said
    assert 'most often "endpoint: HTTP 500: oh [key]" (1)' in said
    summary, items = Run.open(here / "runs/max-2-1-tiny-seed0").evaluation("test-2-none")
    assert (summary["unasked"], summary["endpoint"]["missing"]) == (1, 1)
    assert [item["score"] for item in items] == [1.0, None]


def test_a_dialogue_that_lost_a_message_is_missing(here):
    with serving(lambda body, number: refusal(400) if number == 4 else largest(body)) as stub:
        assert evaluated(stub, "--method", "debate", concurrency=1) == 0
    summary, items = Run.open(here / "runs/max-2-1-tiny-seed0").evaluation("test-2-debate")
    assert sorted(str(item["score"]) for item in items) == ["1.0", "None"]
    assert summary["causes"] == {"endpoint: HTTP 400: no": 1}


def test_nothing_is_left_behind_where_nothing_was_answered(here, capsys):
    with serving(lambda body, number: refusal(401, f"{KEY} is no key")) as stub:
        assert evaluated(stub, key_env="A_KEY") == 2
    said = capsys.readouterr()
    assert re.fullmatch(
        r"neuromas: the first \d?.*requests? to http://\S+ failed; endpoint: HTTP 401: \[key\] is no key\n",
        said.err,
    )
    assert said.out == ""
    assert not (here / "runs").exists()


def test_the_key_is_in_nothing_that_is_written_or_said(here, capsys):
    def echo(body, number):
        return completion(f"{KEY} 7", model=KEY, system_fingerprint=KEY)

    with serving(echo) as stub:
        for words in ([], ["--method", "debate"], ["--method", "self-refine", "--json"]):
            assert evaluated(stub, *words, key_env="A_KEY") == 0
        assert main(["ask", "runs/max-2-1-tiny-seed0", "the largest of 5, 9?", "--trace"]) == 0
    assert {one["authorization"] for one in stub.headers} == {f"Bearer {KEY}"}
    said = capsys.readouterr()
    assert "[key]" in said.out
    assert KEY not in said.out + said.err
    files = [path for path in here.rglob("*") if path.is_file()]
    assert len(files) > 8
    assert not any(KEY.encode() in path.read_bytes() for path in files)


def test_training_over_an_endpoint_is_refused_before_anything_is_written_or_asked(here, capsys):
    with serving(largest) as stub:
        assert main(["train", "max.toml", "--run", "r", *through(stub)]) == 2
        said = capsys.readouterr().err
        assert said.startswith("neuromas: engine.name = 'openai' writes with a model of its own")
        assert said.count("\n") == 1
        assert not (here / "r").exists()
        assert main(["train", "max.toml", "--run", "r", *through(stub, mode="tokens")]) == 2
        assert "which nothing here trains" in capsys.readouterr().err
        assert not stub.bodies


def test_a_run_of_no_step_is_what_arms_of_experiments_are_made_of(here):
    with serving(largest) as stub:
        few = ["train.steps=0", "evaluate.test=2", "evaluate.every=0", *through(stub)]
        assert main(["train", "max.toml", "--run", "r", *few]) == 0
        assert main(["evaluate", "r", "--method", "direct", "--items", "2", "--stage", "1"]) == 0
    summary, _ = Run.open(here / "r").evaluation("test-2-direct-stage-1")
    assert summary["accuracy"] == 1.0
    assert summary["endpoint"]["messages"] == 2


def test_what_an_endpoint_s_model_has_of_parameters_is_not_known(here):
    base = {"model": {"backbone": "tiny"}, "task": {"name": "max"}, "train": {"steps": 0}}
    through_it = {"name": "openai", "options": {"url": "http://h/v1", "model": "m"}}
    arms = [{"name": "near"}, {"name": "far", "engine": through_it}]
    near, far = lay_out(make_plan({"name": "x", "seeds": [0], "base": base, "arms": arms}), here / "out")
    assert near.size.weights
    assert far.size == UNKNOWN


def test_methods_that_need_probabilities_say_so(here, capsys):
    with serving(largest) as stub:
        assert evaluated(stub, "--method", "best-of-n") == 2
        assert "needs log-probabilities, which this engine does not give (valid here: 'judge')" in (
            capsys.readouterr().err
        )
        assert not stub.bodies
        assert evaluated(stub, "--method", "best-of-n", "--with", "select=judge", "n=2") == 0


def test_trained_adapters_cannot_answer_through_an_endpoint(here):
    trained = Untrained.of(load_config("max.toml"))
    trained.assembly.model.bank.versions[0] = 1
    trained.keep(here / "r")
    elsewhere = load_config("max.toml", ["engine.name=openai", "engine.options.url=http://h/v1",
                                         "engine.options.model=m"])  # fmt: skip
    with pytest.raises(ConfigError, match="whose adapters are trained, cannot answer through it"):
        load_bundle(here / "r", config=elsewhere)


def test_a_probe_says_of_which_kind_a_question_was_lost(here):
    with serving(lambda body, number: refusal(400) if number == 1 else largest(body)) as stub:
        keys = ["network.topology=1", "network.question=all", *through(stub, concurrency=1)]
        asked = untrained(load_config("max.toml", keys))
        problems = asked.problems("validation", 2)
        found = list(probe(asked.network, asked.task, problems, Draws(1), examples=[0]))
    assert found[0].failure == "endpoint: HTTP 400: no"


def test_in_python_nothing_is_written(here):
    with serving(largest) as stub:
        asked = untrained(load_config("max.toml", through(stub)))
        assert asked.ask("the largest of 5, 9?") == "9"
        assert asked.evaluate(items=2, method="debate").summary["accuracy"] == 1.0
    assert [path.name for path in here.iterdir()] == ["max.toml"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["max.toml", "--stage", "1"], "--stage and --view are of a trained network"),
        (["max.toml", "--set", "growth.stages=[['2-1',10],['2-2-1',20]]"], "has stages or a parent"),
        (["max.tml", "--set", "seed=1"], "--set needs a configuration"),
        (["max.tml"], "does not exist"),
        (["max.toml", "--set", "engine.name=openai"], "engine.options.url is missing"),
        (["max.toml", "--set", "engine.name=openai", f"engine.options.key={KEY}"], "unknown option 'key'"),
        (["max.toml", "--set", "engine.nam=openai"], "did you mean"),
    ],
)
def test_what_cannot_be_is_one_line(here, capsys, words, says):
    assert main(["evaluate", *words]) == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1
    assert KEY not in said
    assert [path.name for path in here.iterdir()] == ["max.toml"]


def test_a_directory_with_other_things_is_refused_before_anything_is_paid(here, capsys):
    (here / "r").mkdir()
    (here / "r" / "thesis.tex").write_text("x")
    with serving(largest) as stub:
        assert evaluated(stub, "--run", "r") == 2
        assert "not empty and not a run" in capsys.readouterr().err
        assert not stub.bodies
