"""Rows of any file are read alike, parts are read or cut; what is wrong is named with its place."""

from __future__ import annotations

import json

import pytest

from neuromas.core.errors import TaskError
from neuromas.tasks import make_task
from neuromas.tasks.pieces import cut_question

ROWS = [{"question": f"How much is {i} plus {i}?", "answer": str(2 * i)} for i in range(30)]


def written(path, rows=ROWS, sep=","):
    if path.suffix == ".jsonl":
        path.write_text("\n".join(map(json.dumps, rows)))
    elif path.suffix == ".json":
        path.write_text(json.dumps({"version": 1, "data": rows}))
    elif path.suffix == ".parquet":
        pyarrow = pytest.importorskip("pyarrow")
        pytest.importorskip("pyarrow.parquet").write_table(pyarrow.Table.from_pylist(rows), path)
    else:
        lines = [list(rows[0]), *(row.values() for row in rows)]
        path.write_text("".join(sep.join(map(str, line)) + "\n" for line in lines))
    return str(path)


def problems(task):
    return {
        p.question: p
        for s in ("train", "validation", "test")
        for p in (task.problem(s, i) for i in range(task.size(s)))
    }


@pytest.mark.parametrize(
    ("name", "sep"),
    [
        ("a.csv", ","),
        ("a.csv", ";"),
        ("a.csv", "|"),
        ("a.tsv", "\t"),
        ("a.jsonl", ""),
        ("a.json", ""),
        ("a.parquet", ""),
    ],
)
@pytest.mark.parametrize("family", ["file", "hub"])
def test_all_formats_hold_the_same_problems(tmp_path, name, sep, family):
    path = written(tmp_path / name, sep=sep)
    task = make_task(family, {"path" if family == "file" else "train": path, "kind": "number"})
    assert {q: p.answer for q, p in problems(task).items()} == {
        row["question"]: row["answer"] for row in ROWS
    }


def test_a_separator_and_an_encoding_may_be_named(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes("question#answer\nWie heißt es?#Straße\n".encode("latin-1"))
    task = make_task("file", {"test": str(path), "sep": "#", "encoding": "latin-1"})
    assert task.problem("test", 0).answer == "Straße"
    for options, says in (
        ({"encoding": "latin-1", "sep": "##"}, "sep = '##' is not one character"),
        ({"sep": "#"}, r"a\.csv line 2: is not UTF-8 text; set encoding"),
        ({"encoding": "klingon"}, "unknown encoding 'klingon'"),
    ):
        with pytest.raises(TaskError, match=says):
            make_task("file", {"test": str(path), **options})


def test_json_files_and_parquet_name_what_is_wrong(tmp_path):
    path = tmp_path / "a.json"
    for text, says in (
        ("[1]", r"a\.json row 0: must be a JSON object, got int"),
        ('{"a": [], "b": []}', "one such list"),
        ("[{", r"a\.json: is not JSON"),
        ('[{"question": "q?", "answer": "a"}, {"question": "q?"}]', r"row 1: unknown field 'answer'"),
    ):
        path.write_text(text)
        with pytest.raises(TaskError, match=says):
            make_task("file", {"test": str(path)})
    parquet = written(tmp_path / "a.parquet")
    with pytest.raises(TaskError, match=r"row 0: unknown field 'text'.*\(valid: question, answer\)"):
        make_task("file", {"test": parquet, "question": "text"})


def test_parts_and_stem_are_fields(tmp_path):
    row = {"question": "A is 3. B is 4. How much is A + B?", "answer": "7", "parts": ["A is 3.", "B is 4."]}
    rows = [row | {"stem": "How much is A + B?"}]
    (problem,) = problems(make_task("file", {"test": written(tmp_path / "a.jsonl", rows)})).values()
    assert (problem.parts, problem.stem) == (("A is 3.", "B is 4."), "How much is A + B?")
    text = "question;answer;teile;rest\nq?;7;A is 3.|B is 4.;sum?\n"
    (tmp_path / "a.csv").write_text(text)
    named = {"test": str(tmp_path / "a.csv"), "parts": "teile", "stem": "rest"}
    (problem,) = problems(make_task("file", named)).values()
    assert (problem.parts, problem.stem) == (("A is 3.", "B is 4."), "sum?")
    choice = {"question": "q?", "choices": ["x", "y"], "answer": "A", "parts": ["a", "b"], "stem": "which?"}
    (problem,) = problems(make_task("file", {"test": written(tmp_path / "c.jsonl", [choice])})).values()
    assert problem.stem == "which?\nA. x\nB. y", "who reads the stem can choose"


@pytest.mark.parametrize(
    ("change", "options", "says"),
    [
        ({"parts": 3}, {}, r"line 1: field 'parts' must be a list .* got '3' .*set parts = ''"),
        ({"parts": ["a", " "]}, {}, "line 1: field 'parts' has an empty part, number 2"),
        ({"parts": ["a", "b"]}, {"cut": "lines"}, "line 1: has parts in field 'parts'"),
        (
            {},
            {"cut": "sentences"},
            "has 0 sentences beside the one that asks and cannot be cut into 2 pieces",
        ),
        ({}, {"cut": "chunks", "pieces": 9}, "has 6 words and cannot be cut into 9 pieces"),
        ({}, {"cut": "words"}, "unknown cut 'words'"),
    ],
)
def test_parts_that_cannot_be_are_named(tmp_path, change, options, says):
    path = written(tmp_path / "a.jsonl", [ROWS[1] | change])
    with pytest.raises(TaskError, match=says):
        make_task("file", {"test": path, **options})
    if change.get("parts") == 3:
        assert make_task("file", {"test": path, "parts": ""}).problem("test", 0).parts == ()


STORY = "Mr. Lee has 3.5 kg of rice. He buys 2 kg more! Then he eats 1 kg. How much is left?"


@pytest.mark.parametrize(
    ("text", "how", "count", "stem", "parts"),
    [
        (
            STORY,
            "sentences",
            3,
            "How much is left?",
            ("Mr. Lee has 3.5 kg of rice.", "He buys 2 kg more!", "Then he eats 1 kg."),
        ),
        (
            STORY,
            "sentences",
            2,
            "How much is left?",
            ("Mr. Lee has 3.5 kg of rice.", "He buys 2 kg more! Then he eats 1 kg."),
        ),
        ("Which is red? a. b. c.", "sentences", 2, "Which is red?", ("a.", "b. c.")),
        ("one\n\ntwo\nthree", "lines", 2, "three", ("one", "two")),
        ("a bb ccc dddd", "chunks", 2, "", ("a bb", "ccc dddd")),
        ("a bb ccc dddd", "chunks", 4, "", ("a", "bb", "ccc", "dddd")),
        ("他有三个。她有两个。一共几个？", "sentences", 2, "一共几个？", ("他有三个。", "她有两个。")),
    ],
)
def test_cuts_by_hand(text, how, count, stem, parts):
    assert cut_question(text, how, count, "here") == (stem, parts)
