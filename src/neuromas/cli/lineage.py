"""``neuromas lineage``: ancestors, operators and budgets of a network, as text or as a drawing."""

from __future__ import annotations

import argparse
from pathlib import Path

from neuromas.cli.network import RUN, there
from neuromas.cli.options import file_to_write, name
from neuromas.report.terminal import visible


def add(parser: argparse.ArgumentParser) -> None:
    """Say what may be typed."""
    parser.add_argument("path", metavar="RUN", help=RUN)
    parser.add_argument("--svg", type=name, metavar="FILE", help="also draw all generations")


def run(args: argparse.Namespace) -> int:
    """Print the lineage, and draw it where a file is named."""
    file = file_to_write("--svg", args.svg) if args.svg else None
    there(args.path)
    from neuromas.growth.lineage import Lineage
    from neuromas.models.bundle import read_manifest
    from neuromas.report.lineage import lineage_svg, lineage_text
    from neuromas.report.reading import readable
    from neuromas.storage import write_atomic
    from neuromas.system.saving import bundle_folder

    folder = bundle_folder(Path(args.path))
    manifest = read_manifest(folder)
    Lineage.from_manifest(manifest, "")
    with readable(f"{folder}: the network's lineage"):
        text, drawing = lineage_text(manifest), lineage_svg(manifest)
    print(text)
    if file:
        write_atomic(file, drawing)
        print(f"wrote {visible(args.svg)}")
    return 0
