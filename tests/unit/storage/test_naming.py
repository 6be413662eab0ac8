"""Default names say what was trained, in words that any file system takes."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuromas.config import load_config, make_config
from neuromas.storage import data_name, run_name


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ([], "max-2-1-smollm2-135m-seed0"),
        (["seed=3", "network.question=split"], "max-2-1-split-smollm2-135m-seed3"),
        (
            ["task.name=file", "task.options.path=/data/My Squad (v2).csv", "model.backbone=Qwen/Qwen3-0.6B"],
            "file-my-squad-v2-2-1-qwen3-0.6b-seed0",
        ),
        (
            ["task.name=hub", "task.options.dataset=org/gsm8k", "network.topology=graphs/my net.toml"],
            "hub-gsm8k-my-net-smollm2-135m-seed0",
        ),
        (["growth.stages=[['2-1', 20], ['2-2-1', 20]]"], "max-2-1-to-2-2-1-smollm2-135m-seed0"),
        (
            ["task.name=gym/chain_sum", "network.topology=2-1+skip", "model.backbone=/models/mine/"],
            "gym-chain_sum-2-1+skip-mine-seed0",
        ),
        (["task.name=../..", "model.backbone=.."], "2-1-seed0"),
    ],
)
def test_a_run_is_named_by_task_data_shape_model_and_seed(settings, name):
    assert run_name(load_config(None, settings)) == name


def test_a_long_name_keeps_both_ends_and_stays_apart():
    one, other = (run_name(load_config(None, [f"network.topology={'2-' * 150}{n}-1"])) for n in (2, 3))
    assert one != other
    assert len(one) == len(other) == 120
    assert one.startswith("max-2-2")
    assert one.endswith("smollm2-135m-seed0")


@given(st.text(min_size=1).filter(lambda text: "\0" not in text))
def test_a_name_is_one_folder_of_plain_characters(text):
    try:
        config = make_config({"task": {"name": text, "options": {"path": text}}, "model": {"backbone": text}})
    except Exception:
        return
    assert re.fullmatch(r"[a-z0-9][a-z0-9._+-]{0,119}", run_name(config))
    assert len(data_name(text, {"path": text})) <= 61
