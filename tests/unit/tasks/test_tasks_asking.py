"""Tasks whose parts and readers are asked: solved here from the texts alone, by rules of our own."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuromas.core.errors import TaskError
from neuromas.core.task import SPLITS
from neuromas.prompts.build import Wording, build_prompt, question_for
from neuromas.prompts.codec import ByteCodec
from neuromas.tasks import make_task
from neuromas.tasks.hier import Tree
from neuromas.topology.files import load_topology

# Of the options that were there before ``ask``: trained networks and result files rest on these texts.
BEFORE = [
    ("max", {}, "c4d6bf7944e69a7d"),
    ("max", {"rank": 2, "n": 5, "parts": 1}, "aabb4093c4d6ea54"),
    ("lookup", {}, "00456e061feaba69"),
    ("lookup", {"hops": 4, "people": 3}, "da9f195cc35f27b2"),
    ("recall", {}, "8e1b332e5180f1ee"),
    ("recall", {"facts": 16, "parts": 4}, "22a5d3f6cd2cdfb9"),
    ("arithmetic", {}, "aeceb9f64d9537a7"),
    ("arithmetic", {"depth": 3, "parts": 4, "modulo": 10}, "9e4385b741aa6fa0"),
    ("hier", {}, "99208e74eadbce47"),
    ("hier", {"H": 3, "kind": "max"}, "9dfce3d7508c1654"),
    ("hier", {"kind": "cont"}, "9a5d71efdb7cd7ed"),
]


def test_modulo_everywhere_asks_the_same_question_and_makes_every_step_alike():
    options = {"depth": 4, "parts": 4, "modulo": 10, "ask": True, "operators": "+*-"}
    root, every = make_task("arithmetic", options), make_task("arithmetic", {**options, "reduced": "all"})
    for i in range(20):
        whole, p = root.problem("train", i), every.problem("train", i)
        assert (p.id, p.question, p.answer, p.stem) == (whole.id, whole.question, whole.answer, whole.stem)
        texts = [*p.parts, *(text for row in p.stems for text in row)]
        assert all(text.endswith(" modulo 10?") for text in texts)
        assert {len(value) for row in (*p.meta["local"], *p.meta["inside"]) for value in row} == {1}
        assert [int(value) % 10 for value in whole.meta["local"][0]] == list(map(int, p.meta["local"][0]))


@pytest.mark.parametrize(("name", "options", "digest"), BEFORE)
def test_tasks_without_new_options_are_what_they_were(name, options, digest):
    task = make_task(name, options)
    rows = [
        [p.id, p.question, p.answer, p.kind, list(p.parts), p.stem, p.alone]
        for p in (task.problem(split, i) for split in SPLITS for i in range(10))
    ]
    found = json.dumps([*rows, task.answer_format])
    assert hashlib.sha256(found.encode()).hexdigest()[:16] == digest


# -- what a solver makes of a question, from its text

RULES = {"larger": max, "smaller": min, "later": max, "earlier": min}


def compute(text, heard):
    expression = re.fullmatch(r"What is (.*)\?", text)[1].replace("modulo", "%")
    assert re.fullmatch(r"[-0-9A-H+*%() ]+", expression)
    return str(eval(expression, {}, {letter: int(said) for letter, said in heard.items()}))


def choose(text, heard):
    text = re.fullmatch(r"What is (.*)\?", text)[1]
    while found := re.search(r"\(?the (\w+) of (\w+) and (\w+)\)?", text):
        pair = [heard.get(word, word) for word in found.groups()[1:]]
        chosen = RULES[found[1]](pair, key=int) if pair[0].isdigit() else RULES[found[1]](pair)
        text = text.replace(found[0], chosen)
    return text


def largest(text, heard):
    words = re.fullmatch(r"What is the largest of (.*)\?", text)[1].split(", ")
    return str(max(int(heard.get(word, word)) for word in words))


def recalled(text, heard):
    if heard:
        assert text == f"Which of {', '.join(heard)} is an age? If none is, none."
        return next((said for said in heard.values() if said != "none"), "none")
    asked = re.match(r"How old is (\w+)\?", text)[1]
    return dict(re.findall(r"(\w+) is (\d+)\.", text)).get(asked, "none")


FAMILIES = [
    ("arithmetic", {"depth": 2, "parts": 2}, compute),
    ("arithmetic", {"depth": 3, "parts": 4, "operators": "+"}, compute),
    ("arithmetic", {"depth": 4, "parts": 8, "levels": "*+"}, compute),
    ("arithmetic", {"depth": 3, "parts": 4, "modulo": 7}, compute),
    ("arithmetic", {"depth": 1, "parts": 1, "modulo": 7}, compute),
    ("arithmetic", {"depth": 3, "parts": 4, "modulo": 10, "reduced": "all"}, compute),
    ("arithmetic", {"depth": 4, "parts": 2, "modulo": 7, "reduced": "all"}, compute),
    ("pick", {"depth": 3, "parts": 4}, choose),
    ("pick", {"depth": 4, "parts": 8, "rules": "smaller,larger,smaller"}, choose),
    ("pick", {"depth": 3, "parts": 4, "rules": "later, earlier"}, choose),
    ("pick", {"depth": 1, "parts": 1}, choose),
    ("pick", {"depth": 3, "parts": 4, "rules": "larger/smaller"}, choose),
    ("pick", {"depth": 2, "parts": 2, "rules": "later/earlier,later"}, choose),
    ("max", {"n": 8, "parts": 4}, largest),
    ("max", {"n": 7, "parts": 6}, largest),
    ("max", {"n": 3, "parts": 1}, largest),
    ("recall", {"facts": 8, "parts": 4}, recalled),
    ("recall", {"facts": 7, "parts": 6}, recalled),
    ("recall", {"facts": 3, "parts": 1}, recalled),
]


def composed(problem, solve):
    """Answers by level, each reader hearing what those below it answered."""
    levels = [tuple(solve(part, {}) for part in problem.parts)]
    for stems in problem.stems:
        taken = len(levels[-1]) // len(stems)
        heard = [levels[-1][i * taken : (i + 1) * taken] for i in range(len(stems))]
        levels.append(
            tuple(
                solve(stem, dict(zip("ABCDEFGH", said, strict=False)))
                for stem, said in zip(stems, heard, strict=True)
            )
        )
    return tuple(levels)


@pytest.mark.parametrize(("name", "options", "solve"), FAMILIES)
@given(seed=st.integers(0, 2**40), split=st.sampled_from(SPLITS), index=st.integers(0, 10))
@settings(max_examples=12, deadline=None)
def test_local_answers_compose_to_the_gold_answer(name, options, solve, *, seed, split, index):
    p = make_task(name, {**options, "ask": True, "seed": seed}).problem(split, index)
    assert p.alone
    assert composed(p, solve) == p.meta["local"]
    assert p.meta["local"][-1] == (p.answer,)
    assert solve(p.question, {}) == p.answer
    below = dict(zip("ABCDEFGH", p.meta["local"][0], strict=False))
    if name != "recall" and len(p.parts) > 1:  # one reader of all parts
        assert solve(p.stem, below) == p.answer


@pytest.mark.parametrize(("name", "options", "_"), FAMILIES)
def test_asking_changes_neither_question_nor_answer(name, options, _):
    told, asked = make_task(name, options), make_task(name, {**options, "ask": True})
    for split, i in ((split, i) for split in SPLITS for i in range(4)):
        plain, p = told.problem(split, i), asked.problem(split, i)
        assert (p.id, p.question, p.answer) == (plain.id, plain.question, plain.answer)
        assert (plain.alone, plain.stems) == (False, ())


@pytest.mark.parametrize(("name", "options", "_"), FAMILIES)
def test_parts_and_stem_say_all_that_the_question_says(name, options, _):
    p = make_task(name, {**options, "ask": True}).problem("train", 1)
    if name in ("max", "recall"):
        numbers = [re.findall(r"[A-Z]?\w+ is \d+|\d+", text) for text in (*p.parts, p.question)]
        assert [one for part in numbers[:-1] for one in part] == numbers[-1]
        assert name == "max" or all(part.startswith(p.stem) for part in p.parts)
        return
    said = p.stem
    for letter, part in zip("ABCDEFGH", p.parts, strict=False):
        said = re.sub(rf"\b{letter}\b", f"({part.removeprefix('What is ').removesuffix('?')})", said)
    extra = r"[()]| modulo \d+" if options.get("reduced") == "all" else r"[()]"
    assert len(p.parts) == 1 or re.sub(extra, "", said) == re.sub(extra, "", p.question)


@pytest.mark.parametrize(
    ("k", "height", "kind"), [(2, 3, "latin"), (3, 2, "random"), (2, 3, "cont"), (2, 1, "max")]
)
def test_hier_asks_at_every_node(k, height, kind):
    p = make_task("hier", {"k": k, "H": height, "kind": kind, "ask": True}).problem("train", 2)
    tree = Tree(k, height, kind, 4)
    letters = "ABC"[:k]
    below = [[float(text) for text in re.fullmatch(r"\((.*)\) = \?", part)[1].split()] for part in p.parts]
    assert p.stems == tuple((f"({' '.join(letters)}) = ?",) * k ** (height - h) for h in range(2, height + 1))
    for above, row in enumerate(p.meta["local"], start=1):
        values = [tree.node(above, place, pair) for place, pair in enumerate(below)]
        assert row == tuple(f"{v:.2f}" if kind == "cont" else str(int(v)) for v in values)
        below = [values[i : i + k] for i in range(0, len(values), k)]
    assert p.meta["local"][-1] == (p.answer,)
    symbols = [re.findall(r"[0-9.]+", text) for text in (*p.parts, p.question)]
    assert [one for part in symbols[:-1] for one in part] == symbols[-1]


def test_a_rule_is_drawn_for_every_step():
    task = make_task("pick", {"depth": 1, "parts": 1, "rules": "larger/smaller", "ask": True})
    asked = [task.problem("train", number).question for number in range(200)]
    larger = sum("larger" in text for text in asked)
    assert 70 < larger < 130
    assert larger + sum("smaller" in text for text in asked) == 200
    plain = make_task("pick", {"depth": 1, "parts": 1, "rules": "larger", "ask": True})
    twice = make_task("pick", {"depth": 1, "parts": 1, "rules": "larger/larger", "ask": True})
    assert [plain.problem("test", n).question for n in range(9)] == [
        "What is the larger of " + twice.problem("test", n).question.split(" of ")[1] for n in range(9)
    ]


@pytest.mark.parametrize("name", ["arithmetic", "pick"])
def test_steps_inside_the_parts_are_those_of_a_finer_cut(name):
    for depth, parts in ((3, 1), (3, 2), (3, 4), (2, 4), (1, 1)):
        cut = make_task(name, {"depth": depth, "parts": parts, "ask": True}).problem("train", 1)
        finer = make_task(name, {"depth": depth, "parts": 2 ** (depth - 1), "ask": True}).problem("train", 1)
        assert finer.question == cut.question
        steps = (*cut.meta["inside"], *cut.meta["local"])
        assert steps[-depth:] == finer.meta["local"]
        assert len(cut.meta["inside"]) == max(0, depth - parts.bit_length())
    shifted = make_task("arithmetic", {"depth": 3, "parts": 2, "ask": True, "cut": "shifted"})
    assert shifted.problem("train", 1).meta["inside"] == ()


@pytest.mark.parametrize("hops", [1, 2, 3, 4])
def test_a_chain_looks_up_a_hop_a_node(hops):
    task = make_task("lookup", {"hops": hops, "people": 5, "ask": True})
    chain = load_topology("-".join("1" * hops), "layers")
    for i in range(5):
        p = task.problem("test", i)
        said = re.search(r"(\w+)(?: live in)?\?$", p.parts[0])[1]
        for node in range(hops):
            asked = question_for(chain, node, p)
            assert node == 0 or re.search(r" (?:the city of|the) A(?: feed)?\?$", asked)
            said = re.search(rf"\b{said} (?:\w+ )(?:in )?(?:the )?(\w+)\.", asked)[1]
            assert said == p.meta["local"][0][node]
        assert said == p.answer == p.meta["local"][-1][0]
        told, whole = (set(re.findall(r"[^. ][^.]+\.", text)) for text in (" ".join(p.parts), p.question))
        assert {re.sub(r"^.*\? ", "", fact) for fact in told} == whole
    assert hops > 1 or p.parts == (p.question,)


ASKED = [(name, options) for name, options, _ in FAMILIES] + [("lookup", {"hops": 3}), ("hier", {"H": 3})]


@pytest.mark.parametrize(("name", "options"), ASKED)
def test_no_prompt_holds_what_is_for_analysis_alone(name, options):
    p = make_task(name, {**options, "ask": True}).problem("train", 0)
    marked = tuple(("SECRET",) * len(row) for row in p.meta["local"])
    other = replace(p, meta={**p.meta, "local": marked})
    wording = Wording("plain", "the answer", examples=(replace(other, id="e", question="Another?"),))
    for shape in ("1", f"{len(p.parts)}-1", "-".join("1" * len(p.parts))):
        for mode in ("all", "first", "split", "layers", "hints"):
            topology = load_topology(shape, mode)
            if topology.shares > len(p.parts):
                continue
            for node in range(len(topology.nodes)):
                messages = ("m",) * len(topology.incoming(node))
                mine, theirs = (
                    build_prompt(topology, node, q, messages, ByteCodec(), wording=wording)
                    for q in (p, other)
                )
                assert mine == theirs
                assert "SECRET" not in ByteCodec().decode(mine.prefix + mine.suffix)


@pytest.mark.parametrize(
    ("name", "option", "rules", "found"),
    [
        ("arithmetic", "levels", "*+-", {1: {"*"}, 2: {"+"}, 3: {"-"}, 4: {"-"}}),
        ("pick", "rules", "smaller, larger", {1: {"smaller"}, 2: {"larger"}, 3: {"larger"}, 4: {"larger"}}),
    ],
)
def test_every_level_has_its_rule_and_the_last_goes_on(name, option, rules, found):
    p = make_task(name, {"depth": 4, "parts": 8, option: rules, "ask": True}).problem("train", 0)
    asked = [{re.search(r"[*+-]|\w+er\b", text)[0] for text in row} for row in (p.parts, *p.stems)]
    assert dict(enumerate(asked, start=1)) == found


@pytest.mark.parametrize(("depth", "parts"), [(2, 2), (3, 2), (3, 4), (4, 4)])
@pytest.mark.parametrize("ask", [True, False])
def test_a_shifted_cut_hands_out_the_same_text_one_number_off(depth, parts, ask):
    options = {"depth": depth, "parts": parts, "ask": ask, "levels": "*+"}
    right = make_task("arithmetic", options).problem("train", 0)
    wrong = make_task("arithmetic", {**options, "cut": "shifted"}).problem("train", 0)
    assert (wrong.question, wrong.answer, wrong.stem, wrong.stems) == (
        *(right.question, right.answer, right.stem, right.stems),
    )
    pieces = [re.sub(r"^(What is|[A-H] =) |\?$", "", part) for part in wrong.parts]
    assert "".join(pieces).replace(" ", "") == right.question[8:-1].replace(" ", "")
    counts = [len(re.findall(r"\d+", piece)) for piece in pieces]
    each = 2**depth // parts
    assert counts == [each + 1, *[each] * (parts - 2), each - 1]
    assert wrong.meta["local"] == ((wrong.answer,),)


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("arithmetic", {"levels": "*/"}, "levels = '*/'"),
        ("arithmetic", {"levels": "*", "operators": "+"}, "'operators' has no meaning with levels"),
        ("arithmetic", {"cut": "shiftd"}, "did you mean 'shifted'"),
        ("arithmetic", {"reduced": "all"}, "reduced = 'all' needs a modulo, not modulo = 0"),
        ("arithmetic", {"cut": "shifted", "parts": 1}, "parts from 2 to 2**(depth - 1) = 2, not 1"),
        ("arithmetic", {"cut": "shifted", "parts": 4}, "not 4"),
        ("pick", {"rules": "lager"}, "did you mean 'larger'"),
        ("pick", {"rules": "larger,later"}, "among numbers and among words"),
        ("pick", {"rules": "larger/later"}, "among numbers and among words"),
        ("pick", {"rules": "larger/"}, "unknown rule ''"),
        ("pick", {"rules": ""}, "unknown rule ''"),
        ("pick", {"parts": 3}, "power of 2"),
        ("pick", {"depth": 5, "highest": 31}, "highest = 31 allows only 31"),
        ("pick", {"depth": 6, "rules": "later"}, "only 48 words"),
        ("pick", {"rules": "later", "highest": 9}, "'highest' has no meaning with rules = 'later'"),
        ("max", {"ask": True, "rank": 2}, "ask = true needs rank = 1, not 2"),
        ("hier", {"graded": True}, "graded = true has no meaning with kind = 'latin'"),
        ("max", {"read": "first"}, "unknown read 'first'"),
    ],
)
def test_what_cannot_be_is_one_line(name, options, says):
    with pytest.raises(TaskError) as error:
        make_task(name, options)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "options", [{"levels": "*+"}, {"operators": "+"}, {"operators": "+*", "max_operand": 4}]
)
def test_a_few_expressions_are_listed_so_that_held_out_ones_are_those_that_there_are(options):
    task = make_task("arithmetic", {"depth": 1, "parts": 1, "ask": True, "max_operand": 9, **options})
    sizes = [task.size(split) for split in ("validation", "test")]
    assert None not in sizes
    assert 0 not in sizes
    held = [
        task.problem(split, i)
        for split, size in zip(("validation", "test"), sizes, strict=True)
        for i in range(size)
    ]
    assert len({one.question for one in held}) == sum(sizes), "all differ"
    drawn = [task.problem("train", i) for i in range(600)]
    everything = {one.question for one in (*held, *drawn)}
    assert len(everything) == (81 if options.get("max_operand", 9) == 9 else 32), (
        "what is drawn is all there is"
    )
    assert not {one.question for one in held} & {one.question for one in drawn}
    with pytest.raises(TaskError, match="only"):
        task.problem("test", sizes[1])


def test_many_expressions_are_drawn_and_not_counted():
    assert make_task("arithmetic", {"depth": 6, "parts": 1}).size("test") is None
    assert (
        make_task("arithmetic", {"depth": 1, "parts": 1, "operators": "+", "max_operand": 30}).size("test")
        is None
    )
