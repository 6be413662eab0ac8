"""What is printed of prompts is what an engine gets; budgets, stop rules and costs of a user's own texts."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from topologies import random_topologies
from toys import ToyTask, network

from neuromas.config import make_config
from neuromas.core.errors import ConfigError, PromptError
from neuromas.core.task import Problem
from neuromas.engines.scripted import ScriptedEngine
from neuromas.models.dims import TINY
from neuromas.prompts.codec import ByteCodec
from neuromas.prompts.reading import read_template
from neuromas.prompts.template import built_in
from neuromas.system.cost import Load, readings
from neuromas.system.inspect import heard, inspect
from neuromas.system.prompting import choose_prompts
from neuromas.system.rollout import Sampling, rollout
from neuromas.tasks import make_task
from neuromas.topology.graph import Topology

OWN = b"""
examples = "all"
[plain]
system = "Be brief."
hidden = "Node {index}.\\n"
[chat]
system = "Be brief."
[nodes.leaves]
role = "You look."
[nodes.sink]
stop = ["line", "."]
"""
EXAMPLES = tuple(
    Problem(f"e{i}", f"What is {i}?", str(i), parts=(str(i),) * 9, stem="What?") for i in range(2)
)
PROBLEM = Problem("p", "What is\nNode 1: 7?", "7", parts=("7",) * 9, stem="What?")


@settings(max_examples=40)
@given(
    random_topologies(),
    st.sampled_from(["plain", "chat"]),
    st.sampled_from([None, OWN]),
    st.text(max_size=20),
)
def test_what_is_shown_is_what_the_engine_gets(topology, style, own, message):
    """Token by token, for any network, either style, and messages that edges cut."""
    template = built_in() if own is None else read_template(own, "own.toml", style)
    engine = ScriptedEngine(lambda prompt, adapter: message)
    examples = EXAMPLES if own else ()
    net = network(engine, topology, style=style, template=template, examples=examples, message_tokens=600)
    (episode,) = rollout(net, ToyTask(), [PROBLEM], 1, Sampling(0.0, 0))
    turns = {turn.node: turn for turn in episode.turns}

    def said(edge):
        turn = turns[edge.source]
        return heard(engine.codec, edge, turn.text, turn.ids[:-1] if turn.ended else turn.ids)

    shown = inspect(
        *(topology, PROBLEM, engine.codec),
        wording=net.wording(ToyTask.answer_format),
        budgets=(net.message_tokens, net.answer_tokens),
        said=said,
    )
    sent = {request.adapter: request for call in engine.calls for request in call.requests}
    for one in shown:
        assert (one.prefix, one.suffix) == (sent[one.row].prefix, sent[one.row].suffix)
        assert sum(piece.tokens for piece in one.pieces) == one.tokens
        assert one.budget == sent[one.row].max_new
        assert one.whole
        plain = engine.codec.decode(one.prefix + one.suffix)
        assert "".join(piece.text for piece in one.pieces).encode("utf-8", "replace").decode() == plain


def test_without_messages_places_are_marked_and_counted():
    topology = Topology.build(["a", "b", "c"], [("a", "c", 5), ("b", "c")])
    wording = network(ScriptedEngine(lambda p, a: ""), topology).wording("x")
    (_, _, sink) = inspect(topology, PROBLEM, ByteCodec(), wording=wording, budgets=(16, 8))
    (messages,) = [piece for piece in sink.pieces if piece.name == "messages"]
    assert messages.text == "Node 1: ‹message of a›\nNode 2: ‹message of b›\n"
    assert (messages.tokens, sink.messages, sink.budget) == (len("Node 1: \nNode 2: \n"), 5 + 16, 8)
    assert sink.to_dict()["suffix_ids"] is None


def test_nodes_stop_by_their_own_rules_in_one_rollout():
    """Layers of several rules are several batches, and every node's request keeps its place."""
    text = '[nodes."1/1"]\nstop = ";"\n[nodes."1/2"]\nstop = ["."]\n'
    template = read_template(text.encode(), "own.toml", "plain")
    engine = ScriptedEngine(lambda prompt, adapter: f"{adapter};x.y\nz")
    net = network(engine, "3-1", template=template)
    (episode,) = rollout(net, ToyTask(), [PROBLEM], 1, Sampling(0.0, 0))
    assert [turn.text for turn in episode.turns] == ["0", "1;x", "2;x.y", "3;x.y"]
    assert [turn.ended for turn in episode.turns] == [True] * 4
    assert [sorted(call.ends) for call in engine.calls] == [
        *([59, 256], [46, 256], [10, 13, 256]),
        [10, 13, 256],
    ]
    assert "Node 1: 0\nNode 2: 1;x\nNode 3: 2;x.y\n" in engine.calls[-1].prompts[0]


def config(path="", examples=0, **network):
    return make_config({"network": {"prompt": str(path), "examples": examples, **network}})


def test_prompts_are_checked_against_all_stages(tmp_path):
    path, task = tmp_path / "own.toml", make_task("max", {})
    path.write_text('[nodes."2/2"]\ncue = "Now:"\n')
    with pytest.raises(PromptError, match=r"own.toml: unknown node in nodes '2/2'"):
        choose_prompts(config(path), task, Topology.parse("2-1"))
    data = {"network": {"prompt": str(path)}, "growth": {"stages": [["2-1", 1], ["2-2-1", 1]]}}
    template, examples = choose_prompts(make_config(data), task, Topology.parse("2-1"))
    assert (template.name, examples) == ("own.toml", ())


def test_examples_that_nobody_reads_are_refused(tmp_path):
    task = make_task("max", {})
    with pytest.raises(ConfigError, match=r"network.examples = 2, but of 2-1 no node that reads .*'sink'"):
        choose_prompts(config(examples=2), task, Topology.parse("2-1", "first"))
    path = tmp_path / "own.toml"
    path.write_text('examples = "leaves"')
    _, examples = choose_prompts(config(path, 2), task, Topology.parse("2-1", "first"))
    assert len(examples) == 2


@given(random_topologies(), st.integers(0, 3))
def test_the_cost_counts_texts_and_examples(topology, count):
    """By bytes, with the real builder: questions of 12 bytes, answers of 2."""
    shares = topology.shares
    load = Load(
        question_tokens=5 * (shares + 1),
        message_tokens=7,
        answer_tokens=2,
        template=read_template(OWN, "own.toml", "plain"),
        examples=count,
    )
    shape = {"parts": ("p" * 4,) * shares, "stem": "s" * 5}
    problem = Problem("p", "q" * load.question_tokens, "", **shape)
    examples = tuple(Problem(f"e{i}", "r" * load.question_tokens, "aa", **shape) for i in range(count))
    net = network(ScriptedEngine(lambda p, a: ""), topology, template=load.template, examples=examples)
    shown = inspect(
        topology,
        problem,
        ByteCodec(),
        wording=net.wording("the answer"),
        budgets=(7, 2),
        said=lambda edge: "",
    )
    for call, one in zip(readings(topology, load, TINY), shown, strict=True):
        messages = [topology.message_budget(edge.source, 7) for edge in topology.incoming(one.row)]
        cut = [min(m, e.budget or m) for m, e in zip(messages, topology.incoming(one.row), strict=True)]
        assert call.prefix + call.suffix == one.tokens + sum(cut)
        assert call.new == one.budget
