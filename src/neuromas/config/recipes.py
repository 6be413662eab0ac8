"""The recipes that come with the package, found by name: ``demo`` is ``recipes/runs/demo.toml``.

``neuromas/recipes`` is a link to the checkout's ``recipes`` and a folder of the wheel.
"""

from __future__ import annotations

import textwrap
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "recipes"
KINDS = {"config": "runs", "experiment": "experiments"}


def recipes(what: str) -> dict[str, Path]:
    """Recipes of a kind (``config``, ``experiment``) by name, in the order of names."""
    return {path.stem: path for path in sorted((FOLDER / KINDS[what]).glob("*.toml"))}


def headline(path: Path) -> str:
    """What a recipe says of itself first: the first sentence of its comment, cut to a line."""
    comment = path.read_text("utf-8").partition("\n\n")[0].partition("\n#\n")[0]
    sentence = comment.replace("\n#", "").removeprefix("#").partition(". ")[0]
    return textwrap.shorten(sentence, 100, placeholder=" …")
