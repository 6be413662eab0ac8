"""Configuration: strict, and every mistake is one line that names the key and what would be valid."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuromas.config import Config, check_keys, load_config, make_config, read_value
from neuromas.core.errors import ConfigError

RECIPES = Path(__file__).parents[3] / "recipes"


def refusal(data) -> str:
    """The one line with which a configuration is refused."""
    with pytest.raises(ConfigError) as caught:
        make_config(data)
    text = str(caught.value)
    assert text
    assert len(text.splitlines()) == 1
    return text


def overridden(*overrides: str) -> Config:
    return load_config(None, overrides)


def test_an_unknown_key_is_named_with_the_nearest_and_all_valid_ones():
    said = refusal({"train": {"stepz": 3}})
    assert "'train.stepz'" in said
    assert "did you mean 'train.steps'?" in said
    assert "train.samples" in said
    assert "did you mean 'train'?" in refusal({"trian": {}})


def test_a_section_in_the_place_of_a_key_is_not_guessed_to_be_itself():
    with pytest.raises(ConfigError, match=r"train is a section with keys of its own .*train.steps"):
        check_keys(["train=3"])


@pytest.mark.parametrize(
    ("data", "parts"),
    [
        ({"train": {"steps": "many"}}, ("train.steps = 'many'", "whole number", "default 60")),
        ({"train": {"steps": 2.5}}, ("train.steps = 2.5", "whole number")),
        ({"train": {"steps": True}}, ("train.steps = True", "whole number")),
        ({"train": {"steps": -1}}, ("train.steps = -1", "greater than or equal to 0")),
        ({"train": {"lr": "fast"}}, ("train.lr = 'fast'", "a number")),
        ({"train": {"lr": float("inf")}}, ("train.lr = inf", "finite")),
        ({"train": {"lr": float("nan")}}, ("train.lr = nan",)),
        ({"train": {"temperature": 0}}, ("train.temperature = 0", "greater than or equal to 0.000001")),
        ({"train": 3}, ("train = 3", "section")),
        ({"network": {"topology": 2}}, ("network.topology = 2", "text")),
        ({"model": {"targets": "q_proj"}}, ("model.targets = 'q_proj'", "list")),
        ({"model": {"targets": [1]}}, ("model.targets.0 = 1", "text")),
        ({"model": {"device": "mps"}}, ("model.device = 'mps'", "auto, cpu, cuda")),
        ({"evaluate": {"test": 10**9}}, ("evaluate.test = 1000000000", "100000")),
        ({"train": {"baseline": "rlo"}}, ("train.baseline", "'rlo'", "did you mean 'rloo'?", "batch_mean")),
        ({"run": {"project": "a b"}}, ("run.project = 'a b'", "letters, digits")),
        ({"run": {"trackers": ["tensorbord"]}}, ("'tensorbord'", "did you mean 'tensorboard'?")),
        ({"task": {"options": {1: 2}}}, ("task.options", "text")),
    ],
)
def test_a_wrong_value_is_named_with_its_key_and_what_is_valid(data, parts):
    said = refusal(data)
    assert all(part in said for part in parts), said


@pytest.mark.parametrize("baseline", ["rloo", "grpo"])
def test_a_group_baseline_needs_a_group(baseline):
    said = refusal({"train": {"samples": 1, "baseline": baseline}})
    assert "train.samples = 1" in said
    assert repr(baseline) in said
    assert make_config({"train": {"samples": 1, "baseline": "ema"}}).train.samples == 1


def test_the_old_name_of_a_key_is_read(tmp_path):
    """0.1.0 and 0.2.0 wrote ``train.length_price``: in files, in runs, and on command lines."""
    old = make_config({"train": {"length_price": 0.25}})
    assert old == make_config({"train": {"length_penalty": 0.25}})
    assert "length_price" not in old.model_dump()["train"]
    assert overridden("train.length_price=0.25") == old
    file = tmp_path / "old.toml"
    file.write_text("[train]\nlength_price = 0.5\n")
    assert load_config(file).train.length_penalty == 0.5
    for key in ("length_price", "length_penalty"):
        assert load_config(file, [f"train.{key}=0.25"]) == old
        check_keys([f"train.{key}=0.25"])
    assert "length_price is the old name of train.length_penalty" in refusal(
        {"train": {"length_price": 0.25, "length_penalty": 0.25}}
    )
    assert refusal({"train": {"length_price": -1}}).startswith("train.length_penalty = -1")
    assert overridden("run.sinks=['wandb']").run.trackers == ("wandb",)


def test_the_schema_knows_old_names():
    keys = Config.model_json_schema()["$defs"]["TrainConfig"]["properties"]
    assert keys["length_price"]["deprecated"]
    assert "train.length_penalty" in keys["length_price"]["description"]
    assert "deprecated" not in keys["length_penalty"]


def test_a_part_is_named_by_a_short_name_or_an_address():
    assert overridden("train.baseline=my.module:Name").train.baseline == "my.module:Name"
    given = overridden("train.baseline_options.level=0.5", "train.baseline=m:N").train.baseline_options
    assert given == {"level": 0.5}
    check_keys(["train.baseline_options.level=0.5"])
    assert "module:Name" in refusal({"train": {"baseline": "my module:Name"}})


def test_a_whole_number_may_stand_for_a_number():
    assert make_config({"model": {"alpha": 32}}).model.alpha == 32.0


def test_overrides_are_toml_where_they_can_be_and_text_elsewhere():
    config = overridden(
        "train.steps=7",
        "train.lr = 2e-4",
        "train.baseline=ema",
        'model.targets=["q_proj", "v_proj"]',
        "task.options.n=4",
        "task.options={n = 5, rank = 2}",
        "seed=3",
    )
    assert (config.train.steps, config.train.lr, config.train.baseline) == (7, 2e-4, "ema")
    assert config.model.targets == ("q_proj", "v_proj")
    assert config.task.options == {"n": 5, "rank": 2}
    assert config.seed == 3


@pytest.mark.parametrize(
    ("override", "topology"),
    [("network.topology=1", "1"), ("network.topology=2-1", "2-1"), ('network.topology="1-1"', "1-1")],
)
def test_a_key_that_holds_text_takes_it_as_typed(override, topology):
    # "1" is TOML's whole number one, and a single LLM
    assert overridden(override).network.topology == topology


def test_a_date_is_a_directory_name():
    assert overridden("run.directory=2024-01-01").run.directory == "2024-01-01"


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("train.steps", "not key=value"),
        ("=3", "not key=value"),
        ("train.steps=4\nseed=5", "whole number"),
        ("train.steps=" + "[" * 5000, "whole number"),
        ("seed.x=1", "seed"),
        ("train..steps=1", "unknown key"),
        ("trian.steps=1", "did you mean 'train'?"),
    ],
)
def test_a_bad_override_is_one_line(override, says):
    with pytest.raises(ConfigError, match=says) as caught:
        overridden(override)
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 600


def test_an_override_into_something_that_is_no_section(tmp_path):
    file = tmp_path / "c.toml"
    file.write_text("seed = 1")
    with pytest.raises(ConfigError, match="'seed' is not a section"):
        load_config(file, ["seed.x=2"])


def test_a_value_cannot_bring_other_keys_along():
    assert read_value("4\nfoo = 3") == "4\nfoo = 3"
    assert read_value("[1, 2]") == [1, 2]


def test_files(tmp_path):
    missing = tmp_path / "none.toml"
    with pytest.raises(ConfigError, match=r"none\.toml.*No such file"):
        load_config(missing)
    with pytest.raises(ConfigError, match="directory"):
        load_config(tmp_path)
    bad = tmp_path / "bad.toml"
    for content in (b"[train\nsteps = ", b"\xff\xfe", b"a = " + b"[" * 5000):
        bad.write_bytes(content)
        with pytest.raises(ConfigError, match="is not TOML") as caught:
            load_config(bad)
        assert len(str(caught.value).splitlines()) == 1
    bad.write_bytes(b"\xef\xbb\xbfseed = 4")  # as some editors save
    assert load_config(bad).seed == 4


def test_overrides_come_after_the_file(tmp_path):
    file = tmp_path / "c.toml"
    file.write_text("seed = 1\n[train]\nsteps = 5\nsamples = 2")
    config = load_config(file, ["train.steps=6"])
    assert (config.seed, config.train.steps, config.train.samples) == (1, 6, 2)


def test_the_demo_loads():
    config = load_config(RECIPES / "runs" / "demo.toml")
    assert config.network.topology == "2-1"
    assert config.task.name == "max"


def test_plain_data_and_back():
    rich = load_config(
        RECIPES / "runs" / "demo.toml",
        [
            'run.trackers=["wandb"]',
            "train.final_temperature=0.5",
            "model.targets=['q_proj']",
            "model.alpha=3",
        ],
    )
    for config in (Config(), rich):
        stored = json.loads(json.dumps(config.model_dump(mode="json")))
        assert make_config(stored) == config
        assert make_config(stored).model_dump(mode="json") == stored


def test_a_configuration_is_frozen():
    with pytest.raises(ValueError, match="frozen"):
        Config().train.steps = 3


def test_only_a_table_is_a_configuration():
    assert "list" in refusal([1])


leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4) | st.integers(), inner),
    max_leaves=6,
)
sections = st.sampled_from(["seed", "model", "network", "task", "train", "evaluate", "run"]) | st.text()
keys = st.sampled_from(["steps", "samples", "baseline", "targets", "options", "topology", "trackers", "lr"])


def complaint(make, *args) -> str:
    """What ConfigError says; anything else it raises is a failure of the test."""
    try:
        make(*args)
    except ConfigError as error:
        return str(error)
    return "fine"


@given(st.dictionaries(sections | leaves, values | st.dictionaries(keys | st.text(max_size=5), values)))
@settings(max_examples=150)
def test_any_table_is_accepted_or_refused_in_one_line(data):
    assert len(complaint(make_config, data).splitlines()) == 1


@given(st.sampled_from(["train.steps", "network.topology", "task.options.n", "x"]), st.text(max_size=20))
@settings(max_examples=100)
def test_any_override_is_accepted_or_refused_in_one_line(key, raw):
    assert len(complaint(overridden, f"{key}={raw}").splitlines()) == 1


HUGE = "9" * 5000


@pytest.mark.parametrize("key", ["seed", "train.steps", "train.lr", "model.backbone", "task.options.n", "x"])
def test_a_number_python_cannot_write_is_one_line(key):
    for text in (HUGE, "0x" + "f" * 5000, f"[{HUGE}]", f"{{a = {HUGE}}}"):
        with pytest.raises(ConfigError) as caught:
            overridden(f"{key}={text}", "model.backbone=no\0")
        assert len(str(caught.value)) < 2100
        assert len(str(caught.value).splitlines()) == 1


def test_whole_numbers_have_a_bound_wherever_they_stand():
    assert "task.options.n = " in refusal({"task": {"options": {"n": 2**64 + 1}}})
    assert "task.options.n.1.a = " in refusal({"task": {"options": {"n": [1, {"a": -(10**30)}]}}})
    assert "seed = <int too large to write>: should be" in refusal({"seed": 10**5000})
    assert make_config({"seed": 2**64}).seed == 2**64, "what version 0.1.0 took, within reason"


@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
def test_text_that_no_file_can_keep_is_refused(text):
    for data in (
        {"run": {"directory": text}},
        {"model": {"backbone": text}},
        {"task": {"options": {"path": [text]}}},
        {"task": {"options": {text: 1}}},
        {"model": {"targets": [text]}},
    ):
        assert "NUL and broken characters" in refusal(data)
    assert "(key) = '\\ud800': should be text without NUL" in refusal({"\ud800": 1})
    assert "unknown key 'a\\x00b'" in refusal({"a\0b": 1})


@pytest.mark.parametrize(
    "setting",
    [
        "train.lr=1e39",
        "model.alpha=1e308",
        "train.kl=1e300",
        "train.clip=1e200",
        "growth.noise=1e39",
        "train.temperature=1e-300",
        "train.warmup=99999999999",
        "evaluate.every=99999999999",
    ],
)
def test_numbers_beyond_single_precision_and_reason_are_refused(setting):
    with pytest.raises(ConfigError, match=setting.partition("=")[0]):
        overridden(setting)


def test_a_learning_rate_of_a_stage_has_the_limits_of_train_lr():
    said = refusal({"growth": {"stages": [["1-1", 1]], "lr": [1e39]}})
    assert said.startswith("growth.lr.0 = 1e+39: should be less than or equal to")


def test_episodes_of_a_step_are_bounded():
    said = refusal({"train": {"problems": 65_536, "samples": 65_536}})
    assert "train.problems = 65536 and train.samples = 65536 are 4294967296 episodes a step" in said
    assert make_config({"train": {"problems": 8192, "samples": 8}}).train.problems == 8192


def test_a_config_is_a_regular_file_of_reasonable_size(tmp_path):
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "large.toml").write_bytes(b"#" * 10_000_001)
    for name, says in (("pipe.toml", "regular file"), ("large.toml", "larger than 10"), (".", "directory")):
        with pytest.raises(ConfigError, match=says):
            load_config(tmp_path / name)
    with pytest.raises(ConfigError, match="regular file"):
        load_config("/dev/zero")
    with pytest.raises(ConfigError, match="no file can have this name"):
        load_config("a\0b")


def test_what_is_long_is_cut():
    said = refusal({"train": {"steps": "x" * 100_000}})
    assert len(said) < 300
    assert "(100000 characters)" in said
    assert len(refusal({"y" * 100_000: 1})) < 500
    with pytest.raises(ConfigError) as caught:
        overridden("z" * 100_000)
    assert len(str(caught.value)) < 300
