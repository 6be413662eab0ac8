"""Commands around growth: grow, prune, lineage."""

from __future__ import annotations

import argparse
from pathlib import Path

from neuromas.cli.options import file_to_write, folder_to_write
from neuromas.cli.working import allow, there, train_in
from neuromas.config import check_keys
from neuromas.report.lineage import lineage_svg, lineage_text
from neuromas.report.reading import readable
from neuromas.report.terminal import visible
from neuromas.storage import write_atomic


def grow(args: argparse.Namespace) -> int:
    """Grow a trained network to a larger topology and train it on."""
    check_keys(args.settings)
    there(args.path)
    from neuromas.growth.parent import child_config
    from neuromas.training.run import start

    allow(args, Path(args.path))
    config = child_config(Path(args.path), args.to, args.steps, args.settings)
    shape = "".join(c if c.isalnum() or c in "-." else "_" for c in args.to)
    directory = Path(args.directory or f"{Path(args.path)}-to-{shape}")
    return train_in(directory, lambda progress: start(config, directory, progress))


def prune(args: argparse.Namespace) -> int:
    """Write a trained network without one of its nodes or edges."""
    out = folder_to_write("--out", args.out)
    there(args.path)
    from neuromas.growth.parent import prune as without

    allow(args, Path(args.path))
    change = without(Path(args.path), out, args.node or "", args.edge or ())
    print(f"{visible(', '.join(change.steps))}: {change.goal}, written to {visible(args.out)}")
    return 0


def lineage(args: argparse.Namespace) -> int:
    """Ancestors, operators and budgets of a network, as text or as a drawing of every generation."""
    file = file_to_write("--svg", args.svg) if args.svg else None
    there(args.path)
    from neuromas.growth.lineage import Lineage
    from neuromas.models.bundle import read_manifest
    from neuromas.system.assemble import bundle_folder

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
