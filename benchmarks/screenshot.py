"""A picture of a run's page in a browser: its trace viewer, as wide as in the README.

    python benchmarks/screenshot.py RUN OUT.png [--dark] [--item ID] [--step N] [--width 1280]

Needs playwright and Chromium (the development extra; a browser on PATH). The page is made anew and nothing in
the run is written.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from neuromas.report.html.render import page
from neuromas.report.html.story import tell

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-quic"),
)


def browser() -> str:
    """The program of a browser on PATH; ends with a line where there is none."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        sys.exit(f"no browser on PATH (looked for {', '.join(BROWSERS)})")
    return found


def picture(file: Path, out: Path, args: argparse.Namespace) -> None:
    """Open the page, go to the question and the layer, and write what is seen of the viewer."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as program:
        opened = program.chromium.launch(executable_path=browser(), args=list(FLAGS))
        seen = opened.new_page(
            viewport={"width": args.width, "height": 900},
            color_scheme="dark" if args.dark else "light",
            reduced_motion="reduce",
            device_scale_factor=1.5,
        )
        seen.goto(file.as_uri())
        if args.item:
            seen.fill("#trace-search", args.item)
        for _ in range(args.step - 1):
            seen.click("#step-next")
        if args.item:
            seen.evaluate("document.activeElement.blur()")
        seen.evaluate("document.querySelector('#traces').scrollIntoView()")
        seen.evaluate("window.scrollBy(0, -8)")
        seen.wait_for_timeout(200)
        seen.screenshot(path=str(out))
        opened.close()


def main() -> None:
    """Make the page in a temporary folder and the picture of it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--item", default="", help="words of the question that is shown (default: the first)")
    parser.add_argument("--step", type=int, default=2, help="layer that is shown (default 2)")
    parser.add_argument("--width", type=int, default=1280, help="pixels (default 1280)")
    parser.add_argument("--dark", action="store_true", help="on dark ground")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "report.html"
        file.write_text(page(tell([args.run])), encoding="utf-8", errors="replace")
        picture(file, args.out, args)


if __name__ == "__main__":
    main()
