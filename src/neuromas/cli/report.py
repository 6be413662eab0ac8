"""``neuromas report``: runs and experiments as one HTML page, or any page of a report in a form of text.

With ``--page`` or a form (``--markdown`` and others) a page is printed, otherwise the HTML file is written;
without a path the pages there are.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from neuromas.cli.formats import add_formats, write_out
from neuromas.cli.options import file_to_write, folder_to_write, name, whole
from neuromas.core.errors import ConfigError, RunError, shown
from neuromas.report.terminal import visible
from neuromas.storage import MANIFEST, write_atomic
from neuromas.storage.disk import clear

_START = b"<!doctype html>"


def add(parser: argparse.ArgumentParser) -> None:
    """Say what may be typed."""
    parser.add_argument(
        "paths", nargs="*", type=name, metavar="PATH", help="what the page reads, such as a run"
    )
    parser.add_argument(
        "--page",
        type=name,
        metavar="NAME",
        help="a page's name, or module:NAME of your own (default: what fits)",
    )
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="an option of the page; may be repeated",
    )
    parser.add_argument("--figures", type=name, metavar="DIR", help="write the page's figures there as SVG")
    parser.add_argument(
        "--out",
        type=name,
        metavar="FILE",
        help="where the HTML page goes (default: report.html in the run; here, for several)",
    )
    parser.add_argument(
        "--items",
        type=whole(100_000, 0),
        metavar="N",
        help="questions of the trace viewer, evenly by outcome (default 200; fewer where they are long)",
    )
    parser.add_argument(
        "--watch",
        action="store_true",
        help="serve the HTML page on 127.0.0.1 and keep it up to date while training runs (Ctrl-C ends it)",
    )
    parser.add_argument(
        "--port",
        type=whole(65_535, 0),
        metavar="N",
        help="where --watch serves (default 8377; 0: any that is free)",
    )
    add_formats(parser)


def run(args: argparse.Namespace) -> int:
    """Write the HTML page, or print a page."""
    _check(args)
    if not args.paths:
        return _list()
    if args.watch:
        return _watch(args)
    return _print(args) if _printed(args) else _write(args)


def _printed(args: argparse.Namespace) -> bool:
    """Whether a page of text was asked for."""
    return bool(args.page or args.form or args.figures or args.option)


def _check(args: argparse.Namespace) -> None:
    """Raises ConfigError for options that do not go together."""
    for flag, given in (("--out", args.out), ("--items", args.items is not None), ("--watch", args.watch)):
        if given and _printed(args):
            raise ConfigError(
                f"{flag} is of the HTML page; leave out --page, --option, --figures and other forms"
            )
        if given and not args.paths:
            raise ConfigError(f"{flag} needs a run or an experiment: neuromas report RUN {flag}")
    if args.watch and args.out:
        raise ConfigError("--watch writes no file; leave out --out")
    if args.port is not None and not args.watch:
        raise ConfigError("--port is of --watch")


def _watch(args: argparse.Namespace) -> int:
    """The page on the loopback until Ctrl-C."""
    from neuromas.report.html.places import places

    paths = [Path(path) for path in args.paths]
    places(paths)  # what is no run is said now, not to the browser
    if not all(find_spec(name) for name in ("starlette", "uvicorn")):
        raise ConfigError("--watch needs starlette and uvicorn: pip install 'neuromas[serve]'")
    from neuromas.report.html.live import LOOPBACK, PORT, Kiosk, bound, serve
    from neuromas.report.html.render import page
    from neuromas.report.html.story import tell
    from neuromas.report.html.traces import ITEMS

    items = ITEMS if args.items is None else args.items
    with suppress(KeyboardInterrupt), bound(PORT if args.port is None else args.port) as place:
        if hasattr(os, "nice"):
            os.nice(10)  # training goes first
        print(f"serving http://{LOOPBACK}:{place.getsockname()[1]}/ until Ctrl-C", flush=True)
        serve(Kiosk(paths, lambda: page(tell(paths, items), live=True)), place)
    print("stopped")
    return 0


def _write(args: argparse.Namespace) -> int:
    """The HTML page of what is named; says where it is and how large."""
    from neuromas.report.html.places import default_file, places

    paths = [Path(path) for path in args.paths]
    places(paths)  # a mistake is said before anything large is loaded
    target = file_to_write("--out", args.out or str(default_file(paths)))
    _spare(target, paths)
    from neuromas.report.html.render import page
    from neuromas.report.html.story import tell
    from neuromas.report.html.traces import ITEMS

    text = page(tell(paths, ITEMS if args.items is None else args.items))
    with clear(target):
        write_atomic(target, text)
    size = len(text.encode("utf-8", "replace"))
    print(f"wrote {visible(str(target))} ({size / 1e6:.2f} MB); open it in a browser")
    return 0


def _spare(target: Path, paths: Sequence[Path]) -> None:
    """Raises RunError where the page would take the place of something that is no page.

    In what it reads only names of pages are free: a run may still lack the file of another name.
    """
    here = target.resolve()
    if target.suffix != ".html" and any(path.resolve() in here.parents for path in paths):
        raise RunError(f"--out {shown(str(target))} is inside what is read; there the name ends in .html")
    with suppress(FileNotFoundError), target.open("rb") as there:
        start = there.read(len(_START))
        if start and start.lower() != _START:
            raise RunError(f"--out {shown(str(target))} is there and no HTML page; name another file")


def _print(args: argparse.Namespace) -> int:
    """A page in a form of text."""
    from neuromas.report.pages import build_page
    from neuromas.report.writers import as_markdown, write_figures

    options = dict(map(_pair, args.option))
    folder = folder_to_write("--figures", args.figures) if args.figures else None
    blocks = build_page(args.page or _fitting(args.paths), [Path(path) for path in args.paths], options)
    written = write_figures(blocks, folder) if folder else []
    if args.form == "markdown" and folder:
        print(as_markdown(blocks, str(folder)), end="")
    else:
        write_out(blocks, args.form)
    if not args.form:
        for file in written:
            print(f"wrote {visible(str(file))}")
    return 0


def _pair(text: str) -> tuple[str, str]:
    key, given, value = text.partition("=")
    if not given or not key.strip():
        raise ConfigError(f"--option {shown(text)} is not KEY=VALUE")
    return key.strip(), value


def _fitting(paths: Sequence[str]) -> str:
    """The page for what is named."""
    if len(paths) > 1:
        return "compare"
    path = Path(paths[0])
    for file, page in (("config.json", "run"), ("results.json", "experiment"), (MANIFEST, "lineage")):
        if (path / file).is_file():
            return page
    if path.is_dir():
        return "runs"
    if path.name == "results.json":
        return "experiment"
    raise RunError(f"{shown(paths[0])} does not exist; name a run, an experiment or a folder of runs")


def _list() -> int:
    """All pages: what they read, and their options."""
    from neuromas.core.parts import PAGES

    for page_name in PAGES.names():
        page = PAGES.get(page_name)
        print(visible(f"{page_name:12} reads {page.reads}"))
        for key, text in page.options.items():
            print(visible(f"             --option {key}=…  {text}"))
    return 0
