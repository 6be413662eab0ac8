"""The experiment file as a JSON schema, in which ``base`` and the arms have the keys of a run."""

from __future__ import annotations

from typing import Any

from neuromas.config.schema import DRAFT, plain_schema, run_schema
from neuromas.experiment.plan import Plan


def experiment_schema() -> dict[str, Any]:
    """The schema of an experiment file, with the description of every key."""
    run, plan = run_schema(), plain_schema(Plan)
    sections = {name: found for name, found in run["properties"].items() if "$ref" in found}
    base = plan["properties"]["base"] | {"properties": sections, "additionalProperties": False}
    plan["properties"]["base"] = base
    arm = plan["$defs"]["Arm"]["properties"]
    pair = arm["stages"]["items"]["oneOf"][0]
    arm["stages"]["items"] = {"anyOf": [pair, {"$ref": "#/$defs/StageConfig"}]}
    arm |= {name: sections[name] for name in sections if name in arm}
    equal = plan["$defs"]["Compare"]["properties"]["equal"]
    names = equal.pop("items")
    equal["anyOf"] = [names, {"type": equal.pop("type"), "items": names}]
    plan["$defs"] |= run["$defs"]
    return {"$schema": DRAFT, **plan, "title": "A NeuroMAS experiment"}
