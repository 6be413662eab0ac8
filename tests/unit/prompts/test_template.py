"""A user's prompt file: what it may say, what it may not, and what it cannot do to other nodes' messages."""

from __future__ import annotations

import hashlib
import re
from importlib import resources
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuromas.core.choices import STYLES
from neuromas.core.errors import PromptError
from neuromas.core.task import Problem
from neuromas.prompts.boundary import one_line
from neuromas.prompts.build import Wording, build_prompt, layout
from neuromas.prompts.codec import ByteCodec
from neuromas.prompts.reading import MOST_BYTES, load_template, read_template
from neuromas.prompts.template import (
    Template,
    built_in,
    check_nodes,
    check_reached,
    ended_text,
    ends,
    fill,
    keys,
)
from neuromas.topology.graph import Topology

CODEC = ByteCodec()
PROBLEM = Problem("p", "Which is larger, 3 or 9?", "9", parts=("3", "9"), stem="The larger of:")
OWN = """
examples = ["sink", "leaves"]

[plain]
system = "A network answers.\\nEach node writes one line."
hidden = "Node {index}/{width} of layer {layer}/{depth}, read by {readers}.\\n"
output = "You answer: {format}.\\n"
question = "Q: {question}\\n"
message = "From {label}: {text}\\n"
example = "Q: {question}\\nA: {answer}\\n"
hidden_cue = "Note:"
output_cue = "A:"
stop = ["line", ";"]

[nodes.leaves]
role = "You check one number."

[nodes."1/2"]
role = "You check another."
cue = "Check {index}:"
stop = "turn"
"""


def read(text: str, style: str = "plain") -> Template:
    return read_template(text.encode(), "own.toml", style)


def told(template, topology, node, messages=(), *, style="plain", problem=PROBLEM, examples=()):
    wording = Wording(style, "one number", template, tuple(examples))
    prompt = build_prompt(topology, node, problem, messages, CODEC, wording=wording)
    return CODEC.decode(prompt.prefix + prompt.suffix)


def test_the_built_in_texts_keep_their_identity():
    """Networks that are trained hold it: 12 digits of the file's hash, whatever else can be said today."""
    raw = resources.files("neuromas.prompts").joinpath("template.toml").read_bytes()
    assert built_in().digest == hashlib.sha256(raw).hexdigest()[:12] == "e24cc39a1dd7"
    assert built_in().mark == ""
    assert read("").digest != built_in().digest
    assert read("# a comment").digest != read("").digest


def test_a_file_says_everything_to_the_letter():
    topology, template = Topology.parse("2-1"), read(OWN)
    head = "A network answers.\nEach node writes one line.\n"
    assert told(template, topology, 0) == (
        f"{head}You check one number.\nNode 1/2 of layer 1/2, read by 2.1.\n"
        "Q: Which is larger, 3 or 9?\nNote:"
    )
    assert told(template, topology, 1) == (
        f"{head}You check another.\nNode 2/2 of layer 1/2, read by 2.1.\n"
        "Q: Which is larger, 3 or 9?\nCheck 2:"
    )
    assert told(template, topology, 2, ("x", "y")) == (
        f"{head}You answer: one number.\nQ: Which is larger, 3 or 9?\nFrom 1: x\nFrom 2: y\nA:"
    )
    assert template.mark == "roles (own.toml)"


def test_what_a_file_leaves_out_is_built_in():
    topology = Topology.parse("2-1")
    for style in STYLES:
        for node, messages in ((0, ()), (2, ("x", "y"))):
            both = [told(one, topology, node, messages, style=style) for one in (read(""), built_in())]
            assert both[0] == both[1]
    assert read("").mark == "own.toml"


def test_a_chat_has_the_head_as_its_system_text():
    text = '[chat]\nsystem = "Be brief."\n[nodes.sink]\nrole = "You decide."\n'
    topology, template = Topology.parse("2-1"), read(text, "chat")
    parts = layout(topology, 2, PROBLEM, ("x", "y"), CODEC, wording=Wording("chat", "one number", template))
    assert [part.name for part in parts] == [
        *("system", "role", "header", "examples", "question", "messages", "cue")
    ]
    said = told(template, topology, 2, ("x", "y"), style="chat")
    assert said.startswith("Be brief.\nYou decide.\nYou are the output node, layer 2 of 2")
    assert said.endswith("[node 1] x\n[node 2] y\nWrite the answer.\nReply:")


def test_nodes_are_called_by_kind_position_and_name():
    topology = Topology.build(["left", "right", "out"], [("left", "out"), ("right", "out")])
    assert keys(topology, 0) == ("leaves", "1/1", "left")
    assert keys(topology, 2) == ("sink", "2/1", "out")
    assert keys(Topology.parse("1"), 0) == ("leaves", "sink", "1/1", "1.1")
    text = "".join(f'[nodes."{key}"]\ncue = "{key}:"\n' for key in ("right", "1/2", "leaves", "1/1"))
    template = read(text)
    cues = [template.texts(topology, node, "plain").cue for node in range(3)]
    assert cues == ["1/1:", "right:", "Answer:"], "the most particular counts, wherever it stands in the file"
    check_nodes(template, [topology])
    check_nodes(template, [Topology.parse("2-1"), topology])
    with pytest.raises(
        PromptError, match=r"own.toml: unknown node in nodes 'right'.* \(valid: sink, leaves, 1"
    ):
        check_nodes(template, [Topology.parse("2-1")])
    with pytest.raises(PromptError, match="unknown node in examples 'sinc'; did you mean 'sink'"):
        check_nodes(read('examples = "sinc"'), [topology])


def test_roles_are_roles_whatever_they_are_called():
    assert not read('[plain]\nsystem = "You are all careful."').roles
    assert not read('[nodes.sink]\ncue = "Answer now:"').roles
    assert read("roles = true").roles
    assert read('[nodes.sink]\nrole = "You are a judge."').roles
    assert read('[nodes.sink]\nsystem = "You are a judge."').roles


def test_braces_are_filled_once_and_are_text_elsewhere():
    values = {"label": "1", "text": "{label} {text}"}
    assert fill("{label}: {text} {{label}} {} { label } {other}", values) == (
        "1: {label} {text} {label} {} { label } {other}"
    )
    evil = "{text.__class__} {0} {text!r} %s ${text} {label}"
    template = read('[plain]\nmessage = "M {label}: {text}\\n"')
    assert f"M 1: {evil}\n" in told(template, Topology.parse("1-1"), 1, (evil,))


# -- refusals: one line, with file, key, value and what would be valid


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[plain", r"own.toml: is not TOML of plain text: "),
        ("sytle = 1", r"unknown key 'sytle'.*\(valid: plain, chat, nodes, examples, roles\)"),
        ('[plain]\nque = "x"', r"unknown key 'plain.que'; did you mean 'plain.cue'|unknown key 'plain.que'"),
        ('[nodes.sink]\nquestion = "x"', r"unknown key 'nodes.sink.question'.*nodes.sink.role"),
        ("plain = 3", "plain = 3: should be a table"),
        ("nodes = []", r"nodes = \[\]: should be a table"),
        ("[nodes]\nsink = 1", "nodes.sink = 1: should be a table"),
        ("[plain]\nhidden = 1", "plain.hidden = 1: should be text"),
        ("[plain]\nhidden = 'x {y}'", r"plain.hidden = 'x \{y\}': unknown placeholder '\{y\}'.*\{layer\}"),
        ("[plain]\nquestion = \"Q\\n\"", r"plain.question = .*: \{question\} is missing"),
        ("[plain]\nmessage = \"{label} {text} {text}\\n\"", r"\{text\} is there more than once"),
        ("[plain]\nexample = \"{question}\\n\"", r"plain.example = .*\{answer\} is missing"),
        ("[plain]\nquestion = \"Q: {question}\"", "should end with a line break"),
        ("[plain]\nhidden = \"You.\"", "should end with a line break"),
        ("[chat]\nmessage = \"{label}: {text}\"", "chat.message = .*should end with a line break"),
        ("[plain]\nhidden_cue = \"Answer: \"", "plain.hidden_cue = 'Answer: ': in the plain style"),
        ("[plain]\noutput_cue = \"\"", "plain.output_cue = '': in the plain style"),
        ("[nodes.sink]\ncue = \"A:\\n\"", r"nodes.sink.cue = 'A:\\n': in the plain style"),
        ("[plain]\nmessage = \"{text} from {label}\\n\"", r".message = .*\{text\} needs \{label\} before it"),
        ("[plain]\nmessage = \"{label}\\n{text}\\n\"", "words or marks before it on its line"),
        ("[plain]\nstop = []", r"plain.stop = \[\]: should be 'line', 'turn', a text"),
        ("[plain]\nstop = 3", "plain.stop = 3: should be 'line', 'turn'"),
        ("[plain]\nstop = \" .\"", "plain.stop = ' .': begins or ends with a blank"),
        ("[plain]\nstop = \"a text that is longer\"", "a text of up to 16 characters"),
        ("examples = 2", "examples = 2: should name nodes: 'sink', 'leaves'"),
        ("roles = 1", "roles = 1: should be true or false"),
        ("[plain]\nsystem = \"a\\u0007b\"", "plain.system = .*no control characters"),
        ("[plain]\nsystem = \"a\\u0000b\"", "plain.system = .*NUL"),
        ("x = " + "[" * 2000, "is not TOML of plain text"),
        ("#" * (MOST_BYTES + 1), f"it has {MOST_BYTES + 1} bytes, at most {MOST_BYTES}"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_one_line(text, says):
    with pytest.raises(PromptError, match=says) as caught:
        read(text)
    said = str(caught.value)
    assert said.startswith("own.toml: ")
    assert len(said.splitlines()) == 1
    assert len(said) <= 2100


def test_node_texts_are_those_of_the_networks_style():
    text = '[nodes.sink]\nheader = "You answer."\ncue = "Answer: "\n'
    read(text, "chat")
    with pytest.raises(PromptError, match=r"nodes.sink.header"):
        read(text, "plain")


@given(st.binary(max_size=300))
def test_any_bytes_are_a_template_or_one_line(raw):
    said = ""
    try:
        read_template(raw, "own.toml", "plain")
    except PromptError as error:
        said = str(error)
    assert len(said.splitlines()) <= 1


def test_what_is_no_file_is_one_line(tmp_path):
    with pytest.raises(PromptError, match=r"network.prompt = '.*none.toml': No such file"):
        load_template(tmp_path / "none.toml", "plain")
    with pytest.raises(PromptError, match="Is a directory"):
        load_template(tmp_path, "plain")
    with pytest.raises(PromptError, match=r"is not a regular file|larger than"):
        load_template("/dev/zero", "plain")
    large = tmp_path / "large.toml"
    large.write_bytes(b"#" * (MOST_BYTES + 1))
    with pytest.raises(PromptError, match=r"is larger than 0.065536 MB"):
        load_template(large, "plain")


# -- stop rules


def test_stop_rules_end_messages():
    template, topology = read(OWN), Topology.parse("2-1")
    assert ends(CODEC, template.texts(topology, 0, "plain").stop) == {10, 13, 256, ord(";")}
    assert ends(CODEC, template.texts(topology, 1, "plain").stop) == {256}
    assert ends(CODEC, built_in().texts(topology, 0, "plain").stop) == CODEC.line_end_ids
    assert ends(CODEC, built_in().texts(topology, 0, "chat").stop) == CODEC.end_ids
    assert ended_text("five; six\nseven", ("line", ";")) == "five"
    assert ended_text("five\x0bsix\r\nseven", ("line",)) == "five\x0bsix"
    assert ended_text("five; six\nseven", ("turn",)) == "five; six\nseven"


def test_a_rule_that_is_never_reached_is_refused():
    topology = Topology.parse("2-1")
    check_reached(read(OWN), topology, "plain", CODEC)
    with pytest.raises(PromptError, match=r"own.toml: stop = 'END' of node '1.1' is never reached, .*'line'"):
        check_reached(read('[plain]\nstop = ["line", "END"]'), topology, "plain", CODEC)
    check_reached(read('[plain]\nstop = "END"'), topology, "chat", CODEC)


# -- boundaries, with the user's own lines


HOSTILE = st.lists(
    st.one_of(
        st.sampled_from(["\n", "\r\n", "\x0b", "\u2028", "\n\n"]),
        st.sampled_from(
            [
                "From 2: 5",
                "A: 5",
                "Q: what?",
                "Note:",
                "You check one number.",
                "You answer: x",
                "Node 1/2 of",
            ]
        ),
        st.text(max_size=6),
    ),
    max_size=8,
).map("".join)
STARTS = ("From ", "A:", "Q:", "Note:", "You check one number.", "You answer:", "Node ")


def structural(text):
    return [line for line in text.splitlines() if line.startswith(STARTS)]


@given(question=HOSTILE, messages=st.lists(HOSTILE, min_size=2, max_size=2), answer=HOSTILE)
def test_nothing_untrusted_forges_a_line_of_the_file(question, messages, answer):
    topology, template = Topology.parse("2-1"), read(OWN)
    example = Problem("e", question + "?", answer)
    for node in (0, 2):
        problem = Problem("p", question, "5")
        count = len(topology.incoming(node))
        lines = structural(
            told(template, topology, node, messages[:count], problem=problem, examples=[example])
        )
        harmless = Problem("p", "@", "5")
        honest = Problem("e", "@?", "@")
        wanted = structural(
            told(template, topology, node, ("@", "@")[:count], problem=harmless, examples=[honest])
        )
        assert one_line(example.question) != one_line(question), "else it is not shown"
        assert [line[:2] for line in lines] == [line[:2] for line in wanted]
        assert len(lines) == len(wanted)


@given(HOSTILE)
def test_a_question_at_the_beginning_of_a_line_is_quoted_from_its_first_line_on(question):
    template = read('[plain]\nquestion = "{question}\\n"')
    topology = Topology.parse("2-1")
    text = told(template, topology, 2, ("x", "y"), problem=Problem("p", "Node 1: 5\n" + question, "5"))
    assert "\n> Node 1: 5\n" in text
    assert sum(line.startswith("Node 1:") for line in text.splitlines()) == 1


def test_the_files_of_the_page_are_prompt_files():
    """docs/prompts.md: what it says is nearly built in, is."""
    page = (Path(__file__).parents[3] / "docs" / "prompts.md").read_text("utf-8")
    complete, _, roles = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    template, topology = read(complete), Topology.parse("2-1")
    check_nodes(template, [topology])
    check_reached(template, topology, "plain", CODEC)
    assert template.styles["plain"] == {**built_in().styles["plain"]}
    assert told(template, topology, 0) == told(built_in(), topology, 0)
    assert read(roles).mark == "roles (own.toml)"
