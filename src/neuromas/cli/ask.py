"""``neuromas ask``: one question, one answer, and who said what to whom."""

from __future__ import annotations

import argparse
import shutil
import sys

from neuromas.cli.network import add_trust, there
from neuromas.report.terminal import visible


def add(parser: argparse.ArgumentParser) -> None:
    """Say what may be typed."""
    parser.add_argument(
        "path", metavar="RUN", help="run directory, checkpoint, exported network, or hub:USER/NAME"
    )
    parser.add_argument(
        "question", help="for a network that hands out parts: 'what is asked | part 1 | part 2'"
    )
    parser.add_argument("--trace", action="store_true", help="show who said what to whom")
    add_trust(parser, model=True)


def run(args: argparse.Namespace) -> int:
    """Answer one question, optionally with the messages."""
    there(args.path)
    from neuromas.api import load
    from neuromas.report.trace import trace_text

    trained = load(args.path, args.device, args.backbone, args.trust)
    episode = trained.trace(args.question)
    if args.trace:
        width = shutil.get_terminal_size((100, 24)).columns if sys.stdout.isatty() else 100
        print(trace_text(trained.assembly.network.topology, episode, max(60, width)))
    else:
        print(visible(episode.turns[-1].text.strip()))
    return 0
