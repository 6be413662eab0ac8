"""The engine a configuration names, built around the learner's model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from neuromas.core.errors import ConfigError, NeuromasError, one_line, shown, unknown
from neuromas.core.parts import ENGINES
from neuromas.engines.base import Build, Engine

if TYPE_CHECKING:
    from neuromas.config import Config
    from neuromas.models.resident import ResidentModel

_KINDS = {str: "text, in quotes", bool: "true or false", int: "a whole number", float: "a number like 1.0"}


def make_engine(config: Config, model: ResidentModel) -> Engine:
    """The engine ``engine.name``, whose adapters are still to be published.

    Raises ConfigError in one line if there is none of that name or it cannot be built.
    """
    name = config.engine.name
    build: Build = ENGINES.get(name)
    try:
        engine = build(config, model)
        if not isinstance(engine, Engine):
            raise TypeError("it is no Engine (see neuromas.engines.base)")
    except NeuromasError:
        raise
    except (Exception, SystemExit) as error:  # foreign code: whatever it raises, it cannot be used
        raise ConfigError(f"engine {name!r} cannot be built: {one_line(error)[:300]}") from error
    return engine


def read_options(config: Config, known: Mapping[str, Any]) -> dict[str, Any]:
    """``engine.options``, with the defaults of ``known`` where they are silent.

    Raises ConfigError for an option that is not known or is of another type than its default.
    """
    name, given = config.engine.name, config.engine.options
    for key, value in given.items():
        if key not in known:
            raise ConfigError(f"engine {name!r}: {unknown('option', key, known)}")
        if type(value) is not type(known[key]):
            kind = _KINDS.get(type(known[key]), type(known[key]).__name__)
            raise ConfigError(f"engine {name!r}: engine.options.{key} = {shown(value)} should be {kind}")
    return {**known, **given}
