"""From one node to three by substitution. Four minutes.

    python examples/grow_a_network.py              # the embedded model, on the CPU
    python examples/grow_a_network.py --tiny       # a random model: shows that it runs, and learns nothing

Stage 1: one node learns a step, "What is 3 + 4?". Stage 2: three copies of it answer
"What is (3 + 4) + (2 + 9)?": two are asked a step each, the third for the sum of what they say, and all
learn together from whether it is right.
"""

import argparse
import time
from pathlib import Path

import neuromas


class Tell(neuromas.Callback):
    """Says what happens while it happens."""

    def on_growth(self, event: neuromas.Grown) -> None:
        print(f"step {event.step}: grown to {event.entry['to']}")

    def on_validation(self, event: neuromas.Validated) -> None:
        print(f"step {event.step}: {event.result!r}")


def main(tiny: bool, out: Path) -> None:
    """Train both stages as one run, and show what became of it."""
    steps, size = ((1, 2), 2) if tiny else ((30, 20), 16)
    step, whole = {"depth": 1, "max_operand": 30}, {"depth": 2, "parts": 2}
    config = neuromas.make_config(
        {
            "model": {"backbone": "tiny", "dtype": "float32"} if tiny else {},
            "network": {"message_tokens": 6, "answer_tokens": 6},
            "task": {
                "name": "arithmetic",
                "options": {"operators": "+", "max_operand": 9, "ask": True, "depth": 1, "parts": 1},
            },
            "train": {"problems": size, "samples": 8, "lr": 1e-3, "warmup": 2, "temperature": 0.7},
            "growth": {"init": "copy", "first": 0.0},
            "evaluate": {"every": 6, "validation": 2 * size, "test": 6 * size},
            "stages": [
                {"shape": "1", "steps": steps[0], "temperature": 1.0, "test": 2 * size, "task": step},
                {"shape": "2-1", "steps": steps[1], "question": "branches", "task": whole},
            ],
        }
    )
    began = time.monotonic()
    trained = neuromas.train(config, out / "run", callbacks=[Tell()])
    print(trained.report())
    print()
    for turn in trained.trace("What is A + B? | What is 3 + 4? | What is 2 + 9?").turns:
        print(f"node {trained.topology.nodes[turn.node].name} says {turn.text.strip()!r}")
    neuromas.draw(trained).save(out / "network.svg")
    print(f"{time.monotonic() - began:.0f} s; its lineage: neuromas lineage {out / 'run'}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tiny", action="store_true", help="a random model instead of the real one")
    parser.add_argument("--out", type=Path, default=Path("runs/grow_a_network"), help="where the run goes")
    given = parser.parse_args()
    main(given.tiny, given.out)
