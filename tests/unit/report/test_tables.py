"""Reports for people: what a run says of itself, and that nothing in it can act on the terminal."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from neuromas.cli import main
from neuromas.config import Config
from neuromas.core.errors import NeuromasError, RunError
from neuromas.report.blocks import percent
from neuromas.report.comparing import compare_pairs
from neuromas.report.experiment import comparison_lines
from neuromas.report.pages.run import run_report
from neuromas.report.tables import paired, paired_line, summary_lines
from neuromas.statistics import Interval, clustered_difference, mcnemar, paired_permutation
from neuromas.storage import Run

HOSTILE = '\x1b[2J\u202eevil\r\n "quoted" \u2028 '
INTERVAL = {"low": 0.1, "high": 0.9, "level": 0.95, "method": "wilson"}


def rows(scores, question="q"):
    return [{"id": str(i), "question": f"{question}{i}", "score": s} for i, s in enumerate(scores)]


def summary(accuracy, **more):
    return {
        "items": 4,
        "failed": 1,
        "accuracy": accuracy,
        "interval": INTERVAL,
        "majority": {"answer": HOSTILE, "accuracy": 0.5},
        "first_option": None,
        "parse_failures": 0.25,
        "labels": {HOSTILE: 3, "7": 1},
        "calls": 3.0,
        "prompt_tokens": 100.0,
        "new_tokens": 9.0,
        "message_tokens": [3.0, 3.0, 3.0],
        "truncated": [0.0, 0.5, 0.0],
        **more,
    }


def items(scores):
    return [
        {**row, "gold": HOSTILE, "messages": [HOSTILE, f"message {row['id']}", "7"]}
        for row in rows(scores, HOSTILE)
    ]


@pytest.fixture
def run(tmp_path) -> Run:
    """A finished run without a model: only what the report reads."""
    run = Run.create(tmp_path / "run", Config().model_dump(mode="json"), {})
    run.write("status.json", {"finished": True, "step": 30, "best": 20, "seconds": 123.4})
    run.write_evaluation("test-before", summary(0.25), items([0, 0, 0, 1]))
    run.write_evaluation("test-after", summary(0.75), items([1, 1, 0, 1]))
    run.write_evaluation("test-after-blank", summary(0.25), items([0, 0, 0, 1]))
    run.write_evaluation("test-after-shuffle", summary(0.5), items([0, 1, 0, 1]))
    return run


def test_percent():
    assert percent(None) == "–"
    assert percent(0.975) == "97.5 %"
    assert percent(0.975, Interval(0.943, 0.989, 0.95, "wilson")) == "97.5 % [94.3, 98.9]"
    assert percent(0.5, INTERVAL) == "50.0 % [10.0, 90.0]"


def test_pairs_are_matched_by_id_and_failures_left_out():
    first, second = rows([0, 0, None, 1, 1]), rows([1, 1, 1, None, 1])[::-1]
    test, interval, count = paired(first, second)
    assert (test.wins, test.losses, test.ties, count) == (2, 0, 1, 3)
    assert test == mcnemar([1, 1, 1], [0, 0, 1])
    assert interval is not None


def test_fractions_are_tested_by_permutation():
    test, _, _ = paired(rows([0.5, 0.25, 0]), rows([1, 0.5, 0.25]))
    assert test == paired_permutation([1, 0.5, 0.25], [0.5, 0.25, 0])


@pytest.mark.parametrize(
    ("first", "second", "says"),
    [
        (rows([1]), rows([1], "other"), "different questions under the same ids"),
        (rows([1]), [], "no items in common"),
        (rows([None]), rows([1]), "no items in common"),
    ],
)
def test_what_cannot_be_paired_is_refused(first, second, says):
    with pytest.raises(RunError, match=says):
        paired(first, second)


def test_a_paired_line():
    text = paired_line(*paired(rows([0] * 10), rows([1] * 9 + [0])))
    assert text.startswith("+90.0 points [+70.0, +100.0] on 10 items, p = 0.0039 (McNemar exact; won 9")


def test_a_report_holds_what_a_newcomer_is_promised(run):
    text = run_report(run)
    for part in (
        "before",
        "after",
        "25.0 % [10.0, 90.0]",
        "75.0 % [10.0, 90.0]",
        "constant answer",
        "calls a question  3.0",
        "tokens read",
        "tokens written",
        "gain      +50.0 points",
        "McNemar",
        "messages blanked: 25.0 % [10.0, 90.0], which costs 100 % of the gain",
        "messages shuffled: 50.0 % [10.0, 90.0], which costs 50 % of the gain",
        "checkpoint of step 20",
        f"run directory: {run.path}",
    ):
        assert part in text, part
    assert text.count("question ") >= 3
    assert [text.count(f'"message {i}"') for i in range(4)] == [2, 2, 2, 0], "three, before and after"


def test_no_gain_claims_no_share_of_it(run):
    run.write_evaluation("test-after", summary(0.25), items([0, 0, 0, 1]))
    assert "of the gain" not in run_report(run)
    run.write_evaluation("test-after", summary(None, interval=None), items([None] * 3 + [1]))
    assert "messages blanked: 25.0 %" in run_report(run)


def test_first_option_is_shown_where_there_is_one(run):
    assert "first option" not in run_report(run)
    for name in ("test-before", "test-after"):
        run.write_evaluation(name, summary(0.5, first_option=0.125), items([0, 1, 0, 1]))
    assert "first option      12.5 %" in run_report(run)


def test_hostile_text_cannot_act(run):
    config = Config().model_dump(mode="json")
    config["network"]["topology"] = config["model"]["backbone"] = HOSTILE
    run.write("config.json", config)
    for text in (run_report(run), "\n".join(summary_lines(summary(0.5)))):
        assert not set("\x1b\u202e\u2028\r") & set(text)
        assert "\\x1b[2J" in text


def test_a_summary_in_lines():
    text = "\n".join(summary_lines(summary(0.5, first_option=0.25)))
    for part in (
        "accuracy          50.0 % [10.0, 90.0] on 4 items",
        "first option      25.0 %",
        "parse failures    25.0 %",
        "failed rollouts   1 of 4",
        "calls a question  3.0",
        "100.0 read, 9.0 written",
        "truncated 0 %, 50 %, 0 %",
        '"7" 1',
    ):
        assert part in text, part


def test_pairs_of_several_seeds_are_compared_by_seed():
    first, second = [[0, 0, 1, 0], [0, 1, 1, 0], [1, 0, 1, 0]], [[1, 0, 1, 1], [1, 1, 1, 0], [1, 1, 1, 0]]
    pairs = [rows(scores) for seed in zip(first, second, strict=True) for scores in seed]
    found = compare_pairs(pairs)
    expected = clustered_difference(second, first)
    assert found["trainings"] == asdict(expected)
    assert found["seeds"]["differences"] == [0.5, 0.25, 0.25]
    text = "\n".join(comparison_lines(found))
    assert f"all trainings   +33.3 points [{100 * expected.interval.low:+.1f}, " in text
    assert "Holm" not in text, "one comparison"
    with pytest.raises(RunError, match="asks another question"):
        compare_pairs([*pairs[:3], rows([1, 1, 1, 1], "other")])
    with pytest.raises(RunError, match="no items in common"):
        compare_pairs([rows([None, 1]), rows([1, None])])


def test_compare_takes_pairs(run, capsys):
    one, other = f"{run.path}:test-before", f"{run.path}:test-after"
    assert main(["compare", *[one, other] * 3]) == 0
    out = capsys.readouterr().out
    assert out.count("25.0 % [10.0, 90.0]") == 3
    assert "each seed       +50.0, +50.0, +50.0" in out
    assert main(["compare", "--pairs", one, other, one]) == 2
    assert "3 evaluations are not pairs" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"accuracy": 0.75', '"other": 1', "has no 'accuracy'"),
        ('"interval": {', '"interval": {"low": "x"}, "gone": {', "'low' is 'x'"),
        ('"interval": {', '"interval": [1], "gone": {', "'interval' is [1]"),
        ('"score": 1', '"score": "x"', "line 1, is damaged: 'score' is 'x'"),
        ('"score"', '"points"', "has no 'score'"),
        ('"id"', '"name"', "has no 'id'"),
    ],
)
def test_a_damaged_evaluation_is_one_line(run, capsys, old, new, says):
    of_items = '"score"' in old or '"id"' in old
    path = run.path / "evaluations" / f"test-after.json{'l' * of_items}"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    assert main(["compare", f"{run.path}:test-before", str(run.path)]) == 2
    err = capsys.readouterr().err
    assert says in err
    assert len(err.splitlines()) == 1
    with pytest.raises(RunError):
        run_report(run)


@pytest.mark.parametrize("name", ["config.json", "status.json"])
@pytest.mark.parametrize("content", ["{", '{"seed": "x"}', "[]"])
def test_a_damaged_run_is_one_line(run, name, content):
    (run.path / name).write_text(content)
    if name == "status.json" and content.startswith('{"'):
        assert "30" not in run_report(run).splitlines()[0]
        return
    with pytest.raises(NeuromasError) as caught:
        run_report(run)
    assert len(str(caught.value).splitlines()) == 1


def test_a_run_that_was_not_evaluated(tmp_path):
    run = Run.create(tmp_path / "run", Config().model_dump(mode="json"), {})
    with pytest.raises(RunError, match="test-before"):
        run_report(run)


def test_a_summary_names_the_method_and_what_its_search_took():
    searched = {"found": {}, "calls": 40, "prompt_tokens": 300, "new_tokens": 60}
    more = {"method": "swarm", "options": {"agents": 3, "how": HOSTILE}, "parameters": 0, "search": searched}
    (line,) = (one for one in summary_lines(summary(0.5, **more)) if one.startswith("method "))
    assert line.startswith("method            swarm agents=3 how=")
    assert line.endswith(", 0 trained parameters; searched with 40 calls and 360 tokens")
    assert not set("\x1b\u202e\n") & set(line)
    assert "FLOPs a question  2.05e+10" in summary_lines(summary(0.5, flops=2.05e10))
    assert not any("FLOPs" in one for one in summary_lines(summary(0.5, flops=None)))


def test_failures_stand_in_every_report(run):
    """How many, how many of them were never asked, and the most frequent cause; old runs name no cause."""
    assert "failed rollouts   1 of 4" in summary_lines(summary(0.5))
    counted = {"failed": 3, "unasked": 1, "causes": {HOSTILE: 2, "scorer: x": 1}}
    line = '3 of 4, 1 of them never asked and left out of the accuracy; most often "'
    assert any(
        f"failed rollouts   {line}" in text and "(2)" in text
        for text in summary_lines(summary(0.5, **counted))
    )
    assert "failed before: 1 of 4" in run_report(run)
    run.write_evaluation("test-after", summary(0.75, **counted), items([1, 1, 0, 1]))
    report = run_report(run)
    assert f"failed after: {line}" in report
    assert not set("\x1b\u202e\u2028\r") & set(report)
    for name in ("test-before", "test-after"):
        run.write_evaluation(name, summary(0.75, failed=0), items([1, 1, 0, 1]))
    assert "failed" not in run_report(run)


def damaged(value, *path):
    """A copy without the key at the end of the path."""
    kept = {key: part for key, part in value.items() if key != path[0]}
    return kept if len(path) == 1 else kept | {path[0]: damaged(value[path[0]], *path[1:])}


@pytest.mark.parametrize(
    "path", [("accuracy",), ("failed",), ("majority", "answer"), ("message_tokens",), ("calls",)]
)
def test_an_evaluation_without_its_keys_is_one_line(run, path):
    broken = damaged(summary(0.5), *path)
    run.write_evaluation("test-after", broken, items([1, 1, 0, 1]))
    for act in (lambda: run_report(run), lambda: summary_lines(broken)):
        text = said(act)
        assert "damaged" in text or "before" in text, "a report that does without the key, or one line"


def said(act):
    """What it returns, or the one line with which it refuses."""
    try:
        return act()
    except RunError as error:
        return str(error).splitlines()[0] if len(str(error).splitlines()) == 1 else ""


@pytest.mark.parametrize("broken", [{"accuracy": "x"}, {"items": None, "interval": 3}, {"message_tokens": 3}])
def test_an_evaluation_with_other_things_in_it_is_one_line(run, broken):
    run.write_evaluation("test-after", summary(0.5) | broken, items([1, 1, 0, 1]))
    with pytest.raises(RunError, match="is damaged"):
        run_report(run)


@pytest.mark.parametrize(
    "rows", [[{"id": "0"}], [{"id": ["0"], "score": 1}], [{"id": "0", "score": "x", "question": 1}]]
)
def test_items_without_their_keys_are_one_line(run, rows):
    run.write_evaluation("test-after", summary(0.5), rows)
    with pytest.raises(RunError, match=r"damaged|in common|different"):
        run_report(run)


def test_nodes_of_a_grown_network_show_what_their_ancestors_wrote(run):
    """Two growths: a node keeps its own history, a new one has none, the output is the output."""
    said = ["first of old", "second of old", "out of old"]
    was = [{**item, "messages": said} for item in items([0, 0, 0, 1])]
    now = [{**item, "messages": ["a", "b", "new", "deep", "out"]} for item in items([1, 1, 0, 1])]
    run.write_evaluation("test-before", summary(0.25), was)
    run.write_evaluation("test-after", summary(0.75), now)
    old = {"nodes": [{"name": "x"}, {"name": "y"}, {"name": "z"}]}
    growths = [
        {"origin": {"a": "y", "b": "x", "o": "z"}, "topology": old},
        {"origin": {"a": "a", "b": "b", "p": "o"}, "topology": {"nodes": []}},
    ]
    run.append("growth.jsonl", growths)
    nodes = [{"name": name} for name in ("a", "b", "c", "d", "p")]

    def fill(folder):
        (folder / "network.json").write_text(json.dumps({"topology": {"nodes": nodes}, "lineage": growths}))

    run.save_checkpoint(3, fill)
    rows = [line for line in run_report(run).splitlines() if " before " in line and " after " in line][:5]
    shown = [line.split(" before ")[1].split(" after ")[0].strip() for line in rows]
    assert shown == ['"second of old"', '"first of old"', *["(a new node)"] * 2, '"out of old"']
    assert [line.split()[0] for line in rows] == ["node", "node", "node", "node", "output"]
