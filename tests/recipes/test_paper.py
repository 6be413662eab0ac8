"""The paper's setting: sizes from the models' measures, and its experiment on tiny models of their kind.

Rows are of our own making, in the form of the files that docs/paper.md names.
"""

from __future__ import annotations

import importlib.util
import itertools
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from test_experiment import Inline

from neuromas.experiment.cells import lay_out
from neuromas.experiment.forecast import TERA, forecasts
from neuromas.experiment.launchers import local
from neuromas.experiment.plan import load_plan, make_plan
from neuromas.models.dims import read_dims
from neuromas.tasks import make_task

ROOT = Path(__file__).parents[2]
TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj")
LETTERS = "ABCD"
FILES = ("arc", "navigate", "algebra", "physics", "medicine")  # tasks that need no sandbox


def _benchmark():
    spec = importlib.util.spec_from_file_location("paper", ROOT / "benchmarks" / "paper.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PAPER = _benchmark()
MEASURES = {name: str(PAPER.MEASURES / here) for name, here in PAPER.MODELS.items()}


def choice(subject, number, split):
    texts = [f"{subject} {number + shift}" for shift in range(4)]
    where = {"subject": subject, "split": split, "source": "own"}
    return {
        "id": f"{subject}-{split}-{number}",
        "question": f"Which of these is {subject} number {number} of {split}?",
        "choices": texts,
        "answer": LETTERS[number % 4],
        "answer_type": "letter",
    } | where


def walk(number, split):
    steps = " ".join(f"Take {number + k} steps." for k in range(3))
    return {
        "id": f"navigate-{split}-{number}",
        "question": f"Do you return to the starting point? {steps} ({split})\nOptions:\n- Yes\n- No",
        "answer": ("yes", "no")[number % 2],
        "answer_type": "yesno",
        "subject": "navigate",
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """``data/`` with a few rows of every file that the recipe reads."""
    made = tmp_path_factory.mktemp("paper")
    (made / "data").mkdir()
    subjects = ("abstract_algebra", "college_physics", "professional_medicine", "law")
    other = {"question": "Sort: b a", "answer": "a b", "answer_type": "text", "subject": "word_sorting"}
    for split, count in (("train", 40), ("test", 6)):
        for name, rows in (
            ("arc_challenge", [choice("science", number, split) for number in range(count)]),
            ("bbh", [other | {"id": split}, *[walk(number, split) for number in range(count)]]),
            ("mmlu", [choice(one, number, split) for one in subjects for number in range(count // 2)]),
        ):
            lines = "".join(json.dumps(row) + "\n" for row in rows)
            (made / "data" / f"{name}_{split}.jsonl").write_text(lines)
    program = {"prompt": "def twice(x):\n    \"\"\"Double x.\"\"\"\n", "answer": "    return 2 * x\n"}
    program |= {"id": "HumanEval-0", "entry_point": "twice", "answer_type": "code", "split": "test"}
    program["tests"] = "def check(candidate):\n    assert candidate(2) == 4\n\ncheck(twice)\n"
    (made / "data" / "humaneval_test.jsonl").write_text(json.dumps(program) + "\n")
    trained = [
        {
            "id": f"mbpp-{number}",
            "prompt": f"Write a function that adds {number}.",
            "tests": f"assert add_{number}(1) == {number + 1}",
            "entry_point": f"add_{number}",
            "answer": f"def add_{number}(x):\n    return x + {number}",
            "answer_type": "code",
            "split": "train",
        }
        for number in range(1, 31)
    ]
    lines = "".join(json.dumps(row) + "\n" for row in trained)
    (made / "data" / "mbpp_train.jsonl").write_text(lines)
    return made


@pytest.fixture
def here(folder, monkeypatch):
    """We stand where data/ lies."""
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize(
    ("name", "node", "single"),
    [("qwen3-0.6b", 2_293_760, 6_881_280), ("gemma-3-1b-it", 1_490_944, 4_472_832)],
)
def test_a_node_has_the_parameters_of_the_paper(name, node, single):
    """6.9M, 11.5M and 16.1M of 3, 5 and 7 nodes on Qwen3-0.6B; rank 24 has those of three."""
    dims = read_dims(str(PAPER.MEASURES / name))
    assert 8 * dims.per_rank(TARGETS) == 16 * dims.per_rank(("q_proj", "v_proj")) == node
    assert 24 * dims.per_rank(TARGETS) == single == 3 * node
    if name == "qwen3-0.6b":
        assert [round(count * node / 1e6, 1) for count in (3, 5, 7)] == [6.9, 11.5, 16.1]


@pytest.mark.parametrize("name", ["qwen3-0.6b", "gemma-3-1b-it"])
def test_the_adapters_of_such_a_model_have_as_many(name):
    """The bank itself, around transformers' own class with these measures; no weight is ever allocated."""
    from transformers import AutoConfig, AutoModelForCausalLM

    from neuromas.models.adapters import AdapterBank, LoraSpec

    dims = read_dims(str(PAPER.MEASURES / name))
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(PAPER.MEASURES / name))
        bank = AdapterBank(model, LoraSpec(8, 16.0, TARGETS), 3, 0)
    assert [p.numel() for p in bank.parameters] == 3 * [8 * dims.per_rank(TARGETS)]


def test_the_recipe_compares_equal_budgets_of_parameters_and_calls(here):
    plan = make_plan(PAPER.with_models(PAPER.recipe(), MEASURES), FILES)
    cells = [cell for cell in lay_out(plan, Path("out")) if cell.task in FILES]
    found = {(one.task, one.arm): one for one in forecasts(cells)}
    grown, single = found["arc", "grown"], found["arc", "single"]
    assert grown.nodes == (3, 5, 7)
    assert grown.parameters == (6_881_280, 11_468_800, 16_056_320)
    assert single.parameters == (6_881_280,)
    assert single.training == 3 * 600 * 16 * 8, "three seeds; as many as the first stage of grown: 200 x 3"
    assert found["arc", "gemma"].parameters == (4_472_832, 7_454_720)
    assert {task for task, arm in found if arm == "scratch-7"} == {"navigate"}
    assert grown.hours(20 * TERA) == pytest.approx(grown.flops / 20e12 / 3600)
    assert plan.config(plan.arm("grown"), "arc", 0).network.style == "chat"


def test_the_recipe_needs_no_model_and_names_the_file_it_misses(here, tmp_path, cli, monkeypatch):
    status, out, _ = cli("experiment", "paper", "--dry-run", "--tasks", "arc,navigate", "--tflops", "40")
    assert status == 0
    assert "backbone 'Qwen/Qwen3-0.6B' is not downloaded" in out
    assert not (here / "runs").exists()
    monkeypatch.chdir(tmp_path)
    status, _, said = cli("experiment", "paper", "--dry-run")
    assert status != 0
    assert "data/arc_challenge_t" in said
    assert said.count("\n") == 1
    (tmp_path / "data").mkdir()
    for split in ("train", "test"):
        name = f"data/arc_challenge_{split}.jsonl"
        (tmp_path / name).write_bytes((here / name).read_bytes())
    assert cli("experiment", "paper", "--dry-run", "--tasks", "arc")[0] == 0, "other files are not needed"


def test_answers_of_the_files_are_understood(here):
    tasks = [one for one in PAPER.recipe()["tasks"] if one["name"] == "file"]
    assert tuple(one["label"] for one in tasks) == FILES
    for one in tasks:
        task = make_task(one["name"], one["options"])
        problem = task.problem("test", 0)
        assert task.size("test") == {"arc": 6, "navigate": 6}.get(one["label"], 3)
        said = {"yes": "Yes", "no": "No."}.get(problem.answer, f"The answer is {problem.answer}.")
        assert task.score(problem, said).value == 1.0
        assert task.score(problem, "A or B, yes and no").value == 0.0


def test_programs_are_judged_where_a_sandbox_works(here):
    from neuromas.core.errors import SandboxError
    from neuromas.sandbox.choosing import find_sandbox

    try:
        find_sandbox("auto")
    except SandboxError as error:
        pytest.skip(f"no sandbox works here: {error}")
    (one,) = [task for task in PAPER.recipe()["tasks"] if task["name"] == "humaneval"]
    task = make_task("humaneval", one["options"])
    problem = task.problem("test", 0)
    assert (task.size("test"), problem.kind) == (1, "code")
    assert task.score(problem, "```python\ndef twice(x):\n    return 2 * x\n```").value == 1.0
    assert task.score(problem, "```python\ndef twice(x):\n    return x\n```").value == 0.0
    plan = make_plan(PAPER.recipe(), ("humaneval",))
    assert not plan.trains(plan.arm("gemma"), "humaneval")


ARMS = ("grown", "gemma-single", "base", "constant", "direct")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    made = tmp_path_factory.mktemp("models")
    kinds = {"Qwen/Qwen3-0.6B": "qwen3", "google/gemma-3-1b-it": "gemma3"}
    return {name: str(PAPER.tiny(made / kind, kind)) for name, kind in kinds.items()}


def test_the_recipe_runs_on_tiny_models_of_the_same_architectures(here, models, tmp_path, cli, monkeypatch):
    """The chosen arms through the real command; messages of 6 tokens, as 200 take minutes."""
    import tomli_w

    monkeypatch.setattr(local, "launch", Inline)
    data = PAPER.small(PAPER.recipe(), models)
    data["base"]["network"] |= {"message_tokens": 6, "answer_tokens": 6}
    data["base"]["train"]["problems"] = 1
    data["base"]["evaluate"] = {"every": 0, "validation": 1, "test": 1}
    (tmp_path / "paper.toml").write_text(tomli_w.dumps(data))
    out = tmp_path / "out"
    arguments = ("experiment", tmp_path / "paper.toml", "--out", out, "--tasks", "arc", "--jobs", "1")
    status, said, err = cli(*arguments, "--arms", ",".join(ARMS))
    assert status == 0, said + err
    points = json.loads((out / "results.json").read_text())["points"]
    calls = {(one["arm"], one["stage"]): one["calls_a_question"] for one in points if one["seeds"]}
    assert [calls["grown", stage] for stage in (1, 2, 3)] == [3, 5, 7]
    assert (calls["gemma-single", 1], calls["direct", 1], calls["constant", 1]) == (1, 1, 0)


@pytest.mark.parametrize(
    ("name", "shape", "nodes"), [("Qwen/Qwen3-0.6B", "2-1", 3), ("google/gemma-3-1b-it", "1-1", 2)]
)
def test_thinking_is_off_and_messages_of_200_tokens_fit(here, models, name, shape, nodes):
    """In the style of a chat; the longest prompts are those that hold two messages."""
    from neuromas.config import make_config
    from neuromas.system.assemble import assemble
    from neuromas.system.rollout import Sampling, rollout

    data = PAPER.small(PAPER.recipe(), models)
    config = {key: data["base"][key] for key in ("network", "train")}
    config["network"] |= {"topology": shape}
    config["model"] = data["base"]["model"] | {"backbone": models[name]}
    one = next(task for task in data["tasks"] if task["label"] == "medicine")
    built = assemble(make_config(config | {"task": {"name": one["name"], "options": one["options"]}}))
    problem = built.task.problem("test", 0)
    (episode,) = rollout(built.network, built.task, [problem], 1, Sampling(1.0, 3))
    assert episode.failure is None
    assert len(episode.turns) == nodes
    assert max(len(turn.ids) for turn in episode.turns) == 200
    last = episode.turns[-1]
    prompt = built.network.engine.codec.spell(last.prefix_ids + last.suffix_ids)
    assert f"Question: {problem.question}" in prompt
    assert prompt.endswith("<think>\n\n</think>\n\n" if "Qwen" in name else "<|im_start|>model\n")


OFFICIAL = {
    "allenai/ai2_arc": {
        "id": "Mercury_1",
        "question": "Which one?",
        "choices": {"text": ["one", "two", "three"], "label": ["1", "2", "3"]},
        "answerKey": "2",
    },
    "cais/mmlu": {
        "question": "Which?",
        "subject": "abstract_algebra",
        "choices": ["0", "1", "2", "3"],
        "answer": 1,
    },
    "lukaemon/bbh": {"input": "Do you return?\nOptions:\n- Yes\n- No", "target": "No"},
}


def test_the_public_data_sets_are_read_by_the_options_of_the_page(monkeypatch):
    """The tables of docs/paper.md, on one row of each data set in its published form."""
    import re
    import tomllib

    class Table(list):
        column_names = property(lambda self: list(self[0]))

        def select_columns(self, columns):
            return [{key: row[key] for key in columns} for row in self]

    numbers = itertools.count()

    def load(dataset, config, split, revision, **_):
        row, ask = OFFICIAL[dataset], "input" if "input" in OFFICIAL[dataset] else "question"
        rows = [row | {ask: f"{next(numbers)} {row[ask]}"} for _ in range(60)]
        return Table([one | {"id": str(i)} for i, one in enumerate(rows)] if "id" in row else rows)

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load, __version__="4.0.0"))
    page = (ROOT / "docs" / "paper.md").read_text("utf-8")
    (block,) = [one for one in re.findall(r"```toml\n(.*?)```", page, re.DOTALL) if "dataset" in one]
    found = {}
    for one in tomllib.loads(block)["tasks"]:
        task = make_task(one["name"], one["options"])
        found[one["label"]] = task.problem("test", 0).answer
    assert found == {"arc": "B", "algebra": "B", "navigate": "no"}


def test_the_recipe_is_found_by_its_name(cli):
    assert "paper" in cli("recipes")[1]
    assert load_plan.__doc__
