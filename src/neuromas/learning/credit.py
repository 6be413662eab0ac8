"""The estimator a configuration names, and how many problems of a batch can teach anything."""

from __future__ import annotations

from typing import Any

from neuromas.config import TrainConfig
from neuromas.core.errors import ConfigError, one_line, shown, unknown
from neuromas.core.parts import ESTIMATORS
from neuromas.core.registry import arguments
from neuromas.learning.estimators.base import Estimator, Pooled, Rewards, agree

_OPTIONS = "train.baseline_options"


def make_estimator(settings: TrainConfig) -> Estimator:
    """The estimator that ``train.baseline`` names, with its options.

    Raises ConfigError naming the key if there is none, if it is no Estimator, if an option is unknown, or if
    it compares samples of a problem and ``train.samples`` is 1, or does not where ``train.credit`` compares.
    """
    part = ESTIMATORS.get(settings.baseline)
    try:
        made = part(**_options(part, settings)) if callable(part) else part
    except ConfigError:
        raise
    except (Exception, SystemExit) as error:  # foreign code: whatever it raises, it cannot be used
        raise ConfigError(f"train.baseline = {settings.baseline!r}: {one_line(error)}") from error
    if not isinstance(made, Estimator):
        raise ConfigError(
            f"train.baseline = {settings.baseline!r} is no estimator: it lacks some of needs_group, "
            "shift_invariant, init, advantages (see neuromas.learning.estimators.base.Estimator)"
        )
    try:
        settings.check_estimator(made.needs_group, isinstance(made, Pooled))
    except ValueError as error:
        raise ConfigError(str(error)) from None
    return made


def _options(part: Any, settings: TrainConfig) -> dict[str, Any]:
    """Arguments by name: keys of the section that the estimator asks for, and those of its own."""
    known = arguments(part)
    shared = {name: getattr(settings, name) for name in known if name in TrainConfig.model_fields}
    own = [name for name in known if name not in shared]
    for name in settings.baseline_options:
        if name not in own:
            raise ConfigError(f"{_OPTIONS}: {unknown(f'option of {settings.baseline!r}', name, own)}")
    return {**shared, **settings.baseline_options}


def check_state(estimator: Estimator, state: Any) -> None:
    """Raises ValueError if the estimator cannot go on from a saved state: asking it changes nothing."""
    try:
        estimator.advantages(((0.0, 1.0),), state)
    except Exception as error:  # it may be foreign code, and the state anything
        raise ValueError(f"{type(estimator).__name__} cannot use the state {shown(state, 60)}") from error


def zero_variance_groups(rewards_PG: Rewards) -> int:
    """Problems whose samples all earned the same: they carry no signal where samples are compared."""
    return sum(1 for group in rewards_PG if agree(group))
