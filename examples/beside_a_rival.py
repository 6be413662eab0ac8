"""A trained network beside self-consistency and debate: equal calls, the same questions. Four minutes.

    python examples/beside_a_rival.py              # the embedded model, on the CPU
    python examples/beside_a_rival.py --tiny       # a random model: shows that it runs, and learns nothing

Four calls a question each: four nodes, four votes of the frozen model, two agents of it in two rounds.
"""

import argparse
import time
from pathlib import Path

import neuromas

RIVALS = {
    "self-consistency": {"votes": 4, "of": "direct"},  # four answers of one model, the most frequent counts
    "debate": {"agents": 2, "rounds": 2},  # in the second round each has read what both said
}


def main(tiny: bool, out: Path) -> None:
    """Train a network, let the rivals answer the same questions, and test the differences in pairs."""
    settings = ["network.topology=3-1", "task.options.parts=3", "train.steps=8"]
    settings, items = [*settings, "evaluate.every=4", "evaluate.validation=16", "evaluate.test=50"], 50
    if tiny:
        settings += ["model.backbone=tiny", "model.dtype=float32", "train.steps=1", "train.problems=2"]
        settings, items = [*settings, "evaluate.test=4", "evaluate.validation=2"], 4
    began = time.monotonic()
    trained = neuromas.train(neuromas.load_config("demo", settings), out / "run")
    found = [neuromas.evaluate(trained, items=items)]
    for name, how in RIVALS.items():
        found.append(neuromas.evaluate(trained, items=items, method=name, options=how))
    for one in found:
        about = one.summary
        name, tokens = about.get("method", "network"), about["prompt_tokens"] + about["new_tokens"]
        print(f"{name:17} {one!r}, {about['calls']:.1f} calls, {tokens:.0f} tokens a question")
    # every rival against the network, question by question; p-values are corrected for their number
    print(neuromas.compare(*found))
    print(f"{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tiny", action="store_true", help="a random model instead of the real one")
    parser.add_argument("--out", type=Path, default=Path("runs/beside_a_rival"), help="where the run goes")
    given = parser.parse_args()
    main(given.tiny, given.out)
