"""Tables of what may be chosen, from the code itself: keys of configurations and experiments, methods."""

from __future__ import annotations

import json
from inspect import getdoc, signature
from typing import Any

from pydantic import BaseModel

from neuromas.config import Config, StageConfig
from neuromas.config.stage import HOMES
from neuromas.core.parts import METHODS
from neuromas.core.registry import arguments
from neuromas.experiment.schema import experiment_schema

from .cells import table

HEADS = ("key", "default", "valid", "meaning")


def config() -> str:
    """Every key of a configuration by section, from its schema."""
    schema = Config.model_json_schema()
    lines = []
    for name, found in schema["properties"].items():
        section = schema["$defs"].get(str(found.get("$ref")).rpartition("/")[2])
        if section is None:  # a key of no section
            keys, about, path = {name: found}, "", ""
        else:
            keys, about, path = section["properties"], section["description"], f"{name}."
        rows = [
            (f"`{path}{key}`", f"`{_default(spec)}`", valid(spec), spec["description"])
            for key, spec in keys.items()
            if not spec.get("deprecated")  # the old name of another key
        ]
        lines += [f"{about}\n" if about else "", *table(HEADS, rows), ""]
    return "\n".join(lines).replace("``", "`").strip()


def stage_keys() -> str:
    """Every key of a [[stages]] table, in their order, with its full name and its meaning."""
    rows = []
    for key, spec in StageConfig.model_fields.items():
        if key not in HOMES:
            rows.append((f"`{key}`", "`task.options`, or `task` with a `name`", str(spec.description)))
            continue
        section, name = HOMES[key]
        home = Config.model_fields[section].annotation
        assert isinstance(home, type)
        assert issubclass(home, BaseModel)
        needed = " (needed)" if spec.is_required() else ""
        meaning = str(home.model_fields[name].description)
        rows.append((f"`{key}`{needed}", f"`{section}.{name}`", meaning))
    return "\n".join(table(("key of a stage", "is", "meaning"), rows))


def experiment_keys() -> str:
    """Every key of an experiment file, from its schema; sections of a run stand in the table above."""
    schema = experiment_schema()
    lines = table(HEADS, [])
    kinds = {"tasks": "TaskPlan", "arms": "Arm", "compare": "Compare"}
    for key, spec in schema["properties"].items():
        if key not in kinds:
            default = "needed" if key in schema["required"] else f"`{_default(spec)}`"
            allowed = "table" if key == "base" else valid(spec)
            lines.append(f"| `{key}` | {default} | {allowed} | {spec['description']} |")
            continue
        inner = schema["$defs"][kinds[key]]
        lines.append(f"| `[[{key}]]` | | list of tables | {spec['description']} |")
        for name, part in inner["properties"].items():
            if "$ref" not in part:
                default = "needed" if name in inner["required"] else f"`{_default(part)}`"
                lines.append(f"| `{key}.{name}` | {default} | {valid(part)} | {part['description']} |")
    return "\n".join(lines)


def _default(spec: dict[str, Any]) -> str:
    return json.dumps(spec.get("default", {}))


def valid(spec: dict[str, Any]) -> str:
    """The values a schema allows, in a few words."""
    if "$ref" in spec:
        return "table"
    if "anyOf" in spec:  # several forms, or one and none
        forms = [valid(one) for one in spec["anyOf"] if one != {"type": "null"}]
        return " or ".join(forms) + ("; or left out" if len(forms) < len(spec["anyOf"]) else "")
    if spec["type"] == "array":
        items = spec.get("items")
        return f"list: {valid(items)}" if isinstance(items, dict) else "a pair"
    for choices in ("enum", "examples"):
        if choices in spec:
            return ", ".join(f"`{value}`" for value in spec[choices])
    if spec["type"] not in ("integer", "number"):
        return {"string": "text", "object": "table", "boolean": "`true` or `false`"}[spec["type"]]
    kind = "whole, " if spec["type"] == "integer" else ""
    low = f"from {spec['minimum']:,g}" if "minimum" in spec else f"above {spec['exclusiveMinimum']:g}"
    if "maximum" in spec:
        return f"{kind}{low} to {spec['maximum']:,.8g}"
    return f"{kind}{low}" + (f", below {spec['exclusiveMaximum']:g}" if "exclusiveMaximum" in spec else "")


def methods() -> str:
    """Every built-in method, from its class."""
    rows = []
    for name in METHODS.builtin:
        part = METHODS.get(name)
        does = " ".join((getdoc(part) or "").split("\n\n")[0].split()).replace("``", "`")
        given = signature(part).parameters
        options = ", ".join(f"`{one} = {json.dumps(given[one].default)}`" for one in arguments(part))
        cells = (f"`{name}`", does, part.costs, options, part.source, part.differs)
        rows.append(cell.replace("|", "\\|") for cell in cells)
    heads = ("method", "what it does", "calls a question", "options", "source", "differs")
    return "\n".join(table(heads, rows))
