"""Every command that a page shows is pasted into bash, as a reader would: quotes and brackets count."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from neuromas.cli.parser import parse
from neuromas.config import check_keys

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
RECIPES = sorted((ROOT / "recipes").rglob("*.toml"))
STUB = "#!/bin/sh\nprintf '%s\\0' \"$@\"\necho\n"  # words end in NUL, and a command in a line's end
SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
SETTING = re.compile(r"""['"]?[a-z]+(\.[a-z_]+)+=""")

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")


def commands(text):
    """What a reader may paste: indented lines, lines of blocks, and commands and settings in a text."""
    text = re.sub(r" \\\n\s*", " ", text)
    yield from re.findall(r"^(?:#? {4}|\$ )?(?:\.venv/bin/)?(neuromas [a-z].*)$", text, re.MULTILINE)
    for span in SPAN.findall(text):
        if re.match(r"neuromas [a-z]+ ", span):  # more than a command's name
            yield span
        elif SETTING.match(span) and not span.endswith("="):
            yield f"neuromas train {span}"


def pasted(line, folder):
    """What bash makes of it, in an empty folder where ``neuromas`` prints its words."""
    if re.fullmatch(r"[\w ./:=,+-]+", line):  # to bash these are words and nothing else
        return line.split()[1:]
    folder.mkdir(exist_ok=True)
    (folder / "questions.txt").touch()
    bin_ = folder / "bin"
    bin_.mkdir(exist_ok=True)
    (bin_ / "neuromas").write_text(STUB)
    (bin_ / "neuromas").chmod(0o755)
    path = f"{bin_}{os.pathsep}{os.environ['PATH']}"
    env = {"PATH": path, "HOME": str(folder)}  # some commands write there
    done = subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, check=False, cwd=folder, env=env
    )
    assert done.returncode == 0, f"{line}: {done.stderr}"
    out = done.stdout or "".join(p.read_text() for p in folder.iterdir() if p.is_file())
    return out.partition("\0\n")[0].split("\0")


def understood(words):
    """Our parser takes the words, and the keys among them exist."""
    args = parse(words)
    if getattr(args, "settings", None):
        check_keys([word for word in args.settings if "=" in word])
    return args


@pytest.mark.parametrize("page", [*PAGES, *RECIPES], ids=lambda page: page.name)
def test_commands_can_be_pasted(page, tmp_path):
    for number, line in enumerate(dict.fromkeys(commands(page.read_text("utf-8")))):
        if any(word in line for word in ("…", "...", "section.key")):  # to be filled in
            continue
        words = pasted(line, tmp_path / str(number))
        try:
            understood(words)
        except SystemExit:
            pytest.fail(f"{page.name}: {line}")
        except Exception as error:
            pytest.fail(f"{page.name}: {line}: {error}")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("neuromas train model.ranks=[4, 4, 16]", ["train", "model.ranks=[4,", "4,", "16]"]),
        ("neuromas train 'model.ranks=[4, 4, 16]'", ["train", "model.ranks=[4, 4, 16]"]),
        ("neuromas train task.options={n=4,rank=2}", ["train", "task.options=n=4", "task.options=rank=2"]),
        ("neuromas train task.options.n=4 # four", ["train", "task.options.n=4"]),
        ('neuromas ask runs/a "3 | 4" > answer.txt', ["ask", "runs/a", "3 | 4"]),
    ],
)
def test_bash_is_what_reads_them(line, says, tmp_path):
    assert pasted(line, tmp_path) == says


def test_a_command_that_breaks_is_found():
    with pytest.raises(SystemExit):
        understood(["train", "--stepz", "3"])
    with pytest.raises(Exception, match="unknown key"):
        understood(["train", "train.learning_rate=1"])
