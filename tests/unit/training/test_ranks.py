"""Several processes train the run that one trains, bit for bit, and end together."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest
import torch

import rank_jobs as jobs
from neuromas.config import make_config
from neuromas.core.errors import ConfigError, ContractError, DivergedError, ElsewhereError, RunError
from neuromas.models import precision
from neuromas.models.precision import plain_name
from neuromas.models.ranks import ALONE, Ranks, place
from neuromas.storage import Run
from neuromas.system.dealing import cut
from neuromas.training import several
from parity import Parity, small
from together import Died, results, together

QUICK = {"every": 2, "validation": 2, "test": 2}


def config(shape="2-1", **train):
    more = {key: train.pop(key) for key in ("growth", "lift", "model") if key in train}
    data = small(train={"chunks": 4, "problems": 5, "steps": 3, "kl": 0.01, **train}, evaluate=QUICK, **more)
    data["network"]["topology"] = shape
    return data


def growing():
    growth = {"stages": [["1-1", 2], ["2-1", 2]], "init": "passthrough+gate", "restate": 1, "patience": 1}
    data = config("1-1", anchor=0.1, growth=growth)
    del data["train"]["steps"], data["network"]["topology"]
    return data


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The run of one process."""
    return jobs.train(config(), tmp_path_factory.mktemp("alone") / "run")


@pytest.mark.parametrize("size", [2, pytest.param(4, marks=pytest.mark.processes)])
def test_a_run_is_the_same_bit_for_bit_for_1_2_and_4_processes(alone, size, tmp_path):
    found = results(size, jobs.train, config(), tmp_path / "run")
    assert found == [alone] * size
    assert all(row["gradient_norm"] != [0.0] * 3 for row in alone["metrics.jsonl"])
    assert json.loads((tmp_path / "run/run.json").read_text())["processes"] == size


BRIEF = {"steps": 1, "problems": 3}
FEW = {
    "critics": config(algorithm="marft", passes=2, **BRIEF),
    "trees": config("1-1-1", algorithm="malt", algorithm_options={"branches": 2, "sft_steps": 0}, **BRIEF),
    "turns": config("1-1-1", algorithm="at-grpo", **BRIEF),
}
REST = {
    **{credit: config(credit=credit) for credit in ("difference", "solo", "counterfactual", "c3")},
    **{name: config(algorithm=name) for name in ("collm-cc", "collm-dc", "marft")},
    "malt": config("1-1-1", algorithm="malt", algorithm_options={"branches": 2, "sft_steps": 1}),
    "clipped": config(passes=2, max_kl=0.001, entropy=0.01),
    "grown": growing(),
    "guarded": config(steps=4, lr=0.3, guard="restore"),
    "lifted": config(lift={"view": ["first", "all"]}),
}


def check_equal(several, folder, size=2):
    expected = jobs.train_all(several, folder / "1")
    for found in results(size, jobs.train_all, several, folder / "many"):
        for name in several:
            assert found[name] == expected[name], name


@pytest.mark.processes
def test_algorithms_with_other_rollouts_are_the_same_in_two_processes(tmp_path):
    check_equal(FEW, tmp_path)


@pytest.mark.processes
def test_all_others_are_the_same_in_three_processes(tmp_path):
    check_equal({**FEW, **REST}, tmp_path, 3)


@pytest.mark.processes
def test_a_sharded_backbone_trains_and_samples_the_same_run(alone, tmp_path):
    found = results(2, jobs.train, config(model={"shard": True}), tmp_path / "run")
    assert found == [alone] * 2


def test_each_process_holds_half_of_a_sharded_layer_and_an_odd_batch_is_no_deadlock():
    (expected, _) = jobs.gradient()
    for found, held in results(2, jobs.gradient, True, 60, True):
        assert held == 0.5
        assert_same(found, expected)


def test_gradients_in_one_order_are_equal_and_summed_ones_nearly():
    expected, _ = jobs.gradient()
    for size in (2, 3):
        found = [one for one, _ in results(size, jobs.gradient)]
        for one in found:
            assert_same(one, expected)
    first, second, third = (one for one, _ in results(3, jobs.gradient, False))
    assert_same(first, second)
    assert_same(first, third)
    pairs = list(zip(first[0], expected[0], strict=True))
    assert not all(torch.equal(*pair) for pair in pairs)  # so that the order is seen above
    for mine, theirs in pairs:
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-6)
    assert torch.equal(first[2], expected[2])
    assert torch.equal(first[3], expected[3])
    assert (first[1], first[4]) == (pytest.approx(expected[1], abs=1e-4), expected[4])


def test_more_processes_than_micro_batches_and_none_at_all():
    assert_same(results(2, jobs.gradient, True, 1)[1][0], jobs.gradient(True, 1)[0])
    assert results(2, jobs.gradient, False, 0)[0][0][0] == [None, None]


def assert_same(found, expected):
    for mine, theirs in zip(found[0], expected[0], strict=True):
        assert mine is theirs is None or torch.equal(mine, theirs)
    assert torch.equal(found[2], expected[2])
    assert torch.equal(found[3], expected[3])
    assert (found[1], found[4]) == (expected[1], expected[4])


def test_killed_in_the_middle_the_run_goes_on_with_another_number_of_processes(alone, tmp_path):
    folder = tmp_path / "run"
    task = jobs.Troubled(trouble="killed", run=str(folder), after=3)
    survivor, dead = together(2, jobs.train, config(), folder, task)
    assert isinstance(dead, Died)
    assert isinstance(survivor, RunError)
    assert "another process of this run is gone (" in str(survivor)
    assert "\n" not in str(survivor)
    assert not Run.open(folder).finished
    # the second step was kept before the third was logged; the third may have been, too
    assert Run.open(folder).checkpoints()[-1].name in ("step-000002", "step-000003")
    assert jobs.go_on(folder) == alone


@pytest.mark.processes
def test_a_signal_to_one_process_stops_all_after_the_same_step(alone, tmp_path):
    folder = tmp_path / "run"
    task = jobs.Troubled(trouble="asked to stop", run=str(folder), after=1)
    found = results(2, jobs.train, config(), folder, task)
    assert [one["finished"] for one in found] == [False, False]
    assert len(found[0]["metrics.jsonl"]) == 2
    assert results(2, jobs.go_on, folder) == [alone] * 2


def test_what_fails_in_one_process_ends_all_of_them(tmp_path):
    task = jobs.Troubled(trouble="breaks its contract", run=str(tmp_path / "a"))
    other, own = together(2, jobs.train, config(), tmp_path / "a", task)
    assert isinstance(own, ContractError)
    assert isinstance(other, ElsewhereError)
    assert str(other) == "process 1 of 2 failed: the score is a word"
    (tmp_path / "b").mkdir()
    (tmp_path / "b/mine.txt").write_text("here")
    first, second = together(2, jobs.train, config(), tmp_path / "b")
    assert "not empty" in str(first)
    assert isinstance(second, ElsewhereError)
    first, second = together(2, jobs.train, config(), tmp_path / "c", None, [jobs.Failing()])
    assert str(first) == "no space left"
    assert "another process of this run is gone" in str(second)


def test_a_task_with_other_problems_in_another_process_is_refused(tmp_path):
    task = jobs.Troubled(trouble="other problems", run=str(tmp_path / "run"), after=1)
    found = together(2, jobs.train, config(), tmp_path / "run", task)
    assert all(isinstance(one, ContractError) for one in found)
    assert "must give the same problems to every process" in str(found[0])


def test_processes_say_what_they_have_in_common():
    assert results(2, jobs.disagree) == [(True, False, True, "first")] * 2




def test_adapters_that_drift_apart_end_the_run_before_it_is_saved(tmp_path, monkeypatch):
    made = several.shared_by
    monkeypatch.setattr("neuromas.training.run.shared_by", lambda ranks, a: made(Lonely(size=2), a))
    with pytest.raises(DivergedError, match="after step 2 the 2 processes have adapters that differ"):
        jobs.train(config(), tmp_path / "run")
    assert [path.name for path in Run.open(tmp_path / "run").checkpoints()] == ["step-000000"]


class Lonely(Ranks):
    """Of two processes the one that nobody answers."""

    def deal(self, pieces, work, each=map):
        return [work(one) for one in pieces]

    def led(self, work):
        return work()

    def any(self, flag):
        return flag

    def alike(self, value):
        return False

    def own(self, count):
        return range(count)

    def in_turn(self, own, lengths, place):
        return own

    def add(self, values):
        """Nothing to add."""


def test_pieces_keep_problems_together_and_do_not_ask_for_processes():
    class Pass:
        def __init__(self, problem):
            self.problem = problem

    problems = [Parity().problem("train", i) for i in range(5)]
    passes = [Pass(one) for one in problems for _ in range(3)]
    assert [len(piece) for piece in cut(passes, 2)] == [6, 9]
    assert [len(piece) for piece in cut(passes, 99)] == [3] * 5
    assert cut(passes, 1) == [passes]
    assert cut([], 4) == [[]]


THREE = {"WORLD_SIZE": "3", "RANK": "2", "MASTER_ADDR": "a", "MASTER_PORT": "1"}


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"WORLD_SIZE": "2"}, "WORLD_SIZE = 2 .* without RANK, MASTER_ADDR, MASTER_PORT: start"),
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE = 'two' in the environment is no whole number from 1 on"),
        ({"WORLD_SIZE": "-1"}, "no whole number from 1 on"),
        ({**THREE, "WORLD_SIZE": "2"}, "RANK = '2' in the environment is no whole number from 0 to 1"),
    ],
)
def test_half_an_environment_is_one_line(environment, said):
    with pytest.raises(ConfigError, match=said):
        place(environment)


def test_no_environment_or_one_process_is_alone():
    assert place({}) == (0, 1)
    assert place({"WORLD_SIZE": "1"}) == (0, 1)
    assert place(THREE) == (2, 3)


def test_what_one_process_cannot_do_is_said(tmp_path):
    with pytest.raises(ConfigError, match=r"model\.shard = true divides the backbone among processes"):
        jobs.train(config(model={"shard": True}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_engine_that_serves_one_process_is_refused(monkeypatch):
    from neuromas.system.assemble import assemble

    made = assemble(make_config(config()), task=Parity())
    capable = replace(made.network.engine.capabilities, several=False)
    monkeypatch.setattr(type(made.network.engine), "capabilities", capable)
    with pytest.raises(ConfigError, match=r"engine\.name = 'local' serves one process, and there are 2"):
        several.shared_by(Ranks(size=2), made)
    assert several.shared_by(ALONE, made).network.ranks is ALONE


@pytest.mark.parametrize("fast", [True, False])
def test_processes_that_may_choose_take_the_first_ones_precision(monkeypatch, fast):
    """This one is the second, on a machine of another kind; of one process each goes by itself."""
    monkeypatch.setattr(precision, "flags", lambda: frozenset(() if fast else {"amx_bf16"}))
    first = "bfloat16" if fast else "float32"
    monkeypatch.setattr(Ranks, "led", lambda self, work: first)
    left_open = make_config(small(model={"dtype": "auto", "device": "cpu"}))
    found = several.backbone_for(Ranks(1, 2), left_open, None)
    assert plain_name(found.dtype) == first
    named = make_config(small(model={"dtype": "float32", "device": "cpu"}))
    assert several.backbone_for(Ranks(1, 2), named, None) is None, "made with the rest"
    assert several.backbone_for(ALONE, left_open, None) is None


def test_pieces_are_fixed_when_a_run_begins_and_one_process_is_as_it_was():
    plain = make_config(small())
    assert several.cut_for(plain, ALONE) is plain
    assert several.cut_for(plain, Ranks(0, 3)).train.chunks == 3
    assert several.described(ALONE, plain) == ALONE
    assert os.environ.get("WORLD_SIZE") is None
