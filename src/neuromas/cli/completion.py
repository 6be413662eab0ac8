"""``neuromas completion``: a script with which a shell completes commands, options, their values, and keys.

It is made of the parser when it is printed, so nothing of ours runs while a word is typed. argcomplete would
start the program at every TAB; shtab makes such scripts, too, but knows nothing of ``section.key=`` words.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Mapping, Sequence

_BASH = """\
# neuromas completion for bash; for good: neuromas completion bash > FILE, then source FILE in ~/.bashrc
_neuromas() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} verb=${COMP_WORDS[1]} found=
    [[ $word == = ]] && word=  # bash takes = for a word of its own
    COMPREPLY=()
    if (( COMP_CWORD == 1 )); then
        COMPREPLY=($(compgen -W "@VERBS@" -- "$word"))
        return
    fi
    case "$verb $before" in
@VALUES@
    esac
    if [[ -n $found ]]; then
        COMPREPLY=($(compgen -W "$found" -- "$word"))
        return
    fi
    case "$verb" in
@WORDS@
    esac
    COMPREPLY=($(compgen -W "$found" -- "$word") $(compgen -f -- "$word"))
    [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace 2>/dev/null
    return 0
}
complete -o filenames -F _neuromas neuromas
"""


def add(parser: argparse.ArgumentParser) -> None:
    """Say what may be typed."""
    parser.add_argument("shell", choices=["bash", "zsh", "fish"], help="for which shell")


def run(args: argparse.Namespace) -> int:
    """Print the script."""
    from neuromas.cli.parser import build_parser
    from neuromas.config import key_names

    parsers: Mapping[str, argparse.ArgumentParser] = build_parser().verbs
    keys = [f"{key}=" for key in key_names()]
    print(_fish(parsers, keys) if args.shell == "fish" else _bash(parsers, keys, args.shell), end="")
    return 0


def _bash(parsers: Mapping[str, argparse.ArgumentParser], keys: Sequence[str], shell: str) -> str:
    """The script for bash, which zsh runs by its own means."""
    values, words = [], []
    for verb, parser in parsers.items():
        for flags, choices, _ in _options(parser):
            if choices:
                place = "|".join(f'"{verb} {flag}"' for flag in flags)
                values.append(f"        {place}) found={shlex.quote(' '.join(choices))} ;;")
        known = [flag for flags, _, _ in _options(parser) for flag in flags] + _plain(parser)
        more = list(keys) if parser.get_default("pairs") == "settings" else []
        words.append(f"        {verb}) found={shlex.quote(' '.join([*known, *more]))} ;;")
    script = _BASH.replace("@VERBS@", " ".join(parsers))
    script = script.replace("@VALUES@", "\n".join(values)).replace("@WORDS@", "\n".join(words))
    return script if shell == "bash" else f"autoload -U +X bashcompinit && bashcompinit\n{script}"


def _fish(parsers: Mapping[str, argparse.ArgumentParser], keys: Sequence[str]) -> str:
    """A line a command, an option and a list of keys."""
    from neuromas.cli.verbs import VERBS

    lines = [
        "# neuromas completion for fish: neuromas completion fish > ~/.config/fish/completions/neuromas.fish"
    ]
    for verb, parser in parsers.items():
        about = shlex.quote(VERBS[verb])
        lines.append(f"complete -c neuromas -n __fish_use_subcommand -f -a {verb} -d {about}")
        seen = f'-n "__fish_seen_subcommand_from {verb}"'
        for flags, choices, help_ in _options(parser):
            name = flags[-1].removeprefix("--")
            given = f" -x -a {shlex.quote(' '.join(choices))}" if choices else ""
            lines.append(f"complete -c neuromas {seen} -l {name}{given} -d {shlex.quote(help_)}")
        more = [*_plain(parser), *(keys if parser.get_default("pairs") == "settings" else [])]
        if more:
            lines.append(f"complete -c neuromas {seen} -a {shlex.quote(' '.join(more))}")
    return "\n".join(lines) + "\n"


def _options(parser: argparse.ArgumentParser) -> list[tuple[list[str], list[str], str]]:
    """Every option's long names, the values it allows, and its help."""
    found = []
    for action in parser._actions:
        flags = [flag for flag in action.option_strings if flag.startswith("--")]
        if flags:
            found.append((flags, [str(one) for one in action.choices or ()], action.help or ""))
    return found


def _plain(parser: argparse.ArgumentParser) -> list[str]:
    """Words that stand for themselves, such as the shells of this command."""
    return [str(one) for a in parser._actions if not a.option_strings for one in a.choices or ()]
