"""Tasks from files and data sets: every kind of answer, one clear line for everything malformed."""

from __future__ import annotations

import builtins
import json

import pytest

from neuromas.errors import TaskError
from neuromas.tasks import make_task, validate
from neuromas.tasks.generated import split_of

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
    problems = [task.problem("test", i) for i in range(task.size("test"))]
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
        ('{"question": "q", "answer": "x", "choices": ["x", "x"]}', "nor exactly one choice"),
        ('{"question": "q", "answer": "x", "choices": 5}', "must be a list of texts"),
        ('{"prompt": "q", "answer": "x", "answer_type": "code"}', "code tasks need a sandbox"),
        ('{"question": "' + "q" * 100_001 + '", "answer": "x"}', "100001 characters"),
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
        ({"test": str(tmp_path / "x.exe")}, "only .jsonl and .csv"),
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
    task = make_task("hub", {"train": str(tmp_path / "d.parquet")})
    assert sum(task.size(s) for s in ("train", "validation", "test")) == 60
    p = task.problem("train", 0)
    assert p.kind == "choice"
    assert p.answer == "AB"[int(p.id[1:]) % 2]
    assert validate(task, 60, 0).ok
    with pytest.raises(TaskError, match="row 0: unknown field 'text'"):
        make_task("hub", {"train": str(tmp_path / "d.parquet"), "question": "text"})
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"not parquet")
    with pytest.raises(TaskError, match="cannot be loaded"):
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


def test_an_id_that_stands_twice_is_refused(tmp_path):
    path = tmp_path / "rows.jsonl"
    row = '{"id": "a", "question": "q%d", "answer": "1", "answer_type": "number"}\n'
    path.write_text(row % 1 + row % 2, "utf-8")
    with pytest.raises(TaskError, match=r"line 2: id 'a' stands twice"):
        make_task("file", {"path": str(path)})
