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
from neuromas.config import MOST_PASSES, Config, load_config
from neuromas.core.errors import ConfigError, shown
from neuromas.core.files import is_file
from neuromas.report.comparing import compare_pairs
from neuromas.report.experiment import comparison_lines
from neuromas.report.reading import read_evaluation
from neuromas.report.results import as_json
from neuromas.report.tables import paired, paired_line, percent, run_report, summary_lines
from neuromas.report.terminal import visible
from neuromas.report.trace import trace_text
from neuromas.storage import MANIFEST, Run

if TYPE_CHECKING:
    from neuromas.cli.progress import Progress
    from neuromas.core.task import Task
    from neuromas.evaluation.evaluate import Evaluation
    from neuromas.system.assemble import Assembly

_OVERRIDE = re.compile(r"[\w.]+\s*=")
_LONGEST_NAME = 200  # bytes; a file's name has up to 255


def train(args: argparse.Namespace) -> int:
    """Train, resume, or report a run that is finished. Torch is loaded once nothing can be mistyped."""
    if args.resume:
        if args.settings or args.directory or args.carry_on:
            raise ConfigError(
                "--resume takes the run's own configuration; give no config, key=value, --run or --continue"
            )
        directory = Run.open(Path(args.resume)).path
        from neuromas.system.assemble import check_run
        from neuromas.training.run import resume

        allow(args, directory)
        check_run(directory)
        return train_in(directory, lambda progress: resume(directory, progress))
    from neuromas.growth.stages import settle
    from neuromas.tasks import task_info

    config = settle(_config(args.settings))
    task_info(config.task.name)
    from neuromas.training.run import resume, start

    directory = Path(args.directory or config.run.directory or f"runs/{_name(config)}")
    if args.carry_on and (directory / "config.json").is_file():
        from neuromas.api import check_same
        from neuromas.system.assemble import check_run

        run = Run.open(directory)
        check_same(run, config)
        allow(args, directory)
        check_run(directory, config)
        if run.finished:
            report = run_report(run)
            print(f"{visible(str(directory))} is already trained; remove it to train afresh\n\n{report}")
            return 0
        return train_in(directory, lambda progress: resume(directory, progress))
    return train_in(directory, lambda progress: start(config, directory, progress))


def allow(args: argparse.Namespace, path: Path) -> None:
    """With ``--trust``, note what the run or checkpoint names as this user's choice."""
    if args.trust:
        from neuromas.system.assemble import trust_run

        trust_run(path)


def _config(settings: Sequence[str]) -> Config:
    """The configuration from file and overrides; the file comes first and may be left out."""
    first = settings[0] if settings else ""
    if not first or (_OVERRIDE.match(first) and not is_file(first)):
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
        step = run.read("status.json").get("step")
        print(visible(f"stopped after step {step}; continue with: {_again(run.path)}"))
        return 130
    print(run_report(run))
    return 0


def evaluate_run(args: argparse.Namespace) -> int:
    """Evaluate a saved network and keep summary and items in its run."""
    if args.options and not args.task:
        raise ConfigError(f"option {shown(args.options[0])} needs --task NAME")
    votes = _votes(args)
    name = _evaluation_name(args, votes)
    there(args.path)
    from neuromas.experiment.cells import stage_folder
    from neuromas.system.assemble import check_task, load_bundle
    from neuromas.tasks import make_task

    folder = stage_folder(Path(args.path), args.stage) if args.stage else Path(args.path)
    allow(args, folder)
    assembly = load_bundle(folder, args.device, model=args.backbone)
    task = make_task(args.task, read_pairs(args.options)) if args.task else assembly.task
    check_task(assembly.network.topology, task)
    result = _result(args, assembly, task, votes)
    if (Path(args.path) / "config.json").is_file():
        Run.open(Path(args.path)).write_evaluation(name, result.summary, [asdict(i) for i in result.items])
        where = visible(f"kept as {name!r} in {args.path}")
    else:
        where = "not kept: RUN is a checkpoint"
    if args.json:
        print(json.dumps(result.summary))  # in ASCII: nothing in it can act on a terminal
    else:
        print("\n".join([*summary_lines(result.summary), where]))
    return 0


def _evaluation_name(args: argparse.Namespace, votes: tuple[int, float] | None) -> str:
    """The name under which the evaluation is kept. Raises ConfigError for those that training uses."""
    stage = [f"stage-{args.stage}"] if args.stage else []
    way = f"votes-{votes[0]}-{votes[1]}" if votes else args.messages
    name: str = args.name or "-".join(
        [*([args.task.replace("/", "-")] if args.task else []), args.split, str(args.items), way, *stage]
    )
    if name.startswith((".", "test-before", "test-after")) or re.fullmatch(r"stage-[0-9]+", name):
        raise ConfigError(
            f"evaluation name {shown(name)}: use no leading '.', "
            "and leave test-before, test-after and stage-N to training"
        )
    if "/" in name or visible(name) != name or len(name.encode()) > _LONGEST_NAME:
        raise ConfigError(
            f"evaluation name {shown(name)}: use no '/', no invisible characters "
            f"and at most {_LONGEST_NAME} bytes"
        )
    return name


def there(path: str) -> None:
    """Raises RunError if a network is neither a checkpoint nor in a run: said before torch is loaded."""
    if not (Path(path) / MANIFEST).is_file():
        Run.open(Path(path))


def _votes(args: argparse.Namespace) -> tuple[int, float] | None:
    """Number and temperature of the passes that vote; None where one greedy pass answers."""
    if args.votes is None:
        if args.temperature is not None:
            raise ConfigError("--temperature is that of --votes; a single pass is greedy")
        return None
    if args.messages != "none":
        raise ConfigError(f"--votes and --messages {args.messages} do not go together")
    if args.votes * args.items > MOST_PASSES:
        raise ConfigError(
            f"--votes {args.votes} on --items {args.items} are {args.votes * args.items} passes, "
            f"at most {MOST_PASSES}"
        )
    return args.votes, 0.7 if args.temperature is None else args.temperature


def _result(
    args: argparse.Namespace, assembly: Assembly, task: Task, votes: tuple[int, float] | None
) -> Evaluation:
    """Evaluate greedily or by vote."""
    from neuromas.evaluation.evaluate import evaluate, vote

    if votes is None:
        return evaluate(assembly.network, task, args.split, args.items, intervention=args.messages)
    seed = assembly.config.seed
    return vote(
        assembly.network, task, args.split, args.items, votes=votes[0], temperature=votes[1], seed=seed
    )


def compare(args: argparse.Namespace) -> int:
    """Paired comparison of two evaluations, or of as many pairs as there are seeds."""
    names = [args.first, args.second, *args.more]
    if len(names) % 2:
        raise ConfigError(f"{len(names)} evaluations are not pairs; give FIRST SECOND for every seed")
    for first, second in zip(names[::2], names[1::2], strict=True):
        if first == second:
            raise ConfigError(f"{shown(first)} is compared with itself; give FIRST SECOND of different runs")
    sides = [_side(text) for text in names]
    if args.more:
        found = compare_pairs([items for _, items in sides])
        data, said = as_json(found), "\n".join(comparison_lines(found)).rstrip()
    else:
        test, interval, count = paired(sides[0][1], sides[1][1])
        bounds = None if interval is None else asdict(interval)
        data = json.dumps({"test": asdict(test), "interval": bounds, "items": count})
        said = f"difference {paired_line(test, interval, count)}"
    if args.json:
        print(data)
        return 0
    for text, (summary, _) in zip(names, sides, strict=True):
        print(f"{percent(summary['accuracy'], summary['interval'])}  {visible(text)}")
    print(said)
    return 0


def _side(text: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """An evaluation named as RUN or RUN:EVALUATION."""
    path, name = text, ""
    if not Path(text).is_dir():  # a folder's name may hold a colon
        path, _, name = text.rpartition(":") if ":" in text else (text, "", "")
    return read_evaluation(Run.open(Path(path)), name or "test-after")


def ask(args: argparse.Namespace) -> int:
    """Answer one question, optionally with the messages."""
    there(args.path)
    from neuromas.api import load

    trained = load(args.path, args.device, args.backbone, args.trust)
    episode = trained.trace(args.question)
    if args.trace:
        width = shutil.get_terminal_size((100, 24)).columns if sys.stdout.isatty() else 100
        print(trace_text(trained.assembly.network.topology, episode, max(60, width)))
    else:
        print(visible(episode.turns[-1].text.strip()))
    return 0
