"""The tests, in a sandbox that the judged program has no part in; they see of it plain values alone.

Reads what is to be judged from the standard input; the verdict goes through a descriptor that nobody else
has, behind a word that nobody else was told. Names in the tests that the tests, the problem's own text and
Python do not define are the program's.
"""

from __future__ import annotations

import ast
import builtins
import json
import os
import sys
from typing import Any

from neuromas.sandbox.inside.values import pack, unpack

MOST_BYTES = 2**20  # of one answer
_STANDARD: frozenset[str] = getattr(sys, "stdlib_module_names", frozenset())


class Gone(BaseException):
    """The program is no more, or says what cannot be read. No test takes this for an exception of its own."""


class Line:
    """The way to the program and back."""

    def __init__(self, calls: int, answers: int) -> None:
        self.calls = os.fdopen(calls, "wb", buffering=0)
        self.answers = os.fdopen(answers, "rb")
        self.lost = ""
        self.handles: dict[int, Handle] = {}

    def read(self) -> Any:
        """The next line, as data. Raises Gone."""
        line = self.answers.readline(MOST_BYTES + 1)
        if not line.endswith(b"\n"):
            self.fail(
                "the program answers at too great length" if len(line) > MOST_BYTES else "the program ended"
            )
        try:
            return json.loads(line)
        except (ValueError, RecursionError):
            self.fail("the program answers with what cannot be read")

    def fail(self, why: str) -> None:
        """Raises Gone, and remembers it for a test that catches everything."""
        self.lost = self.lost or why
        raise Gone(self.lost)

    def ask(self, **request: Any) -> Any:
        """The program's answer to a request; raises what it raised, as an exception of Python's own."""
        if self.lost:
            raise Gone(self.lost)
        try:
            self.calls.write((json.dumps(request) + "\n").encode())
        except OSError:
            self.fail("the program ended")
        said = self.read()
        try:
            if "raised" in said:
                raised = known_exception(said["raised"])(str(said.get("text", "")))
            else:
                return unpack(said["value"], self.foreign)
        except (ValueError, TypeError, KeyError, IndexError, RecursionError, OverflowError, MemoryError):
            self.fail("the program answers with what cannot be read")
        raise raised

    def foreign(self, mark: str, key: Any) -> Any:
        """An object that stays with the program."""
        if mark != "o" or not isinstance(key, int):
            raise ValueError("no packed value")
        return self.handles.setdefault(key, Handle(self, ["o", key]))


class Handle:
    """A name or an object of the program: called, its attributes read and set; equal to itself alone."""

    def __init__(self, line: Line, place: list[Any]) -> None:
        object.__setattr__(self, "_line", line)
        object.__setattr__(self, "_place", place)

    def __call__(self, *args: Any, **named: Any) -> Any:
        sent = [pack(one, _place_of) for one in args]
        by_name = {key: pack(one, _place_of) for key, one in named.items()}
        return self._line.ask(do="call", of=self._place, args=sent, named=by_name)

    def __getattr__(self, name: str) -> Any:
        return self._line.ask(do="get", of=self._place, name=name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._line.ask(do="set", of=self._place, name=name, value=pack(value, _place_of))


def _place_of(value: Any) -> Any:
    """How the program knows an object that it holds itself. Raises TypeError for any other."""
    if isinstance(value, Handle):
        return object.__getattribute__(value, "_place")
    raise TypeError(f"tests hand over plain values, not {type(value).__name__}")


def known_exception(name: Any) -> type[Exception]:
    """The built-in exception of that name; RuntimeError for any other, and for what ends a process."""
    found = getattr(builtins, name, None) if isinstance(name, str) else None
    return found if isinstance(found, type) and issubclass(found, Exception) else RuntimeError


class Counted(ast.NodeTransformer):
    """Every assertion as one that is counted and does not end the tests; those of constants say nothing."""

    def __init__(self) -> None:
        self.count = 0

    def visit_Assert(self, node: ast.Assert) -> Any:
        """``assert X`` as a note whether X holds, an exception meaning that it does not."""
        if isinstance(node.test, ast.Constant):
            return ast.copy_location(ast.Pass(), node)
        self.count += 1
        text = "try:\n    __note__(bool(0))\nexcept Exception:\n    __note__(False)"
        made = ast.parse(text).body[0]
        call: Any = made.body[0].value  # type: ignore[attr-defined]
        call.args[0].args[0] = node.test
        for part in ast.walk(made):
            if part is not node.test:
                ast.copy_location(part, node)
        return ast.fix_missing_locations(made)


def names_of_program(tree: ast.AST, known: dict[str, Any]) -> list[str]:
    """Names that the tests read and nobody but the program defines, in their order."""
    used: dict[str, None] = {}
    made = set(dir(builtins)) | set(known)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            if isinstance(node.ctx, ast.Load):
                used[node.id] = None
            else:
                made.add(node.id)
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            made.add(node.name)
        elif isinstance(node, ast.arg):
            made.add(node.arg)
        elif isinstance(node, ast.alias):
            made.add((node.asname or node.name).partition(".")[0])
        elif isinstance(node, ast.ExceptHandler) and node.name:
            made.add(node.name)
    return [name for name in used if name not in made]


class Trial:
    """One program before one set of tests."""

    def __init__(self, order: dict[str, Any], line: Line) -> None:
        """Everything that does not need the program: what fails here is not its doing."""
        self.line = line
        self.notes: list[bool] = []
        names: dict[str, Any] = {"__name__": "tests", "__note__": self.notes.append}
        exec(compile(order["given"], "given.py", "exec"), names)
        tree = ast.parse(order["tests"])
        self.count = 0
        if order["graded"]:
            counting = Counted()
            tree = counting.visit(tree)
            self.count = counting.count
        names.pop(order["entry"], None)
        for name in names_of_program(tree, names):
            names[name] = __import__(name) if name in _STANDARD else Handle(line, ["g", name])
        names[order["entry"]] = Handle(line, ["g", order["entry"]])
        self.names, self.code = names, compile(tree, "tests.py", "exec")

    def verdict(self) -> dict[str, Any]:
        """Whether all tests hold, why not, and which share of the assertions does where they are counted."""
        cause = self._cause()
        noted = len(self.notes) + bool(cause)
        share = sum(self.notes) / max(self.count, noted, 1)
        if not cause and not all(self.notes):
            cause = f"{self.notes.count(False)} of {len(self.notes)} assertions do not hold"
        return {"passed": not cause, "share": share if self.count else float(not cause), "cause": cause[:300]}

    def _cause(self) -> str:
        """Why the tests did not come to their end; empty if they did."""
        try:
            self.line.calls.write(b"begin\n")
            said = self.line.read()
            if not isinstance(said, dict) or "raised" in said:
                return f"the program: {said.get('raised')}: {said.get('text')}"
            exec(self.code, self.names)
        except BaseException as error:
            return self.line.lost or f"{type(error).__name__}: {error}".removesuffix(": ")
        return self.line.lost


def main(calls: int, answers: int, verdict: int) -> None:
    """Prepare, say that the program may begin, judge."""
    order = json.load(sys.stdin)
    line = Line(calls, answers)
    said = os.fdopen(verdict, "wb", buffering=0)

    def tell(what: dict[str, Any]) -> None:
        said.write((json.dumps({"word": order["word"], **what}) + "\n").encode())

    try:
        trial = Trial(order, line)
        line.read()
    except Gone:
        return  # the other sandbox broke, and says itself why
    except BaseException as error:
        tell({"trouble": f"{type(error).__name__}: {str(error)[:200]}"})
        return
    tell({"ready": True})
    os.dup2(1, 2)  # what tests print is not read
    tell(trial.verdict())


if __name__ == "__main__":
    main(*(int(number) for number in sys.argv[1:4]))
