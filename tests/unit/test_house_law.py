"""The law of the house, read from the sources: imports go one way, parts stay small and typed.

A room is a folder of the package. Rooms stand on each other in the order of ``ROOMS``, from the ground up; a
module may import its own room and those below, so there is no cycle between rooms. ``report`` is narration:
it reads what the acts wrote, neither runs them nor loads torch. The few modules that lie flat are the door.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOMS = (
    *("core", "config", "storage", "topology"),
    *("statistics", "theory", "learning"),
    *("sandbox", "tasks", "prompts", "models", "engines", "learner"),
    *("system", "evaluation", "methods", "growth", "training", "experiment"),
    *("report", "serving", "cli"),
)
DOOR = {"__init__", "__main__", "api", "operations", "testing"}  # flat, on the floor of the commands
MAX_FLAT = 6
LIGHT = ("core", "config", "storage", "topology")
ONLY = {"report": {*LIGHT, "statistics"}}  # of all that lies below it
FORBIDDEN_PACKAGES = {room: {"torch", "numpy", "transformers"} for room in LIGHT} | {
    "report": {"torch", "transformers"}
}
IMPORTERS = {"import_module", "importlib.import_module", "__import__"}
MAX_FILE_LINES = 400
MAX_SCRIPT_LINES = 600  # of benchmarks/
MAX_FUNCTION_LINES = 60
MAX_PARAMETERS = 7

PACKAGE = Path(__file__).parents[2] / "src" / "neuromas"
FILES = sorted(PACKAGE.rglob("*.py"))
FLOORS = {room: floor for floor, room in enumerate(ROOMS)} | {"door": len(ROOMS) - 1}
Function = ast.FunctionDef | ast.AsyncFunctionDef


def module_name(path: Path) -> str:
    """Dotted name below the package: ``statistics.paired``, ``statistics``, or ``__init__`` for the door."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    if parts[-1] == "__init__":
        parts = parts[:-1] or ("__init__",)
    return ".".join(parts)


def room_of(module: str) -> str | None:
    """The folder in which the module lies; the door for what lies flat."""
    room = module.partition(".")[0]
    return "door" if room in DOOR else room if room in ROOMS else None


def imports(module: str, is_package: bool, tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and absolute name of all that is imported anywhere in the module, lazily or for types too."""
    own = ["neuromas"] if module == "__init__" else ["neuromas", *module.split(".")]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            up = node.level - (1 if is_package else 0)
            base = own[: len(own) - up] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            if source == "neuromas":  # ``from neuromas import seeds``: each name may be a room
                yield from ((node.lineno, f"neuromas.{alias.name}") for alias in node.names)
            else:
                yield node.lineno, source
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in IMPORTERS:
            yield from ((node.lineno, str(arg.value)) for arg in node.args if isinstance(arg, ast.Constant))


def import_faults(module: str, is_package: bool, tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Imports that go up, or to what the room does without."""
    room = room_of(module)
    if room is None:
        yield 1, f"{module} has no room: put it into one, or add a folder to ROOMS"
        return
    for line, name in imports(module, is_package, tree):
        package, _, inner = name.partition(".")
        if package in FORBIDDEN_PACKAGES.get(room, ()):
            yield line, f"{room} does without {package}"
        if package != "neuromas":
            continue
        target = room_of(inner or "__init__")
        if target is None:  # a name offered by the door itself, or a module that has no room yet
            target = "door"
        if FLOORS[target] > FLOORS[room]:
            yield line, f"{room} may not import {name} ({target}, above it)"
        elif room in ONLY and target not in {room, *ONLY[room]}:
            yield line, f"{room} may not import {name}: it reads what others wrote"


def functions(tree: ast.Module) -> Iterator[tuple[Function, bool]]:
    """Every function at any depth, and whether its first parameter is the object or class itself."""
    for parent in ast.walk(tree):
        for child in ast.iter_child_nodes(parent):
            if isinstance(child, Function):
                static = any(ast.unparse(mark) == "staticmethod" for mark in child.decorator_list)
                yield child, isinstance(parent, ast.ClassDef) and not static


def parameters(function: Function, bound: bool) -> list[ast.arg]:
    """Its parameters without self or cls."""
    args = function.args
    named = [*args.posonlyargs, *args.args][1 if bound else 0 :]
    return [*named, *args.kwonlyargs, *(star for star in (args.vararg, args.kwarg) if star)]


def size_faults(source: str, tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Files, functions and parameter lists that are too long."""
    lines = len(source.splitlines())
    if lines > MAX_FILE_LINES:
        yield lines, f"{lines} lines in a file, at most {MAX_FILE_LINES}"
    for function, bound in functions(tree):
        length = (function.end_lineno or function.lineno) - function.lineno + 1
        if length > MAX_FUNCTION_LINES:
            yield function.lineno, f"{function.name} has {length} lines, at most {MAX_FUNCTION_LINES}"
        count = len(parameters(function, bound))
        if count > MAX_PARAMETERS:
            yield function.lineno, f"{function.name} has {count} parameters, at most {MAX_PARAMETERS}"


def annotation_faults(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Parameters and results without a type."""
    for function, bound in functions(tree):
        for parameter in parameters(function, bound):
            if parameter.annotation is None:
                yield parameter.lineno, f"{function.name}: parameter {parameter.arg} has no type"
        if function.returns is None:
            yield function.lineno, f"{function.name} has no return type"


def docstring_faults(source: str, tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Modules and public functions and classes that do not say what they are."""
    if source.strip() and not ast.get_docstring(tree):
        yield 1, "the module has no docstring"
    for node in tree.body:
        documented = not isinstance(node, Function | ast.ClassDef) or ast.get_docstring(node)
        if not documented and not node.name.startswith("_"):
            yield node.lineno, f"{node.name} is public and has no docstring"


def faults(module: str, is_package: bool, source: str) -> list[tuple[int, str]]:
    """All breaches of the law in one module, as line and rule."""
    tree = ast.parse(source)
    return sorted(
        [
            *import_faults(module, is_package, tree),
            *size_faults(source, tree),
            *annotation_faults(tree),
            *docstring_faults(source, tree),
        ]
    )


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_module_keeps_the_law(path):
    found = faults(module_name(path), path.name == "__init__.py", path.read_text(encoding="utf-8"))
    where = path.relative_to(PACKAGE.parents[1])
    assert not found, "\n" + "\n".join(f"{where}:{line}: {rule}" for line, rule in found)


def loaded_by(*modules: str) -> set[str]:
    """Top-level packages in memory after importing these in a fresh interpreter."""
    code = f"import sys, {', '.join(modules)}; print(' '.join({{m.partition('.')[0] for m in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def in_room(room: str) -> list[str]:
    """Full names of the room's modules that exist."""
    return ["neuromas." + module_name(path) for path in FILES if room_of(module_name(path)) == room]


def test_the_door_is_light():
    assert not loaded_by("neuromas") & {"torch", "transformers", "numpy", "scipy"}


@pytest.mark.parametrize("room", sorted(FORBIDDEN_PACKAGES))
def test_a_room_does_without_packages_also_indirectly(room):
    assert not loaded_by(*in_room(room)) & FORBIDDEN_PACKAGES[room]


def test_what_trains_and_answers_begins_without_scipys_tests():
    """They are slow to load, in every process of an experiment."""
    code = "import sys; from neuromas import api, statistics; statistics.wilson(3, 5)"
    code += "; print('scipy.stats' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


DOC = '"""Doc."""\n'
MANY = ", ".join(f"p{i}: int" for i in range(8))


@pytest.mark.parametrize(
    ("module", "source", "line", "says"),
    [
        ("somewhere", DOC, 1, "put it into one"),
        ("errors", DOC, 1, "put it into one"),
        ("core.errors", DOC + "import torch", 2, "core does without torch"),
        ("topology.graph", DOC + "import numpy.linalg", 2, "topology does without numpy"),
        ("topology", DOC + "def _f() -> None:\n    from numpy import array", 3, "does without numpy"),
        ("report.draw", DOC + "import torch", 2, "report does without torch"),
        ("report.draw", DOC + "from neuromas.training.step import x", 2, "not import neuromas.training"),
        ("report.draw", DOC + "from neuromas import models", 2, "may not import neuromas.models: it reads"),
        ("statistics.a", DOC + "import neuromas.models.lora", 2, "(models, above it)"),
        ("models.lora", DOC + "from neuromas import system", 2, "(system, above it)"),
        ("growth.transfer", DOC + "from neuromas.training.step import learn", 2, "(training, above it)"),
        ("models.lora", DOC + "from ..system.rollout import sample", 2, "(system, above it)"),
        ("models.lora", DOC + "from .. import system", 2, "(system, above it)"),
        ("models.lora", DOC + "from neuromas import Network", 2, "(door, above it)"),
        ("models.lora", DOC + "import neuromas", 2, "(door, above it)"),
        (
            "models.lora",
            DOC + "import importlib\nimportlib.import_module('neuromas.cli')",
            3,
            "(cli, above it)",
        ),
        ("core.seeds", DOC * 401, 401, "401 lines in a file"),
        ("core.seeds", DOC + "def _f() -> None:\n" + "    pass\n" * 60, 2, "_f has 61 lines"),
        ("core.seeds", DOC + f"def _f({MANY}) -> None: ...", 2, "_f has 8 parameters"),
        ("core.seeds", DOC + "class _A:\n    def f(self, x) -> None: ...", 3, "parameter x has no type"),
        (
            "core.seeds",
            DOC + "class _A:\n    @staticmethod\n    def f(x) -> None: ...",
            4,
            "parameter x has no type",
        ),
        ("core.seeds", DOC + "def _f(*args) -> None: ...", 2, "parameter args has no type"),
        ("core.seeds", DOC + "def _f():\n    def g() -> None: ...", 2, "_f has no return type"),
        ("core.seeds", DOC + "def f() -> None: ...", 2, "f is public and has no docstring"),
        ("core.seeds", DOC + "class A: ...", 2, "A is public and has no docstring"),
        ("core.seeds", "x = 1", 1, "the module has no docstring"),
    ],
)
def test_the_law_finds_each_breach(module, source, line, says):
    found = faults(module, False, source)
    assert len(found) == 1, found
    assert found[0][0] == line
    assert says in found[0][1]


@pytest.mark.parametrize(
    ("module", "package", "source"),
    [
        ("topology.graph", False, DOC + "from neuromas.core.errors import TopologyError"),
        ("models", True, DOC + "from .lora import Lora\nfrom . import sampler"),
        ("models.lora", False, DOC + "from . import sampler\nfrom ..tasks import registry\nimport torch"),
        ("training.step", False, DOC + "from neuromas import core, system"),
        ("cli", False, DOC + "import neuromas\nfrom neuromas.report import draw"),
        ("__init__", True, DOC + "from .system.network import Network"),
        ("cli.train", False, DOC + "from neuromas import __version__, api"),
        ("core.seeds", False, DOC + f"class _A:\n    def f(self, {MANY[:-9]}) -> None: ..."),
        ("core.seeds", False, ""),
    ],
)
def test_the_law_lets_the_lawful_pass(module, package, source):
    assert faults(module, package, source) == []


@pytest.mark.parametrize("path", sorted((PACKAGE.parents[1] / "benchmarks").rglob("*.py")), ids=str)
def test_scripts_of_benchmarks_stay_small(path):
    assert len(path.read_text("utf-8").splitlines()) <= MAX_SCRIPT_LINES


def test_the_list_of_rooms_is_the_listing_of_folders():
    folders = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()}
    assert folders == set(ROOMS)
    assert len(ROOMS) == len(set(ROOMS))


def test_few_modules_lie_flat():
    flat = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"}
    assert flat <= DOOR
    assert len(flat) <= MAX_FLAT


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("__init__.py")), ids=lambda path: path.parent.name)
def test_every_package_says_what_may_be_in_it(path):
    said = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    assert len(said) > 60


def test_the_table_of_rooms_is_the_law():
    """docs/house.md: a row a room, in the order of the law."""
    page = (PACKAGE.parents[1] / "docs" / "house.md").read_text("utf-8")
    assert tuple(re.findall(r"^\| `(\w+)/` \|", page, re.MULTILINE)) == ROOMS


@pytest.mark.parametrize("path", sorted((PACKAGE.parents[1] / "tests" / "unit").iterdir()), ids=str)
def test_unit_tests_mirror_the_tree(path):
    """Tests of a room lie in a folder of its name; flat are those of the door and of the project itself."""
    if path.is_dir() and path.name != "__pycache__":
        assert path.name in ROOMS
