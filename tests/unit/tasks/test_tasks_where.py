"""Files of many subjects: which rows are read, of all splits or of the test, and which are not."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import pytest

from neuromas.core.errors import TaskError
from neuromas.tasks import from_rows, make_task


def row(number, subject, **more):
    question = f"Which is {number}, {subject}?"
    return {"question": question, "choices": [f"{number}", "none"], "answer": "A", "subject": subject} | more


ROWS = [row(number, ("algebra", "physics", "law")[number % 3]) for number in range(30)]
TESTS = [row(number, ("algebra", "physics", "law")[number % 3]) for number in range(100, 112)]


def write(path, rows):
    path.write_text("".join(json.dumps(one) + "\n" for one in rows))
    return str(path)


@pytest.fixture
def files(tmp_path):
    """``train`` and ``test`` as options."""
    train, test = write(tmp_path / "train.jsonl", ROWS), write(tmp_path / "test.jsonl", TESTS)
    return {"train": train, "test": test, "answer_is": "letter"}


def subjects(task, split):
    asked = [task.problem(split, i).question for i in range(task.size(split))]
    return {question.partition(", ")[2].partition("?")[0] for question in asked}, len(asked)


def test_rows_are_read_by_a_condition(files):
    task = make_task("file", files | {"where": "subject=algebra|law", "validation_share": 0.0})
    assert subjects(task, "train") == ({"algebra", "law"}, 20)
    assert subjects(task, "test") == ({"algebra", "law"}, 8)


def test_the_test_split_has_a_condition_of_its_own(files):
    task = make_task("file", files | {"test_where": "subject = physics", "validation_share": 0.0})
    assert subjects(task, "train") == ({"algebra", "physics", "law"}, 30)
    assert subjects(task, "test") == ({"physics"}, 4)
    both = make_task("file", files | {"where": "subject=law", "test_where": "subject=physics"})
    assert subjects(both, "train")[0] == subjects(both, "validation")[0] | {"law"} == {"law"}
    assert subjects(both, "test")[0] == {"physics"}


def test_rows_of_other_subjects_may_be_of_any_kind(files, tmp_path):
    broken = [*TESTS, {"subject": "code", "prompt": "def f():", "answer_type": "code"}]
    options = files | {"test": write(tmp_path / "mixed.jsonl", broken)}
    with pytest.raises(TaskError, match="code"):
        make_task("file", options)
    assert make_task("file", options | {"where": "subject=law"}).size("test") == 4


def test_values_of_numbers_and_columns_of_csv(tmp_path):
    (tmp_path / "a.csv").write_text("question,answer,grade,note\n1+1?,2,3,x\n2+2?,4,5,y\n1+2?,3,5,z\n")
    task = make_task("file", {"test": str(tmp_path / "a.csv"), "where": "grade=5"})
    assert [task.problem("test", i).answer for i in range(task.size("test"))] in (["4", "3"], ["3", "4"])
    rows = [{"question": f"{i}?", "answer": str(i), "grade": i % 2} for i in range(40)]
    task = from_rows(rows, where="grade=1")
    assert sum(task.size(split) for split in ("train", "validation", "test")) == 20


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"where": "subject"}, "option 'where' = 'subject': write field=value"),
        ({"where": "subject="}, "write field=value"),
        ({"where": "=law"}, "write field=value"),
        ({"test_where": "subject=law|"}, "option 'test_where' = 'subject=law|'"),
        ({"where": "subjet=law"}, "line 1: unknown field 'subjet'; did you mean 'subject'"),
        ({"where": "subject=fysics"}, "train: unknown value of 'subject' 'fysics'; did you mean 'physics'"),
        ({"where": "subject=law|fysics"}, "did you mean 'physics'"),
        ({"where": 3}, "option 'where' must be text"),
        ({"refused": "ignore"}, "unknown refused 'ignore'"),
    ],
)
def test_conditions_that_are_none_are_refused(files, more, says):
    with pytest.raises(TaskError) as error:
        make_task("file", files | more)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_a_condition_on_the_test_needs_a_test(files):
    for name, options in (
        ("file", {"path": files["train"], "test_where": "subject=law"}),
        ("hub", {"train": files["train"], "test_where": "subject=law"}),
    ):
        with pytest.raises(TaskError, match="'test_where' is for a test file or split of its own; set where"):
            make_task(name, options)


def test_rows_that_are_no_question_are_passed_over_if_they_are_few(files, tmp_path):
    doubled = row(7, "law", choices=["x", "x"])
    options = files | {"test": write(tmp_path / "some.jsonl", [*TESTS, *ROWS[:18], doubled])}
    options["overlap"] = "drop"
    with pytest.raises(TaskError, match=r"line 31: choice 'x' stands twice"):
        make_task("file", options)
    assert make_task("file", options | {"refused": "drop"}).size("test") == 30
    many = files | {"test": write(tmp_path / "many.jsonl", [*TESTS, doubled]), "refused": "drop"}
    with pytest.raises(TaskError, match=r"line 13: choice 'x' stands twice .*; 1 of 13 rows are refused"):
        make_task("file", many)
    wrong = files | {"answer": "anwser", "refused": "drop"}
    with pytest.raises(TaskError, match=r"unknown field 'anwser'.*30 of 30 rows are refused"):
        make_task("file", wrong)


class Table(list):
    """Rows as ``datasets`` hands them out."""

    @property
    def column_names(self):
        return list(self[0])

    def select_columns(self, columns):
        return [{key: one[key] for key in columns} for one in self]


def test_the_hub_reads_the_field_of_the_condition(monkeypatch):
    def load(dataset, config, split, revision, **_):
        return Table(ROWS if split == "train" else TESTS)

    fake = SimpleNamespace(load_dataset=load, __version__="4.0.0")
    monkeypatch.setitem(sys.modules, "datasets", fake)
    options = {"dataset": "a/b", "answer_is": "letter", "test_where": "subject=law"}
    task = make_task("hub", options)
    assert subjects(task, "test") == ({"law"}, 4)
    assert task.size("train") + task.size("validation") == 30
