"""Runs are killed, starved of disk and continued; every one must end as the run that nobody touched.

    python benchmarks/kills.py --kills 120 --points 20 --write benchmarks/results/kills.json

All happens on the tiny model in forked children of this process, which has torch loaded: a kill costs about
a second. A run is killed (SIGKILL) after a delay drawn over the length of an unbroken one, or before its n-th
file operation (a hook of Python's audit counts every opening for writing, renaming, making and removing below
the run's folder; flushes and the files of tensors are counted by wrappers). Then it is continued, some runs
after a second kill. Compared is every file of the finished run bit by bit, seconds and time of birth apart,
and the list of files: nothing missing, nothing left over.

A full disk: from the n-th operation on, all that writes fails. Then there is space again, and the run is
continued. A limit on the size of files cuts the writing of one in its middle. Finished runs that are given a
stage more are killed while they go on. Whole experiments are killed with the process that runs their cells,
and started again at once.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import hashlib
import json
import mmap
import os
import random
import resource
import runpy
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

os.environ["OMP_NUM_THREADS"] = "1"

import torch

from neuromas.cli import main
from neuromas.config import Config, make_config
from neuromas.experiment.launchers import local
from neuromas.models import bundle
from neuromas.storage import Run
from neuromas.system import provenance
from neuromas.training.callbacks import Callback, StepEnd
from neuromas.training.run import resume, start

CONFIG = {
    "seed": 3,
    "model": {"backbone": "tiny", "dtype": "float32", "device": "cpu"},
    "network": {"question": "first", "message_tokens": 4, "answer_tokens": 4},
    "task": {"name": "hier", "options": {"m": 3, "H": 1}},
    "train": {
        **{"problems": 3, "samples": 4, "warmup": 2, "baseline": "ema", "lr": 0.02, "entropy": 0.01},
        **{"final_temperature": 0.5, "length_price": 0.1},
    },
    "growth": {
        **{"stages": [["1-1", 2], ["2-1", 3], ["2-2-1", 3]], "init": "passthrough+gate"},
        **{"restate": 1, "old_rate": 0.3, "patience": 2},
    },
    "run": {"checkpoint_every": 1, "episodes": 1},  # keep is left out: the run tidies up at its end
    "evaluate": {"every": 2, "validation": 4, "test": 4},
}
MORE = ["2-2-1", 2]  # a stage for a finished run
FINISHED = Path("finished")
PLAN = """
name = "killed"
seeds = [0]
[base]
model = { backbone = "tiny", dtype = "float32", device = "cpu", rank = 4 }
network = { question = "first", message_tokens = 3, answer_tokens = 3 }
task = { name = "max", options = { n = 4 } }
train = { problems = 2, samples = 4, lr = 0.01, warmup = 1 }
evaluate = { every = 2, validation = 6, test = 6 }
run = { checkpoint_every = 2 }
[[arms]]
name = "small"
stages = [["1-1", 4]]
[[arms]]
name = "grown"
stages = [["1-1", 2], ["2-1", 2]]
[[arms]]
name = "votes"
of = "small"
votes = 2
temperature = 1.0
[[compare]]
first = "small"
second = "grown"
"""
_BORN = {"seconds", "created", "commit", "time"}  # differ between any two runs
_REMOVING = {"os.remove", "os.rmdir"}  # a full disk lets these through
_CHANGING = {"os.rename", "os.mkdir", "os.truncate", "os.chmod", "os.link", "os.symlink", *_REMOVING}
_ENDS = {-signal.SIGKILL: "hit", 2: "stopped with one line", 0: "ended before"}
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_PHASES = {  # functions during which a kill is worth a line of its own, wherever they are imported
    "evaluation": ("neuromas.evaluation.evaluate", "evaluate"),
    "growth": ("neuromas.growth.transfer", "transfer"),
    "learning to pass on": ("neuromas.training.restate", "restate"),
}
Act = Callable[[str], None]


class Board:
    """What children say to us even when they are killed: a little shared memory."""

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, 4096)

    def put(self, **facts: Any) -> None:
        """Add facts to what stands there."""
        text = json.dumps({**self.read(), **facts}).encode()
        self._shared[: len(text) + 1] = text + b"\0"

    def read(self) -> dict[str, Any]:
        """All facts; none if a kill came while they were written."""
        try:
            found: dict[str, Any] = json.loads(self._shared[:].partition(b"\0")[0] or b"{}")
        except ValueError:
            return {"phase": "unknown"}
        return found

    def clear(self) -> None:
        """Forget."""
        self._shared[:1] = b"\0"


BOARD = Board()


def go(path: Path) -> None:
    """What ``neuromas train CONFIG --run PATH --continue`` does."""
    if (path / "config.json").is_file():
        resume(path, _Training())
    else:
        start(settings(), path, _Training())


def settings() -> Config:
    """The run that is killed: it grows twice, with gates, an ended patience and a moving baseline."""
    return make_config(CONFIG)


def go_on(path: Path) -> None:
    """What ``neuromas train --resume PATH growth.stages=…`` does to a finished run, which is copied first."""
    if not path.exists():
        copy = path.parent / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(FINISHED, copy)
        copy.rename(path)
    resume(path, _Training(), overrides=[f"growth.stages={json.dumps([*CONFIG['growth']['stages'], MORE])}"])


class _Training(Callback):
    def on_step_end(self, event: StepEnd) -> None:
        BOARD.put(phase="training")


def experiment(path: Path) -> int:
    """What ``neuromas experiment PLAN --out PATH`` does, each cell forked where it would be started."""
    local.launch = Forked  # type: ignore[assignment]
    plan = path.with_suffix(".toml")
    plan.write_text(PLAN)
    return main(["experiment", str(plan), "--out", str(path), "--jobs", "2"])


class Forked:
    """A cell's process without the seconds that loading torch takes."""

    stdin = None

    def __init__(self, cell: Any, environment: Mapping[str, str]) -> None:
        del environment
        command = cell.command()
        at = command.index("-m")
        watched, self._held = os.pipe()
        with cell.log.open("ab") as log:
            self.pid = os.fork()
            if self.pid == 0:
                os.setsid()
                os.dup2(watched, 0)
                os.dup2(log.fileno(), 2)
                os.closerange(3, 256)
                sys.argv = command[at + 1 :]
                leave(lambda: runpy.run_module(command[at + 1], run_name="__main__"))
        os.close(watched)
        self._status: int | None = None

    def poll(self) -> int | None:
        """Exit status, or None while it runs."""
        if self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self._status = os.waitstatus_to_exitcode(status) if pid else None
        return self._status

    def wait(self) -> int:
        """Exit status at its end."""
        while self.poll() is None:
            time.sleep(0.01)
        return self._status or 0

    def send_signal(self, number: int) -> None:
        """As subprocess.Popen's."""
        if self.poll() is None:
            os.kill(self.pid, number)


def leave(work: Callable[[], object]) -> NoReturn:
    """Do the work and end this forked process, whatever happens."""
    status = 70
    try:
        found = work()
        status = found if isinstance(found, int) else 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    except BaseException as error:
        expected = type(error).__module__ == "neuromas.core.errors"
        BOARD.put(said=str(error) if expected else f"{error!r}"[:500])
        status = 2 if expected else 70
    finally:
        os._exit(status)


def child(work: Callable[[], object]) -> int:
    """Fork; the child does the work in silence. Returns its process id."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    silent = os.open(os.devnull, os.O_RDWR)
    for stream in (1, 2):
        os.dup2(silent, stream)
    leave(work)


def ended(pid: int) -> int:
    """Exit status, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def watched(path: Path, act: Act) -> None:
    """From now on every file operation below ``path`` is announced to ``act`` before it is done."""
    root = str(path)

    def below(name: Any) -> bool:
        return str(os.fspath(name)).startswith(root) if isinstance(name, str | os.PathLike) else False

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event == "open":
            if below(args[0]) and isinstance(args[2], int) and args[2] & _WRITES:
                act("open")
        elif event in _CHANGING and (below(args[0]) or args[-1] not in (-1, None)):
            act(event)

    fsync, save = os.fsync, bundle.save_file

    def flush(handle: int) -> None:
        act("fsync")
        fsync(handle)

    def tensors(*args: Any, **more: Any) -> None:
        act("tensors")
        save(*args, **more)

    os.fsync, bundle.save_file = flush, tensors  # type: ignore[assignment]
    sys.addaudithook(hook)


class Count:
    """Counts operations and acts from the n-th on."""

    def __init__(self, n: int, act: Act) -> None:
        self.seen, self._n, self._act = 0, n, act

    def __call__(self, what: str) -> None:
        self.seen += 1
        if self._n and self.seen >= self._n:
            BOARD.put(operation=what)
            self._act(what)


def die(what: str) -> None:
    """Be killed before the operation."""
    os.kill(os.getpid(), signal.SIGKILL)


def no_space(what: str) -> None:
    """The disk is full."""
    if what not in _REMOVING:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def marked() -> None:
    """Say in which phase this process is, wherever the functions of the phases were imported."""
    for phase, (module, name) in _PHASES.items():
        real = getattr(sys.modules.get(module), name, None)
        for user in [m for key, m in list(sys.modules.items()) if key.startswith("neuromas")]:
            if real is not None and getattr(user, name, None) is real:
                setattr(user, name, _marking(real, phase))
    saved = Run.save_checkpoint
    Run.save_checkpoint = _marking(saved, "checkpoint")  # type: ignore[method-assign]


def _marking(real: Callable[..., Any], phase: str) -> Callable[..., Any]:
    def call(*args: Any, **more: Any) -> Any:
        before = BOARD.read().get("phase", "beginning")
        BOARD.put(phase=phase)
        try:
            return real(*args, **more)
        finally:
            BOARD.put(phase=before)

    return call


def counted(path: Path, n: int, act: Act, work: Callable[[Path], object]) -> int:
    """The work with an act from its n-th file operation on; returns the exit status."""
    count = Count(n, act)

    def inside() -> object:
        watched(path, count)
        try:
            return work(path)
        finally:
            BOARD.put(operations=count.seen)

    return ended(child(inside))


def limited(path: Path, size: int) -> int:
    """The work where no file may grow beyond ``size`` bytes; returns the exit status."""

    def inside() -> object:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        return go(path)

    return ended(child(inside))


def delayed(path: Path, delay: float, work: Callable[[Path], object]) -> int:
    """The work, killed after ``delay`` seconds; returns the exit status."""
    pid = child(lambda: work(path))
    time.sleep(delay)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    return ended(pid)


def story(path: Path) -> dict[str, str]:
    """Every file by its content, what differs between any two runs taken out."""
    found = {}
    for file in sorted(path.rglob("*")):
        name = file.relative_to(path).as_posix()
        if file.is_dir() or name.endswith((".lock", ".log")):
            continue
        data: Any = file.read_bytes()
        if file.suffix in (".json", ".jsonl"):
            rows = data.decode().splitlines() if file.suffix == ".jsonl" else [data]
            data = json.dumps([_timeless(json.loads(row)) for row in rows]).encode()
        found[name] = hashlib.sha256(data).hexdigest()
    return found


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _timeless(part) for key, part in value.items() if key not in _BORN}
    return [_timeless(part) for part in value] if isinstance(value, list) else value


def difference(path: Path, whole: dict[str, str]) -> list[str]:
    """What is missing, left over or other than in the whole run."""
    mine = story(path)
    return [
        *(f"{name} is missing" for name in whole.keys() - mine.keys()),
        *(f"{name} is left over" for name in mine.keys() - whole.keys()),
        *(f"{name} differs" for name in whole.keys() & mine.keys() if whole[name] != mine[name]),
    ]


class Trials:
    """All trials, their results by kind, and the faults."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.counts: dict[str, Counter[str]] = {}
        self.faults: list[str] = []
        self.number = 0

    def unbroken(self, name: str, work: Callable[[Path], object]) -> tuple[dict[str, str], float, int]:
        """Files, seconds and file operations of a whole run."""
        path = self.folder / name
        BOARD.clear()
        if counted(path, 0, die, work) != 0:
            raise SystemExit(f"the unbroken run failed: {BOARD.read()}")
        operations = int(BOARD.read()["operations"])
        started = time.monotonic()
        if ended(child(lambda: work(self.folder / f"{name}-again"))) != 0:
            raise SystemExit(f"the unbroken run failed: {BOARD.read()}")
        seconds = time.monotonic() - started
        whole = story(path)
        if name == "run":
            different = difference(self.folder / f"{name}-again", whole)
            if different:
                raise SystemExit(f"two unbroken runs differ: {different}")
        return whole, seconds, operations

    def trial(
        self, kind: str, what: str, hits: list[Callable[[Path], int]], work: Any, whole: dict[str, str]
    ) -> None:
        """Hit a run, one time or more, then let it go on to its end and compare."""
        self.number += 1
        path = self.folder / f"{kind}-{self.number}" / "it"
        path.parent.mkdir()
        counts = self.counts.setdefault(kind, Counter())
        counts["runs"] += 1
        for hit in hits:
            BOARD.clear()
            status = hit(path)
            counts[_ENDS.get(status, f"status {status}")] += 1
            self.check(kind, what, status)
            if status < 0:
                counts["in " + str(BOARD.read().get("phase", "beginning"))] += 1
        BOARD.clear()
        status = ended(child(lambda: work(path)))
        said = BOARD.read().get("said")
        different = difference(path, whole) if status == 0 else [f"status {status}: {said}"]
        if different:
            self.faults.append(f"{kind} {what}: {'; '.join(different)[:600]}")
            counts["faults"] += 1
        else:
            counts["bit-identical"] += 1
            shutil.rmtree(path.parent)
        if sys.stderr.isatty() or self.number % 20 == 0:
            done = {kind: counts["runs"] for kind, counts in self.counts.items()}
            print(f"runs {done}, faults {len(self.faults)}", file=sys.stderr, flush=True)

    def check(self, kind: str, what: str, status: int) -> None:
        """A process that was not killed ended well or with one line."""
        said = str(BOARD.read().get("said", ""))
        if status == 70 or "\n" in said:
            self.faults.append(f"{kind} {what}: a traceback: {said}")


def kills(trials: Trials, number: int, seed: int) -> None:
    """``number`` kills of growing runs: half after a time, half before an operation; some runs twice."""
    marked()
    whole, seconds, operations = trials.unbroken("run", go)
    rng = random.Random(seed)
    done = 0
    while done < number:
        twice = rng.random() < 0.2 and done + 1 < number
        hits: list[Callable[[Path], int]] = []
        what = []
        for _ in range(1 + twice):
            if (done + len(hits)) % 2:
                n = rng.randint(1, operations)
                hits.append(lambda path, n=n: counted(path, n, die, go))
                what.append(f"before operation {n}")
            else:
                delay = rng.uniform(0, seconds)
                hits.append(lambda path, delay=delay: delayed(path, delay, go))
                what.append(f"after {delay:.3f} s")
        done += len(hits)
        trials.trial("kill", " and ".join(what), hits, go, whole)


def operations(trials: Trials, kind: str, act: Act, points: int) -> None:
    """A kill before, or a full disk from, operations spread over a run; all of them with points = 0."""
    whole, _, number = trials.unbroken(f"whole-{kind}", go)
    chosen = range(1, number + 1) if not points else sorted({1 + i * number // points for i in range(points)})
    for n in chosen:
        trials.trial(kind, f"operation {n}", [lambda path, n=n: counted(path, n, act, go)], go, whole)


def goings_on(trials: Trials, points: int) -> None:
    """A finished run that is given more is killed before operations spread over all that it does then."""
    if ended(child(lambda: go(FINISHED))) != 0:
        raise SystemExit(f"the run that is to go on failed: {BOARD.read()}")
    whole, _, number = trials.unbroken("longer", go_on)
    chosen = range(1, number + 1) if not points else sorted({1 + i * number // points for i in range(points)})
    for n in chosen:
        hit = [lambda path, n=n: counted(path, n, die, go_on)]
        trials.trial("going on", f"operation {n}", hit, go_on, whole)


def limits(trials: Trials, points: int) -> None:
    """No file may grow beyond a size: writing stops in the middle of it."""
    whole, _, _ = trials.unbroken("whole-limit", go)
    sizes = [0, 10, 300, 700, 1000, 3000, 6000, 10_000, 40_000, 70_000, 100_000]
    for size in sizes if not points else sizes[:: max(1, len(sizes) // points)]:
        trials.trial("limit", f"{size} bytes", [lambda path, size=size: limited(path, size)], go, whole)


def experiments(trials: Trials, number: int, seed: int) -> None:
    """The process that runs an experiment's cells is killed, and the experiment started again at once."""
    whole, seconds, _ = trials.unbroken("experiment", experiment)
    rng = random.Random(seed)
    for _ in range(number):
        delay = rng.uniform(0, seconds)
        hit = [lambda path, delay=delay: delayed(path, delay, experiment)]
        trials.trial("experiment", f"after {delay:.3f} s", hit, experiment, whole)


def arguments() -> argparse.Namespace:
    """How many of each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--experiments", type=int, default=4)
    parser.add_argument("--points", type=int, default=6, help="moments at which the disk is full")
    parser.add_argument("--every", action="store_true", help="kill and full disk at every single operation")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", type=Path)
    return parser.parse_args()


def command(args: argparse.Namespace) -> str:
    """The words that repeat these trials."""
    numbers = [f"--{key} {getattr(args, key)}" for key in ("kills", "points", "experiments", "seed")]
    return " ".join(["python benchmarks/kills.py", *numbers, *(["--every"] if args.every else [])])


@contextlib.contextmanager
def place() -> Iterator[Path]:
    """A folder for all runs; it stays if there were faults."""
    folder = Path(tempfile.mkdtemp(prefix="kills-"))
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield folder
    finally:
        os.chdir(before)


def run() -> int:
    """All trials; 0 if there was no fault."""
    args = arguments()
    write = args.write.resolve() if args.write else None
    torch.set_num_threads(1)
    facts = provenance.about()
    provenance._commit = lambda: None  # git at every start would tell what somebody edits meanwhile
    started = time.monotonic()
    with place() as folder:
        trials = Trials(folder)
        start(settings(), folder / "warm")  # children need not warm up
        kills(trials, args.kills, args.seed)
        if args.every:
            operations(trials, "kill before every operation", die, 0)
        if args.points:
            operations(trials, "full disk", no_space, 0 if args.every else args.points)
            limits(trials, 0 if args.every else args.points)
            goings_on(trials, 0 if args.every else args.points)
        if args.experiments:
            experiments(trials, args.experiments, args.seed)
    kept = {
        "command": command(args),
        "about": {key: facts[key] for key in ("versions", "python", "commit")},
        "seconds": round(time.monotonic() - started),
        "counts": {kind: dict(sorted(counts.items())) for kind, counts in trials.counts.items()},
        "faults": trials.faults,
    }
    text = json.dumps(kept, indent=1, ensure_ascii=False) + "\n"
    if write:
        write.write_text(text)
    print(text)
    if not trials.faults:
        shutil.rmtree(folder)
    return 1 if trials.faults else 0


if __name__ == "__main__":
    raise SystemExit(run())
