"""From a TOML file and ``key=value`` overrides to a checked configuration, or one line on what is wrong."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from neuromas.config.aliases import guesses
from neuromas.config.recipes import recipes
from neuromas.config.sections import RENAMED
from neuromas.config.stage import StageConfig
from neuromas.config.whole import Config
from neuromas.core.errors import ConfigError, cut, nearest, one_line, shown, unknown
from neuromas.core.files import is_file, read_text

_LARGEST = 2**64  # of whole numbers anywhere
_WHOLE_TEXT = "should be text without NUL and broken characters"
_BROKEN = re.compile(r"[\x00\ud800-\udfff]")


def load_config(path: str | Path | None, overrides: Sequence[str] = ()) -> Config:
    """Read a TOML file (or start from the defaults) and apply ``section.key=value`` overrides.

    ``path`` may be the name of a shipped recipe, such as ``demo``. Raises ConfigError with one line.
    """
    data = {} if path is None else read_toml(Path(path), "config")
    return make_config(apply_overrides(data, overrides))


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """A TOML file's table, or that of the shipped recipe of this name where there is no such file.

    Raises ConfigError with one line that says ``what`` (config, experiment) could not be read.
    """
    place = path if is_file(path) else recipes(what).get(str(path), path)
    try:
        return tomllib.loads(read_text(place, encoding="utf-8-sig"))
    except FileNotFoundError as error:
        known = unknown("recipe", str(path), tuple(recipes(what)))
        bare = f" ({known})" if path.name == str(path) and not path.suffix else ""
        raise ConfigError(f"{what} {shown(str(path))}: {error.strerror}{bare}") from error
    except OSError as error:
        raise ConfigError(f"{what} {shown(str(path))}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{what} {shown(str(path))} is not TOML: {one_line(error)}") from error


def apply_overrides(data: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Plain data after ``section.key=value`` overrides."""
    data = _renamed(data)
    for override in overrides:
        _override(data, override)
    return data


def key_names() -> list[str]:
    """The full names of all keys, such as ``train.lr``."""
    names = []
    for section, spec in Config.model_fields.items():
        inner = spec.annotation
        of_section = isinstance(inner, type) and issubclass(inner, BaseModel)
        names += _siblings([section]) if of_section else [section]
    return names


def guess_keys(key: str) -> list[str]:
    """The keys that were probably meant by one that does not exist; none where nothing is near."""
    return guesses(key, key_names())


_FREE = (  # tables of any keys
    ("task", "options"),
    ("task", "rewards"),
    ("engine", "options"),
    ("train", "algorithm_options"),
    ("train", "baseline_options"),
)


def check_keys(overrides: Sequence[str]) -> None:
    """Raises ConfigError for an override whose key does not exist, whatever the rest of the data will be."""
    for text in overrides:
        parts = _key(text.partition("=")[0])
        free = tuple(parts[:2]) in _FREE and len(parts) > 2
        if parts[0] == "stages" and len(parts) > 2:
            if parts[2] not in StageConfig.model_fields:
                raise ConfigError(unknown("key", ".".join(parts), tuple(StageConfig.model_fields)))
            continue
        if not free and "=" in text and parts[0] and _field(parts) is None:
            raise ConfigError(_unknown_key(parts))


def make_config(data: Mapping[str, Any]) -> Config:
    """A checked Config from plain data. Raises ConfigError with one line on the first problem."""
    if not isinstance(data, Mapping):
        raise ConfigError(f"a configuration is a table of sections, not {type(data).__name__}")
    try:
        config = Config.model_validate(_renamed(data))
    except ValidationError as error:
        raise ConfigError(_explain(error)) from None
    check_plain(data)  # what a type says about its own key is clearer, so this comes last
    return config


def identity(config: Config) -> dict[str, Any]:
    """What makes two runs runs of the same: all that is set, but how many checkpoints are kept of it."""
    data = config.model_dump(mode="json")
    data["run"].pop("keep")
    return data


def as_begun(wanted: Config, was: Config) -> Config:
    """The first with what it leaves open (cuts, precision) as a run was begun with."""
    train, model = wanted.train, wanted.model
    if not train.chunks:
        train = train.model_copy(update={"chunks": was.train.chunks})
    if model.dtype == "auto":
        model = model.model_copy(update={"dtype": was.model.dtype})
    return wanted.model_copy(update={"train": train, "model": model})


def in_precision(config: Config, dtype: str) -> Config:
    """The configuration with ``model.dtype`` where it leaves that open, as a run is known to compute in."""
    if config.model.dtype != "auto":
        return config
    return config.model_copy(update={"model": config.model.model_copy(update={"dtype": dtype})})


def _renamed(data: Mapping[str, Any]) -> dict[str, Any]:
    """Plain data with keys of earlier versions under their names of now. Raises ConfigError for both."""
    found = dict(data)
    for old, new in RENAMED.items():
        (section, key), now = old.split("."), new.split(".")[-1]
        table = found.get(section)
        if isinstance(table, Mapping) and key in table:
            if now in table:
                raise ConfigError(f"{old} is the old name of {new}, and both are given; leave {old} out")
            found[section] = {now if name == key else name: value for name, value in table.items()}
    return found


def _key(text: str) -> list[str]:
    """The parts of a key, under its name of now."""
    parts = [part.strip() for part in text.split(".")]
    return RENAMED.get(".".join(parts), ".".join(parts)).split(".")


_Place = tuple[Any, object] | None  # a name within an outer place; None is the table that is read


def check_plain(data: Mapping[str, Any]) -> None:
    """Raises ConfigError for what no file could keep: NUL or half a surrogate pair in text, huge numbers."""
    waiting: list[tuple[_Place, Any]] = [(None, data)]
    while waiting:  # a loop: what is read may be nested deep
        place, value = waiting.pop()
        if isinstance(value, Mapping):
            waiting += [((place, name), part) for name, part in value.items()]
            waiting += [((place, "(key)"), name) for name in value]
        elif isinstance(value, list | tuple):
            waiting += [((place, str(number)), part) for number, part in enumerate(value)]
        elif isinstance(value, str) and _BROKEN.search(value):
            raise ConfigError(f"{_named(place)} = {shown(value)}: {_WHOLE_TEXT}")
        elif isinstance(value, int) and abs(value) > _LARGEST:
            raise ConfigError(f"{_named(place)} = {shown(value)}: should be a whole number of at most 2**64")


def _named(place: _Place) -> str:
    """The name of a place, from the outermost table; what a name cannot be is written as Python would."""
    parts: list[str] = []
    while place is not None:
        place, name = place
        plain = isinstance(name, str) and re.fullmatch(r"[\w()-]{1,60}", name)
        parts.append(str(name) if plain else shown(name, 60))
    return cut(".".join(reversed(parts)), 200)


def read_value(raw: str) -> Any:
    """The value after ``key=``: TOML (numbers, true, lists), or plain text where it is not."""
    try:
        found = tomllib.loads(f"value = {raw.strip()}")
    except (ValueError, RecursionError):
        return raw.strip()
    return found["value"] if len(found) == 1 else raw.strip()


def _override(data: dict[str, Any], text: str) -> None:
    """Apply ``a.b=value``. A key that holds text takes it as it stands: ``network.topology=1``."""
    key, found, raw = text.partition("=")
    if not found or not key.strip():
        raise ConfigError(f"override {shown(text)} is not key=value, for example train.steps=40")
    value = read_value(raw)
    parts = _key(key)
    place = data
    of_stage = parts[0] == "stages" and len(parts) > 1
    if of_stage:
        place, parts = _stage(data, text, parts), parts[2:]
    for part in parts[:-1]:
        if place.get(part) is None:
            place[part] = {}
        inner = place[part]
        if not isinstance(inner, dict):
            raise ConfigError(f"override {shown(text)}: {part!r} is not a section")
        place = inner
    spec = StageConfig.model_fields.get(parts[0]) if of_stage else _field(parts)
    text_wanted = spec is not None and spec.annotation in (str, str | None)
    place[parts[-1]] = raw.strip() if text_wanted and type(value) is not str else value


def _stage(data: dict[str, Any], text: str, parts: Sequence[str]) -> dict[str, Any]:
    """The stage that ``stages.2.lr=1e-4`` speaks of, counted from 1, as a table of its own.

    One more than there are is appended.
    """
    found = data.get("stages", ())
    stages = list(found) if isinstance(found, list | tuple) else []
    number = int(parts[1]) if re.fullmatch("[1-9][0-9]{0,3}", parts[1]) else 0
    if len(parts) < 3 or not 1 <= number <= len(stages) + 1:
        raise ConfigError(
            f"override {shown(text)}: stages.N.key=value speaks of one of {len(stages)} stages or of one "
            "that is appended, such as stages.1.steps=40"
        )
    if number > len(stages):
        stages.append({})
    index = number - 1
    stage = stages[index]
    pair = isinstance(stage, list | tuple) and len(stage) == 2
    if not pair and not isinstance(stage, dict):
        raise ConfigError(f"override {shown(text)}: stages[{number}] = {shown(stage)} is not a table")
    stages[index] = {"shape": stage[0], "steps": stage[1]} if pair else dict(stage)
    data["stages"] = stages
    table: dict[str, Any] = stages[index]
    return table


def _of_stages(first: Any) -> str:
    """One line on what is wrong with a key of a stage."""
    place = "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in first["loc"])[1:]
    said = _WORDS.get(first["type"], str(first["msg"]).removeprefix("Input ").removeprefix("Value error, "))
    if first["type"] == "extra_forbidden":
        return unknown("key", f"stages{place[6:]}", tuple(StageConfig.model_fields))
    if first["type"] == "missing":
        return f"stages{place[6:]} is missing (valid keys: {', '.join(StageConfig.model_fields)})"
    if first["type"] == "value_error":
        return f"stages{place[6:]}: {said}"
    return f"stages{place[6:]} = {shown(first['input'])}: {said}"


def _explain(error: ValidationError) -> str:
    """The first problem pydantic found, in one line of our own."""
    first = error.errors()[0]
    if first["loc"][:1] == ("stages",) and len(first["loc"]) > 1:
        return _of_stages(first)
    where = [str(part) for part in first["loc"]]
    key = ".".join(where)
    if first["type"] == "extra_forbidden":
        return _unknown_key(where)
    if first["type"] == "value_error":
        said = str(first["msg"]).removeprefix("Value error, ")
        return said if _field(where) is None else f"{key}: {said}"  # what a key's own check says
    if first["type"] == "literal_error":
        return unknown(f"value of {key}:", first["input"], re.findall("'([^']*)'", first["ctx"]["expected"]))
    message = _WORDS.get(first["type"], str(first["msg"]).removeprefix("Input "))
    if first["type"] == "string_pattern_mismatch":
        message = _PATTERNS.get(key, message)
    spec = _field(where)
    default = "" if spec is None or not isinstance(spec.default, str | int | float | tuple) else spec.default
    known = f" (default {default!r})" if default else ""
    return f"{cut(key, 200) or '(key)'} = {shown(first['input'])}: {message}{known}"


_PATTERNS = {
    "model.device": "should be auto, cpu, cuda or cuda:N",
    "run.project": "should be 1 to 128 letters, digits, '.', '_' or '-'",
}
_WORDS = {
    "string_type": "should be text",
    "string_unicode": _WHOLE_TEXT,
    "int_type": "should be a whole number",
    "float_type": "should be a number",
    "finite_number": "should be a finite number",
    "tuple_type": "should be a list",
    "dict_type": "should be a table",
    "model_type": "should be a section with keys of its own",
    "model_attributes_type": "should be a section with keys of its own",
}


def _unknown_key(path: Sequence[str]) -> str:
    """One line on a key that does not exist, with the one that was probably meant."""
    key = ".".join(path)
    valid = _siblings(path[:-1]) or _siblings(())
    if key in valid:
        return f"{key} is a section with keys of its own (valid: {', '.join(_siblings(path))})"
    return unknown("key", key, valid, guess_keys(key) or nearest(key, valid))


def _field(path: Sequence[str]) -> FieldInfo | None:
    """What is known of a key; None if there is no such key (or it is a section)."""
    model: type[BaseModel] = Config
    for part in path[:-1]:
        inner = model.model_fields[part].annotation if part in model.model_fields else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return None
        model = inner
    spec = model.model_fields.get(path[-1]) if path else None
    return None if spec is None or isinstance(spec.default, BaseModel) else spec


def _siblings(section: Sequence[str]) -> list[str]:
    """Full names of the valid keys of a section."""
    model: type[BaseModel] = Config
    for part in section:
        inner = model.model_fields[part].annotation if part in model.model_fields else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return []
        model = inner
    return [".".join([*section, name]) for name in model.model_fields]
