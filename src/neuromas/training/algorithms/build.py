"""The algorithm a configuration names."""

from __future__ import annotations

from neuromas.config import TrainConfig
from neuromas.core.errors import ConfigError, one_line, unknown
from neuromas.core.parts import ALGORITHMS
from neuromas.core.registry import arguments
from neuromas.training.algorithms.base import Algorithm


def make_algorithm(settings: TrainConfig) -> Algorithm:
    """The algorithm that ``train.algorithm`` names, with its options.

    Raises ConfigError naming the key if there is none, if it is no Algorithm, or if an option is unknown or
    has a value that it refuses.
    """
    name, options = settings.algorithm, settings.algorithm_options
    part = ALGORITHMS.get(name)
    if not (isinstance(part, type) and issubclass(part, Algorithm)):
        raise ConfigError(
            f"train.algorithm = {name!r} is no Algorithm (see neuromas.training.algorithms.base)"
        )
    known = arguments(part)
    for option in options:
        if option not in known:
            raise ConfigError(f"train.algorithm_options: {unknown(f'option of {name!r}', option, known)}")
    try:
        return part(**options)
    except Exception as error:  # it may be foreign code: whatever it raises, it cannot be used
        raise ConfigError(f"train.algorithm = {name!r}: {one_line(error)}") from error
