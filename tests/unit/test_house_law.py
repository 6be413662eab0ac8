"""The law of the house, read from the sources: imports go one way, parts stay small and typed.

Rooms stand on each other from the ground up. A module belongs to the room that names its first part
below ``neuromas`` and may import only its own room and those below. ``report`` is narration: it reads
what the acts wrote and neither runs them nor loads torch.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOMS = {
    "facts": {"errors", "files", "seeds", "topology", "shapes", "task", "episode", "config"},
    "mathematics": {"statistics", "learning", "theory"},
    "instruments": {"prompts", "graphs", "models", "tasks", "store", "tracking", "provenance", "trust"}
    | {"interrupt"},
    "acts": {"rollout", "evaluate", "training", "network", "assemble", "session", "stream"}
    | {"growth", "experiment"}
    | {"guard", "candidates", "testing", "rewind"},
    "narration": {"report"},
    "door": {"api", "cli", "__init__", "__main__"},
}
FORBIDDEN_ROOMS = {"narration": {"acts"}}  # below it, and still not its business
FORBIDDEN_PACKAGES = {"facts": {"torch", "numpy", "transformers"}, "narration": {"torch", "transformers"}}
IMPORTERS = {"import_module", "importlib.import_module", "__import__"}
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
MAX_PARAMETERS = 7

PACKAGE = Path(__file__).parents[2] / "src" / "neuromas"
FILES = sorted(PACKAGE.rglob("*.py"))
FLOORS = list(ROOMS)
Function = ast.FunctionDef | ast.AsyncFunctionDef


def module_name(path: Path) -> str:
    """Dotted name below the package: ``statistics.paired``, ``statistics``, or ``__init__`` for the door."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    if parts[-1] == "__init__":
        parts = parts[:-1] or ("__init__",)
    return ".".join(parts)


def room_of(module: str) -> str | None:
    """The room that names the module's first part."""
    group = module.partition(".")[0]
    return next((room for room, groups in ROOMS.items() if group in groups), None)


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
        yield 1, f"{module} has no room: give this module a room in tests/unit/test_house_law.py"
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
        if FLOORS.index(target) > FLOORS.index(room):
            yield line, f"{room} may not import {name} ({target}, above it)"
        elif target in FORBIDDEN_ROOMS.get(room, ()):
            yield line, f"{room} may not import {name} ({target})"


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


DOC = '"""Doc."""\n'
MANY = ", ".join(f"p{i}: int" for i in range(8))


@pytest.mark.parametrize(
    ("module", "source", "line", "says"),
    [
        ("somewhere", DOC, 1, "give this module a room"),
        ("errors", DOC + "import torch", 2, "facts does without torch"),
        ("topology", DOC + "import numpy.linalg", 2, "facts does without numpy"),
        ("topology", DOC + "def _f() -> None:\n    from numpy import array", 3, "facts does without numpy"),
        ("report.draw", DOC + "import torch", 2, "narration does without torch"),
        ("report.draw", DOC + "from neuromas.training import x", 2, "not import neuromas.training (acts)"),
        ("report.draw", DOC + "from neuromas import evaluate", 2, "may not import neuromas.evaluate (acts)"),
        ("statistics.a", DOC + "import neuromas.models.lora", 2, "(instruments, above it)"),
        ("models.lora", DOC + "from neuromas import rollout", 2, "(acts, above it)"),
        ("models.lora", DOC + "from ..rollout import sample", 2, "(acts, above it)"),
        ("models.lora", DOC + "from .. import rollout", 2, "(acts, above it)"),
        ("models.lora", DOC + "from neuromas import Network", 2, "(door, above it)"),
        ("models.lora", DOC + "import neuromas", 2, "(door, above it)"),
        (
            "models.lora",
            DOC + "import importlib\nimportlib.import_module('neuromas.cli')",
            3,
            "(door, above it)",
        ),
        ("seeds", DOC * 401, 401, "401 lines in a file"),
        ("seeds", DOC + "def _f() -> None:\n" + "    pass\n" * 60, 2, "_f has 61 lines"),
        ("seeds", DOC + f"def _f({MANY}) -> None: ...", 2, "_f has 8 parameters"),
        ("seeds", DOC + "class _A:\n    def f(self, x) -> None: ...", 3, "parameter x has no type"),
        (
            "seeds",
            DOC + "class _A:\n    @staticmethod\n    def f(x) -> None: ...",
            4,
            "parameter x has no type",
        ),
        ("seeds", DOC + "def _f(*args) -> None: ...", 2, "parameter args has no type"),
        ("seeds", DOC + "def _f():\n    def g() -> None: ...", 2, "_f has no return type"),
        ("seeds", DOC + "def f() -> None: ...", 2, "f is public and has no docstring"),
        ("seeds", DOC + "class A: ...", 2, "A is public and has no docstring"),
        ("seeds", "x = 1", 1, "the module has no docstring"),
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
        ("topology", False, DOC + "from neuromas.errors import TopologyError"),
        ("models", True, DOC + "from .lora import Lora\nfrom . import sampler"),
        ("models.lora", False, DOC + "from . import sampler\nfrom ..tasks import registry\nimport torch"),
        ("training", False, DOC + "from neuromas import rollout, seeds"),
        ("cli", False, DOC + "import neuromas\nfrom neuromas.report import draw"),
        ("__init__", True, DOC + "from .network import Network"),
        ("seeds", False, DOC + f"class _A:\n    def f(self, {MANY[:-9]}) -> None: ..."),
        ("seeds", False, ""),
    ],
)
def test_the_law_lets_the_lawful_pass(module, package, source):
    assert faults(module, package, source) == []


def test_the_table_of_rooms_names_every_module():
    """docs/house.md, a row a room: what the law says and the tree has."""
    page = (PACKAGE.parents[1] / "docs" / "house.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| (?:the )?(\w+) \| (.+?) \|", page, re.MULTILINE))
    there = {module_name(path).partition(".")[0] for path in FILES}
    for room, groups in ROOMS.items():
        named = {word.strip("/") for part in re.findall("`([^`]+)`", rows[room]) for word in part.split()}
        assert named == (groups & there) - {"__main__"}, room


def test_rooms_are_disjoint():
    groups = [group for room in ROOMS.values() for group in room]
    assert len(groups) == len(set(groups))
    assert {"neuromas.errors", "neuromas.topology"} <= set(in_room("facts"))
