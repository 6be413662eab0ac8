"""Adapters brought to servers: folders that PEFT reads, under a new name and path for every state.

vLLM keys its cache of keys and values by an adapter's name and path: an adapter overwritten in place is
answered from the cache of the one before (vllm#42125), and one loaded in place is read again at every step
of the scheduler (vllm#36373). So a changed adapter is forgotten and plainly loaded under a name that was
never used, and its old folder removed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import uuid
import weakref
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from neuromas.core.errors import ConfigError, ModelError, one_line, shown
from neuromas.core.files import at_home
from neuromas.engines.served.client import RefusedError, Servers
from neuromas.models.adapters import AdapterBank
from neuromas.models.bundle import save_adapter

RUNTIME = "VLLM_ALLOW_RUNTIME_LORA_UPDATING"


class Publisher:
    """The adapters that servers have of us, row by row. Its folder is private and removed at the end."""

    def __init__(self, servers: Servers, folder: str, backbone: str) -> None:
        """``folder``: where all servers read ("": this machine's temporary one). Raises ConfigError."""
        parent = str(at_home(folder).absolute()) if folder else None
        try:
            self._place = Path(tempfile.mkdtemp(prefix="neuromas-adapters-", dir=parent))
        except OSError as error:
            where = shown(folder) if folder else "the temporary folder"
            raise ConfigError(
                f"engine.options.folder: nothing can be written in {where} ({error.strerror or error})"
            ) from error
        self._servers, self._backbone = servers, backbone
        self._mark, self._count = uuid.uuid4().hex[:10], 0  # names no other run has given or will give
        self.names: list[str] = []
        self._states: list[bytes] = []
        self._end = weakref.finalize(self, _remove, self._place, os.getpid())

    def close(self) -> None:
        """Remove the folder."""
        self._end()

    def publish(self, bank: AdapterBank) -> list[int]:
        """Bring all that changed to every server; returns its rows.

        Raises ModelError naming the server that does not take it, or the folder that cannot be written.
        """
        states = [_state(bank.ranks[row], vector) for row, vector in enumerate(bank.parameters)]
        changed = [row for row, state in enumerate(states) if self._states[row : row + 1] != [state]]
        old = [self.names[row] for row in changed if row < len(self.names)] + self.names[len(states) :]
        names = self.names[: len(states)] + [""] * (len(states) - len(self.names))
        for row in changed:
            self._count += 1
            names[row] = f"neuromas-{self._mark}-{row}-{self._count}"
            self._write(bank, row, names[row])
        # until all is done nothing is known of these rows: if it fails, the next time brings them again
        kept = self._states[: len(states)]
        self._states = [b"" if row in changed else state for row, state in enumerate(kept)]
        self._servers.unload(old)
        self._load([names[row] for row in changed])
        self.names, self._states = names, states
        for name in old:
            shutil.rmtree(self._place / name, ignore_errors=True)
        return changed

    def _write(self, bank: AdapterBank, row: int, name: str) -> None:
        try:
            save_adapter(self._place / name, bank, row, self._backbone)
        except OSError as error:
            shutil.rmtree(self._place / name, ignore_errors=True)
            raise ModelError(
                f"adapter {row} cannot be written to {self._place} for the servers "
                f"({error.strerror or one_line(error)}); free some space or set engine.options.folder"
            ) from error

    def _load(self, names: Sequence[str]) -> None:
        try:
            self._servers.load({name: str(self._place / name) for name in names})
        except RefusedError as error:
            hint = (
                f"a server takes adapters if it runs with {RUNTIME}=1 and --enable-lora"
                if error.status in (404, 405)
                else "it must read this folder, and allow the adapters' rank and targets"
            )
            raise ModelError(f"{one_line(error)}; {hint} (see neuromas engine start --print)") from error


def _state(rank: int, vector: Tensor) -> bytes:
    """What tells one state of an adapter from another: a version would not, after going back."""
    numbers = vector.detach().cpu().contiguous().numpy()
    return hashlib.sha256(numbers.tobytes() + rank.to_bytes(8, "big")).digest()


def _remove(folder: Path, process: int) -> None:
    """Remove the folder, unless this is a fork of the process it belongs to."""
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)
