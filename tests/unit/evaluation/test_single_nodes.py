"""Messages of single nodes altered: what is changed for whom, and what may be named."""

from __future__ import annotations

import pytest
from toys import ToyTask, lines, network, right

from neuromas.core.errors import ConfigError, PromptError
from neuromas.engines.scripted import ScriptedEngine
from neuromas.evaluation.evaluate import evaluate
from neuromas.report.influence import influence, plain
from neuromas.topology.graph import Topology

TASK = ToyTask(right)


def planted(prompt, adapter):
    """Node 1.1 says the answer, node 1.2 something else; the output repeats what 1.1 says."""
    if adapter == 0:
        return prompt.partition("Say ")[2].partition(".")[0]
    if adapter == 1:
        return f"chatter {len(prompt)}"
    return lines(prompt)[0].partition(": ")[2]


def ask(nodes=None, messages="blank", script=planted, shape="2-1", count=12):
    engine = ScriptedEngine(script)
    found = evaluate(network(engine, shape), TASK, "test", count, intervention=messages, nodes=nodes)
    return found, engine


def test_a_message_that_is_the_answer_costs_all_of_it_and_another_nothing():
    """Drop, test and Holm are those of the table that people read."""
    whole, altered = ask(None, "none")[0], {node: ask([node])[0] for node in ("1.1", "1.2")}
    sides = {node: (one.summary, [item.line() for item in one.items]) for node, one in altered.items()}
    found = influence("blank", "w", (whole.summary, [item.line() for item in whole.items]), sides)
    first, second = plain(found)
    assert whole.summary["accuracy"] == 1.0
    assert (first["node"], first["accuracy"], first["drop"]) == ("1.1", 0.0, 1.0)
    assert (first["lost"], first["gained"], first["tied"], first["items"]) == (12, 0, 0, 12)
    assert first["p_value"] == pytest.approx(2 * 0.5**12)
    assert first["p_holm"] == pytest.approx(2 * first["p_value"]), "two nodes were tested"
    assert (second["node"], second["accuracy"], second["drop"]) == ("1.2", 1.0, 0.0)
    assert (second["p_value"], second["p_holm"], second["drop_interval"]) == (1.0, 1.0, None)
    assert (first["heard"], second["heard"]) == (12, 12)


def test_only_the_named_message_is_blank_for_its_reader():
    found, engine = ask(["1.1"])
    for item, prompt in zip(found.items, engine.calls[1].prompts, strict=True):
        assert lines(prompt) == ["Node 1: ", f"Node 2: {item.messages[1]}"]
        assert item.messages[0] == item.gold, "the item has what was written, not what was read"
    assert found.summary["altered"] == ["1.1"]
    assert found.prompts == {}


def test_a_shuffled_message_is_the_same_nodes_of_another_question():
    found, engine = ask(["1.1"], "shuffle")
    read = [lines(prompt)[0].partition(": ")[2] for prompt in engine.calls[1].prompts]
    golds = [item.gold for item in found.items]
    assert sorted(read) == sorted(golds)
    assert all(said != gold for said, gold in zip(read, golds, strict=True))
    assert found.summary["accuracy"] == 0.0
    assert ask(["1.2"], "shuffle")[0].summary["accuracy"] == 1.0


def test_a_shuffle_of_one_question_is_needed_only_where_a_node_is_altered():
    """The first layer is shuffled; the second is not, and has no one to swap with once others failed."""

    def script(prompt, adapter):
        return "x" * 200 if adapter == 0 and "Say 1." in prompt else planted(prompt, adapter)

    graph = Topology.build(["a", "b", "c"], [("a", "b"), ("a", "c"), ("b", "c")])
    net = network(ScriptedEngine(script, context=400), graph, message_tokens=300)
    assert evaluate(net, TASK, "test", 2, intervention="shuffle", nodes=["a"]).summary["failed"] == 1
    with pytest.raises(PromptError, match="at least two problems"):
        evaluate(net, TASK, "test", 2, intervention="shuffle")


def test_several_nodes_are_altered_at_once_in_the_order_of_the_network():
    assert ask(["1.2", "1.1", "1.2"])[0].summary["altered"] == ["1.1", "1.2"]
    assert ask("1.2")[0].summary["altered"] == ["1.2"], "one may be named by its text"
    assert "altered" not in ask()[0].summary, "all messages are as before"
    both = ask(["1.1", "1.2"])[1].calls[1].prompts
    assert both == ask()[1].calls[1].prompts


def test_a_message_that_no_gate_shows_is_heard_in_no_item_and_costs_nothing():
    graph = Topology.build(["a", "b", "c"], [("a", "c"), ("b", "c", {"gate": 0.0})])
    found, _ = ask(["b"], shape=graph)
    assert found.summary["heard"] == 0
    assert found.summary["accuracy"] == 1.0
    assert ask(["a"], shape=graph)[0].summary["heard"] == 12


@pytest.mark.parametrize(
    ("nodes", "messages", "shape", "says"),
    [
        (["1.3"], "blank", "2-1", r"unknown node '1\.3'; did you mean '1\.[12]'\? \(valid: 1\.1, 1\.2\)"),
        (["2.1"], "blank", "2-1", r"node '2\.1' is the output node, .* \(valid: 1\.1, 1\.2\)"),
        ([], "blank", "2-1", r"no node is named \(valid: 1\.1, 1\.2\)"),
        (["1.1"], "none", "2-1", "they need messages blank or shuffle"),
        (["1.1"], "blank", "1", "the network has one node, '1.1', whose message nobody reads"),
    ],
)
def test_what_cannot_be_altered_is_one_line(nodes, messages, shape, says):
    with pytest.raises(ConfigError, match=says) as caught:
        ask(nodes, messages, shape=shape)
    assert len(str(caught.value).splitlines()) == 1
