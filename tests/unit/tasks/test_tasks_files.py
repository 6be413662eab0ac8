"""Tasks from files and data sets: every kind of answer, one clear line for everything malformed."""

from __future__ import annotations

import builtins
import json
import os
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuromas.core.errors import TaskError
from neuromas.tasks import make_task, validate
from neuromas.tasks.checking import check
from neuromas.tasks.generated import split_of
from neuromas.tasks.rows import Fields, to_problem

CHOICE = {
    "question": "Capital of Italy?",
    "choices": ["Oslo", "Rome"],
    "answer": "B",
    "answer_type": "letter",
}
KINDS = [
    CHOICE,
    {"question": "6 times 7?", "answer": "42", "answer_type": "number"},
    {"question": "Is water wet?", "answer": "yes", "answer_type": "yesno"},
    {"question": "Color of grass?", "answer": "green", "answer_type": "text"},
]


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def one(tmp_path, row, **options):
    task = make_task("file", {"test": write(tmp_path / "t.jsonl", [row]), **options})
    return task, task.problem("test", 0)


def test_every_kind_loads_and_scores(tmp_path):
    task = make_task("file", {"test": write(tmp_path / "t.jsonl", KINDS)})
    problems = sorted((task.problem("test", i) for i in range(task.size("test"))), key=lambda p: p.id)
    assert [p.kind for p in problems] == ["choice", "number", "yesno", "text"]
    assert problems[0].question == "Capital of Italy?\nA. Oslo\nB. Rome"
    assert problems[0].id == "t-0"
    for p, right in zip(problems, ("Rome", "It is 42.", "Yes", "Green"), strict=True):
        assert task.score(p, right).value == 1.0
        assert task.score(p, "purple 7").value == 0.0
    assert task.size("train") == 0
    with pytest.raises(TaskError, match="split 'train' has 0 problems, no index 0"):
        task.problem("train", 0)


@pytest.mark.parametrize(
    ("change", "letter"),
    [
        ({"answer": "Rome"}, "B"),
        ({"answer": 1}, "B"),
        ({"answer": "(b)"}, "B"),
        ({"choices": {"text": ["Oslo", "Rome"], "label": ["1", "2"]}, "answer": "1"}, "A"),
        ({"choices": '["Oslo", "Rome"]', "answer": "Oslo"}, "A"),
        ({"choices": "Oslo|Rome"}, "B"),
        ({"answer_type": None}, "B"),
    ],
)
def test_forms_of_choices(tmp_path, change, letter):
    assert one(tmp_path, CHOICE | change)[1].answer == letter


def test_kinds_are_inferred_and_fields_renamed(tmp_path):
    for answer, kind, gold in [
        ("12", "number", "12"),
        ("No", "yesno", "no"),
        ("x y", "text", "x y"),
        (True,) * 3,
    ]:
        _, p = one(tmp_path, {"q": "?", "gold": answer}, question="q", answer="gold")
        assert (p.kind, p.answer) == ((kind, gold) if answer is not True else ("yesno", "yes"))
    _, p = one(tmp_path, {"question": "?", "answer": "6*3=<<18>>18\n#### 18"}, kind="number")
    assert p.answer == "18"


def test_csv(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('question,a,b,answer\n"Which, of\nthem?",yes,"no, never",B\n', encoding="utf-8")
    task = make_task("file", {"test": str(path), "choices": "a,b"})
    p = task.problem("test", 0)
    assert (p.choices, p.answer) == (("yes", "no, never"), "B")
    path.write_text("question,answer\nq\n", encoding="utf-8")
    with pytest.raises(TaskError, match=r"t\.csv line 2: has another number of fields than the heading"):
        make_task("file", {"test": str(path)})


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "line 2: is not JSON"),
        ("[1]", "line 2: must be a JSON object, got list"),
        ("[" * 100_000, "line 2: is not JSON"),
        ('{"answer": "x"}', "unknown field 'question'"),
        ('{"question": " ", "answer": "x"}', "line 2: field 'question' must be text"),
        ('{"question": "q", "answer": null}', "line 2: field 'answer' must be text"),
        ('{"question": "q", "answer": "x", "answer_type": "numbr"}', "did you mean 'number'"),
        ('{"question": "q", "answer": "x", "answer_type": "number"}', "'x' is not a number"),
        ('{"question": "q", "answer": "x", "answer_type": "yesno"}', "'x' is not yes or no"),
        ('{"question": "q", "answer": "A", "answer_type": "letter"}', "no choices"),
        ('{"question": "q", "answer": "C", "choices": ["x", "y"]}', "neither a letter from A to B nor"),
        ('{"question": "q", "answer": "x", "choices": ["x", "x"]}', "choice 'x' stands twice"),
        ('{"question": "q", "answer": "B", "choices": ["x", "y", " x"]}', "choice 'x' stands twice"),
        ('{"question": "q", "answer": "A", "choices": {"label": 5, "text": ["x", "y"]}}', "labels must be"),
        (
            '{"question": "q", "answer": "A", "choices": {"label": ["A"], "text": ["x", "y"]}}',
            "labels must be",
        ),
        (
            '{"question": "q", "answer": "A", "choices": {"label": ["A", "A"], "text": ["x", "y"]}}',
            "labels must",
        ),
        (
            '{"question": "q", "answer": "A", "choices": {"label": [[], {}], "text": ["x", "y"]}}',
            "labels must",
        ),
        (
            '{"question": "q", "answer": "A", "choices": {"a": 1}}',
            "unknown field of choices 'text' (valid: a)",
        ),
        ('{"question": "q", "answer": "A", "choices": {}}', "unknown field of choices 'text' (valid: none)"),
        ('{"question": "q", "answer": "A", "choices": ["x", NaN]}', "must be a list of texts"),
        ('{"question": "q", "answer": NaN}', "field 'answer' must be text or a number, got 'nan'"),
        ('{"question": "q", "answer": -Infinity}', "must be text or a number, got '-inf'"),
        ('{"question": "q", "answer": 1e999}', "must be text or a number, got 'inf'"),
        ('{"question": "q", "answer": ' + "9" * 5000 + "}", "line 2: is not JSON"),
        ('{"question": "a \\ud800 b", "answer": "x"}', "field 'question' holds half a character"),
        ('{"question": "q", "answer": "\\udfff"}', "field 'answer' holds half a character"),
        ('{"question": "q", "answer": "A", "choices": ["x", "\\ud800"]}', "field 'choices' holds half a"),
        ('{"question": "q", "answer": "x", "id": "\\ud800"}', "field 'id' holds half a character"),
        ('{"question": "q", "answer": "x", "id": [1]}', "field 'id' must be text or a number"),
        ('{"question": "q", "answer": "x", "id": NaN}', "field 'id' must be text or a number"),
        # index, letter and text name different choices
        ('{"question": "q", "answer": 3, "choices": ["1", "2", "3", "4"]}', "index 3 is D, text '3' is C"),
        ('{"question": "q", "answer": 2, "choices": [1, 2, 3, 4]}', "index 2 is C, text '2' is B"),
        ('{"question": "q", "answer": "a", "choices": ["b", "a", "c"]}', "letter 'a' is A, text 'a' is B"),
        (
            '{"question": "q", "answer": "C", "choices": ["C", "A", "B"]}',
            "set answer_is = 'letter' or 'text'",
        ),
        (
            '{"question": "q", "answer": "(B)", "choices": ["(b)", "(a)"]}',
            "letter '(B)' is B, text '(B)' is A",
        ),
        ('{"question": "q", "answer": "x", "choices": 5}', "must be a list of texts"),
        ('{"prompt": "q", "answer": "x", "answer_type": "code"}', "programs are judged by running them"),
        ('{"question": "' + "q" * 100_001 + '", "answer": "x"}', "100001 characters"),
        ('{"question": "q", "answer": "' + "9" * 4001 + '"}', "answer of 4001 characters, at most 4000"),
        (" " * (1 << 20) + "x", "longer than"),
    ],
)
def test_malformed_lines_name_file_line_and_problem(tmp_path, line, says):
    path = tmp_path / "bad.jsonl"
    path.write_text(json.dumps(KINDS[1]) + "\n" + line + "\n", encoding="utf-8")
    with pytest.raises(TaskError) as error:
        make_task("file", {"test": str(path)})
    assert says in str(error.value)
    assert "bad.jsonl line 2" in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 500


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "latin.jsonl").write_bytes(b'{"question": "\xe9"}')
    (tmp_path / "empty.jsonl").write_text("\n")
    for options, says in [
        ({}, "give either path"),
        ({"path": "a.jsonl", "test": "b.jsonl"}, "give either path"),
        ({"test": str(tmp_path / "no.jsonl")}, "cannot be read"),
        ({"test": str(tmp_path / "x.exe")}, "only .csv, .tsv, .jsonl, .json, .parquet files"),
        ({"test": str(tmp_path / "latin.jsonl")}, "is not UTF-8"),
        ({"test": str(tmp_path / "empty.jsonl")}, "holds no problems"),
        ({"tests": "x"}, "did you mean 'test'"),
        (
            {"path": write(tmp_path / "k.jsonl", KINDS), "test_share": 0.9, "validation_share": 0.5},
            "nothing is left",
        ),
    ]:
        with pytest.raises(TaskError, match=says.replace(".", r"\.")):
            make_task("file", options)


def test_one_path_is_cut_by_the_question_and_a_missing_validation_is_taken_from_train(tmp_path):
    rows = [{"question": f"{i} plus 1?", "answer": str(i + 1)} for i in range(400)]
    path = write(tmp_path / "all.jsonl", rows)
    task = make_task("file", {"path": path})
    sizes = {split: task.size(split) for split in ("train", "validation", "test")}
    assert sum(sizes.values()) == 400
    assert 20 < sizes["test"] < 60
    assert all(split_of(task.problem("test", i).question) == "test" for i in range(sizes["test"]))
    assert validate(task, 400, 0).ok
    again = make_task("file", {"train": path})
    assert again.size("train") + again.size("validation") == 400
    assert make_task("file", {"train": path, "validation_share": 0.0}).size("train") == 400


def test_overlapping_splits_are_an_error_or_dropped_from_train(tmp_path):
    other = {"question": "Other?", "answer": "x"}
    shouted = KINDS[3] | {"question": "COLOR  of grass?"}
    train, test = write(tmp_path / "a.jsonl", [other, shouted]), write(tmp_path / "b.jsonl", [KINDS[3]])
    options = {"train": train, "test": test, "validation_share": 0.0}
    with pytest.raises(TaskError, match="1 questions of split 'train' also occur in split 'test'"):
        make_task("file", options)
    task = make_task("file", options | {"overlap": "drop"})
    assert (task.size("train"), task.size("test")) == (1, 1)


def test_answer_format(tmp_path):
    assert one(tmp_path, CHOICE)[0].answer_format == "the letter of one choice"
    task = make_task("file", {"test": write(tmp_path / "t.jsonl", KINDS)})
    assert task.answer_format == "the answer only, as short as possible"


def test_hub_reads_a_local_parquet_file(tmp_path, monkeypatch):
    pytest.importorskip("datasets")
    parquet = pytest.importorskip("pyarrow.parquet")
    import pyarrow

    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    rows = [
        {
            "id": f"r{i}",
            "question": f"{i} or {i + 1}?",
            "choices": [str(i), str(i + 1)],
            "answer": i % 2,
            "junk": [i],
        }
        for i in range(60)
    ]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "d.parquet")
    task = make_task("hub", {"train": str(tmp_path / "d.parquet"), "answer_is": "index"})
    assert sum(task.size(s) for s in ("train", "validation", "test")) == 60
    p = task.problem("train", 0)
    assert p.kind == "choice"
    assert p.answer == "AB"[int(p.id[1:]) % 2]
    assert validate(task, 60, 0).ok
    with pytest.raises(TaskError, match="row 0: unknown field 'text'"):
        make_task("hub", {"train": str(tmp_path / "d.parquet"), "question": "text"})
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"not parquet")
    with pytest.raises(TaskError, match="is not Parquet"):
        make_task("hub", {"train": str(broken)})


def test_hub_errors(monkeypatch, tmp_path):
    with pytest.raises(TaskError, match="give dataset"):
        make_task("hub", {})
    with pytest.raises(TaskError, match=r"no file 'x\.parquet'"):
        make_task("hub", {"train": "x.parquet"})
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "datasets":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(TaskError, match=r"pip install 'neuromas\[hub\]'"):
        make_task("hub", {"dataset": "x/y"})


@pytest.mark.parametrize(
    ("answer", "choices", "means"),
    [
        (3, ["1", "2", "3", "4"], {"index": "D", "text": "C", "letter": "neither"}),
        ("3", ["1", "2", "3", "4"], {"": "C", "index": "D", "text": "C"}),  # text that is one choice
        ("a", ["b", "a", "c"], {"letter": "A", "text": "B", "index": "neither"}),
        ("a", ["a", "b", "c"], {"": "A", "letter": "A", "text": "A"}),
        (1, ["0", "1"], {"": "B", "index": "B", "text": "B"}),
        ("1", ["Oslo", "Rome"], {"": "neither", "index": "B"}),  # as a CSV file writes an index
        ("Rome", ["Oslo", "Rome"], {"": "B", "text": "B", "letter": "neither"}),
        (
            "1",
            {"text": ["2", "1"], "label": ["1", "2"]},
            {"": "A", "text": "B", "index": "B"},
        ),  # a label wins
        (True, ["yes", "no"], {"": "A", "text": "A", "index": "neither"}),
        (7, ["Oslo", "Rome"], {"": "neither", "index": "neither"}),
        (-1, ["Oslo", "Rome"], {"": "neither", "index": "neither"}),
    ],
)
def test_how_the_gold_answer_of_choices_is_read(tmp_path, answer, choices, means):
    for way, letter in means.items():
        row = {"question": "Which?", "choices": choices, "answer": answer, "answer_type": "choice"}
        if letter == "neither":
            with pytest.raises(TaskError, match=r"line 1: answer '.*' is (neither|no)"):
                one(tmp_path, row, answer_is=way)
        else:
            assert one(tmp_path, row, answer_is=way)[1].answer == letter


def test_an_id_may_be_zero(tmp_path):
    assert one(tmp_path, CHOICE | {"id": 0})[1].id == "0"
    assert one(tmp_path, CHOICE | {"id": ""})[1].id == "t-0"
    assert one(tmp_path, CHOICE | {"id": None})[1].id == "t-0"


def sorted_by_label(tmp_path, name, letter):
    rows = [{"question": f"{letter}{i}?", "answer": "no" if i >= 300 else "yes"} for i in range(600)]
    return write(tmp_path / name, rows)


def test_held_out_rows_stand_in_an_order_of_their_own(tmp_path):
    """The first 200 of a file sorted by label would all have one answer."""
    test, train = sorted_by_label(tmp_path, "a.jsonl", "Q"), sorted_by_label(tmp_path, "b.jsonl", "T")
    task = make_task("file", {"train": train, "test": test})
    whole = make_task("file", {"path": test, "validation_share": 0.3, "test_share": 0.4})
    for one_task, split in ((task, "test"), (task, "validation"), (whole, "test"), (whole, "validation")):
        first = [one_task.problem(split, i) for i in range(50)]
        assert 15 <= sum(p.answer == "yes" for p in first) <= 35
        assert len({p.id for p in first}) == 50
    train_places = [int(task.problem("train", i).id[2:]) for i in range(task.size("train"))]
    assert train_places == sorted(train_places)
    again = make_task("file", {"train": train, "test": test})
    assert [again.problem("test", i).id for i in range(600)] == [
        task.problem("test", i).id for i in range(600)
    ]
    assert sorted(int(task.problem("test", i).id[2:]) for i in range(600)) == list(range(600))


def test_the_order_of_held_out_rows_does_not_depend_on_the_file(tmp_path):
    rows = [{"id": f"r{i}", "question": f"Q{i}?", "answer": str(i)} for i in range(50)]
    orders = []
    for name, mine in (("a", rows), ("b", rows[::-1]), ("c", rows[:40])):
        task = make_task("file", {"test": write(tmp_path / f"{name}.jsonl", mine)})
        orders.append([task.problem("test", i).id for i in range(len(mine))])
    assert orders[0] == orders[1]
    assert orders[2] == [name for name in orders[0] if int(name[1:]) < 40]


def test_duplicate_headings_and_endless_lines_of_csv_are_refused(tmp_path):
    path = tmp_path / "t.csv"
    for text, says in [
        ("question,answer,answer\nq,1,2\n", "heading 'answer' stands twice"),
        ('question,answer\nq,"' + "x" * (1 << 20) + '"\n', "longer than 1048576 characters"),
        ("", "holds no problems"),
    ]:
        path.write_text(text, "utf-8")
        with pytest.raises(TaskError, match=says):
            make_task("file", {"test": str(path)})


def test_only_regular_files_are_read(tmp_path):
    """A FIFO would wait for a writer for ever, /dev/zero has no end."""
    os.mkfifo(tmp_path / "fifo.jsonl")
    (tmp_path / "zero.csv").symlink_to("/dev/zero")
    (tmp_path / "folder.jsonl").mkdir()
    regular = "is not a regular file"
    for name, says in (("fifo.jsonl", regular), ("zero.csv", regular), ("folder.jsonl", "Is a directory")):
        start = time.perf_counter()
        with pytest.raises(TaskError, match=rf"{name}: cannot be read \({says}\)"):
            make_task("file", {"test": str(tmp_path / name)})
        assert time.perf_counter() - start < 1
    for task, name in (("file", "a\0b.jsonl"), ("hub", "a\0b.parquet"), ("file", "x" * 5000 + ".jsonl")):
        with pytest.raises(TaskError):
            make_task(task, {"train": name})


ODD = [
    *[
        0,
        1,
        -1,
        3,
        "3",
        "a",
        "A",
        "(B)",
        "yes",
        True,
        None,
        "x",
        "\\frac{1}{0}",
        "\\sqrt{-1}",
        ".5",
        "½",
        "1/0",
    ],
    *[
        [],
        {},
        [1],
        ["x", "y"],
        ["1", "2", "3"],
        ["b", "a"],
        "a|b",
        "[1,2]",
        "[",
        "[null]",
        "####",
        "\\boxed{",
    ],
    *[{"label": ["A", "B"], "text": ["x", "y"]}, {"label": 5, "text": ["x"]}, {"text": None}, {"text": 5}],
    *[
        1e308,
        float("nan"),
        float("inf"),
        10**400,
        "\ud800",
        "\x00",
        "\x1b[2J",
        "9" * 5000,
        "\u202e",
        {"a": 1},
    ],
]


@given(
    st.fixed_dictionaries(
        {"question": st.sampled_from(["q?", *ODD])},
        optional={key: st.sampled_from(ODD) for key in ("answer", "choices", "id")}
        | {"answer_type": st.sampled_from(["number", "choice", "text", "yesno", *ODD])},
    ),
    st.sampled_from(["", "index", "letter", "text"]),
)
@settings(max_examples=300, deadline=None)
def test_any_row_is_a_problem_whose_gold_answer_is_right_or_one_line(row, way):
    try:
        problem, refused = to_problem(row, Fields(answer_is=way), "here", "id"), ""
    except TaskError as error:
        problem, refused = None, str(error)
    assert "\n" not in refused
    assert len(refused) < 500
    if problem is None:
        return
    for strict in (False, True):
        assert check(problem, problem.answer, strict).value == 1.0
    "".join((problem.id, problem.question, problem.answer, *problem.choices)).encode()


def test_an_id_that_stands_twice_is_refused(tmp_path):
    path = tmp_path / "rows.jsonl"
    row = '{"id": "a", "question": "q%d", "answer": "1", "answer_type": "number"}\n'
    path.write_text(row % 1 + row % 2, "utf-8")
    with pytest.raises(TaskError, match=r"line 2: id 'a' stands twice"):
        make_task("file", {"path": str(path)})
