"""The program that is judged, in a sandbox of its own: it answers calls with plain values and sees no test.

All that it can do with its two descriptors is to answer; another answer is what its functions might have
returned as well.
"""

from __future__ import annotations

import json
import os
import sys
import types
from typing import Any

from neuromas.sandbox.inside.values import pack, pack_iterator, unpack


class Served:
    """The program's names, and the objects of its own that the other side holds by number."""

    def __init__(self, names: dict[str, Any]) -> None:
        self.names = names
        self.held: list[Any] = []

    def foreign(self, value: Any) -> Any:
        """An iterator as its items; any other object is kept here and known by its number."""
        if hasattr(type(value), "__next__"):
            return pack_iterator(value, self.foreign)
        for number, one in enumerate(self.held):
            if one is value:
                return ["o", number]
        self.held.append(value)
        return ["o", len(self.held) - 1]

    def known(self, mark: str, key: Any) -> Any:
        """The program's object of that number (``o``) or name (``g``)."""
        return self.held[key] if mark == "o" else self.names[key]

    def answer(self, asked: dict[str, Any]) -> Any:
        """What a request comes to, packed: a call, an attribute that is read, or one that is set."""
        target = unpack(asked["of"], self.known)
        if asked["do"] == "call":
            args = [unpack(one, self.known) for one in asked["args"]]
            named = {key: unpack(one, self.known) for key, one in asked["named"].items()}
            return pack(target(*args, **named), self.foreign)
        if asked["do"] == "get":
            return pack(getattr(target, asked["name"]), self.foreign)
        return setattr(target, asked["name"], unpack(asked["value"], self.known))


def failed(error: BaseException) -> dict[str, str]:
    """An exception as data."""
    try:
        return {"raised": type(error).__name__, "text": str(error)[:200]}
    except Exception:
        return {"raised": "Exception", "text": ""}


def main(source: int, calls: int, answers: int) -> None:
    """Wait for the word to begin, run the program, answer calls until there are no more."""
    dump = json.dumps
    out = os.fdopen(answers, "wb", buffering=0)
    asked = os.fdopen(calls, "rb")
    out.write(b'{"up": true}\n')
    asked.readline()
    os.dup2(1, 2)  # the null device: nobody reads what the program prints
    with os.fdopen(source, "rb") as given:
        text = given.read()
    module = sys.modules["program"] = types.ModuleType("program")
    served = Served(module.__dict__)

    def say(line: dict[str, Any]) -> None:
        rest = memoryview((dump(line) + "\n").encode())
        while rest:
            rest = rest[out.write(rest) :]

    try:
        exec(compile(text, "program.py", "exec"), served.names)
    except BaseException as error:
        say(failed(error))
        return
    say({"value": None})
    for line in asked:
        try:
            said: dict[str, Any] = {"value": served.answer(json.loads(line))}
        except BaseException as error:
            said = failed(error)
        say(said)


if __name__ == "__main__":
    main(*(int(number) for number in sys.argv[1:4]))
