"""Names of runs and evaluations: what was trained or asked, in words that any file system takes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neuromas.config import Config

_LONGEST = 120  # characters of a run's name
_SOURCES = ("path", "dataset", "train", "test")  # options that name data


def run_name(config: Config) -> str:
    """``max-2-1-smollm2-135m-seed0``: task with its data, shape, model, seed.

    It does not tell apart runs that differ elsewhere; the directory of one that is there is never taken.
    """
    shapes = [shape for shape, _ in config.shapes]
    ends = shapes[:1] if shapes[0] == shapes[-1] else [shapes[0], "to", shapes[-1]]
    question = [] if config.network.question in ("auto", "all") else [config.network.question]
    model = _last(config.model.backbone)
    parts = [data_name(config.task.name, config.task.options), *map(_stem, ends), *question, model]
    return _cut("-".join([*filter(None, map(plain_name, parts)), f"seed{config.seed}"]))


def data_name(task: str, options: Mapping[str, Any]) -> str:
    """A task with the name of its data, where an option names some: ``file-squad``; at most 60 characters."""
    given = (options.get(key) for key in _SOURCES)
    source = next((value for value in given if isinstance(value, str) and value), "")
    return "-".join(filter(None, (plain_name(part)[:30] for part in (task, _stem(_last(source))))))


def plain_name(text: str) -> str:
    """The text with letters, digits, ``.``, ``_``, ``+`` and ``-`` alone, in lower case."""
    return re.sub(r"[^a-z0-9._+]+", "-", text.lower()).strip("-._+")


def digest(*parts: str) -> str:
    """Eight hexadecimal digits that stand for these texts."""
    return hashlib.sha256("\0".join(parts).encode("utf-8", "backslashreplace")).hexdigest()[:8]


def _last(path: str) -> str:
    """The last part of a path or of a hub's name."""
    return PurePath(path.rstrip("/")).name


def _stem(name: str) -> str:
    """A file's name without its suffix; a shape such as ``2-1`` has none."""
    return PurePath(name).stem if re.search(r"\.[a-z]\w*$", name) else name


def _cut(name: str) -> str:
    """A name of at most ``_LONGEST`` characters; of a longer one both ends, and a digest of it all."""
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 50]}-{digest(name)}-{name[-40:]}"
