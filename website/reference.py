"""What the pages of docs/reference/ hold: commands, tasks and the Python interface, from the code."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Mapping

from website import public, registries
from website.words import bars, cell, sentence

_MARK = re.compile(r"^<!-- made by the build: (\w+) -->$", re.MULTILINE)


def filled(markdown: str) -> str:
    """The page with every mark of the form ``<!-- made by the build: NAME -->`` replaced by what it names."""
    made: dict[str, Callable[[], str]] = {
        "commands": commands,
        "contracts": contracts,
        "parts": registries.parts,
        "python": python,
        "tasks": tasks,
        "testing": testing,
    }
    return _MARK.sub(lambda found: made[found[1]](), markdown)


def commands() -> str:
    """Every command with every word it takes, from the parser itself."""
    from neuromas.cli.parser import build_parser
    from neuromas.cli.verbs import VERBS

    parser = build_parser()
    lines = [
        "| command | |",
        "|---|---|",
        *(f"| [`{verb}`](#{verb}) | {cell(text)} |" for verb, text in VERBS.items()),
    ]
    for verb, text in VERBS.items():
        lines += ["", f"## {verb}", "", f"{sentence(text)}", "", *_command(parser.verbs[verb])]
    return "\n".join([*lines, ""])


def _command(parser: argparse.ArgumentParser) -> list[str]:
    """Usage and table of one command; of each of its own commands where it has some."""
    usage = " ".join(parser.format_usage().removeprefix("usage: ").split())
    lines = ["```text", usage, "```", ""]
    within = [one for one in parser._actions if isinstance(one, argparse._SubParsersAction)]
    rows = [_row(one) for one in parser._actions if one.dest != "help" and one not in within]
    if rows:
        lines += ["| argument | default | meaning |", "|---|---|---|", *rows]
    for group in within:
        for name, one in group.choices.items():
            lines += ["", f"### {parser.prog.split()[-1]} {name}", "", *_command(one)]
    return lines


def _row(action: argparse.Action) -> str:
    """One argument: how it is written, what stands for it, what it means."""
    value = "" if action.nargs == 0 else _value(action)
    if action.option_strings:
        shown = ", ".join(f"`{f'{flag} {value}'.strip()}`" for flag in action.option_strings)
    else:
        shown = f"`{value}`"
    default = action.default
    missing = default is None or default is argparse.SUPPRESS or default is False or default in ((), [], "")
    words = "" if missing else f"`{default}`"
    needed = action.required and (action.option_strings or action.nargs not in ("?", "*"))
    return f"| {bars(shown)} | {'needed' if needed else bars(words)} | {cell(_help(action))} |"


def _value(action: argparse.Action) -> str:
    """What stands behind an option, or in an argument's place."""
    if action.choices is not None and action.metavar is None:
        return "|".join(map(str, action.choices))
    name = str(action.metavar or (action.dest.upper() if action.option_strings else action.dest))
    many = {"*": f"[{name} ...]", "+": f"{name} [{name} ...]", "?": f"[{name}]"}
    return many.get(str(action.nargs), name)


def _help(action: argparse.Action) -> str:
    """The help with its own default in it."""
    text = action.help or ""
    return text % {"default": action.default, "dest": action.dest} if "%" in text else text


def tasks() -> str:
    """Every built-in family with its options, and the names of the generators."""
    from neuromas.tasks import task_info, task_names

    lines: list[str] = []
    for name in task_names(generators=False):
        info = task_info(name)
        lines += ["", f"## {name}", "", sentence(info.description), ""]
        rows = [
            f"| `{one.name}` | `{one.default}` | {cell(one.valid)} | {cell(one.help)} |"
            for one in info.options
        ]
        lines += ["| option | default | valid | meaning |", "|---|---|---|---|", *rows] if rows else []
    generators = [name for name in task_names() if name.startswith("gym/")]
    lines += [
        "",
        "## Generators of reasoning-gym",
        "",
        f"{len(generators)}, each with options of its own:",
        "",
    ]
    return "\n".join([*lines, ", ".join(f"`{name}`" for name in generators) + ".", ""])


def python() -> str:
    """The door, by what its names are for."""
    lines: list[str] = []
    for heading, names in public.DOOR.items():
        lines += ["", f"## {heading}", "", *_shown({f"neuromas.{name}": 3 for name in names})]
    return "\n".join([*lines, ""])


def testing() -> str:
    """The checks of parts of one's own."""
    from neuromas.testing import __all__ as names

    return "\n".join([*_shown({f"neuromas.testing.{name}": 2 for name in names}), ""])


def contracts() -> str:
    """What a part has to be, and what its file may import."""
    lines: list[str] = []
    seen: set[str] = set()
    for heading, modules in public.CONTRACTS.items():
        named = [f"{module}.{name}" for module, names in modules.items() for name in names]
        lines += ["", f"## {heading}", "", *_shown({name: 3 for name in named if name not in seen})]
        seen |= set(named)
    return "\n".join([*lines, ""])


def _shown(levels: Mapping[str, int]) -> list[str]:
    """Directives of mkdocstrings for these names, each with a heading of its level."""
    lines = []
    for name, level in levels.items():
        lines += [f"::: {name}", "    options:", f"      heading_level: {level}", ""]
    return lines
