"""The result files, and what a page says while one of them is not there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[1] / "results"
_NOT_RUN = "Not run yet: `neuromas experiment {}`, then `benchmarks/{}.py`."
NOT_RUN = {
    "organisation.json": _NOT_RUN.format("organisation", "organisation"),
    "families.json": _NOT_RUN.format("families", "organisation"),
    "rivals.json": _NOT_RUN.format("rivals", "rivals"),
    "kills.json": "Not counted yet for this version: `make kill`.",
}


def load(name: str) -> Any:
    """The result file of that name: of .json its value, else its text."""
    text = (RESULTS / name).read_text("utf-8")
    return json.loads(text) if name.endswith(".json") else text


def there(name: str) -> bool:
    """Whether the file is there."""
    return (RESULTS / name).exists()


def kept(*names: str) -> dict[str, Any]:
    """These files by name, without those that may be missing and are."""
    return {name: load(name) for name in names if name not in NOT_RUN or there(name)}


def learned() -> list[dict[str, Any]]:
    """The files of the learning benchmark, each of which holds some recipes."""
    return [load(path.name) for path in sorted(RESULTS.glob("learning*.json"))]
