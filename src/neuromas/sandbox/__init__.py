"""Programs that nobody has read, run apart from everything: no network, no files, bounded time and memory.

``find_sandbox`` gives one that works on this machine or refuses in one line; ``Sandbox.run`` runs a program,
``judging.judge`` compares one with tests that it cannot see. What lies in ``inside`` runs in there, under
another interpreter, and imports the standard library alone. Stands below tasks (which judge answers) and
the system (whose nodes may use a tool).
"""

from neuromas.sandbox.base import Limits, Outcome, Sandbox
from neuromas.sandbox.choosing import SANDBOXES, find_sandbox, standing

__all__ = ["SANDBOXES", "Limits", "Outcome", "Sandbox", "find_sandbox", "standing"]
