"""``neuromas train``: start, resume, or report a run that is finished."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from neuromas.cli.network import add_trust, allow
from neuromas.cli.options import name
from neuromas.cli.watching import page_line, train_in
from neuromas.core.errors import ConfigError, shown
from neuromas.core.files import is_file
from neuromas.report.terminal import visible
from neuromas.storage import Run, check_free, run_name

if TYPE_CHECKING:
    from neuromas.config import Config

_OVERRIDE = re.compile(r"[\w.]+\s*=")


def add(parser: argparse.ArgumentParser) -> None:
    """Say what may be typed."""
    parser.set_defaults(pairs="settings")
    parser.add_argument(
        "settings",
        nargs="*",
        metavar="CONFIG.toml | key=value",
        help="a TOML file or a recipe such as demo (else the defaults), then overrides: train.steps=40",
    )
    parser.add_argument(
        "--run",
        type=name,
        metavar="DIR",
        dest="directory",
        help="run directory (default runs/NAME); run.directory=DIR is the same, also for torchrun",
    )
    parser.add_argument(
        "--resume", type=name, metavar="RUN", help="continue a run; a finished one with more: train.steps=200"
    )
    parser.add_argument(
        "--continue",
        action="store_true",
        dest="carry_on",
        help="start, resume or only report the run in --run",
    )
    add_trust(parser)


def run(args: argparse.Namespace) -> int:
    """Torch is loaded once nothing can be mistyped."""
    if args.resume:
        return _resume(args)
    from neuromas.growth.stages import settle
    from neuromas.tasks import task_info

    config = settle(config_of(args.settings))
    task_info(config.task.name)
    directory = _directory(args, config)
    if args.carry_on and (directory / "config.json").is_file():
        return _carry_on(args, directory, config)
    check_free(directory)  # before torch is loaded
    from neuromas.training.run import start

    return train_in(directory, lambda progress: start(config, directory, progress))


def _directory(args: argparse.Namespace, config: Config) -> Path:
    """``--run``, else ``run.directory``. Raises ConfigError if both are typed and differ."""
    typed = [word for word in args.settings if re.match(r"run\.directory\s*=", word)]
    if typed and args.directory and Path(args.directory) != Path(config.run.directory):
        raise ConfigError(
            f"--run {shown(args.directory)} and {typed[-1]} name two directories; leave one of them out"
        )
    return Path(args.directory or config.run.directory or f"runs/{run_name(config)}")


def _resume(args: argparse.Namespace) -> int:
    """Go on with a run, as it was configured or with more steps or stages."""
    from neuromas.config import check_keys

    if args.directory or args.carry_on or not all("=" in word for word in args.settings):
        raise ConfigError(
            "--resume takes the run's own configuration; give no config, --run or --continue, only key=value "
            "that lets it go on, such as train.steps=200"
        )
    check_keys(args.settings)
    directory = Run.open(Path(args.resume)).path
    from neuromas.system.saving import check_run
    from neuromas.training.run import resume

    allow(args, directory)
    check_run(directory)
    return train_in(directory, lambda progress: resume(directory, progress, overrides=args.settings))


def _carry_on(args: argparse.Namespace, directory: Path, config: Config) -> int:
    """Go on with the run of this configuration, or report it where it is finished."""
    from neuromas.api import check_same
    from neuromas.system.saving import check_run
    from neuromas.training.run import resume

    there = Run.open(directory)
    check_same(there, config)
    allow(args, directory)
    check_run(directory, config)
    if there.finished:
        from neuromas.report.pages.run import run_report

        report = run_report(there)
        print(f"{visible(str(directory))} is already trained; remove it to train afresh\n\n{report}")
        print(page_line(directory))
        return 0
    return train_in(directory, lambda progress: resume(directory, progress))


def config_of(settings: Sequence[str]) -> Config:
    """The configuration from file and overrides; the file comes first and may be left out."""
    from neuromas.config import load_config

    first = settings[0] if settings else ""
    if not first or (_OVERRIDE.match(first) and not is_file(first)):
        return load_config(None, settings)
    return load_config(first, settings[1:])
