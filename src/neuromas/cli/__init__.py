"""The command line. Expected errors print one line and exit with status 2, never a traceback."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from neuromas.errors import NeuromasError, one_line

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    from neuromas.models.process import prepare

    prepare()
    from neuromas.cli.parser import build_parser

    try:
        args = build_parser().parse_args(arguments)
        status: int = args.run(args)
        sys.stdout.flush()
        return status
    except NeuromasError as error:
        print(f"neuromas: {one_line(error)}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except KeyboardInterrupt:
        print("neuromas: interrupted", file=sys.stderr)
        return INTERRUPTED
    except OSError as error:
        print(f"neuromas: {one_line(error)}", file=sys.stderr)
        return 2
