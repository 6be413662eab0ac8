"""What a message's program prints, for those who read the message (``network.tools = ["python"]``).

A message that holds exactly one fenced program has it run in a sandbox, without input; what it prints is
shown behind the message. Equal programs print equal texts (hashes are seeded alike; clock and chance are not
promised), and every output is kept in the turn: nothing is run again to see what readers saw.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from neuromas.core.episode import Turn
from neuromas.core.errors import SandboxError, one_line
from neuromas.prompts.codec import Codec
from neuromas.sandbox.base import Limits, Outcome, Sandbox
from neuromas.sandbox.choosing import find_sandbox
from neuromas.sandbox.fenced import blocks

LIMITS = Limits(seconds=2.0, wall=12.0, memory=256, output=16_384)


@dataclass(frozen=True, slots=True)
class PythonTool:
    """Runs the programs of messages; a reader is shown at most ``tokens`` of what one prints."""

    sandbox: Sandbox
    tokens: int
    jobs: int

    def output(self, program: str, codec: Codec) -> str:
        """What readers are shown of a run. Raises SandboxError where the sandbox broke."""
        text = told(self.sandbox.run(program, limits=LIMITS))
        ids = codec.encode(text)
        return text if len(ids) <= self.tokens else codec.decode(ids[: self.tokens])

    def use(self, turns: Sequence[Turn], codec: Codec) -> list[Turn | SandboxError]:
        """The turns with what their programs print; one that has an output already keeps it.

        In the place of a turn stands the error of a sandbox that broke over it. Equal programs run once.
        """
        asked = [program_of(turn.text) if turn.output is None else None for turn in turns]
        programs = list(dict.fromkeys(one for one in asked if one is not None))
        if not programs:
            return list(turns)

        def run(program: str) -> str | SandboxError:
            try:
                return self.output(program, codec)
            except SandboxError as error:
                return error

        with ThreadPoolExecutor(min(self.jobs, len(programs)), "tool") as pool:
            printed = dict(zip(programs, pool.map(run, programs), strict=True))
        found: list[Turn | SandboxError] = []
        for turn, program in zip(turns, asked, strict=True):
            output = None if program is None else printed[program]
            if isinstance(output, SandboxError):
                found.append(output)
            else:
                found.append(turn if output is None else replace(turn, output=output))
        return found


def make_tool(tools: Sequence[str], tokens: int) -> PythonTool | None:
    """The tool that a configuration names, None without any. Raises SandboxError where no sandbox works."""
    return PythonTool(find_sandbox(), tokens, len(os.sched_getaffinity(0))) if tools else None


def program_of(text: str) -> str | None:
    """The program in a message: the text of its only fenced block; None where there is none, or several."""
    found = blocks(text)
    return found[0] if len(found) == 1 else None


def told(outcome: Outcome) -> str:
    """What a program printed, with the error or the limit that ended it, on one line."""
    printed = " ".join(outcome.stdout.split())
    ends = {"time": "out of time", "output": "too much output", "killed": f"killed by signal {outcome.code}"}
    why = ends.get(outcome.ended, "" if outcome.fine else one_line(ValueError(outcome.stderr.strip()[-500:])))
    return " ".join(part for part in (printed, why) if part)


def shown_with(text: str, output: str | None) -> str:
    """A message as its readers see it: the output of its program behind it, in brackets."""
    return text if output is None else f"{text} [output: {output}]"
