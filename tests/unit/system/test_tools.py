"""Programs in messages: run once, bounded, shown to readers, kept in the episode, never in the answer."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydantic import ValidationError
from tests.sandboxes import needs_sandbox
from toys import ToyTask, network, problems

from neuromas.config import NetworkConfig
from neuromas.core.errors import SandboxError
from neuromas.engines.scripted import ScriptedEngine
from neuromas.evaluation.evaluate import evaluate
from neuromas.report.trace import trace_text
from neuromas.sandbox import Outcome, find_sandbox
from neuromas.system.replay import Branch, replay
from neuromas.system.rollout import Sampling, rollout
from neuromas.system.tools import PythonTool, make_tool, program_of, told

DRAW = Sampling(1.0, 7)


class Counting:
    """A sandbox that prints a text's length and counts its runs; it breaks where it is told to."""

    name = "counting"

    def __init__(self, printed=None):
        self.ran, self.printed = [], printed

    def run(self, program, stdin="", limits=None):
        self.ran.append(program)
        if "break" in program:
            raise SandboxError("it broke")
        return Outcome("exited", 0, self.printed or f"{len(program)}\n", "", 0.0)


def played(script, shape="2-1", tokens=32, count=1, **limits):
    sandbox = Counting(limits.pop("printed", None))
    net = network(ScriptedEngine(script), shape, message_tokens=80, answer_tokens=80, **limits)
    net = replace(net, tool=PythonTool(sandbox, tokens, 2))
    return net, sandbox, rollout(net, ToyTask(), problems(count), 1, DRAW)


def told_to(net, turn):
    return net.engine.codec.decode(turn.prefix_ids + turn.suffix_ids)


def say(prompt, adapter):
    return (
        "```python print(7*6)``` so" if adapter == 0 else "plain" if adapter == 1 else "```python print(1)```"
    )


def test_readers_see_what_a_program_prints_and_the_answer_is_left_alone():
    net, sandbox, (episode,) = played(say)
    assert sandbox.ran == ["print(7*6)"]
    assert [turn.output for turn in episode.turns] == ["10", None, None]
    prompt = told_to(net, episode.turns[2])
    assert "print(7*6)``` so [output: 10]\n" in prompt
    assert "plain\n" in prompt
    assert episode.tool_calls == 1
    assert episode.line(0)["outputs"] == ["10", None, None]
    text = trace_text(net.topology, episode)
    assert "its program prints:" in text
    assert "1 tool call" in text


def test_without_a_tool_nothing_runs():
    net, _, _ = played(say)
    (episode,) = rollout(replace(net, tool=None), ToyTask(), problems(1), 1, DRAW)
    assert "[output" not in told_to(net, episode.turns[2])
    assert episode.tool_calls == 0
    assert "outputs" not in episode.line(0)
    assert "tool_calls" not in evaluate(replace(net, tool=None), ToyTask(), "test", 1).summary


def test_outputs_are_bounded_in_tokens_and_counted():
    net, _, (episode,) = played(say, tokens=5, printed="0123456789")
    assert episode.turns[0].output == "01234"
    result = evaluate(net, ToyTask(), "test", 2)
    assert result.summary["tool_calls"] == 1.0
    assert result.items[0].outputs == ("01234", None, None)
    bare = evaluate(replace(net, tool=None), ToyTask(), "test", 2).summary
    more = len(net.engine.codec.encode(" [output: 01234]"))
    assert result.summary["prompt_tokens"] == bare["prompt_tokens"] + more


def test_equal_programs_run_once_a_layer():
    _, sandbox, episodes = played(lambda prompt, adapter: "```print(2)```", count=6)
    assert sandbox.ran == ["print(2)"]
    assert all(one.tool_calls == 2 for one in episodes)


def test_what_is_replayed_is_not_run_again_and_what_is_said_anew_is():
    net, sandbox, (episode,) = played(lambda prompt, row: say(prompt, min(row, 1)), "2-2-1")
    ran = len(sandbox.ran)
    (hidden,) = replay(net, ToyTask(), [Branch(episode, 1, hidden=True)], DRAW)
    assert len(sandbox.ran) == ran
    assert hidden.episode.turns[0].output == "10"
    (said,) = replay(net, ToyTask(), [Branch(episode, 0, said="```x = 1```")], DRAW)
    assert sandbox.ran[ran:] == ["x = 1"]
    assert "[output: 5]" in told_to(net, said.episode.turns[2])
    (plain,) = replay(net, ToyTask(), [Branch(episode, 0, said="nothing")], DRAW)
    assert plain.episode.turns[0].output is None


def test_blanked_and_shuffled_messages_take_their_outputs_along():
    def number(prompt, adapter):
        return f"```{'x' * int(prompt.partition('number ')[2][0])}```" if adapter < 2 else "done"

    net, _, _ = played(say)
    net = replace(net, engine=ScriptedEngine(number))
    blank = rollout(net, ToyTask(), problems(3)[1:], 1, Sampling(1.0, 7, "blank"))
    assert all("[output" not in told_to(net, one.turns[2]) for one in blank)
    first, second = rollout(net, ToyTask(), problems(3)[1:], 1, Sampling(1.0, 7, "shuffle"))
    assert "[output: 2]" in told_to(net, first.turns[2])
    assert "[output: 1]" in told_to(net, second.turns[2])


def test_a_broken_sandbox_leaves_no_score():
    def some(prompt, adapter):
        return "```break```" if "number 1" in prompt and adapter == 0 else "plain"

    _, _, episodes = played(some, count=2)
    assert episodes[0].score.value == 1.0
    assert (episodes[1].score, episodes[1].failure) == (None, "no verdict: it broke")
    with pytest.raises(SandboxError, match="it broke"):
        played(lambda prompt, adapter: "```break```")


@pytest.mark.parametrize(
    ("text", "program"),
    [
        ("```python\nprint(1)\n```", "print(1)\n"),
        ("so ```py print(1)``` it is", "print(1)"),
        ("``` ```", None),
        ("```a``` and ```b```", None),
        ("```python print(1)", None),
        ("no program", None),
        ("python print(1)", None),
    ],
)
def test_a_message_has_one_program_or_none(text, program):
    assert program_of(text) == program


def test_how_a_run_is_told():
    assert told(Outcome("exited", 0, "a\n  b\n", "", 0.1)) == "a b"
    assert told(Outcome("exited", 1, "a\n", "NameError: x\n", 0.1)) == "a NameError: x"
    assert told(Outcome("time", 24, "a", "", 2.0)) == "a out of time"
    assert told(Outcome("exited", 0, "", "", 0.1)) == ""


def test_the_configuration_knows_one_tool():
    assert NetworkConfig().tools == ()
    assert make_tool((), 32) is None
    with pytest.raises(ValidationError):
        NetworkConfig(tools=("bash",))
    with pytest.raises(ValidationError):
        NetworkConfig(tools=("python", "python"))


@needs_sandbox()
def test_a_real_program_in_a_real_sandbox():
    net, _, _ = played(say)
    net = replace(net, tool=PythonTool(find_sandbox(), 32, 2))
    (episode,) = rollout(net, ToyTask(), problems(1), 1, DRAW)
    assert episode.turns[0].output == "42"
