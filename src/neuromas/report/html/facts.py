"""How to repeat a run: the command, the configuration, versions, commit and machine."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

from neuromas.report.html.kept import Kept, bearing, below, rows, text
from neuromas.report.html.parts import Code, Fold, Lead, Note, Pairs, Part

_MOST = 60_000  # characters of a configuration


def fact_parts(run: Kept) -> list[Part]:
    """The command as it was typed, where it was kept; the configuration as a file that trains it again."""
    parts: list[Part] = []
    command = rows(run.facts.get("command"))
    if command:
        typed = shlex.join(str(word)[:2000] for word in command[:200])
        parts.append(Code(typed, "The command as it was typed"))
    else:
        parts.append(Note("the command was not kept by the version that wrote this run"))
    missing: list[str] = []
    with bearing(missing, "the configuration"):
        parts += _again(run)
    parts += [Note(line) for line in missing]
    return [*parts, Pairs(tuple(_rows(run)))]


def as_toml(config: Mapping[str, Any]) -> str:
    """A configuration as a file that ``neuromas train`` reads; TOML has no null, which means a default."""
    import tomli_w

    return tomli_w.dumps(_given(config))


def _again(run: Kept) -> list[Part]:
    if not run.config:
        return []
    whole = as_toml(run.config)
    shown = (
        whole
        if len(whole) <= _MOST
        else whole[:_MOST] + "\n# … cut here; the run's config.json has all of it\n"
    )
    name = shlex.quote(f"{run.run.path.name}-again")
    return [
        Lead("To repeat it, save the configuration below as run.toml with the same versions installed:"),
        Code(f"neuromas train run.toml --run {name}"),
        Fold(f"fold-config-{run.key}", "Configuration (TOML, every key)", (Code(shown),)),
    ]


def _given(value: Any) -> Any:
    """Plain data without null, and without keys that TOML cannot hold."""
    if isinstance(value, Mapping):
        return {str(key): _given(one) for key, one in value.items() if one is not None}
    if isinstance(value, list | tuple):
        return [_given(one) for one in value if one is not None]
    return value


def _rows(run: Kept) -> list[tuple[str, str]]:
    """Facts of ``run.json`` as they stand."""
    facts, machine = run.facts, below(run.facts, "machine")
    found = [("run directory", str(run.run.path)), ("created", text(facts.get("created")) or "not known")]
    found.append(("commit", text(facts.get("commit")) or "not known"))
    versions = below(facts, "versions")
    found.append(
        ("versions", ", ".join(f"{name} {one}"[:80] for name, one in versions.items()) or "not known")
    )
    found.append(("Python", text(facts.get("python")) or "not known"))
    found.append(
        ("machine", ", ".join(f"{key} {_short(one)}" for key, one in machine.items()) or "not known")
    )
    inputs = below(facts, "inputs")
    if inputs:
        found.append(("files it read", ", ".join(f"{name} ({_short(one)})" for name, one in inputs.items())))
    backbone = below(run.manifest, "backbone")
    if backbone:
        found.append(("model", f"{_short(backbone.get('name'))}, digest {_short(backbone.get('digest'))}"))
    return found


def _short(value: Any) -> str:
    said = value if isinstance(value, str) else "none" if value is None else json.dumps(value)
    return said[:200]
