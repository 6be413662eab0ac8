"""Names for parts that may be exchanged: built-in ones, those of installed packages, and a user's own.

A part is found by a short name or by ``"module:Attribute"``. Nothing is imported before it is asked for, so
that a configuration is checked, and a command's help printed, without loading what it names. Built-in parts
stand here as addresses: one line adds one.

Naming a part means running its code. A name of the user's is theirs to choose; a saved network's is checked
against what its user allowed before it comes here (see ``system.trust``).
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.machinery import PathFinder
from importlib.metadata import EntryPoint, entry_points
from inspect import Parameter, signature
from typing import Any, TypeVar

from neuromas.core.errors import ConfigError, one_line, plain, shown, unknown

T = TypeVar("T")


@dataclass(frozen=True)
class Registry:
    """Parts of one kind by name. ``group`` is the entry-point group in which packages offer theirs."""

    kind: str
    group: str
    builtin: Mapping[str, str]
    own: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<{self.kind}s: {', '.join(self.names())}>"

    def names(self) -> tuple[str, ...]:
        """All short names: built-in ones in their order, then registered ones, then those of packages."""
        return tuple(dict.fromkeys([*self.builtin, *self.own, *sorted(self._offered())]))

    def check(self, name: str) -> str:
        """The name if it can be one; loads nothing. Raises ConfigError naming the valid ones."""
        if is_address(name) or name in self.builtin or name in self.own or name in self._offered():
            return name
        raise ConfigError(f"{unknown(self.kind, name, self.names())}, or module:Name for your own")

    def get(self, name: str) -> Any:
        """The part. Raises ConfigError if there is none of that name or it cannot be imported."""
        if name in self.own:
            return self.own[name]
        if name in self.builtin:
            return load(self.builtin[name], self.kind)
        if is_address(name):
            return load(name, self.kind)
        offered = self._offered().get(name)
        if offered is None:
            self.check(name)
            raise ConfigError(unknown(self.kind, name, self.names()))
        return load(offered.value, self.kind)

    def make(self, name: str, options: Mapping[str, Any], kind: type[T]) -> T:
        """The part of that name, called with these options.

        Raises ConfigError in one line if there is none, if an option is unknown or impossible, or if what
        comes is no ``kind``.
        """
        part = self.get(name)
        try:
            known = arguments(part)
            for option in options:
                if option not in known:
                    raise ConfigError(unknown(f"option of {self.kind} {name!r}", option, known))
            made = part(**options)
        except ConfigError:
            raise
        except (Exception, SystemExit) as error:  # foreign code: whatever it raises, it cannot be used
            raise ConfigError(f"{self.kind} {name!r} cannot be made: {one_line(error)}") from error
        if not isinstance(made, kind):
            where = f"{kind.__module__}.{kind.__name__}"
            raise ConfigError(f"{self.kind} {name!r} is no {kind.__name__} (see {where.rpartition('.')[0]})")
        return made

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator: offer a part of one's own under a short name. Raises ConfigError if that is built in."""
        if name in self.builtin or is_address(name) or not name:
            raise ConfigError(f"the name {shown(name)} of a {self.kind} is taken or is none")

        def add(part: T) -> T:
            self.own[name] = part
            return part

        return add

    def is_builtin(self, name: str) -> bool:
        """Whether the name stands for a part of this package, which anybody may use."""
        return name in self.builtin

    def _offered(self) -> dict[str, EntryPoint]:
        """Parts that installed packages offer; a built-in name is never theirs."""
        return {point.name: point for point in entry_points(group=self.group)}


def is_address(name: object) -> bool:
    """Whether a name is of the form ``module:Attribute``."""
    module, colon, attribute = plain(name).partition(":")
    dotted = all(part.isidentifier() for part in [*module.split("."), *attribute.split(".")])
    return bool(colon) and dotted


def arguments(part: Any) -> list[str]:
    """Names of what a class or function may be called with by name: the options of a part."""
    named = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
    return [name for name, one in signature(part).parameters.items() if one.kind in named]


def origin(address: str) -> str | None:
    """The file that importing ``module:Attribute`` would run first, if any; nothing is imported."""
    top = address.partition(":")[0].partition(".")[0]
    try:
        found = PathFinder.find_spec(top, [*(place or os.getcwd() for place in sys.path), os.getcwd()])
    except (ImportError, ValueError):
        return None
    places = [] if found is None else [found.origin, *(found.submodule_search_locations or ())]
    return next((place for place in places if place), None)


def load(address: str, kind: str) -> Any:
    """Import what ``module:Attribute`` names; modules beside the user's working directory are found.

    Raises ConfigError in one line with the cause, whatever the module raises while it is imported.
    """
    module, _, attribute = address.partition(":")
    here, ours = os.getcwd(), module.startswith("neuromas.")  # what is ours opens no door to the folder
    if not ours and here not in sys.path and "" not in sys.path:
        sys.path.append(here)  # last: a file of the user's must not stand before an installed package
    try:
        found: Any = importlib.import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (Exception, SystemExit) as error:  # foreign code: whatever it raises, it cannot be used
        raise ConfigError(f"{kind} {address!r} cannot be imported: {one_line(error)}") from error
    return found
