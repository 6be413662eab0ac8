"""A run directory: its files and lines, its checkpoints, and who may write."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from neuromas.core.errors import RunError, one_line, unknown
from neuromas.storage import evaluations
from neuromas.storage.beginning import FOLDERS, LOCK, refuse_used
from neuromas.storage.disk import (
    ERRORS,
    clear,
    flush,
    json_lines,
    json_text,
    read_json,
    read_line,
    read_whole,
    refuse_links,
    remove_folder,
    replace_folder,
    sweep,
    write_atomic,
)
from neuromas.storage.naming import digest
from neuromas.storage.readers import guarded

_STEP = "step-"
_KINDS = ("start", "parent")  # checkpoints that are not resumed from
MANIFEST = "network.json"
_IDENTITY = ("data", "checkpoint")  # what an evaluation is of; also "altered", where it has that


@dataclass(frozen=True, slots=True)
class Run:
    """A run directory. Every write is either a whole new file or a whole new line."""

    path: Path
    _ends: dict[str, tuple[int, int]] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def create(cls, path: Path, config: Mapping[str, Any], about: Mapping[str, Any]) -> Run:
        """A new run directory. Raises RunError if there is already a run."""
        with cls.begin(path, config, about) as run:
            return run

    @classmethod
    @contextmanager
    def begin(cls, path: Path, config: Mapping[str, Any], about: Mapping[str, Any]) -> Iterator[Run]:
        """A new run directory, locked from its first moment on.

        What a process left that ended while it made a run here is taken over. Raises RunError if there is
        a run, a process that makes one, or anything else.
        """
        refuse_used(path)
        run, new = cls(path), not path.exists()
        with clear(path):
            path.mkdir(parents=True, exist_ok=True)
        try:
            with run.lock():
                refuse_used(path)
                try:
                    run._make(config, about)
                except BaseException:
                    run._unmake()
                    raise
                new = False
                yield run
        finally:
            if new:
                with suppress(OSError):  # others may have begun to use it
                    path.rmdir()

    def _make(self, config: Mapping[str, Any], about: Mapping[str, Any]) -> None:
        """The first files. The configuration is the last: with it the directory is a run."""
        with clear(self.path):
            for name in FOLDERS:
                (self.path / name).mkdir(exist_ok=True)
            flush(self.path.parent)
        self.write("run.json", about)
        self.write("config.json", config)

    def _unmake(self) -> None:
        """Take back a creation that failed; what cannot be is taken over by the next one."""
        for name in ("config.json", "run.json", LOCK):
            with suppress(OSError):
                (self.path / name).unlink()
        for name in FOLDERS:
            with suppress(OSError):
                (self.path / name).rmdir()

    @classmethod
    def open(cls, path: Path) -> Run:
        """An existing run. Raises RunError if the directory holds none."""
        if not (path / "config.json").is_file():
            what = "does not exist" if not path.exists() else "holds no run (no config.json)"
            raise RunError(f"run {str(path)!r} {what}")
        return cls(path)

    @property
    def written_here(self) -> bool:
        """Whether this process writes the run: not where it follows another, see ``FollowedRun``."""
        return True

    @property
    def finished(self) -> bool:
        """True once the run was trained to its end and tested."""
        return (self.path / "status.json").is_file() and self.read("status.json").get("finished") is True

    def read(self, name: str) -> dict[str, Any]:
        """A JSON file of the run. Raises RunError if it is missing or damaged."""
        return read_json(self.path / name)

    def write(self, name: str, data: Mapping[str, Any]) -> None:
        """Write a JSON file of the run atomically."""
        with clear(self.path):
            write_atomic(self.path / name, json_text(data))

    def append(self, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Append JSON lines. Raises RunError if another hand removed or changed the file since we last did.

        A checkpoint brings them to the disk.
        """
        text, path = json_lines(rows), self.path / name
        if name in self._ends and _end(path) != self._ends[name]:
            raise RunError(
                f"{path} was removed or changed by somebody else while the run is working; "
                f"nothing was added to it"
            )
        with clear(self.path), path.open("ab", buffering=0) as stream:
            before = stream.tell()
            try:
                _write(stream.fileno(), text.encode("utf-8", ERRORS))
            except OSError:
                with suppress(OSError):
                    stream.truncate(before)  # half a line
                raise
        self._ends[name] = _end(path)

    def lines(self, name: str) -> Iterator[dict[str, Any]]:
        """JSON lines of a file; none if it does not exist. Lines that are damaged are left out."""
        return (row for row in self._rows(name) if row is not None)

    def damaged_lines(self, name: str) -> int:
        """How many lines ``lines`` leaves out; a last one that was not written to its end is none of them."""
        return sum(row is None for row in self._rows(name))

    def _rows(self, name: str) -> Iterator[dict[str, Any] | None]:
        """Every line that ends, and what stands after the last end if it can be read; None if damaged."""
        path = self.path / name
        if not path.exists():
            return
        # not splitlines(): it also breaks at U+2028 and the like, which models write
        *whole, torn = read_whole(path).decode("utf-8", "replace").split("\n")
        yield from map(read_line, whole)
        last = read_line(torn)
        if last is not None:
            yield last

    def keep_lines(self, name: str, wanted: Callable[[dict[str, Any]], bool]) -> None:
        """Rewrite a JSON-lines file with the wanted lines alone (a resumed run forgets what came later)."""
        path = self.path / name
        if path.exists():
            kept = [row for row in self.lines(name) if wanted(row)]
            with clear(self.path):
                write_atomic(path, json_lines(kept))
            self._ends[name] = _end(path)

    def missing_steps(self, until: int) -> int:
        """How many of the steps before ``until`` have no line in ``metrics.jsonl``."""
        return len(set(range(until)) - {row.get("step") for row in self.lines("metrics.jsonl")})

    def write_evaluation(
        self,
        name: str,
        summary: Mapping[str, Any],
        items: Iterable[Mapping[str, Any]],
        prompts: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """Summary and per-item lines of one evaluation; beside them, by item, what every node read.

        One writer at a time, who removes what a killed one left of the same evaluation.
        """
        with evaluations.writing(self.path) as folder:
            evaluations.write(folder, name, summary, (items, prompts or {}))

    def keep_evaluation(
        self,
        name: str,
        summary: Mapping[str, Any],
        items: Iterable[Mapping[str, Any]],
        prompts: Mapping[str, Sequence[str]] | None = None,
    ) -> str:
        """Keep an evaluation beside those there are, and return the name it got.

        That is ``name``, unless an evaluation of other data, another checkpoint or other altered nodes has
        it: then a digest of this one's is added. The same evaluation again takes its earlier one's place.
        """
        identity = _identity(summary)
        with evaluations.writing(self.path) as folder:  # another may want the same name at the same time
            if (folder / f"{name}.json").exists():
                there = self.read(f"evaluations/{name}.json")
                if _identity(there) != identity:
                    name = f"{name}-{digest(*identity)}"
            evaluations.write(folder, name, summary, (items, prompts or {}))
        return name

    def prompts(self, name: str) -> dict[str, Any]:
        """What every node read in an evaluation, texts by item; empty where it was not kept."""
        return {
            str(row.get("id")): row.get("prompts")
            for row in self.lines(f"evaluations/{name}{evaluations.PROMPTS}")
        }

    def evaluation(self, name: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Summary and items of an evaluation by name. Raises RunError naming those there are."""
        names = sorted(p.stem for p in (self.path / "evaluations").glob("[!.]*.json"))
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

    @property
    def handed_on(self) -> Path:
        """Folder of the checkpoint that the run stands for: its best one, else its newest.

        Raises RunError if there is none.
        """
        checkpoints = self.checkpoints()
        if not checkpoints:
            raise RunError(f"run {str(self.path)!r} has no checkpoint yet")
        status = self.read("status.json") if (self.path / "status.json").is_file() else {}
        name, best = status.get("checkpoint"), status.get("best")
        if isinstance(name, str) and re.fullmatch(r"[a-z]+-[0-9]+", name):
            chosen = self.named(name)
        else:  # a run of version 0.1.0
            chosen = self.checkpoint(best) if isinstance(best, int) else checkpoints[-1]
        return chosen if (chosen / MANIFEST).is_file() else checkpoints[-1]

    def save_named(self, name: str, fill: Callable[[Path], None]) -> None:
        """A checkpoint that is not one to resume from: a stage's first network, or one that is handed on."""
        with clear(self.path):
            replace_folder(self.named(name), fill)

    def newest_intact(
        self, check: Callable[[Path], Mapping[str, Any]], needs: Callable[[Mapping[str, Any]], Iterable[Path]]
    ) -> tuple[Path | None, list[str]]:
        """The newest checkpoint that ``check`` lets pass, and why newer ones are damaged, one line each.

        ``check`` reads a manifest and raises RunError if it or a file it vouches for is damaged; ``needs``
        names the other folders a manifest leans on, such as its stage's best. Those that are damaged are
        set aside as ``damaged-NAME``. None if there is no checkpoint at all. Raises RunError if none is
        intact; then all stays as it is.
        """
        damaged: list[tuple[Path, str]] = []
        for path in reversed(self.checkpoints()):
            try:
                for other in needs(check(path)):
                    check(other)
            except (RunError, OSError) as error:
                damaged.append((path, one_line(error)))
                continue
            for bad, _ in damaged:
                self._set_aside(bad)
            return path, [cause for _, cause in damaged]
        if damaged:
            raise RunError(f"no checkpoint of {self.path} is intact; the newest: {damaged[0][1]}")
        return None, []

    def _set_aside(self, path: Path) -> None:
        """Out of the way of the checkpoint that will be made in its place, for whoever wants to look."""
        place = path.with_name(f"damaged-{path.name}")
        with clear(self.path):
            if place.exists():
                remove_folder(place)
            path.rename(place)

    def save_checkpoint(self, step: int, fill: Callable[[Path], None]) -> Path:
        """Let ``fill`` write a checkpoint into a temporary folder, then rename it into place.

        Lines appended until now are on the disk before it is.
        """
        target = self.checkpoint(step)
        with clear(self.path):
            for lines in self.path.glob("[!.]*.jsonl"):
                flush(lines)
            replace_folder(target, fill)
        return target

    @property
    def busy(self) -> bool:
        """Whether a living process is working on the run. Nothing is written to find out."""
        if not (self.path / LOCK).is_file():
            return False
        with guarded(self.path / LOCK, alone=True) as free:
            return not free

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Only one process at a time writes a run; what a killed one left behind is put in order.

        Raises RunError if another process does, or if the folder would make us write outside it.
        """
        from filelock import FileLock, Timeout

        refuse_links(self.path)
        guard = FileLock(str(self.path / LOCK))
        with clear(self.path):
            try:
                guard.acquire(timeout=0)
            except Timeout:
                raise RunError(f"{self.path}: another process is working on this run") from None
        try:
            with clear(self.path):
                sweep(self.path)
                for name in FOLDERS:
                    sweep(self.path / name)
                for folder in (self.path / "checkpoints").glob("*/"):  # a manifest in one may be written anew
                    sweep(folder)
            yield
        finally:
            guard.release()

    def prune(self, keep: int, needed: Collection[int], named: Collection[str] = ()) -> None:
        """Remove all but the newest ``keep`` checkpoints; those of ``needed`` steps and ``named`` ones stay.

        While somebody reads a network here (see ``reading``) all stay until the next time.
        """
        stay = {self.checkpoint(step) for step in needed} | {self.named(name) for name in named}
        others = [path for kind in _KINDS for path in (self.path / "checkpoints").glob(f"{kind}-*")]
        gone = [path for path in (*self.checkpoints()[:-keep], *others) if path not in stay]
        with self.unread() as free:
            for path in gone if free else ():
                remove_folder(path)

    @contextmanager
    def unread(self) -> Iterator[bool]:
        """Whether nobody reads a network here just now; if so, nobody begins to within the block."""
        with guarded(self.path / "checkpoints", alone=True) as free:
            yield free


def _identity(summary: Mapping[str, Any]) -> list[str]:
    """What tells evaluations of one name apart, as texts."""
    keys = [*_IDENTITY, *(["altered"] if "altered" in summary else [])]
    return [json.dumps(summary.get(key), sort_keys=True) for key in keys]


def _write(handle: int, data: bytes) -> None:
    """All of it, however little the system takes at once."""
    while data:
        data = data[os.write(handle, data) :]


def _end(path: Path) -> tuple[int, int]:
    """Which file stands under this name, and how long it is; a missing one has no length."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return 0, -1
    return found.st_ino, found.st_size
