"""Shapes: exact edges of every base and modifier, what sparsity never breaks, and bad text."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuromas.core.errors import TopologyError, shown
from neuromas.topology.graph import Topology
from neuromas.topology.links import MAX_NODES
from neuromas.topology.shapes import build_shape, is_shape

DEEP = {"2-2-1", "3-1", "4-4-1", "2-3-2-1", "5-4-3-2-1", "1", "chain:1", "chain:6", "tree:2,3", "tree:3,2"}
BASES = sorted(DEEP | {"tree:1,4", "parallel:1", "parallel:7"})
CHANCES = st.integers(1, 1000).map(lambda n: f"{n / 1000:g}")
MODIFIERS = st.sampled_from(["skip", "residual"]) | st.builds(
    "sparse:{},{}".format, CHANCES, st.integers(0, 10**6)
)


def edges(topology: Topology) -> set[tuple[str, str]]:
    names = [node.name for node in topology.nodes]
    return {(names[edge.source], names[edge.target]) for edge in topology.edges}


def widths(topology: Topology) -> list[int]:
    return [len(layer) for layer in topology.layers()]


def drawn(text: str) -> set[tuple[str, str]]:
    """``"1.1>2.1 1.2>2.1"`` as edges."""
    return {tuple(edge.split(">")) for edge in text.split()}


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("2-2-1", "2-2-1"),
        (" 2-2-1 ", "2-2-1"),
        ("chain:1", "1"),
        ("chain:4", "1-1-1-1"),
        ("parallel:3", "3-1"),
        ("tree:1,3", "1-1-1-1"),
        ("tree:5,1", "5-1"),
        ("2-2-1+sparse:1", "2-2-1"),
        ("2-1+skip+residual", "2-1"),
        ("chain:256", "-".join("1" * 256)),
        ("parallel:255", "255-1"),
    ],
)
def test_shapes_that_are_widths(text, same):
    assert build_shape(text) == Topology.parse(same)


@pytest.mark.parametrize(
    ("text", "layers", "says"),
    [
        ("tree:2,2", [4, 2, 1], "1.1>2.1 1.2>2.1 1.3>2.2 1.4>2.2 2.1>3.1 2.2>3.1"),
        ("tree:3,1+skip", [3, 1], "1.1>2.1 1.2>2.1 1.3>2.1"),
        ("chain:4+skip", [1, 1, 1, 1], "1.1>2.1 1.1>3.1 1.1>4.1 2.1>3.1 2.1>4.1 3.1>4.1"),
        ("chain:4+residual", [1, 1, 1, 1], "1.1>2.1 2.1>3.1 3.1>4.1 1.1>4.1 2.1>4.1"),
        ("2-1-1+residual", [2, 1, 1], "1.1>2.1 1.2>2.1 2.1>3.1 1.1>3.1 1.2>3.1"),
        (
            "tree:2,2+residual",
            [4, 2, 1],
            "1.1>2.1 1.2>2.1 1.3>2.2 1.4>2.2 2.1>3.1 2.2>3.1 1.1>3.1 1.2>3.1 1.3>3.1 1.4>3.1",
        ),
    ],
)
def test_exact_edges(text, layers, says):
    topology = build_shape(text)
    assert widths(topology) == layers
    assert edges(topology) == drawn(says)


@pytest.mark.parametrize("base", BASES)
def test_skip_and_residual_add_exactly_what_they_say(base):
    plain = build_shape(base)
    layer = {node.name: node.layer for node in plain.nodes}
    last = plain.nodes[plain.sink].name
    earlier = {(s, t) for s in layer for t in layer if layer[s] < layer[t]}
    assert edges(build_shape(base + "+skip")) == earlier
    assert edges(build_shape(base + "+residual")) == edges(plain) | {e for e in earlier if e[1] == last}
    for text in ("+skip", "+residual"):
        assert widths(build_shape(base + text)) == widths(plain)


def test_modifiers_act_in_the_order_written():
    thin = edges(build_shape("4-4-1+sparse:0.3,7"))
    into_output = {(f"{layer}.{i}", "3.1") for layer in (1, 2) for i in range(1, 5)}
    assert edges(build_shape("4-4-1+sparse:0.3,7+residual")) == thin | into_output
    assert edges(build_shape("4-4-1+sparse:0.3,7+skip")) == edges(build_shape("4-4-1+skip"))
    assert edges(build_shape("4-4-1+skip+sparse:0.3,7")) < edges(build_shape("4-4-1+skip"))


@given(st.sampled_from(BASES), st.lists(MODIFIERS, max_size=4), st.sampled_from(["all", "first", "split"]))
def test_any_combination_is_a_network_with_the_layers_of_its_base(base, modifiers, question):
    text = "+".join([base, *modifiers])
    topology = build_shape(text, question)  # valid by construction: Topology checks itself
    plain = build_shape(base, question)
    assert topology.nodes == plain.nodes, "names, layers, order, and who reads the question"
    assert build_shape(text, question) == topology
    layer = [node.layer for node in topology.nodes]
    for row in range(len(layer)):
        below = [edge for edge in topology.incoming(row) if layer[edge.source] == layer[row] - 1]
        assert below or layer[row] == 1
        assert topology.outgoing(row) or row == topology.sink


@given(st.sampled_from(sorted(DEEP)), CHANCES, CHANCES, st.integers(0, 10**6), st.booleans())
def test_a_smaller_chance_keeps_a_part_of_what_a_larger_one_keeps(base, one, other, seed, skip):
    low, high = sorted((one, other), key=float)
    base += "+skip" if skip else ""
    few, many = (edges(build_shape(f"{base}+sparse:{chance},{seed}")) for chance in (low, high))
    assert few <= many <= edges(build_shape(base))


def test_sparsity_draws_as_often_as_it_says():
    whole, kept = 0, 0
    for seed in range(40):
        kept += len(build_shape(f"16-16-1+sparse:0.5,{seed}").edges)
        whole += 16 * 16 + 16
    assert 0.47 < kept / whole < 0.55, "40 * 272 draws; the few that are mended lie above one half"
    assert len({build_shape(f"4-4-1+sparse:0.5,{seed}").digest for seed in range(20)}) > 15
    assert build_shape("4-4-1+sparse:0.5") == build_shape("4-4-1+sparse:.50,0")
    twice = len(build_shape("16-16-1+sparse:0.5,3+sparse:0.5,3").edges)
    assert twice < 0.4 * 272, "a second draw is another draw"


def test_the_same_text_is_the_same_network_in_every_process():
    shape = "4-4-1+sparse:0.5,7+residual"
    code = f"from neuromas.topology.shapes import build_shape; print(build_shape({shape!r}).digest)"
    for salt in ("1", "2"):
        call, env = [sys.executable, "-c", code], {"PYTHONHASHSEED": salt}
        done = subprocess.run(call, capture_output=True, text=True, check=True, env=env)
        assert done.stdout.strip() == "f73493f10616eff8", "also in another version: runs are named by text"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("tre:2,3", "unknown base 'tre'; did you mean 'tree'?"),
        ("dense+skip", "unknown base 'dense'"),
        ("", "unknown base ''"),
        ("2-1+", "unknown modifier ''"),
        ("2-1+skp", "unknown modifier 'skp'; did you mean 'skip'?"),
        ("2-1+skip:3", "'skip' takes no value, 'skip:3' gives one"),
        ("chain", "'chain' is not chain:N"),
        ("chain:", "'' in 'chain:' is not a whole number"),
        ("chain:0", "'0' in 'chain:0' is not a whole number from 1"),
        ("chain:-3", "'-3' in"),
        ("chain:1,2", "'chain:1,2' is not chain:N"),
        ("chain:２", "'２' in"),
        ("tree:2", "'tree:2' is not tree:K,H"),
        ("tree:2,0", "'0' in"),
        ("tree:9,99", "at least 820 nodes, the limit is 256"),
        ("tree:999999,999999", "the limit is 256"),
        ("tree:1,256", "at least 257 nodes"),
        ("parallel:256", "257 nodes, the limit is 256"),
        ("chain:257", "257 nodes, the limit is 256"),
        ("chain:9999999", "is not a whole number from 1 to 999999"),
        ("2-2+skip", "the last layer is the one output node"),
        ("999-1+skip", "limit is 256"),
        ("2-1+sparse", "'sparse' is not sparse:P"),
        ("2-1+sparse:", "'sparse:' is not sparse:P"),
        ("2-1+sparse:0", "with P above 0 and at most 1"),
        ("2-1+sparse:0.0", "with P above 0 and at most 1"),
        ("2-1+sparse:1.5", "with P above 0 and at most 1"),
        ("2-1+sparse:nan", "with P above 0 and at most 1"),
        ("2-1+sparse:-0.5", "with P above 0 and at most 1"),
        ("2-1+sparse:0.5,x", "seed 'x' in"),
        ("2-1+sparse:0.5,-1", "seed '-1' in"),
        ("2-1+sparse:0.5,1,2", "is not sparse:P or sparse:P,SEED"),
        ("2-1" + "+skip" * 9, "9 modifiers, at most 8"),
        ("2-1" + "+skip" * 100_000, "100000 modifiers, at most 8"),
    ],
)
def test_bad_text_names_text_value_and_forms_on_one_line(text, says):
    with pytest.raises(TopologyError) as caught:
        build_shape(text)
    message = str(caught.value)
    assert says in message
    assert message.startswith(f"topology {shown(text, 200)}: ")
    assert "tree:K,H" in message
    assert "\n" not in message
    assert len(message) < 700


def test_plain_widths_keep_their_own_words():
    with pytest.raises(TopologyError, match="'2-1-' is not layer widths"):
        build_shape("2-1-")


@pytest.mark.parametrize(
    "text", ["2-2-1", " 1", "2-1-", "chain:3", "tre:2", "chain", "dense+skip", "2-1+sparse:.5"]
)
def test_what_is_meant_as_a_shape(text):
    assert is_shape(text)


@pytest.mark.parametrize(
    "text", ["", "net.yaml", "dense", "two-two-one", "a/b+c", "../x", "C:\\net", "a/2-1"]
)
def test_what_is_not(text):
    assert not is_shape(text)


@given(st.text(max_size=30) | st.text("0123456789-+:,.skipresdualtchn ", max_size=30))
def test_any_text_is_a_network_or_one_line(text):
    try:
        said, nodes = "", len(build_shape(text).nodes)
    except TopologyError as error:
        said, nodes = str(error), 0
    assert len(said.splitlines()) == 1 if said else 1 <= nodes <= MAX_NODES
