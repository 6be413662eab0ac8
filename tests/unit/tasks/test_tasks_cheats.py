"""The sceptic: a scorer that pays for what is not the answer is found out, honest luck is not blamed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from neuromas.cli import main
from neuromas.core.task import Problem, Score
from neuromas.tasks import make_task, task_names, validate
from neuromas.tasks.cheats import SHORT, best_constant, is_gold, play
from neuromas.tasks.stored import StoredTask
from neuromas.tasks.validate import CHEAT_RATE, MANY_RATE


class Scored:
    """Sixty problems a split, scored by ``pays(problem, text)``."""

    name = "scored"
    answer_format = "x"

    def __init__(self, pays, many=False):
        self.pays, self.many = pays, many

    def size(self, split):
        return 60

    def problem(self, split, index):
        start = {"train": 100, "validation": 200, "test": 300}[split] + index
        return Problem(
            f"{split}{index}",
            f"What is {start}*7 in all?",
            str(7 * start),
            "number",
            meta={"many_answers": self.many},
        )

    def score(self, problem, text):
        return Score(float(bool(text and self.pays(problem, text))), text or None)


def exactly(problem, text):
    return text == problem.answer


def finding(task, name="cheats earn nothing"):
    report = validate(task, 60, 0)
    found = {check.name: check for check in report.checks}[name]
    assert report.ok == (found.ok is not False), report.failed
    return found.ok, found.detail


def test_an_honest_scorer_passes():
    assert finding(Scored(exactly))[0]


@pytest.mark.parametrize("value", [float("nan"), -1.0, 1.5, float("inf"), ZeroDivisionError("by zero")])
def test_what_is_no_score_is_a_finding_and_no_exception(value):
    """One NaN among the rewards of a step makes the whole step's gradient NaN."""

    class Odd(Scored):
        def score(self, problem, text):
            if text == "0" and isinstance(value, Exception):
                raise value
            return Score(value, text) if text == "0" else super().score(problem, text)

    report = validate(Odd(exactly), 20, 0)
    assert report.failed == ("scores lie in [0, 1]",)
    said = report.checks[-1].detail
    assert said.startswith("'0' earns ")
    assert ("ZeroDivisionError: by zero" if isinstance(value, Exception) else repr(value)) in said


def test_white_space_is_no_answer():
    report = validate(Scored(lambda problem, text: text.isspace() or exactly(problem, text)), 20, 0)
    assert report.failed == ("empty answer earns 0",)


@pytest.mark.parametrize(
    ("pays", "named"),
    [
        (lambda p, t: exactly(p, t) or t == "0", "constant '0'"),
        (lambda p, t: t and p.answer.startswith(t[:1]) and len(t) < 3, "constant"),  # any beginning of it
        (lambda p, t: p.answer in t and len(t) > 60, "all answers"),
        (lambda p, t: p.answer in t, "the answer and a neighbour's"),
        (lambda p, t: exactly(p, t) or t == p.question, "echo of the question"),
        (
            lambda p, t: exactly(p, t) or (re.fullmatch(r"[0-9*]+", t) and eval(t) == int(p.answer)),
            "expression",
        ),
        (lambda p, t: p.answer in re.split(r"[ ,]+", t)[:2], "the answer and a neighbour's"),
        (lambda p, t: t.split(" ")[-1] == p.answer, "a neighbour's and the answer (or)"),
        (lambda p, t: exactly(p, t) or t == f"{p.answer}={p.answer}", "unevaluated n=n"),
        (lambda p, t: exactly(p, t) or t == f"{p.answer}+0", "unevaluated n+0"),
        (lambda p, t: exactly(p, t) or (t in p.question and len(t) > 3), "echo"),
    ],
)
def test_every_cheat_that_is_paid_is_named(pays, named):
    def gold_too(problem, text):
        return exactly(problem, text) or pays(problem, text)

    ok, detail = finding(Scored(gold_too))
    assert ok is False
    assert named in detail
    assert "where it is not the answer" in detail


@pytest.mark.parametrize(
    "text", ["A, B, C", "The answer is A, B, C.", "A. cat\nB. dog\nC. cow", "cat, dog, cow"]
)
def test_a_list_of_all_options_is_tried(text):
    problems = tuple(
        Problem(str(i), f"q{i}?", "ABC"[i % 3], "choice", ("cat", "dog", "cow")) for i in range(30)
    )

    class Lists(StoredTask):
        def score(self, problem, said):
            return Score(float(said in (problem.answer, text)), said or None)

    assert finding(StoredTask("s", {"test": problems}))[0]
    assert finding(Lists("s", {"test": problems}))[0] is False


@pytest.mark.parametrize("every", [15, 25])
def test_the_rate_is_the_rate(every):
    """A constant that is paid in every n-th problem is a fault from one in twenty on."""

    def pays(problem, text):
        return exactly(problem, text) or (text == "x" and int(problem.answer) // 7 % every == 0)

    assert finding(Scored(pays))[0] is (1 / every <= CHEAT_RATE)


def test_one_problem_alone_is_an_accident():
    def pays(problem, text):
        return exactly(problem, text) or (text == "x" and problem.id == "test0")

    report = validate(Scored(pays), 4, 0)  # 1 of 12 is more than one in twenty
    assert report.ok, report.failed


def test_few_answers_are_a_bar_and_no_fault():
    problems = [Problem(str(i), f"Is {i} even?", ("yes", "no")[i % 2], "yesno") for i in range(60)]
    task = StoredTask("s", {"test": tuple(problems)})
    assert finding(task)[0]
    assert finding(task, "best constant") == (None, "'yes' earns 50.0%")
    lopsided = StoredTask("s", {"test": (*problems[::2], problems[1])})
    assert finding(lopsided, "best constant")[1] == "'yes' earns 96.8%"


def test_an_answer_in_the_question_is_a_bar_and_no_fault():
    problems = [Problem(str(i), f"Which is larger, {i} or {i + 1}?", str(i + 1), "number") for i in range(60)]
    task = StoredTask("s", {"test": tuple(problems)})
    assert finding(task)[0]
    assert "earns 100.0%" in finding(task, "best echo")[1]


@pytest.mark.parametrize(("share", "many", "ok"), [(4, True, True), (1, True, False), (4, False, False)])
def test_where_many_answers_are_right_one_must_not_fit_most(share, many, ok):
    """``share``: another question's answer is right in one of so many questions; ``many``: declared."""

    def pays(problem, text):
        return exactly(problem, text) or (text == "700" and int(problem.answer) // 7 % share == 0)

    report = validate(Scored(pays, many), 60, 0)
    assert report.ok == ok
    if many:
        assert report.failed == (() if ok else ("no answer fits most questions",))
        assert (1 / share <= MANY_RATE) == ok
        assert (
            "'700' is also right in"
            in {c.name: c for c in report.checks}["no answer fits most questions"].detail
        )


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        *[
            (Problem("p", "q", "1000", "number"), t)
            for t in ("1,000", "$1000", "1000.0", "1e3", "1000.0000000001")
        ],
        *[(Problem("p", "q", "B", "choice", ("cat", "dog")), t) for t in ("b", "(B)", "Dog", "B. dog")],
        (Problem("p", "q", "yes", "yesno"), "True"),
        (Problem("p", "q", "New York"), ' "new  york".'),
    ],
)
def test_what_is_the_gold_answer_by_another_writing(problem, text):
    assert is_gold(problem, text)
    assert not is_gold(problem, text + " and more")


def test_the_best_constant_of_many_different_answers():
    problems = [Problem(str(i), f"q{i}", str(i), "number") for i in range(200)] + [
        Problem(f"s{i}", f"r{i}", "seven hundred") for i in range(3)
    ]
    best = best_constant(StoredTask("s", {"test": tuple(problems)}), problems)
    assert (best.name, best.text, best.earned) == ("constant", "seven hundred", 3 / 203)


@pytest.mark.parametrize("strict", [False, True])
def test_the_echo_of_an_expression_earns_nothing(tmp_path, strict):
    lines = [
        f'{{"question": "Compute {a}*{b}", "answer": {a * b}}}\n'
        for a in range(10, 20)
        for b in range(30, 36)
    ]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(lines), "utf-8")
    task = make_task("file", {"path": str(path), "strict": strict})
    problems = [task.problem("train", i) for i in range(task.size("train"))]
    assert max(cheat.earned for cheat in play(task, problems).echoes) == 0.0
    assert finding(task)[0]


REPAIRED = {
    "coin_flip": ("0", "0.", "00", "1e-5", "0/1"),
    "propositional_logic": ("(P ∨ ¬P)", "(P ∨ Q)", "(Q ∨ Q)"),
    "advanced_geometry": ("{gold}, (48.000, -17.000)",),
    "spell_backward": ("{gold} or so", "{gold}x"),
    "time_intervals": ("{gold} and more", "27 days, 00:00"),
    "word_sorting": ("{gold}, zebra", "{gold}, and, so, on"),
}


@pytest.mark.parametrize("name", REPAIRED)
def test_repaired_generators_pay_no_cheat(name):
    task = make_task(f"gym/{name}", {})
    for problem in [task.problem("train", i) for i in range(12)]:
        for text in REPAIRED[name]:
            said = text.format(gold=problem.answer)
            assert is_gold(problem, said) or task.score(problem, said).value == 0.0
    report = validate(task, 15, 0)
    assert report.ok, report.failed


def test_a_probability_is_read_as_a_number():
    task = make_task("gym/coin_flip", {})
    problem = task.problem("train", 0)
    assert problem.answer == "0.15625"
    right = [
        text
        for text in ("5/32", "0.15625", "0.15626", "0.1562", "0.1563", "10/64", "0.15", "1")
        if task.score(problem, text).value == 1.0
    ]
    assert right == ["5/32", "0.15625", "0.15626"]


def test_another_variable_is_no_part_of_an_integral():
    source = make_task("gym/simple_integration", {}).source
    problem = source.draw(3)
    assert source.score(problem, problem.answer.replace(" + C", " + C + 5")).value == 1.0
    assert source.score(problem, problem.answer + " + X**2").value == 0.0


def test_roots_are_numbers_alone():
    """The scorer skips what is no number: "0.5 or 1.2, 3" would be read as 3."""
    task = make_task("gym/polynomial_equations", {})
    problem = next(p for i in range(40) if "," in (p := task.problem("train", i)).answer)
    first, second = problem.answer.split(",")[:2]
    assert task.score(problem, f"{second.strip()}, {first}").value == 1.0
    assert task.score(problem, f"{problem.answer}, or so").value == 0.0


def test_moves_of_sokoban_are_moves_alone():
    source = make_task("gym/sokoban", {}).source
    problem = source.draw(2)
    assert source.score(problem, problem.answer).value == 1.0
    for text in (f"The answer is {problem.answer}.", f"{problem.answer} or {problem.answer}", "no"):
        assert source.score(problem, text).value == 0.0


def test_the_committed_sweep_names_every_task_and_all_pass():
    path = Path(__file__).parents[3] / "benchmarks" / "results" / "validate.json"
    rows = json.loads(path.read_text("utf-8"))["tasks"]
    elsewhere = {"file", "hub", "verifiers", "humaneval", "mbpp"}  # programs: see benchmarks/code.py
    assert {row["task"].split()[0] for row in rows} == set(task_names()) - elsewhere
    assert [row["task"] for row in rows if not row["ok"]] == []


def test_validate_prints_no_raw_text(monkeypatch, capsys):
    """Ids, answers and questions are a stranger's: escapes and bidirectional marks must not act."""
    hostile = "\x1b[2J\u202e\nok    all is well"
    problems = tuple(Problem(f"{hostile}{i}", f"{hostile} q{i}", f"{hostile}{i}") for i in range(9))
    task = StoredTask(hostile, {"test": problems})
    monkeypatch.setattr("neuromas.tasks.make_task", lambda name, options: task)
    monkeypatch.setattr(StoredTask, "score", lambda self, problem, text: Score(0.5, text))
    assert main(["validate", "max"]) == 1
    shown = capsys.readouterr().out
    assert "FAIL  gold answer earns 1: 9 of 9 do not, e.g. \\x1b[2J\\u202e\\n" in shown
    assert not set("\x1b\u202e") & set(shown)
    assert all(line[:4] in ("ok  ", "FAIL", "info") for line in shown.splitlines())
    assert "\nok    all" not in shown


def test_a_paid_constant_is_found_behind_nine_better_ones():
    """Nine balanced answers earn 11 % each; a text that is paid in one of fifteen must not be overlooked."""
    problems = [Problem(str(i), f"q{i}", f"word{i % 9}") for i in range(180)]

    class Leaky(StoredTask):
        def score(self, problem, text):
            return Score(
                float(text == problem.answer or (text == "None" and int(problem.id) % 15 == 0)), text
            )

    assert finding(Leaky("s", {"test": tuple(problems)})) == (
        False,
        "constant 'None' earns 6.7% where it is not the answer",
    )


def test_the_most_frequent_answer_is_played_although_the_sample_misses_it():
    golds = [f"word{i // 11 % 9}" if i % 11 == 0 and i < 198 else str(i) for i in range(200)] + [
        "seven hundred"
    ] * 3
    problems = [Problem(str(i), f"q{i}", gold) for i, gold in enumerate(golds)]

    class Leaky(StoredTask):
        def score(self, problem, text):
            return Score(float(text == problem.answer or (problem.id == "0" and text in SHORT)), text)

    best = best_constant(Leaky("s", {"test": tuple(problems)}), problems)
    assert (best.text, best.earned) == ("seven hundred", 3 / 203)
