"""What every kind of chart shows: which numbers, of whom, and that it is Vega-Lite."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from neuromas.core.errors import ConfigError, NeuromasError, RunError
from neuromas.report.charts import kinds, law
from neuromas.report.charts.cost import cost, cost_of_runs
from neuromas.report.charts.curves import curves
from neuromas.report.charts.experiment import calls, depth, has_depth
from neuromas.report.charts.frame import Size
from neuromas.report.charts.growth import growth, growth_of
from neuromas.report.charts.health import health
from neuromas.report.charts.labels import labels
from neuromas.report.charts.series import MOST, mean, thinned, told, width
from neuromas.report.experiment import experiment_blocks
from neuromas.storage import Run


def of(chart, **wanted):
    return [row for row in chart.rows if all(row[key] == value for key, value in wanted.items())]


def units(spec):
    """The parts of a specification that have a mark."""
    if "mark" in spec:
        yield spec
    for parts in ("vconcat", "hconcat", "layer"):
        for one in spec.get(parts, ()):
            yield from units(one)


def marks(chart, panel=0):
    """The layers of a panel as (type of mark, rows of data)."""
    inner = chart.spec["vconcat"][panel]
    inner = inner["hconcat"][0] if "hconcat" in inner else inner
    return [
        (one["mark"]["type"], chart.spec["datasets"][one["data"]["name"]])
        for one in inner["layer"]
        if "data" in one
    ]


def test_every_specification_is_of_the_schema(make, results, tmp_path):
    """Altair does not check them where they are made."""
    import altair
    from altair.utils.schemapi import validate_jsonschema

    runs = told([make(), make("arm/seed-1", 1)])
    cells = [{"group": "g", "predicted": 0.5, "accuracy": 0.5, "low": 0.4, "high": 0.6}]
    found = [
        curves([one.run.path for one in runs]),
        health(runs),
        labels(runs),
        growth(runs),
        cost_of_runs(runs),
    ]
    found += [calls(results), depth(results), growth_of(results), cost(results["points"]), law.law(cells)]
    schema, seen = altair.load_schema(), set()
    for chart in found:
        for unit in units(chart.spec):
            like = json.dumps([unit["mark"], sorted(unit["encoding"]), chart.name])
            if like not in seen:
                kind = "UnitSpecWithFrame" if "width" in unit else "UnitSpec"
                validate_jsonschema(unit, {"$ref": f"#/definitions/{kind}"}, rootschema=schema)
                seen.add(like)
        json.dumps(chart.spec, allow_nan=False)
        assert chart.rows
        assert chart.caption
        assert chart.name in kinds.KINDS


# -- curves


def test_seeds_of_one_configuration_are_one_line_with_their_mean(make):
    chart = curves([make(), make("arm/seed-1", 1, steps=3)])
    assert {row["line"] for row in chart.rows} == {"arm"}
    assert [row["value"] for row in of(chart, what="reward", of="seed 1")] == pytest.approx([0.0, 0.2, 0.4])
    middle = of(chart, what="reward", of="mean")
    assert [row["step"] for row in middle] == [1, 2, 3], "where all seeds have a value"
    assert [row["value"] for row in middle] == pytest.approx([0.0, 0.15, 0.3])
    assert of(chart, what="stage") == [
        {"what": "stage", "line": "arm", "of": "3-1", "step": step} for step in (2.0, 1.0)
    ]
    thin = [
        shape
        for shape, rows in marks(chart)
        if shape == "line" and {row["of"] for row in rows} == {"seed 0", "seed 1"}
    ]
    assert thin


def test_other_configurations_are_other_lines(make):
    paths = [make("a/seed-0"), make("b/seed-0", train={"lr": 0.5}), make("x/a/seed-0", train={"lr": 0.25})]
    assert [one.line for one in told(paths)] == ["a", "b", "a (2)"]
    assert not of(curves(paths), of="mean")
    named = told([make("run-one"), make("run-two", 1)])
    assert {one.line for one in named} == {"run"}


def test_long_curves_are_drawn_as_means_of_steps(make):
    pairs = [(float(step), float(step)) for step in range(1, 10 * MOST + 1)]
    steps = width([pairs, pairs[:7]])
    assert steps == 10
    short = thinned(pairs, steps)
    assert (len(short), short[0]) == (MOST, (10.0, 5.5))
    assert thinned(pairs[:7], 1) == pairs[:7]
    assert mean([pairs[:3], pairs[1:5]]) == [(2.0, 2.0), (3.0, 3.0)]
    chart = curves([make(steps=10 * MOST + 5)])
    assert len(of(chart, what="reward")) <= MOST
    assert "reward, mean of 11 steps" in json.dumps(chart.spec)


def test_a_run_that_made_no_step_and_one_that_is_damaged_are_one_line(make, tmp_path):
    path = make()
    for name in ("metrics.jsonl", "validation.jsonl"):
        (path / name).unlink()
    for kind, why in (("curves", "no step was made yet"), ("health", "was logged yet")):
        with pytest.raises(RunError, match=why):
            kinds.KINDS[kind].draw(kinds.sources([path]), Size())
    (path / "metrics.jsonl").write_text(
        '{"step": 0, "reward": NaN}\nnonsense\n{"step": 1, "reward": 1}\n{"reward": 2}\n'
    )
    assert [row["value"] for row in of(curves([path]), what="reward")] == [1.0]
    (path / "metrics.jsonl").write_text('{"step": 0}\n')
    with pytest.raises(RunError, match="a run's log is damaged: no key 'reward'"):
        curves([path])
    (path / "config.json").write_text('{"seed": "x"}')
    with pytest.raises(RunError, match="no whole seed"):
        curves([path])


# -- an experiment


def test_depth_shows_the_arm_with_most_seeds_and_says_of_how_many(results, point):
    chart = depth(results)
    assert [(row["line"], row["depth"], row["accuracy"]) for row in of(chart, of="mean")] == [
        ("alone", 1, 0.25),
        ("alone", 2, 0.5),
        ("grown", 1, 0.75),
    ]
    more = [
        point("d", 1, 10, 0.2, 3, depth=2, system="alone"),
        point("c", 1, 10, 0.1, 1, depth=2, system="alone"),
    ]
    chart = depth({"points": results["points"] + more})
    assert [row["arm"] for row in of(chart, of="mean", depth=2)] == ["d:1"], (
        "most seeds, and of such that end here the last"
    )
    assert "alone (2 to 3 seeds)" in json.dumps(chart.spec)
    deeper = [
        point("e", 1, 10, 0.3, 3, depth=2, system="alone"),
        point("e", 2, 20, 0.1, 3, depth=3, system="alone"),
    ]
    chart = depth({"points": results["points"] + more + deeper})
    shown = [row["arm"] for row in of(chart, of="mean", line="alone")]
    assert shown[1:] == ["d:1", "e:2"], "one on its way to a deeper level stands back"
    flat = {"points": [one | {"depth": None} for one in results["points"]]}
    assert not has_depth(flat)
    with pytest.raises(RunError, match="no stage with a depth"):
        depth(flat, "flat")


def test_calls_have_lines_from_the_untrained_network_and_marks_without_line_for_votes(results):
    chart = calls(results)
    assert [(row["line"], row["calls"]) for row in of(chart, of="untrained")] == [("alone", 0), ("grown", 0)]
    lined = {row["line"] for shape, rows in marks(chart) if shape == "line" for row in rows}
    assert lined == {"alone", "grown"}
    text = json.dumps(chart.spec)
    assert "v (3 votes, 2 seeds)" in text
    assert "nothing yet of sums, depth = 3" in text
    assert [row["low"] for row in of(chart, of="mean", calls=20)] == [0.4]


def test_arms_that_were_paid_for_anew_are_lines_of_their_own(point):
    twice = [point("one", 1, 10, 0.2, system="s"), point("two", 1, 10, 0.4, system="s")]
    (rows,) = [rows for shape, rows in marks(calls({"points": twice})) if shape == "line"]
    tracks = [(row["arm"], row["track"]) for row in rows]
    assert tracks == [("one:1", 0), ("one:1", 0), ("two:1", 1), ("two:1", 1)]


def test_seeds_are_moved_aside_and_means_are_not(results):
    shown = marks(calls(results))
    for shape, rows in shown:
        for row in rows:
            assert row["at"] == row["calls"], shape
    assert len({row["aside"] for _, rows in shown for row in rows if row["calls"] == 10}) == 3


def test_growth_of_runs_and_of_arms(make, results):
    chart = growth(told([make(), make("arm/seed-1", 1)]))
    assert [(row["stage"], row["accuracy"], row["network"]) for row in of(chart, of="mean")] == [
        (0, 0.25, "2-1"),
        (1, 0.5, "2-1"),
        (2, pytest.approx(0.8), "3-1"),
    ]
    assert [row["low"] for row in of(growth(told([make("x/seed-0")])), of="mean")] == [0.4] * 3
    with pytest.raises(RunError, match="after one stage alone"):
        growth(told([make("flat/seed-0", grown=False)]))
    chart = growth_of(results)
    assert [(row["line"], row["stage"]) for row in of(chart, of="mean")] == [("a", 0), ("a", 1), ("a", 2)]
    with pytest.raises(RunError, match="no tested arm with several stages"):
        growth_of({"points": results["points"][2:]})


# -- answers, costs, health, the law


def test_labels_are_shares_of_all_items(make):
    chart = labels(told([make(), make("arm/seed-1", 1)]))
    sides = {side: of(chart, side=side) for side in ("gold", "before training", "after training")}
    for rows in sides.values():
        assert sum(row["share"] for row in rows) == pytest.approx(1.0)
    assert {row["label"]: row["share"] for row in sides["before training"] if row["share"]} == {
        "0": 0.75,
        "no answer": 0.25,
    }
    assert sides["after training"][0]["items"] == 8
    bare = make("bare/seed-0")
    for file in (bare / "evaluations").iterdir():
        file.unlink()
    for kind in ("labels", "cost"):
        with pytest.raises(RunError, match="no evaluation on test questions"):
            kinds.KINDS[kind].draw(kinds.sources([bare]), Size())


def test_many_labels_are_counted_together_and_numbers_are_in_order(make, tmp_path):
    path = make()
    many = [
        {"id": str(i), "question": "q", "gold": str(i), "score": 0.0, "parsed": str(i // 2)}
        for i in range(100)
    ]
    Run.open(path).write_evaluation("test-after", {"split": "test"}, many)
    rows = of(labels(told([path])), side="after training")
    numbers = [row["label"] for row in rows][:-2]
    assert (len(numbers), numbers) == (24, sorted(numbers, key=float))
    assert rows[-2]["label"] == "all others"
    assert rows[-2]["share"] > 0.5


def test_costs_known_free_and_bound(results, make, point):
    points = [
        *results["points"],
        point("free", flops_a_question=0.0),
        point("unknown", flops_a_question=None),
    ]
    chart = cost(points)
    assert [row["line"] for row in chart.rows] == ["a", "a:2", "b", "v", "free"]
    text = json.dumps(chart.spec)
    assert "4 v (oracle bound)" in text
    assert '"domain": [100000000.0, 10000000000.0]' in text, "a decade below the least for what is free"
    with pytest.raises(RunError, match="knows no FLOPs"):
        cost([point("unknown", flops_a_question=None)])
    runs = cost_of_runs(told([make(), make("arm/seed-1", 1)]))
    assert [(row["line"], row["cost"], row["unit"]) for row in runs.rows] == [
        (name, 15.0, "tokens") for name in ("stage-1", "test-after", "test-before")
    ]
    assert [row["accuracy"] for row in runs.rows] == pytest.approx([0.5, 0.8, 0.25])


def test_health_shows_what_was_logged_and_each_alarm_once(make):
    chart = health(told([make()]))
    assert {row["what"] for row in chart.rows} == {
        *("kl", "gradient", "entropy", "least entropy", "silent", "favourite"),
        *("stage", "alarm"),
    }
    assert [row["value"] for row in of(chart, what="kl")] == pytest.approx([0.1, 0.1, 0.2, 0.3]), (
        "the largest node"
    )
    assert of(chart, what="alarm") == [{"what": "alarm", "line": "arm", "of": "silent", "step": 2.0}]


def test_the_law_is_read_from_results_and_from_local_answers(tmp_path, make):
    found = {
        "law": {
            "cells": [{"cell": "t/a/seed-0", "accuracy": 0.5, "predicted": 0.25, "low": 0.1, "high": 0.9}]
        }
    }
    (one,) = law.of_results(found)
    assert (one["group"], one["low"], one["high"]) == ("t, a", 0.35, 1.0), (
        "bars are of the distance from the law"
    )
    share = {"share": 0.5, "low": 0.4, "high": 0.6}
    file = tmp_path / "net.json"
    file.write_text(json.dumps({"accuracy": share, "nodes": [{"given": share}, {"given": share}]}))
    chart = kinds.KINDS["law"].draw(kinds.sources([file]), Size())
    assert [(row["line"], row["predicted"], row["accuracy"]) for row in chart.rows] == [("net", 0.25, 0.5)]
    file.write_text(json.dumps({"accuracy": share, "nodes": [{"given": {"share": None}}]}))
    with pytest.raises(RunError, match="not every node was asked"):
        kinds.KINDS["law"].draw(kinds.sources([file]), Size())
    file.write_text("{}")
    with pytest.raises(RunError, match="is damaged: no key 'nodes'"):
        kinds.KINDS["law"].draw(kinds.sources([file]), Size())


def test_sizes_are_of_panels(results):
    chart = calls(results, size=Size(300, 111))
    (panel, *_) = chart.spec["vconcat"]
    assert (panel["hconcat"][0]["width"], panel["hconcat"][0]["height"]) == (300, 111)


# -- what figures are made of


def test_sources_are_runs_or_experiments(make, tmp_path):
    run = make()
    (tmp_path / "results.json").write_text(json.dumps({"points": []}))
    assert kinds.sources([run]).runs == (run,)
    assert kinds.sources([tmp_path]).results == (tmp_path / "results.json",)
    with pytest.raises(ConfigError, match="of runs or of experiments, not of both"):
        kinds.sources([run, tmp_path])
    with pytest.raises(RunError, match="does not exist"):
        kinds.sources([tmp_path / "none"])
    with pytest.raises(RunError, match="is neither a run nor an experiment"):
        kinds.sources([run / "evaluations"])


@pytest.mark.parametrize("kind", kinds.KINDS)
def test_a_kind_that_lacks_what_it_needs_says_so_in_a_line(kind, make, tmp_path):
    (tmp_path / "results.json").write_text(json.dumps({"points": []}))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "results.json").write_text(json.dumps({"points": [{"task": 1}]}))
    for path in (tmp_path, tmp_path / "broken", make(f"{kind}/seed-0")):
        given = kinds.sources([path])
        fits = any(getattr(given, sort) for sort in kinds.KINDS[kind].of)
        if fits and given.runs:
            continue
        with pytest.raises(NeuromasError) as error:
            kinds.KINDS[kind].draw(given, Size())
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", ["calls", "growth", "cost"])
def test_intervals_that_the_table_leaves_out_are_in_no_figure(kind, tmp_path):
    """Those of version 0.1.0 are t intervals over seeds: they leave 0 to 100 %, and once left the plot."""
    old = tmp_path / "results.json"
    old.write_bytes((Path(__file__).parents[3] / "golden" / "experiment-0.1.0.json").read_bytes())
    found = json.loads(old.read_text())
    for point in found["points"]:  # results of then have no FLOPs
        point["flops_a_question"] = 1e9
    old.write_text(json.dumps(found))
    beyond = [point["interval"] for point in found["points"] if (point["interval"] or {}).get("high", 0) > 1]
    assert beyond, "the file has what this is about"
    chart = kinds.KINDS[kind].draw(kinds.sources([old]), Size())
    assert chart.rows
    assert all(row["low"] is None and row["high"] is None for row in chart.rows)
    assert "left out, as in the table" in chart.caption
    table = experiment_blocks(found)[0]
    place = table.columns.index("accuracy")
    assert all(row[place].low is None for row in table.rows), "the table has the same"
    kept = json.loads(old.read_text()) | {"items": {}}
    for point in kept["points"]:
        point["interval"] = {"low": 0.1, "high": 0.9}
    old.write_text(json.dumps(kept))
    chart = kinds.KINDS[kind].draw(kinds.sources([old]), Size())
    assert any(row["low"] == 0.1 and row["high"] == 0.9 for row in chart.rows)
    assert "left out" not in chart.caption
