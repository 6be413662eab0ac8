"""First inside: sets the limits of the process, then runs the texts it was given, the last as the main one.

The arguments are one JSON object: ``limits`` (names of ``resource`` and values), ``modules`` (name, text) and
``arguments`` (those of the main text).
"""

import json
import resource
import sys
import types


def start(order: dict) -> None:  # type: ignore[type-arg]
    """Limit the process and run what the order holds."""
    for name, value in order["limits"].items():
        # the first second too much is a signal that says why, the next one an end without a word
        resource.setrlimit(getattr(resource, name), (value, value + (name == "RLIMIT_CPU")))
    sys.path = [place for place in sys.path if place]  # nothing is imported from where we stand
    sys.argv = ["", *order["arguments"]]
    for name, text in order["modules"]:
        module = types.ModuleType(name)
        sys.modules[name] = module
        exec(compile(text, f"<{name}>", "exec"), module.__dict__)


if __name__ == "__main__":
    start(json.loads(sys.argv[1]))
