"""``neuromas tasks``: all tasks, or one with its options."""

from __future__ import annotations

import argparse
import shutil

from neuromas.report.terminal import visible


def add(parser: argparse.ArgumentParser) -> None:
    """Say what may be typed."""
    parser.add_argument(
        "name", nargs="?", help="of one task, to see its options; or module:Name for your own"
    )


def run(args: argparse.Namespace) -> int:
    """List tasks, or the options of one."""
    from neuromas.core.parts import TASKS
    from neuromas.tasks import task_info, task_names

    if args.name:
        info = task_info(args.name)
        print(visible(f"{info.name}: {info.description}"))
        for option in info.options:
            valid = f" ({option.valid})" if option.valid else ""
            print(visible(f"  {option.name} = {option.default}{valid}  {option.help}"))
        return 0
    offered = TASKS.names()
    for name in task_names(generators=False):
        if name not in offered:  # what a package offers is imported when it is asked for, and not before
            print(f"{name:12} {task_info(name).description}")
    print(f"module:Name  a task of your own; offered by packages: {visible(', '.join(offered)) or 'none'}")
    generators = [name for name in task_names() if name.startswith("gym/")]
    print(f"\n{len(generators)} generators of reasoning-gym:")
    width = max(len(name) for name in generators) + 2
    columns = max(1, shutil.get_terminal_size((100, 24)).columns // width)
    for start in range(0, len(generators), columns):
        print("".join(name.ljust(width) for name in generators[start : start + columns]).rstrip())
    return 0
