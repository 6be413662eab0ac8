"""The JSON schema says what the configuration takes, in words that an editor shows."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

from neuromas.cli import main
from neuromas.config import Config, key_names
from neuromas.config.schema import run_schema
from neuromas.config.sections import RENAMED
from neuromas.experiment.plan import make_plan
from neuromas.experiment.schema import experiment_schema

RECIPES = Path(__file__).parents[3] / "recipes"
TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int}


def faults(value, spec, schema, where=""):
    """What a validator of these few words of JSON schema finds wrong."""
    if "$ref" in spec:
        spec = schema["$defs"][spec["$ref"].rpartition("/")[2]]
    kind = spec.get("type")
    if kind == "number":
        right = isinstance(value, int | float) and not isinstance(value, bool)
    else:
        right = kind is None or (isinstance(value, TYPES[kind]) and not (kind == "integer" and value is True))
    if not right:
        return [f"{where}: {value!r} is no {kind}"]
    found = []
    if "enum" in spec and value not in spec["enum"]:
        found.append(f"{where}: {value!r} is none of {spec['enum']}")
    if kind in ("integer", "number"):
        found += [f"{where} < {spec['minimum']}"] if value < spec.get("minimum", value) else []
        found += [f"{where} > {spec['maximum']}"] if value > spec.get("maximum", value) else []
    if kind == "array" and "items" in spec:
        items = spec["items"] if isinstance(spec["items"], list) else [spec["items"]] * len(value)
        found += [f for one, part in zip(value, items, strict=True) for f in faults(one, part, schema, where)]
    if kind == "object":
        keys = spec.get("properties", {})
        for key, part in value.items():
            if key in keys:
                found += faults(part, keys[key], schema, f"{where}.{key}")
            elif spec.get("additionalProperties") is False:
                found.append(f"{where}.{key}: unknown")
        found += [f"{where}.{key}: missing" for key in spec.get("required", ()) if key not in value]
    return found


def parts(schema):
    """Every section and key with its own schema, by name."""
    yield from schema["properties"].items()
    for section in schema["$defs"].values():
        yield from section["properties"].items()


@pytest.mark.parametrize("schema", [run_schema(), experiment_schema()], ids=["run", "experiment"])
def test_every_key_is_described_and_nothing_is_null(schema):
    for name, part in parts(schema):
        found = schema["$defs"][part["$ref"].rpartition("/")[2]] if "$ref" in part else part
        assert len(found["description"]) > 5, name
    assert "null" not in json.dumps(schema), "TOML has none"
    assert "prefixItems" not in json.dumps(schema), "not in draft 7"


def test_it_has_the_keys_of_a_configuration():
    schema = run_schema()
    found = set()
    for name, part in schema["properties"].items():
        inner = schema["$defs"].get(part.get("$ref", "").rpartition("/")[2])
        found |= {name} if inner is None else {f"{name}.{key}" for key in inner["properties"]}
    assert found == set(key_names()) | set(RENAMED)


@pytest.mark.parametrize("path", sorted(RECIPES.rglob("*.toml")), ids=lambda path: path.name)
def test_recipes_pass(path):
    schema = experiment_schema() if path.parent.name == "experiments" else run_schema()
    assert faults(tomllib.loads(path.read_text("utf-8")), schema, schema) == []


def test_the_experiment_of_the_page_is_one():
    page = (RECIPES.parent / "docs" / "config.md").read_text("utf-8")
    (block,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    data, schema = tomllib.loads(block), experiment_schema()
    assert faults(data, schema, schema) == []
    plan = make_plan(data)
    assert [arm.name for arm in plan.arms] == ["two", "three", "grown", "voting", "frozen"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("train.learning_rate = 1e-4", ".train.learning_rate: unknown"),
        ("train.steps = 'many'", ".train.steps: 'many' is no integer"),
        ("train.lr = 1e40", ".train.lr > 1e+30"),
        ("network.share = 'nodes'", ".network.share: 'nodes' is none of"),
        ("growth.stages = [['2-1', 'x']]", ".growth.stages: 'x' is no integer"),
    ],
)
def test_what_a_configuration_refuses_is_found(text, says):
    schema = run_schema()
    (found,) = faults(tomllib.loads(text), schema, schema)
    assert says in found
    assert faults(Config().model_dump(mode="json", exclude_none=True), schema, schema) == []


def test_the_arms_of_an_experiment_have_the_keys_of_a_run():
    schema = experiment_schema()
    text = "name = 'x'\nbase.train.stepz = 1\n[[arms]]\nname = 'a'\ntrain.lrr = 1\nrun.keep = 0"
    said = faults(tomllib.loads(text), schema, schema)
    assert said == [".base.train.stepz: unknown", ".arms.train.lrr: unknown", ".arms.run.keep < 1"]


def test_the_command_prints_or_writes_it(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out) == run_schema()
    assert main(["schema", "experiment", "--out", "e.json"]) == 0
    assert "#:schema ./e.json" in capsys.readouterr().out
    assert json.loads(Path("e.json").read_text()) == experiment_schema()
    assert main(["schema", "--out", "none/x.json"]) == 2
