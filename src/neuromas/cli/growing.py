"""Commands around growth: grow, prune, lineage."""

from __future__ import annotations

import argparse
from pathlib import Path

from neuromas.cli.working import allow, train_in
from neuromas.errors import RunError, TopologyError
from neuromas.report.lineage import lineage_svg, lineage_text
from neuromas.report.terminal import visible
from neuromas.store import write_atomic


def grow(args: argparse.Namespace) -> int:
    """Grow a trained network to a larger topology and train it on."""
    from neuromas import session
    from neuromas.growth.heir import heir_config

    allow(args, Path(args.path))
    config = heir_config(Path(args.path), args.to, args.steps, args.settings)
    shape = "".join(c if c.isalnum() or c in "-." else "_" for c in args.to)
    directory = Path(args.directory or f"{Path(args.path)}-to-{shape}")
    return train_in(directory, lambda watch: session.start(config, directory, watch))


def prune(args: argparse.Namespace) -> int:
    """Write a trained network without one of its nodes or edges."""
    from neuromas.growth.heir import prune as without

    allow(args, Path(args.path))
    change = without(Path(args.path), Path(args.out), args.node or "", args.edge or ())
    print(f"{visible(', '.join(change.steps))}: {change.goal}, written to {visible(args.out)}")
    return 0


def lineage(args: argparse.Namespace) -> int:
    """Ancestors, operators and budgets of a network, as text or as a drawing of every generation."""
    from neuromas.assemble import bundle_folder
    from neuromas.growth.lineage import Lineage
    from neuromas.models.bundle import read_manifest

    folder, file = bundle_folder(Path(args.path)), Path(args.svg) if args.svg else None
    manifest = read_manifest(folder)
    Lineage.from_manifest(manifest, "")
    try:
        text, drawing = lineage_text(manifest), lineage_svg(manifest)
    except (KeyError, TypeError, ValueError, AttributeError, TopologyError) as error:
        raise RunError(f"{folder}: the network's lineage is missing or damaged ({error!r})") from error
    if file and not file.parent.is_dir():
        raise RunError(f"--svg {args.svg!r}: the folder {str(file.parent)!r} does not exist")
    print(text)
    if file:
        write_atomic(file, drawing)
        print(f"wrote {visible(args.svg)}")
    return 0
