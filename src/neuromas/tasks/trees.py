"""Complete binary trees of one local step, and how they are cut into questions for nodes.

A tree is a leaf or ``(left, step, right)``; a leaf is whatever the family reads. Level 0 is the root.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from neuromas.core.errors import TaskError

Tree = Any


def check_parts(task: str, parts: int, depth: int) -> None:
    """Raises TaskError unless ``parts`` subtrees of equal size make up a tree of that depth."""
    if parts & (parts - 1) or parts > 2**depth:
        raise TaskError(f"task {task!r}: parts = {parts} must be a power of 2, at most 2**depth = {2**depth}")


def level(tree: Tree, depth: int) -> list[Tree]:
    """The subtrees ``depth`` levels below the root, left to right."""
    return [tree] if depth == 0 else level(tree[0], depth - 1) + level(tree[2], depth - 1)


def named(tree: Tree, depth: int, names: Iterator[str]) -> Tree:
    """The tree with every subtree at ``depth`` replaced by the next name."""
    if depth == 0:
        return next(names)
    left = named(tree[0], depth - 1, names)
    return (left, tree[1], named(tree[2], depth - 1, names))


def steps(tree: Tree, cut: int) -> list[list[Tree]]:
    """Every step above the parts at level ``cut`` in letters of its own, a list a level, lowest first."""
    return [[("A", node[1], "B") for node in level(tree, depth)] for depth in range(cut - 1, -1, -1)]


def answers(tree: Tree, cut: int, value: Callable[[Tree], object]) -> tuple[tuple[str, ...], ...]:
    """The values of the parts, and of all steps above them, as ``Problem.meta["local"]`` has them."""
    return _values(tree, range(cut, -1, -1), value)


def inside(tree: Tree, cut: int, value: Callable[[Tree], object]) -> tuple[tuple[str, ...], ...]:
    """The values of the steps inside the parts, lowest first, as ``Problem.meta["inside"]`` has them."""
    return _values(tree, range(_height(tree) - 1, cut, -1), value)


def _values(
    tree: Tree, depths: Iterable[int], value: Callable[[Tree], object]
) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(str(value(node)) for node in level(tree, depth)) for depth in depths)


def _height(tree: Tree) -> int:
    return 1 + _height(tree[0]) if isinstance(tree, tuple) else 0
