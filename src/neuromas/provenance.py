"""What a result depends on besides its configuration: versions, commit, machine."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
import time
from pathlib import Path
from typing import Any

PACKAGES = (
    "neuromas",
    "torch",
    "transformers",
    "safetensors",
    "numpy",
    "scipy",
    "reasoning-gym",
    "math-verify",
)


def about() -> dict[str, Any]:
    """What a result depends on besides its configuration: versions, commit, machine."""
    versions = {name: _version(name) for name in PACKAGES}
    import torch

    return {
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "versions": versions,
        "commit": _commit(),
        "python": platform.python_version(),
        "machine": {
            "processor": torch.backends.cpu.get_cpu_capability(),
            "threads": torch.get_num_threads(),
            "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        },
    }


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """Commit of the source tree, with ``+changed`` if it differs; None outside a checkout."""
    here = Path(__file__).parent
    try:
        # installed into a folder of somebody else's repository, that one's commit says nothing of us
        if not _git(here, "ls-files", Path(__file__).name):
            return None
        return _git(here, "describe", "--always", "--dirty=+changed", "--abbrev=12") or None
    except (OSError, subprocess.TimeoutExpired):
        return None


def _git(folder: Path, *words: str) -> str:
    """What git prints; nothing if it fails."""
    done = subprocess.run(
        ["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=10, check=False
    )
    return done.stdout.strip() if done.returncode == 0 else ""
