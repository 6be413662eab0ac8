"""The built-in families by name: their options, and how to make the task from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from neuromas.core.errors import TaskError
from neuromas.core.task import Task
from neuromas.tasks import arithmetic, code, compositional, environments, files, hier, hub, pick
from neuromas.tasks.generated import GeneratedTask, Source
from neuromas.tasks.grading import GRADED, READ, graded
from neuromas.tasks.options import MAX_SEED, SEED, Family, Option

Options = Mapping[str, Any]


_ASK = Option("ask", False, "parts and what readers are asked are questions of their own")


def _made(name: str, form: str, source: Source, options: Options) -> Task:
    """The endless task over a source, read and paid as the options say."""
    return GeneratedTask(name, form, graded(source, options["read"], options["graded"]), options["seed"])


def _largest(options: Options, given: Options) -> Task:
    chosen = (options[key] for key in ("n", "digits", "parts", "rank", "ask"))
    return _made("max", "one number", compositional.Largest(*chosen), options)


def _lookup(options: Options, given: Options) -> Task:
    source = compositional.Lookup(options["people"], options["hops"], options["ask"])
    return _made("lookup", "one word", source, options)


def _recall(options: Options, given: Options) -> Task:
    source = compositional.Recall(options["facts"], options["parts"], options["ask"])
    return _made("recall", "one number", source, options)


def _arithmetic(options: Options, given: Options) -> Task:
    if options["levels"] and "operators" in given:
        raise TaskError("task 'arithmetic': option 'operators' has no meaning with levels")
    keys = ("depth", "operators", "max_operand", "modulo", "parts", "ask", "levels", "cut", "reduced")
    source = arithmetic.Arithmetic(*(options[key] for key in keys))
    return _made("arithmetic", "one number", source, options)


def _pick(options: Options, given: Options) -> Task:
    chosen = (options[key] for key in ("depth", "rules", "highest", "parts", "ask"))
    source = pick.Pick(*chosen)
    if source.of_words and "highest" in given:
        raise TaskError(f"task 'pick': option 'highest' has no meaning with rules = {options['rules']!r}")
    return _made("pick", source.form, source, options)


def _hier(options: Options, given: Options) -> Task:
    cont = options["kind"] == "cont"
    for key in ("m",) if cont else ("lam", "tolerance"):
        if key in given:
            raise TaskError(f"task 'hier': option {key!r} has no meaning with kind = {options['kind']!r}")
    if options["graded"] and options["kind"] in ("latin", "random"):
        raise TaskError(
            f"task 'hier': graded = true has no meaning with kind = {options['kind']!r}: its symbols are "
            "names, and none is near another"
        )
    tree = hier.Tree(
        options["k"], options["H"], options["kind"], options["m"], options["table_seed"], options["lam"]
    )
    return _made("hier", "one number", hier.Hier(tree, options["tolerance"], options["ask"]), options)


FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        Family(
            "max",
            "the largest (or second largest, ...) of a list of numbers",
            (
                Option("n", 6, "how many numbers", 1, 100),
                Option("digits", 2, "digits of every number", 1, 9),
                Option("parts", 2, "how many lists the numbers are cut into", 1, 16),
                Option("rank", 1, "1 = largest, 2 = second largest, ...", 1, 5),
                *(_ASK, READ, GRADED, SEED),
            ),
            _largest,
        ),
        Family(
            "lookup",
            "follow facts from a person to a city to a fruit; one part per hop",
            (
                Option("people", 4, "how many facts per hop", 2, compositional.MAX_PEOPLE),
                Option("hops", 2, "length of the chain", 1, compositional.MAX_HOPS),
                *(_ASK, READ, GRADED, SEED),
            ),
            _lookup,
        ),
        Family(
            "recall",
            "how old is one of several people; the facts are cut into lists, one list per part",
            (
                Option("facts", 6, "how many people", 2, compositional.MAX_PEOPLE),
                Option("parts", 2, "how many lists the facts are cut into", 1, 16),
                *(_ASK, READ, GRADED, SEED),
            ),
            _recall,
        ),
        Family(
            "arithmetic",
            "a nested expression such as (3 + 4) * (2 + 1); parts are its subtrees",
            (
                Option("depth", 2, "levels of operations", 1, 6),
                Option("operators", "+-*", "operators that may occur, some of +-*"),
                Option("max_operand", 9, "numbers are drawn from 1 to this", 1, 999),
                Option("modulo", 0, "reduce the result modulo this; 0 = do not", 0, 10**6),
                Option("parts", 2, "how many subtrees are handed out, a power of 2", 1, 64),
                Option("levels", "", "one operator a level, lowest first, the last one going on"),
                Option(
                    "cut",
                    "joints",
                    "shifted: a control, cut one number off",
                    allowed=arithmetic.CUTS,
                ),
                Option(
                    "reduced",
                    "root",
                    "all: every operation is modulo, parts and readers, too",
                    allowed=arithmetic.REDUCED,
                ),
                *(_ASK, READ, GRADED, SEED),
            ),
            _arithmetic,
        ),
        Family(
            "pick",
            "a tree of choices: the larger of (the smaller of 3 and 8) and (the smaller of 5 and 1)",
            (
                Option("depth", 2, "levels of choices", 1, 6),
                Option("rules", "larger", "larger, smaller, later, earlier; by level: a,b; by chance: a/b"),
                Option("highest", 99, "numbers are drawn from 1 to this (not for words)", 2, 10**6),
                Option("parts", 2, "how many subtrees are handed out, a power of 2", 1, 64),
                *(_ASK, READ, GRADED, SEED),
            ),
            _pick,
        ),
        Family(
            "hier",
            "a complete k-ary tree of secret local functions over an alphabet of m symbols",
            (
                Option("k", 2, "children of every node", 2, 8),
                Option("H", 2, "height; there are k**H leaves", 1, 8),
                Option("kind", "latin", "kind of the local functions", allowed=hier.KINDS),
                Option("m", 4, "size of the alphabet (not for cont)", 2, 100),
                Option("table_seed", 0, "which secret functions", 0, MAX_SEED),
                Option("lam", 0.5, "cont: slope in every argument", 0.0, 100.0),
                Option("tolerance", 0.0, "cont: largest error that counts as right", 0.0, 1.0),
                *(_ASK, READ, GRADED, SEED),
            ),
            _hier,
        ),
        Family(
            "humaneval",
            "Python functions to complete (164), judged by their tests in a sandbox",
            code.HUMANEVAL,
            code.humaneval,
        ),
        Family(
            "mbpp",
            "Python functions asked for in words, judged in a sandbox; from files",
            code.MBPP,
            code.mbpp,
        ),
        Family("file", "questions from CSV, JSONL, JSON or Parquet files", files.OPTIONS, files.build),
        Family("hub", "a Hugging Face data set, or local Parquet, JSON or CSV files", hub.OPTIONS, hub.build),
        Family(
            environments.NAME,
            "a single-turn environment of PrimeIntellect's verifiers; also verifiers/ID",
            environments.OPTIONS,
            lambda options, given: environments.build(environments.NAME, given),
        ),
    )
}
