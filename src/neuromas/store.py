"""The run directory: what a run writes, atomically or by appending, and how it is read back.

    config.json      the frozen configuration          metrics.jsonl     one line a step
    run.json         versions, commit, machine         episodes.jsonl    sampled episodes
    status.json      finished or not, best checkpoint  evaluations/      NAME.json and NAME.jsonl
    checkpoints/step-000040/                           network (PEFT folders), optimisers, state

Nothing here loads torch; tensors are written by ``models.bundle``.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neuromas.errors import RunError, one_line, unknown
from neuromas.files import read_bytes

_STEP = "step-"
_MOST_BYTES = 1 << 30  # of a file that is read whole
_ERRORS = "backslashreplace"  # half a surrogate pair, as data may hold, becomes JSON's own escape of it
MANIFEST = "network.json"


@dataclass(frozen=True, slots=True)
class Run:
    """A run directory. Every write is either a whole new file or a whole new line."""

    path: Path

    @classmethod
    def create(cls, path: Path, config: Mapping[str, Any], about: Mapping[str, Any]) -> Run:
        """A new run directory. Raises RunError if there is already a run."""
        if (path / "config.json").exists():
            raise RunError(
                f"{path} already holds a run; resume it with --resume {path}, or name another directory"
            )
        if path.is_dir() and any(path.iterdir()):
            raise RunError(f"{path} is not empty and not a run; name another directory")
        with _clear(path):
            (path / "checkpoints").mkdir(parents=True, exist_ok=True)
            (path / "evaluations").mkdir(exist_ok=True)
        run = cls(path)
        run.write("run.json", about)
        run.write("config.json", config)
        return run

    @classmethod
    def open(cls, path: Path) -> Run:
        """An existing run. Raises RunError if the directory holds none."""
        if not (path / "config.json").is_file():
            what = "does not exist" if not path.exists() else "holds no run (no config.json)"
            raise RunError(f"run {str(path)!r} {what}")
        return cls(path)

    @property
    def finished(self) -> bool:
        """True once the run was trained to its end and tested."""
        return (self.path / "status.json").is_file() and self.read("status.json").get("finished") is True

    def read(self, name: str) -> dict[str, Any]:
        """A JSON file of the run. Raises RunError if it is missing or damaged."""
        return read_json(self.path / name)

    def write(self, name: str, data: Mapping[str, Any]) -> None:
        """Write a JSON file of the run atomically."""
        with _clear(self.path):
            write_atomic(self.path / name, json.dumps(data, indent=1, ensure_ascii=False) + "\n")

    def append(self, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Append JSON lines."""
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        with _clear(self.path), (self.path / name).open("a", encoding="utf-8", errors=_ERRORS) as stream:
            stream.write(text)

    def lines(self, name: str) -> Iterator[dict[str, Any]]:
        """JSON lines of a file; none if it does not exist. A torn last line is left out."""
        path = self.path / name
        if not path.exists():
            return
        # not splitlines(): it also breaks at U+2028 and the like, which models write
        for line in _content(path).decode("utf-8", "replace").split("\n"):
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                return
            if not isinstance(row, dict):
                return
            yield row

    def keep_lines(self, name: str, wanted: Callable[[dict[str, Any]], bool]) -> None:
        """Rewrite a JSON-lines file with the wanted lines alone (a resumed run forgets what came later)."""
        if (self.path / name).exists():
            kept = [row for row in self.lines(name) if wanted(row)]
            text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in kept)
            with _clear(self.path):
                write_atomic(self.path / name, text)

    def write_evaluation(
        self, name: str, summary: Mapping[str, Any], items: Iterable[Mapping[str, Any]]
    ) -> None:
        """Summary and per-item lines of one evaluation."""
        text = "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items)
        with _clear(self.path):
            (self.path / "evaluations").mkdir(exist_ok=True)
            write_atomic(self.path / "evaluations" / f"{name}.jsonl", text)
        self.write(f"evaluations/{name}.json", summary)

    def evaluation(self, name: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Summary and items of an evaluation by name. Raises RunError naming those there are."""
        names = sorted(p.stem for p in (self.path / "evaluations").glob("*.json"))
        if name not in names:
            raise RunError(unknown(f"evaluation in {self.path}", name, names))
        return self.read(f"evaluations/{name}.json"), list(self.lines(f"evaluations/{name}.jsonl"))

    def checkpoints(self) -> list[Path]:
        """Complete checkpoints, oldest first."""
        found = [p for p in (self.path / "checkpoints").glob(f"{_STEP}*") if (p / MANIFEST).is_file()]
        numbered = [(int(p.name[len(_STEP) :]), p) for p in found if p.name[len(_STEP) :].isdecimal()]
        return [path for _, path in sorted(numbered)]

    def checkpoint(self, step: int) -> Path:
        """Folder of the checkpoint after ``step`` steps."""
        return self.path / "checkpoints" / f"{_STEP}{step:06d}"

    def named(self, name: str) -> Path:
        """Folder of the checkpoint of that name: ``step-000040``, ``start-2``, ``parent-2``."""
        return self.path / "checkpoints" / name

    def save_named(self, name: str, fill: Callable[[Path], None]) -> Path:
        """A checkpoint that is not one to resume from: a stage's first network, or one that is handed on."""
        with _clear(self.path):
            replace_folder(self.named(name), fill)
        return self.named(name)

    def save_checkpoint(self, step: int, fill: Callable[[Path], None]) -> Path:
        """Let ``fill`` write a checkpoint into a temporary folder, then rename it into place."""
        target = self.checkpoint(step)
        with _clear(self.path):
            replace_folder(target, fill)
        return target

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Only one process at a time writes a run. Raises RunError if another one does."""
        from filelock import FileLock, Timeout

        guard = FileLock(str(self.path / ".lock"))
        with _clear(self.path):
            try:
                guard.acquire(timeout=0)
            except Timeout:
                raise RunError(f"{self.path}: another process is working on this run") from None
        try:
            for left in (self.path / "checkpoints").glob(f".{_STEP}*"):  # of a process that was killed
                shutil.rmtree(left, ignore_errors=True)
            yield
        finally:
            guard.release()

    def prune(self, keep: int, needed: Collection[int], named: Collection[str] = ()) -> None:
        """Remove all but the newest ``keep`` checkpoints; those of ``needed`` steps and names stay."""
        stay = {self.checkpoint(step) for step in needed} | {self.named(name) for name in named}
        others = [p for kind in ("start", "parent") for p in (self.path / "checkpoints").glob(f"{kind}-*")]
        for path in [*self.checkpoints()[:-keep], *others]:
            if path not in stay:
                shutil.rmtree(path, ignore_errors=True)


def replace_folder(target: Path, fill: Callable[[Path], None]) -> None:
    """Build a folder beside its place and rename it there; what was there goes only then."""
    target.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        fill(work)
        work.chmod(0o755)
        if target.exists():
            old = Path(tempfile.mkdtemp(prefix=".old-", dir=target.parent))
            target.rename(old / "gone")
            try:
                work.rename(target)
            except BaseException:
                (old / "gone").rename(target)
                raise
            finally:
                shutil.rmtree(old, ignore_errors=True)
        else:
            work.rename(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def write_atomic(path: Path, text: str) -> None:
    """Write beside the file, flush to disk, rename over it."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors=_ERRORS) as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _content(path: Path) -> bytes:
    """A run comes from anywhere: a pipe or a device in it is not waited for, and sizes are bounded."""
    return read_bytes(path, _MOST_BYTES)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file. Raises RunError with one line."""
    try:
        data = json.loads(_content(path).decode("utf-8"))
    except OSError as error:
        raise RunError(f"{path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise RunError(f"{path} is damaged: not JSON ({one_line(error)})") from error
    if not isinstance(data, dict):
        raise RunError(f"{path} is damaged: not a JSON object")
    return data


class _clear:
    """Turns a failing disk into one line; what was written before stays."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            reason = error.strerror or error
            raise RunError(f"cannot write {self._path}: {reason}; nothing written earlier is lost") from error
