"""A served network under load: requests a second with waiting requests joined, and one by one.

    python benchmarks/serving.py runs/mine --rounds 2 --machine "two shared CPU cores"

Two servers over the same run (``neuromas serve``) answer the same test questions in turn: one joins what
waits into one rollout, one plays request after request (``--batch 1``). Clients ask in closed loops: each
sends its next question when it has an answer. Rates are by the clock and by the server's own CPU time, which
other work on the machine does not touch; cells of a round follow each other and ratios are taken within the
round. Answers played together are compared with those played alone. Then: what it costs a batch of 32 to tell
its tokens (``stream``), in this process. Writes results/serving.json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
OUT = HERE / "results" / "serving.json"
CLIENTS = (1, 8, 32)
NAME = "network"


def main() -> None:
    """Measure and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--requests", type=int, default=32, help="requests of a cell of 32 clients")
    parser.add_argument("--machine", default="two shared CPU cores")
    parser.add_argument("--write", type=Path, default=OUT)
    args = parser.parse_args()
    import neuromas

    trained = neuromas.load(args.run, trust=True)
    shares = trained.topology.shares
    questions = [typed(problem, shares) for problem in trained.problems("test", args.requests)]
    with served(args.run, 32) as joined, served(args.run, 1) as single:
        rounds = [_round(joined, single, questions) for _ in range(args.rounds)]
    record = {
        "machine": args.machine,
        "model": trained.assembly.config.model.backbone,
        "network": str(trained.topology),
        "tokens": {
            "message": trained.assembly.config.network.message_tokens,
            "answer": trained.assembly.config.network.answer_tokens,
        },
        "rounds": rounds,
        "summary": _summary(rounds),
        "telling": _telling(trained, questions[:32]),
    }
    args.write.write_text(json.dumps(record, indent=1) + "\n", "utf-8")
    print(json.dumps({"summary": record["summary"], "telling": record["telling"]}, indent=1))


def typed(problem: Any, shares: int) -> str:
    """A problem as a person would ask it of a network that hands out so many parts."""
    return " | ".join([problem.stem, *problem.parts]) if shares else problem.question


@dataclass(frozen=True)
class Server:
    """Its address and its process."""

    url: str
    pid: int

    def cpu(self) -> float:
        """Seconds of CPU time it has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text("utf-8").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def served(run: str, batch: int) -> Iterator[Server]:
    """A server as a process of its own."""
    words = [sys.executable, "-m", "neuromas.cli", "serve", run, "--port", "0", "--name", NAME, "--quiet"]
    process = subprocess.Popen([*words, "--batch", str(batch), "--trust"], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        found = re.search(r"http://\S+/v1", process.stdout.readline())
        assert found is not None, "the server did not start"
        yield Server(found[0], process.pid)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


async def _load(url: str, asked: Sequence[tuple[str, int]], clients: int) -> tuple[float, list[str]]:
    """Seconds for all questions, each with its draw (0: greedy, else a seed), and the answers in order."""
    import openai

    left = list(enumerate(asked))[::-1]
    answers = [""] * len(asked)
    async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0, timeout=600) as client:

        async def loop() -> None:
            while left:
                place, (text, drawn) = left.pop()
                answer = await client.chat.completions.create(
                    model=NAME,
                    messages=[{"role": "user", "content": text}],
                    temperature=0.7 if drawn else 0.0,
                    seed=drawn,
                )
                answers[place] = answer.choices[0].message.content or ""

        begun = time.perf_counter()
        await asyncio.gather(*(loop() for _ in range(clients)))
        return time.perf_counter() - begun, answers


def _round(joined: Server, single: Server, questions: Sequence[str]) -> list[dict[str, Any]]:
    """Cells of every number of clients, greedy and, with all of them, drawn: joined and one by one."""
    cells = []
    most = len(questions)
    plan = [(1, most // 4, 0), (8, most // 2, 0), (32, most, 0), (32, most // 2, 1)]
    for clients, count, drawn in plan:
        asked = [(text, drawn and drawn + place) for place, text in enumerate(questions[:count])]
        cell: dict[str, Any] = {"clients": clients, "requests": count, "drawn": bool(drawn)}
        answers = {}
        for way, server in (("joined", joined), ("single", single)):
            before = server.cpu()
            seconds, answers[way] = asyncio.run(_load(server.url, asked, clients))
            cell[way] = {"seconds": round(seconds, 3), "cpu": round(server.cpu() - before, 3)}
        cell["other"] = sum(a != b for a, b in zip(answers["joined"], answers["single"], strict=True))
        cells.append(cell)
        print(cell, file=sys.stderr, flush=True)
    return cells


def _summary(rounds: Sequence[Sequence[dict[str, Any]]]) -> dict[str, Any]:
    """Medians over rounds of rates and ratios, and how many answers were others."""
    found: dict[str, Any] = {}
    for clients in CLIENTS:
        cells = [cell for one in rounds for cell in one if cell["clients"] == clients and not cell["drawn"]]
        for unit in ("seconds", "cpu"):
            rates = {way: [c["requests"] / c[way][unit] for c in cells] for way in ("joined", "single")}
            ratios = [a / b for a, b in zip(rates["joined"], rates["single"], strict=True)]
            found.setdefault(str(clients), {})[unit] = {
                **{way: round(statistics.median(values), 3) for way, values in rates.items()},
                "ratio": round(statistics.median(ratios), 2),
                "ratios": [round(ratio, 2) for ratio in ratios],
            }
    for name, drawn in (("other_greedy", False), ("other_drawn", True)):
        cells = [c for one in rounds for c in one if c["drawn"] == drawn and c["clients"] > 1]
        found[name] = [sum(c["other"] for c in cells), sum(c["requests"] for c in cells)]
    return found


def _telling(trained: Any, questions: Sequence[str], rounds: int = 7) -> dict[str, Any]:
    """Seconds of one batch of all leaves' messages, silent and told in turn."""
    from neuromas.engines.base import Request
    from neuromas.prompts.build import build_prompt
    from neuromas.serving.playing import Player

    player, network = Player(trained.assembly), trained.network
    wording = network.wording(trained.task.answer_format)
    leaves = [node for node in range(len(trained.topology.nodes)) if not trained.topology.incoming(node)]
    requests = []
    for number, text in enumerate(questions):
        problem = player.problem([text])
        for node in leaves:
            prompt = build_prompt(network.topology, node, problem, [], network.engine.codec, wording=wording)
            row = network.assignment[node]
            requests.append(Request(row, prompt.prefix, prompt.suffix, network.budget(node), number))
    ends = network.ends(leaves[0])
    ratios = []
    for _ in range(rounds):
        times = []
        for told in (False, True):
            begun = time.process_time()
            if told:
                network.engine.stream(requests, 1.0, ends, lambda row, token: True)
            else:
                network.engine.generate(requests, 1.0, ends)
            times.append(time.process_time() - begun)
        ratios.append(times[1] / times[0])
    return {"requests": len(requests), "ratio": round(statistics.median(ratios), 3), "ratios": ratios}


if __name__ == "__main__":
    main()
