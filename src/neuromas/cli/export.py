"""``neuromas export``: a trained network as a folder to give away, or on a hub, with a card of it."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from neuromas.cli.network import RUN, there
from neuromas.cli.options import folder_to_write, name
from neuromas.core.errors import ConfigError, RunError
from neuromas.report.reading import readable
from neuromas.report.terminal import visible

if TYPE_CHECKING:
    from neuromas.report.card import About, MergedNode
    from neuromas.system.exporting import Exported

OURS = "apache-2.0"  # of adapters over a model that comes along and has this licence


def add(parser: argparse.ArgumentParser) -> None:
    """Say what may be typed."""
    parser.add_argument("path", metavar="RUN", help=f"{RUN}, or with --push alone a folder exported before")
    parser.add_argument("--out", type=name, metavar="DIR", help="new folder for the network")
    parser.add_argument("--base", type=name, metavar="NAME", help="base model the adapters' PEFT files name")
    parser.add_argument("--with-base", action="store_true", help="the base model's weights, too, in DIR/base")
    parser.add_argument(
        "--merged", action="store_true", help="one node's adapter in the weights, as a model for transformers"
    )
    parser.add_argument(
        "--node", type=name, metavar="NAME", help="which node --merged is of, where there are many"
    )
    parser.add_argument(
        "--licence", type=name, metavar="ID", help="licence the card names, such as apache-2.0"
    )
    parser.add_argument(
        "--push", type=name, metavar="USER/NAME", help="upload the folder to the Hugging Face hub"
    )
    parser.add_argument(
        "--public", action="store_true", help="... where everybody reads it (default: private)"
    )
    parser.add_argument("--dry-run", action="store_true", help="... no: only list what would be uploaded")


def run(args: argparse.Namespace) -> int:
    """Write network, PEFT adapters and card, and push them. Needs no data; loads a model only to merge."""
    _check(args)
    if args.push:
        from neuromas.system import hub

        hub.check_repo(args.push)
        if not args.dry_run:
            hub.token()
    folder = Path(args.path)
    if args.out:
        folder = folder_to_write("--out", args.out)
        there(args.path)
        _export(args, folder)
    return _push(args, folder) if args.push else 0


def _check(args: argparse.Namespace) -> None:
    """Raises ConfigError for options that do not go together."""
    if not args.out and not args.push:
        raise ConfigError(
            "name the new folder with --out DIR, or push one exported before with --push USER/NAME"
        )
    given = {"--node": args.node, "--merged": args.merged, "--with-base": args.with_base}
    given |= {"--base": args.base, "--licence": args.licence}
    only = next((flag for flag, value in given.items() if value), None)
    if not args.out and only:
        raise ConfigError(f"{only} is for a new folder; name it with --out DIR")
    if args.node and not args.merged:
        raise ConfigError("--node says which node is merged; give --merged with it")
    if args.merged and args.with_base:
        raise ConfigError("--merged and --with-base do not go together: merged weights hold the base model's")
    alone = "--public" if args.public else "--dry-run" if args.dry_run else ""
    if alone and not args.push:
        raise ConfigError(f"{alone} says how to push; give --push USER/NAME with it")


def _export(args: argparse.Namespace, out: Path) -> None:
    """Write the folder and say what to do with it."""
    from neuromas.system.exporting import export, refuse_existing, to_export

    refuse_existing(out)
    with readable(f"{args.path}: the network"):
        given = to_export(Path(args.path), args.base)
        title = args.push.partition("/")[2] if args.push else out.name
        if args.merged:
            _merge(args, given, out, title)
            return

        def write() -> Mapping[str, str]:
            return _card(args, _about(args, given, title))

        export(given, out, write, args.with_base)
    ask = f"neuromas ask {shlex.quote(args.out)} QUESTION"
    if given.backbone != given.manifest["backbone"]["name"]:
        ask += f" --backbone {shlex.quote(given.backbone)}"
    print(f"{visible(args.out)}: network, PEFT adapters and README.md; try: {visible(ask)}")


def _merge(args: argparse.Namespace, given: Exported, out: Path, title: str) -> None:
    """The same of one node."""
    from neuromas.report.card import MergedNode
    from neuromas.system.merged import Merged, chosen, export_merged

    def write(one: Merged) -> Mapping[str, str]:
        node = MergedNode(one.node, one.alone, one.same, one.checked, one.why)
        return _card(args, _about(args, given, title, node))

    done = export_merged(given, out, chosen(given, args.node), write)
    said = f"{done.same} of {done.checked} answers are the node's, token by token"
    if not done.checked:
        said = f"not compared with the node: {done.why}"
    print(
        f"{visible(args.out)}: node {visible(done.node)} as a model for transformers, and README.md; "
        f"{visible(said)}"
    )


def _about(args: argparse.Namespace, given: Exported, title: str, node: MergedNode | None = None) -> About:
    """What the card is of."""
    from neuromas.report.card import About

    free = given.base.kind == "near" or given.backbone == "tiny"
    licence = args.licence or (OURS if free else "")
    base = given.base
    return About(title, given.manifest, base.name, base.kind, given.folders, licence, args.with_base, node)


def _card(args: argparse.Namespace, about: About) -> Mapping[str, str]:
    """The card and its pictures."""
    from neuromas.report.card import card
    from neuromas.report.card_results import results_of

    return card(about, results_of(Path(args.path), about.manifest))


def _push(args: argparse.Namespace, folder: Path) -> int:
    """List what is uploaded, and upload it."""
    from neuromas.system.hub import exported_files, push

    files = exported_files(folder)
    seen = "everybody" if args.public else "you"
    total = sum(files.values()) / 1e6
    print(f"to {visible(args.push)}, read by {seen}: {len(files)} files, {total:.1f} MB")
    for file, size in files.items():
        print(f"  {size:>12,}  {visible(file)}")
    if args.dry_run:
        print("nothing was uploaded (--dry-run)")
        return 0
    public = " --public" if args.public else ""
    again = f"neuromas export {shlex.quote(str(folder))} --push {args.push}{public}"
    try:
        where = push(folder, args.push, args.public)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"; the folder is whole, go on with: {again}") from None
    except RunError as error:
        raise RunError(f"{error}; the folder is whole, go on with: {again}") from error
    print(f"pushed: {visible(where)}")
    return 0
