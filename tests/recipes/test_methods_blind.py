"""No method sees gold answers at test time: with other ones its texts are the same, letter by letter."""

from __future__ import annotations

import sys

import pytest

from neuromas.core.parts import METHODS
from neuromas.storage import Run

TASK = '''
import neuromas

class Sums(neuromas.Task):
    """Sums of two digits; ``gold`` is what the file of answers says of the test questions, right or not."""

    answer_format = "one number"

    def __init__(self, gold="sum"):
        self.gold = gold

    def problem(self, split, index):
        first, second = index % 10, index * 7 % 10
        answer = str(first + second)
        if split == "test" and self.gold != "sum":
            answer = f"{self.gold} {index}"
        question = f"{split}: {first} + {second}?"
        return neuromas.Problem(f"{split}-{index}", question, answer, parts=(str(first), str(second)))

    def score(self, problem, text):
        digits = "".join(c if c.isdigit() else " " for c in text).split()
        said = digits[0] if digits else None
        return neuromas.Score(float(said == problem.answer), said)
'''
SMALL = [
    *(
        "model.backbone=tiny",
        "model.dtype=float32",
        "model.device=cpu",
        "model.rank=2",
        "task.name=own_sums:Sums",
    ),
    *("train.steps=1", "train.problems=2", "train.samples=2", "evaluate.test=4", "evaluate.every=0"),
    *("network.topology=2-1", "network.message_tokens=4", "network.answer_tokens=4"),
]


# a short search asks training problems for their answers as a long one does
SHORTER = {"gptswarm": ["--with", "iterations=3"], "mass": ["--with", "items=4", "topologies=3"]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the task and a network that was trained on it."""
    from neuromas.cli import main

    here = tmp_path_factory.mktemp("blind")
    (here / "own_sums.py").write_text(TASK)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        patch.setattr(sys, "path", list(sys.path))
        sys.modules.pop("own_sums", None)
        assert main(["train", *SMALL, "--run", "run"]) == 0
        yield here
        sys.modules.pop("own_sums", None)


@pytest.mark.parametrize("method", METHODS.builtin)
def test_garbage_for_gold_answers_changes_no_text(folder, cli, method):
    kept, oracle = {}, getattr(METHODS.get(method), "oracle", False)
    for gold in ("sum", "garbage"):
        words = ["evaluate", "run", "--items", 4, "--method", method, "--name", f"{method}-{gold}"]
        words += SHORTER.get(method, [])
        status, _, err = cli(*words, "--task", "own_sums:Sums", f"gold={gold}")
        assert status == 0, err
        kept[gold] = Run(folder / "run").evaluation(f"{method}-{gold}")
    for right, wrong in zip(kept["sum"][1], kept["garbage"][1], strict=True):
        assert right["gold"].isdecimal()
        assert wrong["gold"].startswith("garbage"), "the answers really are others"
        chosen = () if oracle else ("answer", "parsed")  # a bound: gold answers choose among texts that stay
        texts = ("question", *chosen, "messages", "message_tokens", "prompt_tokens", "new_tokens")
        assert {key: right[key] for key in texts} == {key: wrong[key] for key in texts}
    prompts = [folder / "run" / "evaluations" / f"{method}-{gold}.prompts.jsonl" for gold in kept]
    assert prompts[0].exists()
    assert prompts[0].read_bytes() == prompts[1].read_bytes(), "what was read, too"
    assert kept["garbage"][0]["accuracy"] == 0.0
