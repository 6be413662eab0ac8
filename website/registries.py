"""Registries for the reference: every built-in part by name, read from the sources without importing."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from website.repository import ROOT
from website.words import bars, cell

Definition = ast.ClassDef | ast.FunctionDef
_ABOUT = {  # where the parts of a kind are told in full
    "estimator": "../method.md#learning",
    "algorithm": "../method.md#other-algorithms",
    "method": "../methods.md",
    "engine": "../engines.md",
    "page": "../looking.md#afterwards",
    "launcher": "../clusters.md",
}


def parts() -> str:
    """Every registry with its parts, their options and their files; read from the sources, nothing is run."""
    from neuromas.core.parts import REGISTRIES

    lines: list[str] = []
    for registry in REGISTRIES:
        if not registry.builtin:
            continue
        told = f" In full: [here]({_ABOUT[registry.kind]})." if registry.kind in _ABOUT else ""
        title = f"{registry.kind[0].upper()}{registry.kind[1:]}s"
        lines += ["", f"## {title}", "", f"Entry points: `{registry.group}`.{told}", ""]
        lines += ["| name | what it is | options | file |", "|---|---|---|---|"]
        for name, address in registry.builtin.items():
            path, node = _definition(address)
            about = " ".join((ast.get_docstring(node) or "").split("\n\n")[0].split()).replace("``", "`")
            options = ", ".join(f"`{key} = {value}`" for key, value in _options(path, node).items())
            lines.append(f"| `{name}` | {cell(about)} | {bars(options)} | [{path.name}](../../{_in(path)}) |")
    return "\n".join([*lines, ""])


def _in(path: Path) -> str:
    """A file's path below the repository's root."""
    return path.relative_to(ROOT).as_posix()


def _file(module: str) -> Path:
    """The source of a module."""
    path = ROOT.joinpath("src", *module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _definition(address: str) -> tuple[Path, ast.AST]:
    """Where ``module:Name`` is written. Of what is no class and no function the module is taken."""
    module, _, name = address.partition(":")
    path = _file(module)
    tree = ast.parse(path.read_text("utf-8"))
    for node in tree.body:
        if isinstance(node, Definition) and node.name == name:
            return path, node
        if isinstance(node, ast.ImportFrom) and name in {one.asname or one.name for one in node.names}:
            source = _absolute(node, module, path)
            if source.startswith("neuromas"):
                return _definition(f"{source}:{name}")
    return path, tree


def _absolute(node: ast.ImportFrom, module: str, path: Path) -> str:
    """The module that an import names."""
    if not node.level:
        return node.module or ""
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    return ".".join([*package[: len(package) - node.level + 1], *([node.module] if node.module else [])])


def _options(path: Path, node: ast.AST) -> dict[str, str]:
    """Fields of a dataclass with their defaults, those of its bases in this package first."""
    if not isinstance(node, ast.ClassDef):
        return {}
    found: dict[str, str] = {}
    module = ".".join(path.relative_to(ROOT / "src").with_suffix("").parts).removesuffix(".__init__")
    for base in node.bases:
        if isinstance(base, ast.Name):
            found |= _options(*_definition(f"{module}:{base.id}"))
    marked = any("dataclass" in ast.unparse(mark) for mark in node.decorator_list)
    return found | dict(_fields(node)) if marked else found


def _fields(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    """A class's own annotated fields that are options."""
    for one in node.body:
        if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name):
            hidden = one.target.id.startswith("_") or "ClassVar" in ast.unparse(one.annotation)
            if not hidden and "init=False" not in ast.unparse(one):
                yield one.target.id, "needed" if one.value is None else ast.unparse(one.value)
