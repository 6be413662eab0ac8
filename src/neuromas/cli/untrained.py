"""``neuromas evaluate CONFIG``: a network that was never trained, kept as a run of no step."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from neuromas.cli.options import name
from neuromas.core.errors import ConfigError
from neuromas.core.files import is_file, is_folder
from neuromas.storage import Run, check_free, run_name

if TYPE_CHECKING:
    from neuromas.config import Config
    from neuromas.system.assemble import Assembly

Asked: TypeAlias = "tuple[Assembly, str, Callable[[], Run | None]]"
"""A network, the name of its checkpoint, and how the run is had in which evaluations of it are kept."""


@dataclass(frozen=True, slots=True)
class NewRun:
    """The configuration of a network that is not there yet, and the directory of its run."""

    config: Config
    directory: Path


def add_untrained(parser: argparse.ArgumentParser) -> None:
    """What goes with a configuration in a run's place."""
    parser.add_argument(
        "--set",
        nargs="+",
        default=[],
        metavar="key=value",
        dest="settings",
        help="keys of CONFIG, such as engine.name=openai",
    )
    parser.add_argument(
        "--run", type=name, metavar="DIR", dest="directory", help="of CONFIG's run (default runs/NAME)"
    )


def untrained_in(args: argparse.Namespace) -> NewRun | None:
    """The network of a configuration that stands in a run's place; None where a run does, or it is begun.

    Then ``args.path`` is that run. Raises ConfigError for flags that do not go together, RunError where
    there is another run in its place.
    """
    from neuromas.config import load_config
    from neuromas.config.recipes import recipes

    if is_folder(args.path) or not (is_file(args.path) or args.path in recipes("config")):
        for flag, value in (("--set", args.settings), ("--run", args.directory)):
            if value:
                raise ConfigError(
                    f"{flag} needs a configuration (a TOML file or a recipe) in the place of RUN"
                )
        return None
    if args.stage or args.view == "first":
        raise ConfigError("--stage and --view are of a trained network, not of a configuration")
    from neuromas.growth.stages import without_steps

    model = [f"model.backbone={args.backbone}"] if args.backbone else []
    model += [f"model.device={args.device}"] if args.device else []
    config = without_steps(load_config(args.path, [*args.settings, *model]))
    directory = Path(args.directory or config.run.directory or f"runs/{run_name(config)}")
    if not (directory / "config.json").is_file():
        check_free(directory)  # before anything is asked and paid
        return NewRun(config, directory)
    from neuromas.api import check_same

    check_same(Run.open(directory), config)
    args.path, args.backbone, args.device = str(directory), None, None
    return None


def new_network(new: NewRun) -> Asked:
    """The network; its run begins once there is something to keep."""
    from neuromas.training.untrained import Untrained

    untrained = Untrained.of(new.config)
    return untrained.assembly, "step-000000", lambda: untrained.keep(new.directory)
