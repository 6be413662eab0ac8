"""``python -m neuromas.cli.cell``: a command as a cell of an experiment, which ends with the experiment.

Its standard input is a pipe that the experiment holds open and never writes to. When the experiment is gone,
however it went, the pipe ends, and so does the cell; the run goes on from its checkpoint another time.
"""

from __future__ import annotations

import os
import signal
import threading

from neuromas.cli import main


def _end_with_parent() -> None:
    """Wait for the end of standard input, then be gone at once."""
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    raise SystemExit(main())
