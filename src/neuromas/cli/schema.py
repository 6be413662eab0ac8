"""``neuromas schema``: the JSON schema of a configuration or an experiment, for editors."""

from __future__ import annotations

import argparse
import json

from neuromas.cli.options import file_to_write, name
from neuromas.report.terminal import visible


def add(parser: argparse.ArgumentParser) -> None:
    """Say what may be typed."""
    parser.add_argument(
        "kind", nargs="?", default="run", choices=["run", "experiment"], help="of which file (default run)"
    )
    parser.add_argument("--out", type=name, metavar="FILE", help="write it there instead of printing it")


def run(args: argparse.Namespace) -> int:
    """Print or write the schema; say how an editor finds it."""
    file = file_to_write("--out", args.out) if args.out else None
    if args.kind == "run":
        from neuromas.config.schema import run_schema

        schema = run_schema()
    else:
        from neuromas.experiment.schema import experiment_schema

        schema = experiment_schema()
    text = json.dumps(schema, indent=1)
    if file is None:
        print(text)
        return 0
    from neuromas.storage import write_atomic

    write_atomic(file, text + "\n")
    print(f"wrote {visible(args.out)}; first line of a TOML file beside it: #:schema ./{visible(file.name)}")
    return 0
