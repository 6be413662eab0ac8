"""``neuromas figure``: a picture of runs or of an experiment as SVG, PNG or PDF, and its numbers."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from neuromas.cli.options import file_to_write, name, whole
from neuromas.core.errors import ConfigError, NeuromasError, one_line, shown, unknown
from neuromas.report.terminal import visible

if TYPE_CHECKING:
    from neuromas.report.charts.kinds import Picture, Sources

_FORMATS = (".svg", ".png", ".pdf")
_SIDES = (100, 4000)  # of a panel
_SCALES = (0.25, 10.0)


def add(parser: argparse.ArgumentParser) -> None:
    """Say what may be typed."""
    text = "a run, several (seeds, or arms side by side), or an experiment's directory"
    parser.add_argument("paths", nargs="+", type=name, metavar="PATH", help=text)
    parser.add_argument("--kind", type=name, metavar="NAME", help="what is shown (default: list what fits)")
    parser.add_argument("--out", type=name, metavar="FILE", help="where to; .svg, .png or .pdf")
    parser.add_argument("--data", type=name, metavar="FILE", help="also write the numbers behind it as CSV")
    parser.add_argument("--title", type=name, metavar="TEXT", help="a title above it")
    parser.add_argument("--width", type=_side, metavar="N", help="of a panel, without axes (100 to 4000)")
    parser.add_argument("--height", type=_side, metavar="N", help="of a panel, without axes (100 to 4000)")
    parser.add_argument("--scale", type=_scale, metavar="X", help="pixels of a PNG to a unit (default 2)")
    parser.add_argument("--dark", action="store_true", help="a PNG or PDF on dark ground; SVG has both")


def _side(text: str) -> int:
    number = whole(_SIDES[1])(text)
    if number < _SIDES[0]:
        raise argparse.ArgumentTypeError(f"{shown(text)} is not from {_SIDES[0]} to {_SIDES[1]}")
    return number


def _scale(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not _SCALES[0] <= number <= _SCALES[1]:
        raise argparse.ArgumentTypeError(f"{shown(text)} is not a number from {_SCALES[0]} to {_SCALES[1]}")
    return number


def run(args: argparse.Namespace) -> int:
    """Write the figure, or list those that the paths have."""
    from neuromas.report.charts.kinds import KINDS, sources

    given = sources([Path(path) for path in args.paths])
    if args.kind is None and not (args.out or args.data):
        return _list(given)
    if args.kind not in KINDS:
        if args.kind is None:
            raise ConfigError(f"--kind is missing (valid: {', '.join(KINDS)})")
        raise ConfigError(unknown("--kind", args.kind, KINDS))
    if not (args.out or args.data):
        raise ConfigError("--out is missing: name a file that ends in .svg, .png or .pdf")
    writes = _checked(args)
    picture = _drawn(args, given)
    from neuromas.storage import write_atomic
    from neuromas.storage.disk import clear

    for file, make in writes:
        content = make(picture)
        with clear(file):
            write_atomic(file, content)
        print(f"wrote {visible(str(file))}")
    return 0


def _checked(args: argparse.Namespace) -> list[tuple[Path, Callable[[Picture], str | bytes]]]:
    """The files to write, each with its writer; what cannot be written is said before anything is drawn."""
    found: list[tuple[Path, Callable[[Picture], str | bytes]]] = []
    if args.out:
        suffix = Path(args.out).suffix.lower()
        if suffix not in _FORMATS:
            raise ConfigError(f"--out {shown(args.out)}: {unknown('ending', suffix, _FORMATS)}")
        for flag, given, valid in (
            ("--scale", args.scale is not None, (".png",)),
            ("--dark", args.dark, (".png", ".pdf")),
        ):
            if given and suffix not in valid:
                raise ConfigError(f"{flag} goes with {' or '.join(valid)}, and --out is {shown(args.out)}")
        scale = args.scale or 2.0
        file = file_to_write("--out", args.out)
        found.append((file, lambda picture: _picture(picture, suffix, scale, args.dark)))
    if args.data:
        file = file_to_write("--data", args.data)
        if file.suffix.lower() != ".csv":
            raise ConfigError(
                f"--data {shown(args.data)}: the numbers are written as CSV; end the name in .csv"
            )
        if args.kind == "topology":
            raise ConfigError("--data: the figure 'topology' has no numbers behind it")
        found.append((file, _numbers))
    return found


def _drawn(args: argparse.Namespace, given: Sources) -> Picture:
    """The figure with its title and size."""
    from neuromas.report.charts.frame import Size, titled
    from neuromas.report.charts.kinds import KINDS

    picture = KINDS[args.kind].draw(given, Size(args.width, args.height))
    if not args.title:
        return picture
    if isinstance(picture, str):
        raise ConfigError(f"the figure {args.kind!r} has no room for --title")
    return titled(picture, args.title)


def _picture(picture: Picture, suffix: str, scale: float, dark: bool) -> str | bytes:
    """The figure as a file of this kind."""
    from neuromas.report.charts import drawing

    if isinstance(picture, str):
        if dark:
            raise ConfigError("--dark: a topology is drawn on light ground; its SVG has both")
        if suffix == ".svg":
            return picture
        return drawing.svg_png(picture, scale) if suffix == ".png" else drawing.svg_pdf(picture)
    if suffix == ".svg":
        return drawing.svg(picture)
    return drawing.png(picture, scale, dark) if suffix == ".png" else drawing.pdf(picture, dark)


def _numbers(picture: Picture) -> str:
    """The numbers behind a chart as CSV."""
    from neuromas.report.writers import as_csv

    return "" if isinstance(picture, str) else as_csv([picture.table])


def _list(given: Sources) -> int:
    """The kinds that can be drawn of this, and what others of its sort lack."""
    from neuromas.report.charts.frame import Size
    from neuromas.report.charts.kinds import KINDS

    missing = []
    for kind, one in KINDS.items():
        if not any(getattr(given, sort) for sort in one.of):
            continue
        try:
            one.draw(given, Size())
        except NeuromasError as error:
            missing.append(f"not {kind}: {one_line(error)}")
        else:
            print(f"{kind:9} {one.about}")
    for text in missing:
        print(visible(text))
    print("write one: neuromas figure PATH --kind NAME --out FILE.svg")
    return 0
