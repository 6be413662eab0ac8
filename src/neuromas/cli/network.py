"""What commands on a network that is already there share: its flags, and whether there is one."""

from __future__ import annotations

import argparse
from pathlib import Path

from neuromas.storage import MANIFEST, Run

RUN = "run directory (its best checkpoint) or a checkpoint"


def add_trust(parser: argparse.ArgumentParser, model: bool = False) -> None:
    """Flags for a network from elsewhere, which may name what this user never named."""
    if model:
        parser.add_argument("--device", help="auto, cpu or cuda (default: as trained)")
        parser.add_argument(
            "--backbone", metavar="NAME", help="where its model lies now (default: as trained)"
        )
    text = "allow the paths, downloads, code and trackers that this network names (noted, asked once)"
    parser.add_argument("--trust", action="store_true", help=text)


def allow(args: argparse.Namespace, path: Path) -> None:
    """With ``--trust``, note what the run or checkpoint names as this user's choice."""
    if args.trust:
        from neuromas.system.saving import trust_run

        trust_run(path)


def there(path: str) -> None:
    """Raises RunError if a network is neither a checkpoint nor in a run: said before torch is loaded.

    One on a hub is looked for when it is loaded.
    """
    if not path.startswith("hub:") and not (Path(path) / MANIFEST).is_file():
        Run.open(Path(path))
