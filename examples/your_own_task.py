"""A task, a reward and a prompt of your own in one file: trained, asked and compared. About four minutes.

    python examples/your_own_task.py               # the embedded model, on the CPU
    python examples/your_own_task.py --tiny        # a random model: shows that it runs, and learns nothing
"""

import argparse
import random
import time
from pathlib import Path

import neuromas

PROMPT = """
[plain]
hidden = "Clerk {index} of {width} has a list.\\n"
output = "The manager answers with {format}.\\n"
message = "Clerk {label} says: {text}\\n"
"""


class Cheapest(neuromas.Task):
    """Two clerks see half of the prices each; the manager, who sees none, names the lowest."""

    answer_format = "one number"

    def problem(self, split, index):
        # the same problem for the same place, and none in two splits
        chance = random.Random(f"{split} {index}")
        prices = chance.sample(range(10, 100), 6)
        halves = tuple(", ".join(map(str, half)) for half in (prices[:3], prices[3:]))
        ask = "What is the lowest price?"
        whole = f"{ask} {halves[0]}, {halves[1]} (list {split} {index})"
        return neuromas.Problem(f"{split}-{index}", whole, str(min(prices)), parts=halves, stem=ask)

    def score(self, problem, text):
        said = text.strip()
        right = said == problem.answer
        listed = said in ", ".join(problem.parts).split(", ")
        # paid is all for the answer, a little for any price of the list; what counts is the answer alone
        return neuromas.Score(1.0 if right else 0.1 * listed, said or None, correct=float(right))


def main(tiny: bool, out: Path) -> None:
    """Train three nodes on it and ask them."""
    out.mkdir(parents=True, exist_ok=True)
    prompt = out / "clerks.toml"
    prompt.write_text(PROMPT, "utf-8")
    settings = [
        *(f"network.prompt={prompt}", "network.topology=2-1", "network.question=split"),
        *("network.message_tokens=6", "network.answer_tokens=6"),
        *("train.steps=12", "train.problems=16", "train.samples=8", "train.lr=1e-3", "train.temperature=0.7"),
        *("evaluate.every=6", "evaluate.validation=16", "evaluate.test=50"),
    ]
    if tiny:
        settings += ["model.backbone=tiny", "train.steps=1", "train.problems=2", "evaluate.test=4"]
        settings += ["evaluate.validation=2"]
    config = neuromas.load_config(None, settings)
    # two checks fail, and rightly: any price of the list is paid a little
    for check in neuromas.validate(Cheapest(), items=20).checks:
        print({True: "ok  ", False: "FAIL", None: "info"}[check.ok], f"{check.name}: {check.detail}")
    began = time.monotonic()
    trained = neuromas.train(config, out / "run", task=Cheapest())
    print(trained.report())
    question = "What is the lowest price? | 81, 23, 47 | 90, 52, 14"
    for turn in trained.trace(question).turns:
        print(f"node {trained.topology.nodes[turn.node].name} says {turn.text.strip()!r}")
    print(f"{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tiny", action="store_true", help="a random model instead of the real one")
    parser.add_argument("--out", type=Path, default=Path("runs/your_own_task"), help="where the run goes")
    given = parser.parse_args()
    main(given.tiny, given.out)
