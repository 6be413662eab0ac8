"""What can be typed: a parser of all commands in which only the chosen one's words are filled in."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from typing import NoReturn

from neuromas import __version__
from neuromas.cli.verbs import VERBS, command
from neuromas.core.errors import cut, shown, unknown
from neuromas.report.terminal import visible


class Parser(argparse.ArgumentParser):
    """One line for a usage error, as for every other error. ``verbs`` are the parsers of the commands."""

    verbs: dict[str, Parser]

    def error(self, message: str) -> NoReturn:
        """Print the line and exit with status 2."""
        self.exit(2, f"{self.prog}: {cut(visible(message))} (see {self.prog} --help)\n")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read a command line. ``key=value`` may stand before, between and after the flags."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    verb = words[0] if words and not words[0].startswith("-") else ""
    parser = build_parser([verb] if verb in VERBS else [])
    for word in words:
        if "\0" in word or not _is_encodable(word):
            parser.error(f"argument {shown(word)} holds what no command line can")
    if verb and verb not in VERBS:
        parser.error(unknown("command", verb, VERBS))
    if verb:
        _refuse_unknown_flags(parser.verbs[verb], words[1:])
    args, rest = parser.parse_known_args(words)
    if rest:
        if args.pairs is None or any(word.startswith("-") for word in rest):
            parser.verbs[verb].error(f"unrecognized arguments: {' '.join(rest)}")
        # argparse gives all of a list to its first stretch of words and knows the others no more
        setattr(args, args.pairs, [*getattr(args, args.pairs), *rest])
    return args


def build_parser(filled: Sequence[str] = tuple(VERBS)) -> Parser:
    """The parser. Only ``filled`` commands know their words; the others have a name and a line of help."""
    parser = Parser(
        prog="neuromas",
        description="Multi-agent language systems as neural networks, trained jointly by REINFORCE.",
    )
    parser.add_argument("--version", action="version", version=f"neuromas {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for verb, text in VERBS.items():
        one = commands.add_parser(verb, help=text, description=text)
        if verb in filled:
            module = command(verb)
            one.set_defaults(run=module.run, pairs=None)
            module.add(one)
    parser.verbs = dict(commands.choices)
    return parser


def _refuse_unknown_flags(parser: Parser, words: Sequence[str]) -> None:
    """A flag that does not exist is named with its nearest, before argparse misses what it stands for."""
    flags = [flag for action in parser._actions for flag in action.option_strings if flag.startswith("--")]
    for word in words:
        if word == "--":
            return
        name, _, value = word.partition("=")
        if not re.fullmatch(r"--[^\s]+", name) or any(flag.startswith(name) for flag in flags):
            continue
        if parser.get_default("pairs") == "settings":
            from neuromas.config import guess_keys

            keys = guess_keys(name[2:])
            if keys:
                form = " or ".join(f"{key}={value or 'VALUE'}" for key in keys)
                parser.error(f"unknown option {shown(name)}; keys of a configuration are given as {form}")
        parser.error(unknown("option", name, flags))


def _is_encodable(word: str) -> bool:
    """Whether the system could have passed this word: it can, bytes that are no text, as half surrogates."""
    try:
        os.fsencode(word)
    except UnicodeEncodeError:
        return False
    return True
