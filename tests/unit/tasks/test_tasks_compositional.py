"""The built-in tasks: hand-checked problems, disjoint splits, exact scoring, clear errors."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuromas.core.errors import TaskError
from neuromas.core.task import SPLITS, Task
from neuromas.tasks import make_task
from neuromas.tasks.generated import split_of
from neuromas.tasks.hier import Tree, triangle

CASES = [
    ("max", {}),
    ("max", {"rank": 2, "n": 5, "parts": 1}),
    ("lookup", {}),
    ("lookup", {"hops": 4, "people": 3}),
    ("lookup", {"hops": 1}),
    ("recall", {}),
    ("recall", {"facts": 16, "parts": 4}),
    ("recall", {"facts": 2, "parts": 1}),
    ("arithmetic", {}),
    ("arithmetic", {"depth": 3, "parts": 4, "modulo": 10}),
    ("arithmetic", {"depth": 1, "ask": True, "max_operand": 99}),
    ("hier", {"m": 8}),
    ("hier", {"H": 3}),
    ("hier", {"k": 3, "H": 1, "kind": "random", "m": 9}),
    ("hier", {"H": 3, "kind": "max"}),
    ("hier", {"kind": "cont"}),
]


@pytest.mark.parametrize(("name", "options"), CASES)
def test_splits_are_disjoint_deterministic_and_gold_earns_one(name, options):
    task, again = make_task(name, options), make_task(name, options)
    assert isinstance(task, Task)
    seen = {split: [task.problem(split, i) for i in range(40)] for split in SPLITS}
    for split, problems in seen.items():
        assert task.size(split) is None or (split != "train" and task.size(split) >= 40)
        assert problems == [again.problem(split, i) for i in reversed(range(40))][::-1]
        assert all(split_of(p.question) == split for p in problems)
        assert all(task.score(p, p.answer).value == 1.0 for p in problems)
        assert all(task.score(p, "").value == 0.0 for p in problems)
        assert all(part.strip() for p in problems for part in p.parts)
        if split != "train":
            assert len({p.question for p in problems}) == 40
    texts: list = [{p.question for p in problems} for problems in seen.values()]
    assert not any(a & b for a, b in itertools.combinations(texts, 2))


@pytest.mark.parametrize(("name", "options"), CASES)
def test_another_seed_draws_other_problems_but_keeps_the_splits(name, options):
    first = {make_task(name, options).problem("train", i).question for i in range(60)}
    other = make_task(name, {**options, "seed": 1})
    held_out = {other.problem("test", i).question for i in range(30)}
    assert not first & held_out
    assert first != {other.problem("train", i).question for i in range(60)}


def test_neighboring_seeds_share_nothing():
    drawn = [{make_task("max", {"seed": s}).problem("train", i).question for i in range(200)} for s in (0, 1)]
    assert len(drawn[0] | drawn[1]) == 400


def test_largest_is_the_largest():
    for rank in (1, 2, 3):
        p = make_task("max", {"rank": rank}).problem("train", 3)
        numbers = [int(x) for x in re.findall(r"\d+", p.question)]
        assert p.answer == str(sorted(numbers)[-rank])
        assert [int(x) for part in p.parts for x in part.split(", ")] == numbers
    assert re.fullmatch(r"What is the third largest of (\d\d, ){5}\d\d\?", p.question)


def test_lookup_follows_the_chain():
    p = make_task("lookup", {"people": 3}).problem("test", 0)
    person = re.search(r"the city of (\w+)\?", p.parts[0]).group(1)
    city = re.search(rf"{person} lives in (\w+)\.", p.parts[0]).group(1)
    assert p.answer == re.search(rf"{city} grows (\w+)\.", p.parts[1]).group(1)
    assert person not in p.parts[1]
    assert all(part in p.question for part in p.parts)


@pytest.mark.parametrize(("facts", "parts"), [(6, 2), (7, 3), (16, 16)])
def test_recall_asks_for_a_fact_that_one_part_alone_holds(facts, parts):
    task = make_task("recall", {"facts": facts, "parts": parts})
    holders = set()
    for i in range(60):
        p = task.problem("train", i)
        person = re.fullmatch(r"How old is (\w+)\?", p.stem).group(1)
        told = [dict(re.findall(r"(\w+) is (\d\d)\.", part)) for part in p.parts]
        assert p.question == " ".join((p.stem, *p.parts))
        assert [n for n, part in enumerate(told, 1) if person in part] == [p.meta["holder"]]
        assert told[p.meta["holder"] - 1][person] == p.answer
        assert sum(part.count(p.answer) for part in p.parts) == 1
        assert len({age for part in told for age in part.values()}) == sum(map(len, told)) == facts
        holders.add(p.meta["holder"])
    assert holders == set(range(1, parts + 1))


@pytest.mark.parametrize("options", [{}, {"depth": 4, "parts": 8}, {"modulo": 7, "max_operand": 30}])
def test_arithmetic_agrees_with_python_and_parts_with_the_stem(options):
    task = make_task("arithmetic", options)
    for i in range(20):
        p = task.problem("train", i)
        expression = p.question.removeprefix("What is ").removesuffix("?").replace("modulo", "%")
        assert re.fullmatch(r"[-0-9+*%() ]+", expression)
        assert int(p.answer) == eval(expression)
        stem = p.stem.removeprefix("What is ").removesuffix("?").replace("modulo", "%")
        scope = {part.split(" = ")[0]: eval(part.split(" = ")[1]) for part in p.parts}
        assert int(p.answer) == eval(stem, {}, scope)


def test_arithmetic_of_the_defaults_is_what_it_was():
    """Trained networks and result files rest on these very texts and ids."""
    task = make_task("arithmetic", {})
    p = task.problem("train", 0)
    assert (p.id, p.question, p.answer) == ("arithmetic-train-0-0", "What is (5 - 9) * (8 - 2)?", "-24")
    assert (p.stem, p.parts, p.alone) == ("What is A * B?", ("A = 5 - 9", "B = 8 - 2"), False)
    p = task.problem("test", 7)
    assert (p.id, p.question, p.answer) == ("arithmetic-test-0-7", "What is (5 - 7) - (9 * 2)?", "-20")


@pytest.mark.parametrize("options", [{}, {"depth": 3, "parts": 4, "modulo": 10}, {"max_operand": 99}])
def test_arithmetic_may_ask_in_its_parts(options):
    told, asked = make_task("arithmetic", options), make_task("arithmetic", {**options, "ask": True})
    for split, i in itertools.product(SPLITS, range(5)):
        plain, p = told.problem(split, i), asked.problem(split, i)
        assert (p.id, p.question, p.answer, p.stem) == (plain.id, plain.question, plain.answer, plain.stem)
        assert (p.alone, plain.alone) == (True, False)
        named = [part.split(" = ")[1] for part in plain.parts]
        assert p.parts == tuple(f"What is {expression}?" for expression in named)


def test_one_operation_is_one_plain_question():
    p = make_task("arithmetic", {"depth": 1, "ask": True, "operators": "+", "max_operand": 50})
    assert re.fullmatch(r"What is \d+ \+ \d+\?", p.problem("test", 3).question)
    whole = make_task("arithmetic", {"depth": 1, "parts": 1, "ask": True}).problem("train", 0)
    assert whole.parts == (whole.question,)


def test_hier_is_written_as_in_the_method():
    p = make_task("hier", {"m": 4}).problem("train", 0)
    assert re.fullmatch(r"\(\([0-3] [0-3]\)\([0-3] [0-3]\)\) = \?", p.question)
    assert p.stem == "(A B) = ?"
    assert re.fullmatch(r"B = \([0-3] [0-3]\)", p.parts[1])
    assert p.answer == str(p.meta["values"][-1][0])
    assert [len(level) for level in p.meta["values"]] == [4, 2, 1]


@given(k=st.integers(2, 3), m=st.integers(2, 6), seed=st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_latin_tables_never_mask(k, m, seed):
    tree = Tree(k, 1, "latin", m, seed)
    for rest in itertools.product(range(m), repeat=k - 1):
        assert sorted(tree.node(1, 0, (*rest, last)) for last in range(m)) == list(range(m))
        assert sorted(tree.node(1, 0, (first, *rest)) for first in range(m)) == list(range(m))


def test_hier_nodes_differ_by_position_and_by_table_seed():
    pairs = list(itertools.product(range(5), repeat=2))
    tables = {
        tuple(Tree(2, 2, kind, 5, seed).node(*place, pair) for pair in pairs)
        for kind in ("latin", "random")
        for seed in (0, 1)
        for place in ((1, 0), (1, 1), (2, 0))
    }
    assert len(tables) == 12


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0.1, 3))
@settings(deadline=None)
def test_cont_has_the_stated_lipschitz_constant(a, b, lam):
    tree = Tree(2, 1, "cont", 0, 0, lam)
    assert abs(tree.node(1, 0, (a, 0.5)) - tree.node(1, 0, (b, 0.5))) <= lam * abs(a - b) + 1e-9
    assert 0 <= tree.node(1, 0, (a, b)) <= 1


def test_triangle_by_hand():
    assert [triangle(x) for x in (0, 0.25, 1, 1.75, 2, 3)] == [0, 0.25, 1, 0.25, 0, 1]


def test_exact_scoring_rejects_degenerate_text():
    task = make_task("max", {})
    p = task.problem("train", 0)
    for right in (p.answer, f" {p.answer}", f"{p.answer}.", f"{p.answer}\n"):
        assert task.score(p, right).value == 1.0
    for wrong in (f"{p.answer} is indeed {p.answer}", f"{p.answer} {p.answer}", f"0{p.answer}", ""):
        assert task.score(p, wrong).value == 0.0
    assert task.score(p, "it is 5").parsed is None
    assert task.score(p, "5").parsed == "5"


def test_cont_tolerance():
    strict, loose = make_task("hier", {"kind": "cont"}), make_task("hier", {"kind": "cont", "tolerance": 0.1})
    p = strict.problem("train", 0)
    off = f"{float(p.answer) + (0.1 if float(p.answer) < 0.5 else -0.1):.2f}"
    assert (strict.score(p, off).value, loose.score(p, off).value) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("maxx", {}, "did you mean 'max'"),
        ("max", {"nn": 3}, "unknown option of task 'max' 'nn'; did you mean 'n'"),
        ("max", {"n": "6"}, "'n' must be a whole number, got '6'"),
        ("max", {"n": True}, "'n' must be a whole number, got True"),
        ("max", {"n": 0}, "'n' = 0 is out of range (1 to 100)"),
        ("max", {"n": 11, "digits": 1}, "only 10 numbers"),
        ("max", {"parts": 7}, "parts = 7 needs n of at least 7"),
        ("lookup", {"people": 99}, "out of range (2 to 16)"),
        ("recall", {"facts": 17}, "out of range (2 to 16)"),
        ("recall", {"facts": 3, "parts": 4}, "parts = 4 needs facts of at least 4"),
        ("arithmetic", {"operators": "+/"}, "operators = '+/'"),
        ("arithmetic", {"parts": 3}, "power of 2"),
        ("hier", {"kind": "latn"}, "did you mean 'latin'"),
        ("hier", {"k": 8, "H": 8}, "leaves"),
        ("hier", {"k": 8, "H": 1, "kind": "random", "m": 100}, "table entries"),
        ("hier", {"kind": "cont", "m": 3}, "'m' has no meaning"),
        ("hier", {"lam": 0.3}, "'lam' has no meaning"),
        ("hier", {"kind": "cont", "lam": float("nan")}, "out of range"),
        ("max", {"n": 10**5000}, "option 'n' = <int too large to write> is out of range (1 to 100)"),
        ("max", {"seed": 10**5000}, "is out of range (0 to "),
        ("max", {"seed": 2**63}, "is out of range (0 to "),
        ("hier", {"kind": "cont", "lam": 10**5000}, "is out of range (0 to 100)"),
        ("hier", {"table_seed": -(10**5000)}, "is out of range (0 to "),
        ("file", {"path": 10**5000}, "'path' must be text, got <int too large to write>"),
        ("max", {"n": "x" * 5000}, "'n' must be a whole number, got 'xxx"),
        ("gym/chain_sum", {"seed": 10**5000}, "is out of range"),
        ("gym/chain_sum", {"min_terms": 10**5000}, "is out of range"),
        ("gym/chain_sum", {"min_terms": "x" * 5000}, "'min_terms' must be a whole number, got 'xxx"),
    ],
)
def test_errors_are_one_clear_line(name, options, says):
    with pytest.raises(TaskError) as error:
        make_task(name, options)
    assert says in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 500


def test_a_small_space_has_exact_held_out_sizes():
    task = make_task("hier", {"m": 4})  # 4**4 = 256 questions
    held_out = {split: task.size(split) for split in ("validation", "test")}
    train = {task.problem("train", i).question for i in range(3000)}
    assert task.size("train") is None
    assert len(train) + sum(held_out.values()) == 256
    questions = {task.problem("test", i).question for i in range(held_out["test"])}
    assert len(questions) == held_out["test"]
    size = held_out["test"]
    with pytest.raises(TaskError, match=f"only {size} different test questions with these options"):
        task.problem("test", size)


def test_a_space_that_is_too_small_is_an_error():
    task = make_task("max", {"n": 1, "digits": 1, "parts": 1})
    with pytest.raises(TaskError, match="too few different questions"):
        [task.problem("test", i) for i in range(11)]
    with pytest.raises(TaskError, match="unknown split"):
        task.problem("dev", 0)
    with pytest.raises(TaskError, match="0 or more"):
        task.problem("test", -1)
