"""What a network says of itself once it leaves this machine: no path of it, no name of its user.

What was trained stays as it is. How this machine ran it (engine, trackers, the run's directory) is left out,
and of every path only its last part is kept.
"""

from __future__ import annotations

import getpass
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tomli_w

from neuromas.config import make_config
from neuromas.core.errors import ConfigError, RunError, shown
from neuromas.core.files import at_home
from neuromas.models.dims import EMBEDDED, TINY_NAME
from neuromas.system.prompting import PROMPT

PUBLIC = {EMBEDDED: "HuggingFaceTB/SmolLM2-135M-Instruct"}  # where others find the embedded model's original
_HUB = re.compile(r"[A-Za-z0-9_][\w.-]{0,95}(?:/[A-Za-z0-9_][\w.-]{0,95})?")
_PATH = re.compile(r"\s*(?:file:|~|\.{1,2}[/\\]|[/\\]|[A-Za-z]:[/\\])")
_LOGIN = re.compile(r"(?<=://)[^/@\s]+@")  # user:password@ of an address
_TEXTS = frozenset({".json", ".md", ".toml", ".svg", ".jinja", ".txt"})


@dataclass(frozen=True, slots=True)
class Base:
    """The model beneath, as others find it.

    ``kind`` says how far its name resolves: ``same`` is a name of the hub by which the network was trained,
    ``given`` one that whoever exports vouches for, ``near`` the public original of weights that differ from
    it, ``none`` a model that others cannot find: ``name`` is then what it was called here, without its
    folder.
    """

    name: str
    kind: Literal["same", "given", "near", "none"]

    @property
    def resolves(self) -> bool:
        """Whether others find a model by the name."""
        return self.kind != "none"


def base_of(name: str, given: str | None = None) -> Base:
    """What stands for the backbone ``name``; ``given`` is the user's word for it. Raises ConfigError."""
    if given is not None and not _HUB.fullmatch(given):
        raise ConfigError(f"--base {shown(given)} is no name of the hub; write it as USER/NAME")
    if name in PUBLIC:
        public = PUBLIC[name]
        return Base(public, "near") if given in (None, public) else Base(str(given), "given")
    if given is not None:
        return Base(given, "given")
    if name == TINY_NAME:
        return Base(name, "none")
    if _HUB.fullmatch(name) and "/" in name and not at_home(name).exists():
        return Base(name, "same")
    return Base(last(name), "none")


def without_places(manifest: Mapping[str, Any], base: Base) -> dict[str, Any]:
    """The manifest of a network as others may read it, its training state left out."""
    kept = {
        key: value
        for key, value in manifest.items()
        if key not in ("format", "files", "state", "folders", "beside")
    }
    found: dict[str, Any] = _clean(kept)
    free = (EMBEDDED, TINY_NAME)
    for key in ("config", "plan"):
        if isinstance(config := found.get(key), dict):
            config["engine"] = {"name": "local", "options": {}}  # any engine writes with the same adapters
            config["run"] = {**config.get("run", {}), "directory": "", "trackers": []}
            if config["model"]["backbone"] not in free:
                config["model"]["backbone"] = base.name
    if found["backbone"]["name"] not in free:
        found["backbone"]["name"] = base.name
    return found


def training_file(manifest: Mapping[str, Any]) -> str:
    """The configuration of the whole training as TOML, of a manifest without places.

    Prompts of the user's own are named as their copy beside it is.
    """
    config = make_config(manifest.get("plan", manifest["config"])).model_dump(mode="json")
    if config["network"]["prompt"]:
        config["network"]["prompt"] = PROMPT
    return tomli_w.dumps(_without_none(config))


def check_no_places(folder: Path, *more: Path) -> None:
    """Raises RunError naming the first text in the folder that tells where something lay on this machine.

    Looked for are the user's home, where one stands, and ``more``.
    """
    for path, text in _texts(folder):
        for place in dict.fromkeys(map(str, _told(more))):
            if re.search(rf"(?<![\w./-]){re.escape(place)}(?![\w-])", text):
                name = path.relative_to(folder).as_posix()
                raise RunError(f"{name} would tell others of {place!r} on this machine; nothing was exported")


def last(text: str) -> str:
    """The last part of a path, of either kind of system."""
    return re.split(r"[/\\]", text.strip().rstrip("/\\"))[-1]


def _told(more: tuple[Path, ...]) -> Iterator[Path]:
    """Folders whose names are nobody's business, unless they are every machine's."""
    try:
        places = [Path.home(), Path.cwd(), *(path.resolve() for path in more)]
    except (OSError, RuntimeError):  # no home, or a working directory that was removed
        places = [path.absolute() for path in more]
    yield from (place for place in places if len(place.parts) > 2 or place == Path("/root"))


def _texts(folder: Path) -> Iterator[tuple[Path, str]]:
    """All files of the folder that are texts; tokenizers are not: their words are everybody's."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix in _TEXTS and path.name not in ("tokenizer.json", "vocab.json"):
            yield path, path.read_text("utf-8", errors="replace")


def _clean(value: Any) -> Any:
    """The value with the last part alone of every text that is a path, or has the user's name in it."""
    if isinstance(value, Mapping):
        return {key: _clean(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(part) for part in value]
    if not isinstance(value, str):
        return value
    value = _LOGIN.sub("", value)
    parts = re.split(r"[/\\]", value)
    private = len(parts) > 1 and (_PATH.match(value) is not None or ".." in parts or _user() in parts)
    return last(value) if private and re.search(r"\w\w", value) and len(value.splitlines()) == 1 else value


def _user() -> str:
    """Who is logged in; "" where nobody is told."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""


def _without_none(value: Any) -> Any:
    """TOML has no null: what is not set is left out."""
    if isinstance(value, dict):
        return {key: _without_none(part) for key, part in value.items() if part is not None}
    return [_without_none(part) for part in value] if isinstance(value, list) else value
