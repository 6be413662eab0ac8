"""Reference pages made from the code when the site is built: commands, registries, the Python interface."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

import public
import registries
from words import bars, cell, sentence

_COMMANDS = """# Commands

For whoever types `neuromas`: every command with all its arguments and options, made from the program's
own parser. `neuromas COMMAND --help` prints the same. Words such as `train.steps=40` are keys of the
[configuration](../config.md). The exit status is 0 when all went well, 1 where a check found a fault, 2
for a mistake, which is one line, and 130 after Ctrl-C.

| command | |
|---|---|"""
_TASKS = """# Built-in tasks

For whoever fills in `task.name` and `task.options`: every family with its options, as `neuromas tasks
NAME` prints them. How answers are read and what a cheat earns: [tasks and scoring](../tasks.md)."""
_PYTHON = """# Python

For scripts and notebooks: everything that `import neuromas` offers. Importing it loads no torch; a name
is loaded when it is first used. What stands here, in [checks](testing.md) and in
[contracts](contracts.md) is public: a later version keeps it, or says in the [changes](../changes.md)
what takes its place. Anything else may change."""
_TESTING = """# Checks for parts of your own

For tests of whoever [writes a part](../contributing.md): one call tells whether it keeps its contract,
and raises `AssertionError` with one line that says what is broken.
"""
_CONTRACTS = """# Contracts

For whoever [writes a part](../contributing.md): what each kind has to be, and what its file may import. A
name stands where it is first needed."""


def pages() -> dict[str, str]:
    """All of them by their place in the site."""
    return {
        "reference/commands.md": commands(),
        "reference/parts.md": registries.page(),
        "reference/tasks.md": tasks(),
        "reference/python.md": python(),
        "reference/testing.md": testing(),
        "reference/contracts.md": contracts(),
    }


def commands() -> str:
    """Every command with every word it takes, from the parser itself."""
    from neuromas.cli.parser import build_parser
    from neuromas.cli.verbs import VERBS

    parser = build_parser()
    lines = [
        _COMMANDS,
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

    lines = [_TASKS]
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
    lines = [_PYTHON]
    for heading, names in public.DOOR.items():
        lines += ["", f"## {heading}", "", *_shown({f"neuromas.{name}": 3 for name in names})]
    return "\n".join([*lines, ""])


def testing() -> str:
    """The checks of parts of one's own."""
    from neuromas.testing import __all__ as names

    lines = [_TESTING]
    return "\n".join([*lines, *_shown({f"neuromas.testing.{name}": 2 for name in names}), ""])


def contracts() -> str:
    """What a part has to be, and what its file may import."""
    lines = [_CONTRACTS]
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
