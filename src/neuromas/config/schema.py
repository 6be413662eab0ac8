"""The configuration as a JSON schema: editors complete and check a TOML file with it.

Draft 7, which every TOML language server reads. TOML has no null: a key that may be None is left out there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from neuromas.config.whole import Config

DRAFT = "http://json-schema.org/draft-07/schema#"


def run_schema() -> dict[str, Any]:
    """The schema of a run's configuration, with the description of every key."""
    schema = plain_schema(Config)
    schema["properties"] |= {
        name: {"$ref": found["$ref"]} for name, found in schema["properties"].items() if "$ref" in found
    }
    return {"$schema": DRAFT, "title": "Configuration of a NeuroMAS run", **schema}


def plain_schema(model: type[BaseModel]) -> dict[str, Any]:
    """A model's schema in draft 7, without the titles that repeat its keys and without null."""
    schema: dict[str, Any] = _plain(model.model_json_schema())
    return schema


def _plain(found: Any) -> Any:
    """The same for any part of a schema."""
    if isinstance(found, list):
        return [_plain(part) for part in found]
    if not isinstance(found, Mapping):
        return found
    part = {key: _plain(value) for key, value in found.items() if not (key == "title" and _names(value))}
    several = [one for one in part.pop("anyOf", ()) if one != {"type": "null"}]
    if several:
        part = {**part, **(several[0] if len(several) == 1 else {"anyOf": several})}
    if part.get("default", 0) is None:
        del part["default"]
    if "prefixItems" in part:
        part["items"] = part.pop("prefixItems")
    if isinstance(part.get("description"), str):
        part["description"] = " ".join(part["description"].replace("``", "`").split())
    return part


def _names(value: object) -> bool:
    """Whether a schema's ``title`` is a title, not the schema of a key of that name."""
    return isinstance(value, str)
