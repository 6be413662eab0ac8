"""The command line. Expected errors print one line and exit with status 2, never a traceback."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence

from neuromas.core.errors import (
    ConfigError,
    ElsewhereError,
    NeuromasError,
    cut,
    one_line,
    out_of_memory,
    shown,
)
from neuromas.report.terminal import visible

INTERRUPTED = 130
_SHARED = ("train", "grow")  # what several processes can do together


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    try:
        return _run(arguments)
    except KeyboardInterrupt as error:  # around the imports, too: they take long enough to be interrupted
        print(f"{_who()}: interrupted{visible(str(error))}", file=sys.stderr)
        return INTERRUPTED


def _run(arguments: Sequence[str] | None) -> int:
    """The command, with its expected errors as one line each."""
    from neuromas.models.process import prepare

    prepare()
    from neuromas.cli.parser import parse

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal without UTF-8 shows escapes, and no traceback
            stream.reconfigure(errors="backslashreplace")
    try:
        args = parse(arguments)
        if args.command not in _SHARED and _who() != "neuromas" and "TORCHELASTIC_RUN_ID" in os.environ:
            raise ConfigError(f"{args.command} is for one process; torchrun can start: {', '.join(_SHARED)}")
        status: int = args.run(args)
        if sys.stdout is not None:  # closed by whoever started us
            sys.stdout.flush()
        return status
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except ElsewhereError:
        return 2
    except (NeuromasError, OSError) as error:
        print(f"{_who()}: {cut(visible(_said(error)))}", file=sys.stderr)
        return 2
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        hint = "lower train.problems, train.samples or the token budgets, or take a smaller model"
        print(f"{_who()}: out of memory; {hint}", file=sys.stderr)
        return 2


def _who() -> str:
    """Whose line it is, where several processes train together."""
    size = os.environ.get("WORLD_SIZE", "1")
    return "neuromas" if size == "1" else f"neuromas (process {os.environ.get('RANK', '?')} of {size})"


def _said(error: NeuromasError | OSError) -> str:
    """One line that says what is wrong; of a long file name, its beginning."""
    name, why = getattr(error, "filename", None), getattr(error, "strerror", None)
    return f"{shown(name)}: {why}" if isinstance(name, str) and why else one_line(error)
