"""Runs one program as the main one: its text comes through a descriptor, a byte says that it has begun."""

import os
import sys
import types


def main(source: int, begun: int) -> None:
    """Read the program, say so, run it. What it raises ends the process as it would any program."""
    with os.fdopen(source, "rb") as stream:
        text = stream.read()
    os.write(begun, b".")
    os.close(begun)
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    try:
        exec(compile(text, "program.py", "exec"), module.__dict__)
    except SystemExit:
        raise
    except BaseException as error:
        sys.stdout.flush()
        message = str(error)
        print(f"{type(error).__name__}: {message}" if message else type(error).__name__, file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
