"""Does training keep what growing gave? Seven nodes that answer eight-digit sums before any training on them.

    python benchmarks/seven.py prepare            one node learns a + b, three learn (a + b) + (c + d)
    python benchmarks/seven.py train --seed 0     25 steps of the seven nodes with the default settings
    python benchmarks/seven.py report             all seeds there are, into benchmarks/results/seven.json

The seven nodes are made of the three: every leaf of tree:2,2 is a copy of a trained leaf, every reader a copy
of the trained reader. The first two stages and the copies are the same for all seeds; a seed draws the
problems and samples of the 25 steps. Everything is kept under runs/seven and goes on where it stopped. A
variant has a name: `train --name free --seed 0 train.max_kl=0.0 growth.inherited_rate=1.0`. Some five minutes
a seed on one core.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from neuromas.models.process import prepare as prepare_process

prepare_process()

from neuromas.config import Config, apply_overrides, make_config  # noqa: E402
from neuromas.growth.lineage import Lineage  # noqa: E402
from neuromas.growth.parent import child_config  # noqa: E402
from neuromas.models.bundle import read_manifest  # noqa: E402
from neuromas.storage import MANIFEST, Run, replace_folder  # noqa: E402
from neuromas.system.assemble import assemble  # noqa: E402
from neuromas.system.provenance import about  # noqa: E402
from neuromas.system.saving import bundle_folder, load_bundle, save_bundle  # noqa: E402
from neuromas.training.callbacks import Watching  # noqa: E402
from neuromas.training.run import resume, start  # noqa: E402

ROOT = Path("runs/seven")
RESULT = Path(__file__).parent / "results" / "seven.json"
SUMS = ["task.name=arithmetic", "task.options.operators=+", "task.options.ask=true"]
NINE = [*SUMS, "task.options.max_operand=9"]
STEPS = 25


def main() -> None:
    """Run one part."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=["prepare", "train", "report"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--name", default="default", help="name of a variant")
    parser.add_argument("settings", nargs="*", help="overrides of a variant, e.g. train.max_kl=0")
    args = parser.parse_intermixed_args()
    if args.part == "prepare":
        prepare()
    elif args.part == "train":
        train(args.seed, args.name, args.settings)
    else:
        report()


def prepare() -> None:
    """The seven nodes at ``runs/seven/seven``."""
    one = make_config(
        {
            "network": {"topology": "1"},
            "task": {
                "name": "arithmetic",
                "options": {"depth": 1, "parts": 1, "operators": "+", "max_operand": 30, "ask": True},
            },
            "train": {"steps": 40},
            "evaluate": {"validation": 60, "test": 60},  # there are 900 such sums, a tenth for each
        }
    )
    _run(ROOT / "one", one)
    two = ["network.question=split", "task.options.depth=2", "task.options.parts=2"]
    _copies(ROOT / "one", ROOT / "three-copies", "2-1", (0, 0, 0), [*NINE, *two])
    learn = ["train.lr=3e-4", "train.temperature=0.7", "growth.inherited_rate=1.0"]  # a new task for copies
    _run(ROOT / "three", child_config(ROOT / "three-copies", "2-1", 30, learn))
    four = ["task.options.depth=3", "task.options.parts=4", "train.lr=1e-3", "train.temperature=1.0"]
    _copies(ROOT / "three", ROOT / "seven", "tree:2,2", (0, 1, 0, 1, 2, 2, 2), four)


def train(seed: int, name: str, settings: Sequence[str]) -> None:
    """The seven nodes on their task: the default settings, but for the variant's own."""
    config = child_config(ROOT / "seven", "tree:2,2", STEPS, [f"seed={seed}", *settings])
    _run(ROOT / "trained" / f"{name}-{seed}", config)


def _run(directory: Path, config: Config) -> None:
    """Train, or go on, or leave what is finished."""
    if not (directory / "config.json").is_file():
        start(config, directory, Watching(_say))
    elif not Run.open(directory).finished:
        resume(directory, Watching(_say))


def _copies(source: Path, out: Path, shape: str, rows: Sequence[int], settings: Sequence[str]) -> None:
    """A network folder whose nodes are copies of the ``rows`` of a trained network."""
    if (out / MANIFEST).is_file():
        return
    manifest = read_manifest(bundle_folder(source))
    trained = load_bundle(source)
    data = {key: value for key, value in manifest["config"].items() if key not in ("growth", "evaluate")}
    data["network"] = {**data["network"], "topology": shape}
    config = make_config(apply_overrides(data, settings))
    vectors = [trained.model.bank.parameters[row].detach().clone() for row in rows]
    made = assemble(config)
    for parameter, vector in zip(made.model.bank.parameters, vectors, strict=True):
        parameter.data.copy_(vector)
    lineage = Lineage.from_manifest(manifest, str(source)).to_dict()
    replace_folder(out, lambda folder: save_bundle(folder, made, lineage, {}))


def report() -> None:
    """Collect all variants and seeds."""
    rows = [_row(path) for path in sorted((ROOT / "trained").iterdir()) if Run(path).finished]
    RESULT.write_text(json.dumps({"about": about(), "steps": STEPS, "runs": rows}, indent=1) + "\n")
    for row in rows:
        print(json.dumps({key: row[key] for key in ("variant", "seed", "before", "after", "gain", "best")}))


def _row(path: Path) -> dict[str, Any]:
    run, (variant, _, seed) = Run.open(path), path.name.rpartition("-")
    before, after = (run.evaluation(name)[0] for name in ("test-before", "test-after"))
    steps, config = list(run.lines("metrics.jsonl")), run.read("config.json")
    return {
        "variant": variant,
        "seed": int(seed),
        "settings": {key: config["train"][key] for key in ("lr", "max_kl", "guard", "anchor")}
        | {"inherited_rate": config["growth"]["inherited_rate"]},
        "items": after["items"],
        "before": before["accuracy"],
        "after": after["accuracy"],
        "gain": after["accuracy"] - before["accuracy"],
        "intervals": [before["interval"], after["interval"]],
        "best": run.read("status.json")["best"],
        "first": next(iter(run.lines("growth.jsonl")))["accuracy_after"],
        "validation": [[row["step"], row["accuracy"]] for row in run.lines("validation.jsonl")],
        "reward": [row["reward"] for row in steps],
        "kl": [row["kl"] for row in steps],
        "silent": [row["silent_groups"] for row in steps],
        "events": list(run.lines("events.jsonl")),
        "seconds": run.read("status.json")["seconds"],
    }


def _say(event: Any) -> None:
    """Progress as plain lines."""
    if event["event"] == "step":
        far = max(event["kl"].values(), default=0.0)
        print(
            f"step {event['step'] + 1}: reward {event['reward']:.3f}, "
            f"silent {event['silent_groups']:.2f}, kl {far:.4f}",
            flush=True,
        )
    elif event["event"] in ("validation", "stage", "alarm", "guard"):
        print({key: value for key, value in event.items() if key != "event"}, flush=True)


if __name__ == "__main__":
    main()
