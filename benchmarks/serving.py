"""A served network under load: requests a second with waiting requests joined, and one by one.

    python benchmarks/serving.py runs/mine --rounds 3 --machine "two shared CPU cores"

Two servers over the same run (``neuromas serve``) answer the same test questions in turn: one joins what
waits into one rollout, one plays request after request (``--batch 1``). Clients ask in closed loops: each
sends its next question when it has an answer. Cells of a round follow each other closely and the ratio is
taken within the round, so that what else the machine does touches both. Every answer is
compared with the one that is given to its question alone. Then: what it costs a batch of 32 to tell its
tokens (``stream``), in this process. Writes results/serving.json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=64, help="requests of a cell with 8 or 32 clients")
    parser.add_argument("--machine", default="two shared CPU cores")
    parser.add_argument("--write", type=Path, default=OUT)
    args = parser.parse_args()
    import neuromas

    trained = neuromas.load(args.run, trust=True)
    shares = trained.topology.shares
    questions = [typed(problem, shares) for problem in trained.problems("test", args.requests)]
    with served(args.run, 32) as joined, served(args.run, 1) as single:
        asked = [(text, drawn) for drawn in (0, 1) for text in questions]
        alone = asyncio.run(_load(single, asked, 1))[1]
        rounds = [_round(joined, single, questions, alone) for _ in range(args.rounds)]
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


@contextmanager
def served(run: str, batch: int) -> Iterator[str]:
    """A server as a process of its own; gives its address."""
    words = [sys.executable, "-m", "neuromas.cli", "serve", run, "--port", "0", "--name", NAME, "--quiet"]
    process = subprocess.Popen([*words, "--batch", str(batch), "--trust"], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        found = re.search(r"http://\S+/v1", process.stdout.readline())
        assert found is not None, "the server did not start"
        yield found[0]
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


def _round(joined: str, single: str, questions: Sequence[str], alone: Sequence[str]) -> list[dict[str, Any]]:
    """One cell for every number of clients and both servers, and what of the answers was another alone."""
    cells = []
    for clients in CLIENTS:
        count = len(questions) if clients > 1 else max(8, len(questions) // 4)
        for way, url in (("joined", joined), ("single", single)):
            seconds, answers = asyncio.run(_load(url, [(text, 0) for text in questions[:count]], clients))
            other = sum(a != b for a, b in zip(answers, alone, strict=False))
            cell = {"way": way, "clients": clients, "requests": count, "seconds": seconds, "other": other}
            cells.append(cell)
            print(cell, file=sys.stderr)
    _, drawn = asyncio.run(_load(joined, [(text, 1) for text in questions], 32))
    other = sum(a != b for a, b in zip(drawn, alone[len(questions) :], strict=True))
    cells.append({"way": "drawn", "clients": 32, "requests": len(questions), "other": other})
    return cells


def _summary(rounds: Sequence[Sequence[dict[str, Any]]]) -> dict[str, Any]:
    """Medians over rounds of requests a second and of the ratio, and all answers that were others."""
    found: dict[str, Any] = {}
    for clients in CLIENTS:
        rates: dict[str, list[float]] = {"joined": [], "single": []}
        for cells in rounds:
            for cell in cells:
                if cell["clients"] == clients and cell["way"] in rates:
                    rates[cell["way"]].append(cell["requests"] / cell["seconds"])
        ratios = [a / b for a, b in zip(rates["joined"], rates["single"], strict=True)]
        found[str(clients)] = {
            **{way: round(statistics.median(values), 3) for way, values in rates.items()},
            "ratio": round(statistics.median(ratios), 2),
            "ratios": [round(ratio, 2) for ratio in ratios],
        }
    for way in ("joined", "single", "drawn"):
        cells = [cell for one in rounds for cell in one if cell["way"] == way]
        found[f"other_{way}"] = [sum(c["other"] for c in cells), sum(c["requests"] for c in cells)]
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
