"""What options of methods may be, said in one line where they are not."""

from __future__ import annotations

from neuromas.core.errors import ConfigError, unknown

MOST = 1000  # of anything that is counted


def check_whole(method: str, option: str, value: int, least: int = 1, most: int = MOST) -> None:
    """Raises ConfigError unless the option is a whole number from ``least`` to ``most``."""
    if type(value) is not int or not least <= value <= most:
        raise ConfigError(f"{option} = {value!r} of method {method!r} (valid: whole, {least} to {most})")


def check_temperature(method: str, value: float, apart: bool = False) -> None:
    """Raises ConfigError unless it is from 0 to 10, and above 0 where messages must come ``apart``."""
    number = type(value) in (int, float)
    if not number or not 0.0 <= value <= 10.0 or (apart and value == 0.0):
        valid = "above 0 to 10, for messages to differ" if apart else "0 to 10"
        raise ConfigError(f"temperature = {value!r} of method {method!r} (valid: {valid})")


def check_choice(method: str, option: str, value: str, valid: tuple[str, ...]) -> None:
    """Raises ConfigError unless the option is one of the valid values."""
    if value not in valid:
        raise ConfigError(unknown(f"{option} of method {method!r}", value, valid))


def check_number(method: str, option: str, value: float, least: float, most: float) -> None:
    """Raises ConfigError unless the option is a number from ``least`` to ``most``."""
    if type(value) not in (int, float) or not least <= value <= most:
        raise ConfigError(f"{option} = {value!r} of method {method!r} (valid: {least:g} to {most:g})")
