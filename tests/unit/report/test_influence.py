"""The influence of single nodes on page and figure: what is drawn, what is not claimed, and hostile files."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from html_runs import items, make, summary

from neuromas.cli import main
from neuromas.report.draw import as_svg
from neuromas.report.html.render import page
from neuromas.report.html.story import tell
from neuromas.report.influence import drawn, of_run
from neuromas.storage import Run
from neuromas.topology.graph import Topology

GRAPH = Topology.parse("2-1")
WHOLE, WITHOUT, OTHER = (1,) * 10 + (0,) * 2, (0,) * 12, (1,) * 9 + (0,) * 3
COMMAND = "--messages blank --node each"


@pytest.fixture(autouse=True)
def no_charts(monkeypatch):
    """Charts have tests of their own, and take a while."""
    monkeypatch.setattr("neuromas.report.html.charts.drawn", lambda make: [])


def put(run: Run, name, scores, **more) -> str:
    """An evaluation as the command keeps it."""
    found = {**summary(sum(scores) / len(scores)), "split": "test", "data": {"digest": "d"}}
    return run.keep_evaluation(name, {**found, "checkpoint": "step-000002", **more}, items(scores))


def node(run: Run, name, scores, messages="blank", **more) -> str:
    told = {"intervention": messages, "altered": [name], "heard": len(scores), **more}
    return put(run, f"test-12-{messages}-node-{name}", scores, **told)


@pytest.fixture
def run(tmp_path) -> Run:
    """A run in which node 1.1 was blanked, and cost everything, and 1.2, which cost one question."""
    found = make(tmp_path / "run")
    put(found, "test-12-none", WHOLE)
    node(found, "1.1", WITHOUT)
    node(found, "1.2", OTHER)
    return found


def network_of(run: Run) -> str:
    return re.search(r'<section id="network".*?</section>', page(tell([run.path])), re.S)[0]


def test_page_and_figure_show_the_same_drops_with_test_and_legend(run, tmp_path):
    shown = network_of(run)
    assert re.findall(r'class="small above"[^>]*>([^<]*)<', shown) == ["drop 83.3 *", "drop 8.3"]
    widths = [float(found) for found in re.findall(r'class="drop"[^>]*width="([\d.]+)"', shown)]
    assert widths == [pytest.approx(64 * share, abs=0.06) for share in (10 / 12, 1 / 12)]
    for said in (
        "on 12 questions",
        "over 2 nodes",
        "no share of credit",
        "message blanked",
        "10, 0, 2",
        "0.0039",
    ):
        assert said in shown, said
    assert COMMAND not in shown
    out = tmp_path / "net.svg"
    assert main(["figure", str(run.path), "--kind", "topology", "--out", str(out)]) == 0
    svg = out.read_text("utf-8")
    assert re.findall(r">(drop [^<]*)<", svg) == ["drop 83.3 *", "drop 8.3"]
    assert svg.count('class="drop"') == 2
    assert "Drop: points of accuracy lost on 12 questions" in svg


def test_nothing_is_claimed_where_nothing_was_measured(tmp_path):
    run = make(tmp_path / "my run")
    put(run, "test-12-none", WHOLE)
    shown = network_of(run)
    assert "drop" not in shown.lower()
    path = str(tmp_path / "my run")
    assert f"single nodes is not measured yet: neuromas evaluate &#39;{path}&#39; {COMMAND}" in shown
    assert of_run(run, GRAPH) == []
    assert "drop" not in re.sub(r"<style>.*?</style>", "", as_svg(GRAPH), flags=re.S)


def test_a_network_of_one_node_has_nothing_to_measure(tmp_path):
    run = make(tmp_path / "run", grown=False)
    manifest = run.handed_on / "network.json"
    data = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**data, "topology": Topology.parse("1").to_dict()}))
    assert COMMAND not in network_of(run)


def test_the_nodes_that_are_missing_are_named(tmp_path):
    run = make(tmp_path / "run")
    put(run, "test-12-none", WHOLE)
    node(run, "1.2", OTHER)
    shown = network_of(run)
    assert re.findall(r'class="small above"[^>]*>([^<]*)<', shown) == ["drop 8.3"]
    assert "over 1 node." in shown
    assert "the messages of 1.1 is not measured yet" in shown


def test_blanked_is_drawn_before_shuffled_and_both_have_a_table(run):
    node(run, "1.1", OTHER, "shuffle")
    first, second = of_run(run, GRAPH)
    assert (first.messages, [one.node for one in first.needs]) == ("blank", ["1.1", "1.2"])
    assert (second.messages, [one.test.difference for one in second.needs]) == (
        "shuffle",
        [pytest.approx(1 / 12)],
    )
    assert "message taken from another question" in network_of(run)


@pytest.mark.parametrize(
    "change",
    [
        {"checkpoint": "step-000001"},
        {"data": {"digest": "other"}},
        {"split": "validation"},
        {"altered": ["1.1", "1.2"]},
        {"positions": "swapped"},
        {"view": "first"},
        {"intervention": "none"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_only_the_network_handed_on_against_the_same_questions_counts(tmp_path, change):
    run = make(tmp_path / "run")
    put(run, "test-12-none", WHOLE)
    node(run, "1.1", WITHOUT, **change)
    assert of_run(run, GRAPH) == []
    assert "not measured yet" in network_of(run)


@pytest.mark.parametrize(
    "change",
    [{"method": "direct"}, {"positions": "swapped"}, {"view": "first"}, {"checkpoint": "step-000001"}],
)
def test_a_baseline_is_the_same_network_with_nothing_else_changed(tmp_path, change):
    run = make(tmp_path / "run")
    put(run, "test-12-none", WHOLE, **change)
    node(run, "1.1", WITHOUT)
    assert of_run(run, GRAPH) == []
    assert "without altered messages is kept" in network_of(run)


def test_what_was_measured_of_an_earlier_checkpoint_is_not_of_this_network(tmp_path):
    run = make(tmp_path / "run")
    put(run, "test-12-none", WHOLE, checkpoint="step-000001")
    node(run, "1.1", WITHOUT, checkpoint="step-000001")
    assert of_run(run, GRAPH) == []
    shown = network_of(run)
    assert "1 evaluation(s) with single nodes altered are of another checkpoint" in shown
    assert "not measured yet" in shown


@pytest.mark.parametrize("evil", ["<b>", -1, True, None, 1.5, {"a": 1}])
def test_a_count_that_is_none_is_a_dash(run, evil):
    node(run, "1.2", OTHER, heard=evil)
    (found,) = of_run(run, GRAPH)
    assert [one.heard for one in found.needs] == [12, None]


def test_trainings_own_evaluation_of_these_questions_is_a_baseline(tmp_path):
    run = make(tmp_path / "run")
    run.write_evaluation(
        "test-after", {**summary(0.8), "split": "test", "data": {"digest": "d"}}, items(WHOLE)
    )
    node(run, "1.1", WITHOUT)
    (found,) = of_run(run, GRAPH)
    assert (found.name, found.needs[0].test.wins) == ("test-after", 10)


EVIL = (
    "<script>alert(1)</script>",
    "\x1b[2Jx",
    "../../x",
    "1.1\u202e",
    "",
    "1.1",
    None,
    7,
    {"a": 1},
    ["1.1"],
)


@pytest.mark.parametrize("evil", EVIL, ids=repr)
def test_hostile_names_and_numbers_in_kept_files_cost_nothing_but_themselves(run, evil, tmp_path, capsys):
    """Whatever stands in ``altered`` or beside it: the page is whole, nothing acts; figures may refuse."""
    path = run.path / "evaluations" / "test-12-blank-node-1.2.json"
    good = json.loads(path.read_text())
    for change in (
        {"altered": [evil]},
        {"altered": evil},
        {"intervention": evil},
        {"heard": evil},
        {"accuracy": evil},
        {"interval": evil},
        {"data": evil},
        {"split": evil},
        {"majority": evil},
    ):
        path.write_text(json.dumps({**good, **change}))
        shown = network_of(run)
        assert "<script>alert" not in shown
        assert "\x1b" not in shown
        assert "\u202e" not in shown
        assert "drop 83.3" in shown, change
        status = main(["figure", str(run.path), "--kind", "topology", "--out", str(tmp_path / "x.svg")])
        said = "".join(capsys.readouterr())
        assert (status, "is damaged" in said) in ((0, False), (2, True)), change
        assert len(said.splitlines()) == 1
        assert said.rstrip("\n").isprintable()


def test_damaged_items_cost_a_line_and_not_the_section(run, capsys, tmp_path):
    (run.path / "evaluations" / "test-12-blank-node-1.2.jsonl").write_text("{}\n")
    shown = network_of(run)
    assert "3.0 tok" in shown
    assert "the influence of single nodes cannot be shown" in shown
    assert main(["figure", str(run.path), "--kind", "topology", "--out", str(tmp_path / "x.svg")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    (run.path / "evaluations" / "test-12-blank-node-1.2.json").write_text("{")
    assert main(["figure", str(run.path), "--kind", "topology", "--out", str(tmp_path / "x.svg")]) == 0


def test_an_evaluation_of_other_nodes_does_not_take_the_place_of_one(run):
    before = sorted(path.name for path in Path(run.path / "evaluations").glob("*.json"))
    told = {"intervention": "blank", "heard": 12}
    assert put(run, "test-12-blank-node-1.1", OTHER, altered=["1.1"], **told) == "test-12-blank-node-1.1"
    other = put(run, "test-12-blank-node-1.1", OTHER, altered=["1.2"], **told)
    assert re.fullmatch(r"test-12-blank-node-1\.1-[0-9a-f]{8}", other)
    assert put(run, "test-12-none", OTHER) == "test-12-none", "what has no nodes is told apart as before"
    after = sorted(path.name for path in Path(run.path / "evaluations").glob("*.json"))
    assert sorted({*after} - {*before}) == [f"{other}.json"]


def test_a_gain_without_the_message_has_a_negative_number_and_no_bar(tmp_path):
    run = make(tmp_path / "run")
    put(run, "test-12-none", OTHER)
    node(run, "1.1", WHOLE)
    (found,) = of_run(run, GRAPH)
    svg = as_svg(GRAPH, "a note", drawn(found, GRAPH))
    assert ">drop -8.3<" in svg
    assert re.search(r'class="drop"[^>]*width="0\.0"', svg)
    assert svg.index("a note") > svg.index("may each show 0"), "lines are written from the last up"
    assert "drop -8.3" in network_of(run)
