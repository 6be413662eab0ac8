"""MASS-lite: what a workflow says in which order, and that planted words, blocks and shapes are found."""

from __future__ import annotations

import json
import math
import random
from collections import Counter

import pytest
from toys import ToyTask, network, problems

from neuromas.core.errors import ConfigError
from neuromas.core.task import Score
from neuromas.engines.scripted import ScriptedEngine
from neuromas.methods.base import Allowance, Bench
from neuromas.methods.mass import Mass, Shape, Workflow, _Trial, draw_shape, softmax
from neuromas.methods.mass_words import BLOCKS, POOL, Words
from neuromas.methods.running import evaluate_method, make_method

WORDS = Words("p", "r", "d", "a")


def at(script, answer="right", **allowance):
    task = ToyTask(lambda problem, text: Score(float(text == answer), text or None))
    return Bench(network(ScriptedEngine(script), "1"), task, 9, 0, Allowance(**allowance), seed=4)


def told(prompt):
    """The block whose words begin the prompt, and their place in the pool."""
    first = prompt.splitlines()[0]
    return next((block, words.index(first)) for block, words in POOL.items() if first in words)


@pytest.mark.parametrize(
    ("shape", "calls"),
    [
        (Shape(), 1),
        (Shape(aggregate=3), 3 + 1),
        (Shape(reflect=1), 1 + 1),
        (Shape(debate=1), 2 + 1),
        (Shape(reflect=4), 5),
        (Shape(debate=3), 2 + 2 + 2 + 1),
        (Shape(aggregate=9), 10),
        (Shape(aggregate=3, debate=2), 3 + 3 + 3 + 1),
        (Shape(aggregate=3, reflect=2, debate=1), 3 * 4 + 1),
        (Shape(reflect=1, debate=1), 2 + 2 + 1),
    ],
)
def test_a_shape_takes_the_calls_that_are_played(shape, calls):
    where = at(lambda prompt, adapter: "right")
    ((episode,),) = (group.episodes for group in Workflow(shape, WORDS).answer(where, problems(1)))
    assert shape.calls == len(episode.turns) == calls
    assert episode.answer == "right"


def test_blocks_follow_each_other_and_read_what_was_last_written():
    count = iter(range(99))
    where = at(lambda prompt, adapter: f"m{next(count)}")
    shape = Shape(aggregate=3, reflect=1, debate=1)
    ((episode,),) = (group.episodes for group in Workflow(shape, WORDS).answer(where, problems(1)))
    rounds = [[prompt.splitlines() for prompt in call.prompts] for call in where.network.engine.calls]
    assert [[lines[0] for lines in prompts] for prompts in rounds] == [["p"] * 3, ["r"] * 3, ["d"] * 3, ["a"]]
    assert [lines[2:-1] for lines in rounds[1]] == [[f"Your answer: m{k}"] for k in range(3)]
    assert rounds[2][1][2:-1] == ["Agent 1: m3", "Your answer: m4", "Agent 3: m5"]
    assert rounds[3][0][2:-1] == ["Agent 1: m6", "Agent 2: m7", "Agent 3: m8"]
    assert episode.answer == "m9"
    assert [turn.node for turn in episode.turns] == [0, 1, 2] * 3 + [3]


def test_probabilities_by_hand():
    # exp((1 - 1.1) / 0.05) = exp(-2) = 0.1353; 1 / (1 + 2 * 0.1353) = 0.787
    chance = softmax({"aggregate": 1.0, "reflect": 1.1, "debate": 1.0})
    assert chance == pytest.approx({"aggregate": 0.1065, "reflect": 0.787, "debate": 0.1065}, abs=5e-4)
    assert sum(softmax({"aggregate": 0.0, "reflect": 900.0, "debate": 0.5}).values()) == 1.0


def test_influence_is_a_ratio_and_zero_is_half_an_item():
    trial = _Trial(at(lambda p, a: ""), Mass(), problems(10))
    assert trial.influence(0.6, 0.4) == pytest.approx(1.5)
    assert trial.influence(0.6, 0.0) == pytest.approx(0.6 / 0.05)
    assert trial.influence(0.0, 0.0) == 1.0


def test_shapes_are_drawn_with_the_blocks_probabilities():
    rng = random.Random(0)
    shapes = [draw_shape(rng, {"aggregate": 0.8, "reflect": 0.2, "debate": 0.0}) for _ in range(2000)]
    kept = Counter(block for shape in shapes for block in shape.blocks)
    assert kept["aggregate"] / 2000 == pytest.approx(0.8, abs=0.04)
    assert kept["reflect"] / 2000 == pytest.approx(0.2, abs=0.04)
    assert kept["debate"] == 0
    assert {shape.aggregate for shape in shapes} == {1, 3, 5, 7, 9}
    assert {shape.reflect for shape in shapes} == {0, 1, 2, 3, 4}


@pytest.mark.parametrize("useful", BLOCKS)
def test_the_planted_useful_block_has_the_most_influence_and_is_kept(useful):
    where = at(lambda prompt, adapter: "right" if told(prompt)[0] == useful else "wrong")
    search = Mass(items=4, trials=2).prepare(where)
    blocks = search.found["blocks"]
    assert next(iter(blocks)) == useful
    assert blocks[useful]["influence"] == 1.0 / (0.5 / 4)
    assert [blocks[block]["influence"] for block in BLOCKS if block != useful] == [1.0, 1.0]
    assert blocks[useful]["probability"] == pytest.approx(1.0)
    assert search.method.shape.blocks == [useful]
    assert search.found["chosen"]["reward"] == 1.0
    smallest = min(one["calls"] for one in search.found["topologies"] if one["reward"] == 1.0)
    assert search.method.shape.calls == smallest, "of equals the smallest"
    assert [group.episodes[0].answer for group in search.method.answer(where, problems(2))] == ["right"] * 2
    assert json.loads(json.dumps(search.found)) == search.found


def test_planted_words_are_found():
    best = {"predict": 0, "aggregate": 3, "reflect": 4, "debate": 2}

    def script(prompt, adapter):
        block, place = told(prompt)
        return "right" if place == best[block] else "wrong"

    search = Mass(items=2, trials=8, topologies=0).prepare(at(script))
    found = search.found
    assert {block: POOL[block].index(found["blocks"][block]["words"]) for block in BLOCKS} == {
        block: best[block] for block in BLOCKS
    }, "eight trials of a block try all words"
    assert search.method.shape == Shape()
    best["predict"] = 5
    found = Mass(items=2, trials=8, topologies=0).prepare(at(script)).found
    assert POOL["predict"].index(found["predictor"]["words"].splitlines()[0]) == 5
    assert found["predictor"]["reward"] == 1.0


def test_the_whole_workflow_is_told_anew_where_it_has_agents():
    trial = _Trial(at(lambda p, a: ""), Mass(trials=8), problems(2))
    drawn = [one.words for one in trial.reworded(Workflow(Shape(reflect=2), WORDS), [])]
    assert {(words.debate, words.aggregate) for words in drawn} == {("d", "a")}
    assert {words.predict for words in drawn} <= set(POOL["predict"])
    assert len({words.reflect for words in drawn} & set(POOL["reflect"])) > 1
    assert len(drawn) == 7


def test_examples_are_right_answers_to_training_problems():
    def script(prompt, adapter):
        question = next(line for line in prompt.splitlines() if line.startswith("Question: Say"))
        return "right" if "1." in question else "wrong"

    where = at(script)
    examples = _Trial(where, Mass(), problems(1)).examples([where.task.problem("train", i) for i in range(4)])
    assert examples == ["Question: Say 1.\nAnswer: right"]
    paid = ToyTask(lambda problem, text: Score(1.0, text, correct=0.0))
    other = Bench(where.network, paid, 9, 0, Allowance(), seed=4)
    trial = _Trial(other, Mass(), problems(1))
    assert trial.examples([where.task.problem("train", i) for i in range(4)]) == [], "paid, and not right"
    helped = lambda prompt, adapter: "right" if prompt.count("Question:") > 1 or "Say 1." in prompt else "?"  # noqa: E731
    found = Mass(items=4, trials=8, topologies=0).prepare(at(helped)).found
    assert found["predictor"]["words"].endswith("\nQuestion: Say 1.\nAnswer: right")
    assert found["predictor"]["reward"] == 1.0
    many = ["a", "b", "c", "d", "e"]
    told = [one.words.predict.splitlines() for one in _Trial(where, Mass(trials=6), []).predictors(many)]
    assert [len(lines) - 1 for lines in told] == [0, 1, 2, 3, 0, 1]
    assert all(len(set(lines)) == len(lines) for lines in told)


def test_no_shape_takes_more_than_is_allowed():
    where = at(lambda prompt, adapter: "right" if told(prompt)[0] != "predict" else "wrong", calls=3)
    result = evaluate_method("mass", Mass(items=2, trials=1, topologies=20), where, "test", 2)
    shapes = result.summary["search"]["found"]["topologies"]
    assert max(one["calls"] for one in shapes) <= 3
    assert all(one["aggregate"] == 1 for one in shapes), "three predictors and an aggregator are four"
    assert result.summary["accuracy"] == 1.0
    assert result.summary["nodes"] == 2


def test_every_message_of_the_search_is_on_the_bill():
    where = at(lambda prompt, adapter: "wrong")
    search = Mass(items=3, trials=2, topologies=0, runs=2).prepare(where)
    # examples 3; predictor 2 * 6; blocks 2 * 6 * (4 + 2 + 3); the predictor as a shape 6; the whole 6
    assert search.calls == 3 + 12 + 108 + 6 + 6
    assert search.calls == sum(len(call.requests) for call in where.network.engine.calls)
    assert math.isfinite(search.found["blocks"]["reflect"]["influence"])


def test_options_and_pools():
    for options, says in [
        ({"trials": 9}, "trials = 9 .*whole, 1 to 8"),
        ({"runs": 0}, "runs"),
    ]:
        with pytest.raises(ConfigError, match=says):
            make_method("mass", options)
    words = [one for pool in POOL.values() for one in pool]
    assert [len(pool) for pool in POOL.values()] == [8] * 4
    assert len(set(words)) == len(words)
