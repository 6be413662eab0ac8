"""Configuration: one small strict TOML file, ``key=value`` overrides, and nothing else.

An unknown key, a wrong type or an impossible combination is one line that names the key, the value
and what would be valid. ``sections`` and ``lift`` have the keys, ``stage`` those of a stage, ``whole`` all
together; ``reading`` makes a ``Config`` of a file, ``aliases`` are names that other libraries use, for
guesses, ``schema`` is for editors, ``recipes`` finds the shipped files by name.
"""

from neuromas.config.lift import LiftConfig
from neuromas.config.reading import (
    apply_overrides,
    as_begun,
    check_keys,
    check_plain,
    guess_keys,
    identity,
    in_precision,
    key_names,
    load_config,
    make_config,
    read_toml,
    read_value,
)
from neuromas.config.sections import (
    MOST_PASSES,
    RENAMED,
    AlarmsConfig,
    GrowthConfig,
    NetworkConfig,
    Section,
    TrainConfig,
)
from neuromas.config.stage import StageConfig, as_written, at_stage
from neuromas.config.whole import Config

__all__ = [
    "MOST_PASSES",
    "RENAMED",
    "AlarmsConfig",
    "Config",
    "GrowthConfig",
    "LiftConfig",
    "NetworkConfig",
    "Section",
    "StageConfig",
    "TrainConfig",
    "apply_overrides",
    "as_begun",
    "as_written",
    "at_stage",
    "check_keys",
    "check_plain",
    "guess_keys",
    "identity",
    "in_precision",
    "key_names",
    "load_config",
    "make_config",
    "read_toml",
    "read_value",
]
