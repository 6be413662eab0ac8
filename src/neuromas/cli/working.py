"""Commands that run a network: train, evaluate, compare, ask."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from neuromas.cli.options import read_pairs
from neuromas.config import Config, load_config
from neuromas.errors import ConfigError
from neuromas.report.tables import paired, paired_line, percent, run_report, summary_lines
from neuromas.report.terminal import visible
from neuromas.report.trace import trace_text
from neuromas.store import Run


def train(args: argparse.Namespace) -> int:
    """Train, resume, or report a run that is finished."""
    from neuromas import session
    from neuromas.cli.progress import Progress

    if args.resume:
        if args.config or args.directory or args.carry_on:
            raise ConfigError(
                "--resume takes the run's own configuration; give no config, --run or --continue"
            )
        return _report(_with_progress(lambda p: session.resume(Path(args.resume), p), Progress()))
    config = _config(args)
    directory = Path(args.directory or config.run.directory or f"runs/{_name(config)}")
    if args.carry_on and (directory / "config.json").is_file():
        stored = Run.open(directory).read("config.json")
        if stored != config.model_dump(mode="json"):
            raise ConfigError(
                f"{directory} holds a run of another configuration; name another --run directory"
            )
        if _finished(directory):
            print(f"{directory} is already trained; remove it to train afresh\n")
            return _report(Run.open(directory))
        return _report(_with_progress(lambda p: session.resume(directory, p), Progress()))
    return _report(_with_progress(lambda p: session.start(config, directory, p), Progress()))


def _config(args: argparse.Namespace) -> Config:
    """The configuration from file and overrides; the file may be left out."""
    path, overrides = args.config, list(args.overrides)
    if path is not None and "=" in path and not Path(path).exists():
        overrides, path = [path, *overrides], None
    return load_config(path, overrides)


def _name(config: Config) -> str:
    """A directory name that says what is trained."""
    task = config.task.name.replace("/", "-")
    shape = Path(config.network.topology).stem
    return f"{task}-{shape}-{config.network.question}-seed{config.seed}"


def _with_progress(work: Any, progress: Any) -> Run:
    with progress:
        run: Run = work(progress)
    return run


def _finished(directory: Path) -> bool:
    return (directory / "status.json").is_file() and bool(Run.open(directory).read("status.json")["finished"])


def _report(run: Run) -> int:
    """The report of a finished run, or how to go on with an interrupted one."""
    if not _finished(run.path):
        step = run.read("status.json")["step"]
        print(f"stopped after step {step}; continue with: neuromas train --resume {run.path}")
        return 130
    print(run_report(run))
    return 0


def evaluate_run(args: argparse.Namespace) -> int:
    """Evaluate a saved network and keep summary and items in its run."""
    from neuromas.assemble import check_task, load_bundle
    from neuromas.evaluate import evaluate
    from neuromas.tasks import make_task

    if args.options and not args.task:
        raise ConfigError(f"option {args.options[0]!r} needs --task NAME")
    assembly = load_bundle(Path(args.path), args.device)
    task = make_task(args.task, read_pairs(args.options)) if args.task else assembly.task
    check_task(assembly.network.topology, task)
    result = evaluate(assembly.network, task, args.split, args.items, intervention=args.messages)
    name = args.name or "-".join(
        [*([task.name.replace("/", "-")] if args.task else []), args.split, str(args.items), args.messages]
    )
    if "/" in name or name.startswith("."):
        raise ConfigError(f"evaluation name {name!r}: use no '/' and no leading '.'")
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
    path, _, name = text.partition(":")
    return Run.open(Path(path)).evaluation(name or "test-after")


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
