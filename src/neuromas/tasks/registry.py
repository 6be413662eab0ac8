"""The built-in families by name: their options, and how to make the task from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from neuromas.core.errors import TaskError
from neuromas.core.task import Task
from neuromas.tasks import compositional, environments, files, hier, hub
from neuromas.tasks.generated import GeneratedTask
from neuromas.tasks.options import MAX_SEED, SEED, Family, Option

Options = Mapping[str, Any]


def _largest(options: Options, given: Options) -> Task:
    source = compositional.Largest(options["n"], options["digits"], options["parts"], options["rank"])
    return GeneratedTask("max", "one number", source, options["seed"])


def _lookup(options: Options, given: Options) -> Task:
    source = compositional.Lookup(options["people"], options["hops"])
    return GeneratedTask("lookup", "one word", source, options["seed"])


def _recall(options: Options, given: Options) -> Task:
    source = compositional.Recall(options["facts"], options["parts"])
    return GeneratedTask("recall", "one number", source, options["seed"])


def _arithmetic(options: Options, given: Options) -> Task:
    source = compositional.Arithmetic(
        options["depth"],
        options["operators"],
        options["max_operand"],
        options["modulo"],
        options["parts"],
        options["ask"],
    )
    return GeneratedTask("arithmetic", "one number", source, options["seed"])


def _hier(options: Options, given: Options) -> Task:
    cont = options["kind"] == "cont"
    for key in ("m",) if cont else ("lam", "tolerance"):
        if key in given:
            raise TaskError(f"task 'hier': option {key!r} has no meaning with kind = {options['kind']!r}")
    tree = hier.Tree(
        options["k"], options["H"], options["kind"], options["m"], options["table_seed"], options["lam"]
    )
    return GeneratedTask("hier", "one number", hier.Hier(tree, options["tolerance"]), options["seed"])


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
                SEED,
            ),
            _largest,
        ),
        Family(
            "lookup",
            "follow facts from a person to a city to a fruit; one part per hop",
            (
                Option("people", 4, "how many facts per hop", 2, compositional.MAX_PEOPLE),
                Option("hops", 2, "length of the chain", 1, compositional.MAX_HOPS),
                SEED,
            ),
            _lookup,
        ),
        Family(
            "recall",
            "how old is one of several people; the facts are cut into lists, one list per part",
            (
                Option("facts", 6, "how many people", 2, compositional.MAX_PEOPLE),
                Option("parts", 2, "how many lists the facts are cut into", 1, 16),
                SEED,
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
                Option("ask", False, "every part is a question of its own, read without the stem"),
                SEED,
            ),
            _arithmetic,
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
                SEED,
            ),
            _hier,
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
