"""What a result depends on besides its configuration: versions, commit, machine, files it reads."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuromas.config import Config, at_stage, make_config
from neuromas.core.errors import RunError
from neuromas.core.files import open_regular
from neuromas.core.task import Task
from neuromas.models.precision import AUTO, PRECISIONS, chosen, plain_name
from neuromas.storage import MANIFEST, Run, read_json
from neuromas.system.prompting import check_prompt_unchanged
from neuromas.tasks.files import DATA_TASKS
from neuromas.tasks.rewards import codes
from neuromas.topology.files import inline

if TYPE_CHECKING:
    from neuromas.models.backbone import Backbone

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


def about(dtype: object = None) -> dict[str, Any]:
    """What a result depends on besides its configuration: versions, commit, machine.

    ``dtype`` is that of the backbone that computes here, as torch or a configuration names it.
    """
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
            **({"precision": plain_name(dtype)} if dtype else {}),
        },
    }


def trained_in(manifest: Mapping[str, Any]) -> str:
    """In what a saved network was computed; "auto" where neither its configuration nor its manifest says."""
    named, known = make_config(manifest["config"]).model.dtype, manifest.get("backbone")
    return _first([named, known.get("precision") if isinstance(known, Mapping) else None])


def computed_in(run: Run) -> str:
    """In what a run goes on: as its newest checkpoint was computed, else as it began; "auto" if none says."""
    named = make_config(run.read("config.json")).model.dtype
    saved = (_precision(folder / MANIFEST) for folder in reversed(run.checkpoints()))
    facts = run.read("run.json") if (run.path / "run.json").is_file() else {}
    machine = facts.get("machine")
    begun = machine.get("precision") if isinstance(machine, Mapping) else None
    return _first([named], saved, [begun])


def _precision(file: Path) -> object:
    """What a manifest says of it; nothing where it cannot be read: another checkpoint is taken then."""
    try:
        known = read_json(file).get("backbone")
    except RunError:
        return None
    return known.get("precision") if isinstance(known, Mapping) else None


def _first(*said: Iterable[object]) -> str:
    """The first that is a precision, else "auto"."""
    return next((one for one in chain(*said) if isinstance(one, str) and one in PRECISIONS), AUTO)


def precision_changed(before: str, config: Config, backbone: Backbone, where: str) -> list[str]:
    """A line if the backbone computes in another precision than ``before``, or in one that is slow here.

    ``where`` says what was computed in ``before``, which is "auto" where nobody knows.
    """
    now = plain_name(backbone.dtype)
    if before not in (AUTO, now):
        return [
            f"the backbone computes in {now} here, in {before} {where}: what is drawn from now on differs by "
            "rounding (model.dtype names a precision)"
        ]
    fast = chosen(config.model.dtype, backbone.device.type)
    if before == AUTO or fast == now:
        return []
    return [
        f"goes on in {now}, as it was computed until now; this machine alone would take {fast}, in which it "
        "is faster (model.dtype = 'auto')"
    ]


def command() -> list[str]:
    """What was typed to start this process, without the folder of the program."""
    return [Path(sys.argv[0]).name, *sys.argv[1:]] if sys.argv else []


def digests(config: Config) -> dict[str, str]:
    """The SHA-256 of every file that a run of this configuration reads, by the name it is given there."""
    return {name: _digest(Path(name)) for name in _files(config)}


def _files(config: Config) -> Iterator[str]:
    """Topologies and data that are files; a name may be none."""
    names: list[Any] = [shape for shape, _ in config.shapes if not inline(shape)]
    for stage in [at_stage(config, index) for index in range(len(config.stages))] or [config]:
        if stage.task.name in DATA_TASKS:
            names += [stage.task.options.get(key) for key in ("path", "train", "validation", "test")]
    for name in dict.fromkeys(names):
        if isinstance(name, str) and "\0" not in name and Path(name).is_file():
            yield name


def code_of(task: Task) -> dict[str, Any]:
    """Code of the user's that takes part in a task, for ``run.json``: ``module:qualname``, file, SHA-256."""
    found = codes(task)
    return {"code": found} if found else {}


def code_changed(run: Path, facts: Mapping[str, Any], task: Task) -> list[str]:
    """A line for every piece of the user's code that is not what it was when the run began.

    It is said and not refused: a script that trains also holds much that the task does not depend on.
    """
    before = facts.get("code")
    known = {one.get("code"): one.get("sha256") for one in before or () if isinstance(one, dict)}
    return [
        f"{one['file']} ({one['code']}) has changed since {run} began"
        for one in codes(task)
        if one["code"] in known and known[one["code"]] != one["sha256"]
    ]


def check_unchanged(run: Path, facts: Mapping[str, Any]) -> None:
    """Raises RunError naming the first file that is not what it was when the run began.

    ``facts`` is its ``run.json``. Runs of version 0.1.0 kept no digests; they are not checked.
    """
    check_prompt_unchanged(run, facts)
    known = facts.get("inputs", {})
    for name, digest in known.items() if isinstance(known, dict) else ():
        path = Path(name)
        if not path.is_file():
            raise RunError(f"{run} reads {name!r}, which is no longer there; a relative name begins here")
        if _digest(path) != digest:
            raise RunError(
                f"{name!r} was changed since {run} began; put it back as it was, "
                f"or train anew in another directory"
            )


def _digest(path: Path) -> str:
    with open_regular(path, None) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


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
    """What git prints; nothing if it fails. The repository may be a stranger's: nothing of it is run."""
    calm = ["git", "--no-optional-locks", "-c", "core.fsmonitor=false", "-C", str(folder)]
    done = subprocess.run(
        [*calm, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=10, check=False
    )
    return done.stdout.strip() if done.returncode == 0 else ""
