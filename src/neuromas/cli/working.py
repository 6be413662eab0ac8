"""Commands that run a network: train, evaluate, compare, ask."""

from __future__ import annotations

import argparse
import json
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuromas.cli.options import read_pairs
from neuromas.config import Config, load_config
from neuromas.errors import ConfigError
from neuromas.report.reading import read_evaluation
from neuromas.report.tables import paired, paired_line, percent, run_report, summary_lines
from neuromas.report.terminal import visible
from neuromas.report.trace import trace_text
from neuromas.store import Run

if TYPE_CHECKING:
    from neuromas.assemble import Assembly
    from neuromas.cli.progress import Progress
    from neuromas.evaluate import Evaluation
    from neuromas.task import Task

_OVERRIDE = re.compile(r"[\w.]+\s*=")


def train(args: argparse.Namespace) -> int:
    """Train, resume, or report a run that is finished."""
    from neuromas import session

    if args.resume:
        if args.settings or args.directory or args.carry_on:
            raise ConfigError(
                "--resume takes the run's own configuration; give no config, key=value, --run or --continue"
            )
        directory = Path(args.resume)
        return train_in(directory, lambda watch: session.resume(directory, watch))
    config = _config(args.settings)
    directory = Path(args.directory or config.run.directory or f"runs/{_name(config)}")
    if args.carry_on and (directory / "config.json").is_file():
        from neuromas.api import check_same

        run = Run.open(directory)
        check_same(run, config)
        if run.finished:
            report = run_report(run)
            print(f"{visible(str(directory))} is already trained; remove it to train afresh\n\n{report}")
            return 0
        return train_in(directory, lambda watch: session.resume(directory, watch))
    return train_in(directory, lambda watch: session.start(config, directory, watch))


def _config(settings: Sequence[str]) -> Config:
    """The configuration from file and overrides; the file comes first and may be left out."""
    first = settings[0] if settings else ""
    if not first or (_OVERRIDE.match(first) and not Path(first).is_file()):
        return load_config(None, settings)
    return load_config(first, settings[1:])


def _name(config: Config) -> str:
    """A directory name that says what is trained."""
    task = config.task.name.replace("/", "-")
    shape = Path(config.network.topology).stem
    return f"{task}-{shape}-{config.network.question}-seed{config.seed}"


def train_in(directory: Path, work: Callable[[Progress], Run]) -> int:
    """Train under a progress bar, then report. A second Ctrl-C ends at once, and says how to go on."""
    from neuromas.cli.progress import Progress

    try:
        with Progress() as progress:
            run = work(progress)
    except KeyboardInterrupt:
        if (directory / "config.json").is_file():
            raise KeyboardInterrupt(f"; continue with: {_again(directory)}") from None
        raise
    return _report(run)


def _again(directory: Path) -> str:
    return f"neuromas train --resume {shlex.quote(str(directory))}"


def _report(run: Run) -> int:
    """The report of a finished run, or how to go on with an interrupted one."""
    if not run.finished:
        print(f"stopped after step {run.read('status.json').get('step')}; continue with: {_again(run.path)}")
        return 130
    print(run_report(run))
    return 0


def evaluate_run(args: argparse.Namespace) -> int:
    """Evaluate a saved network and keep summary and items in its run."""
    from neuromas.assemble import check_task, load_bundle
    from neuromas.experiment.cells import stage_folder
    from neuromas.tasks import make_task

    if args.options and not args.task:
        raise ConfigError(f"option {args.options[0]!r} needs --task NAME")
    votes = _votes(args)
    stage = [f"stage-{args.stage}"] if args.stage else []
    way = f"votes-{votes[0]}-{votes[1]}" if votes else args.messages
    name = args.name or "-".join(
        [*([args.task.replace("/", "-")] if args.task else []), args.split, str(args.items), way, *stage]
    )
    if "/" in name or name.startswith((".", "test-before", "test-after")):
        raise ConfigError(
            f"evaluation name {name!r}: use no '/' and no leading '.', "
            "and leave test-before and test-after to training"
        )
    folder = stage_folder(Path(args.path), args.stage) if args.stage else Path(args.path)
    assembly = load_bundle(folder, args.device)
    task = make_task(args.task, read_pairs(args.options)) if args.task else assembly.task
    check_task(assembly.network.topology, task)
    result = _result(args, assembly, task, votes)
    if (Path(args.path) / "config.json").is_file():
        Run.open(Path(args.path)).write_evaluation(name, result.summary, [asdict(i) for i in result.items])
        where = f"kept as {name!r} in {args.path}"
    else:
        where = "not kept: RUN is a checkpoint"
    if args.json:
        print(json.dumps(result.summary, ensure_ascii=False))
    else:
        print("\n".join([*summary_lines(result.summary), where]))
    return 0


def _votes(args: argparse.Namespace) -> tuple[int, float] | None:
    """Number and temperature of the passes that vote; None where one greedy pass answers."""
    if args.votes is None:
        if args.temperature is not None:
            raise ConfigError("--temperature is that of --votes; a single pass is greedy")
        return None
    if args.messages != "none":
        raise ConfigError(f"--votes and --messages {args.messages} do not go together")
    return args.votes, 0.7 if args.temperature is None else args.temperature


def _result(
    args: argparse.Namespace, assembly: Assembly, task: Task, votes: tuple[int, float] | None
) -> Evaluation:
    """Evaluate greedily or by vote."""
    from neuromas.evaluate import evaluate, vote

    if votes is None:
        return evaluate(assembly.network, task, args.split, args.items, intervention=args.messages)
    seed = assembly.config.seed
    return vote(
        assembly.network, task, args.split, args.items, votes=votes[0], temperature=votes[1], seed=seed
    )


def compare(args: argparse.Namespace) -> int:
    """Paired comparison of two evaluations."""
    sides = [_side(text) for text in (args.first, args.second)]
    test, interval, count = paired(sides[0][1], sides[1][1])
    if args.json:
        shown = None if interval is None else asdict(interval)
        print(json.dumps({"test": asdict(test), "interval": shown, "items": count}))
        return 0
    for text, (summary, _) in zip((args.first, args.second), sides, strict=True):
        print(f"{percent(summary['accuracy'], summary['interval'])}  {visible(text)}")
    print(f"difference {paired_line(test, interval, count)}")
    return 0


def _side(text: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """An evaluation named as RUN or RUN:EVALUATION."""
    path, name = text, ""
    if not Path(text).is_dir():  # a folder's name may hold a colon
        path, _, name = text.rpartition(":") if ":" in text else (text, "", "")
    return read_evaluation(Run.open(Path(path)), name or "test-after")


def ask(args: argparse.Namespace) -> int:
    """Answer one question, optionally with the messages."""
    from neuromas.api import load

    trained = load(args.path, args.device)
    episode = trained.trace(args.question)
    if args.trace:
        width = shutil.get_terminal_size((100, 24)).columns if sys.stdout.isatty() else 100
        print(trace_text(trained.assembly.network.topology, episode, max(60, width)))
    else:
        print(visible(episode.turns[-1].text.strip()))
    return 0
