"""What the recipes learn: every recipe with every seed, and the table with its intervals as JSON.

    python benchmarks/learning.py recipes/runs/demo.toml --seeds 0 1 2 --name learning

Runs live in runs/learning/RECIPE-SEED; finished ones are not trained again and interrupted ones resume, so
the script may be run in pieces, or with different --seeds side by side (add --no-table). Seeds are not
chosen: the table has every seed that was asked for.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
CONTROLS = ("test-before", "test-after", "test-after-blank", "test-after-shuffle")


def main() -> None:
    """Train what is missing, then write the table."""
    args = _arguments()
    from neuromas.models.process import prepare

    prepare()
    import torch

    if args.threads:
        torch.set_num_threads(args.threads)
    rows = [_row(recipe, seed, args) for recipe in args.recipes for seed in args.seeds]
    if args.no_table:
        return
    from neuromas.report.pages.run import run_report
    from neuromas.report.results import as_json
    from neuromas.storage import Run

    first = f"{args.recipes[0].stem}-{args.seeds[0]}"
    report = run_report(Run.open(args.runs / first))
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results" / f"{first}.txt").write_text(report + "\n", "utf-8")
    out = HERE / "results" / f"{args.name}.json"
    out.write_text(as_json({"rows": rows, "over_seeds": _over_seeds(rows)}) + "\n", "utf-8")
    print(f"wrote {out}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("recipes", nargs="+", type=Path)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--runs", type=Path, default=Path("runs/learning"))
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--set", nargs="*", default=[], metavar="key=value", help="overrides for every run")
    parser.add_argument("--name", default="learning")
    parser.add_argument("--no-table", action="store_true")
    return parser.parse_args()


def _row(recipe: Path, seed: int, args: argparse.Namespace) -> dict[str, Any]:
    """Train (or find) one run and read its evaluations."""
    import neuromas
    from neuromas.report.tables import paired
    from neuromas.storage import Run
    from neuromas.training.callbacks import Watching
    from neuromas.training.run import resume, start

    config = neuromas.load_config(recipe, [f"seed={seed}", *args.set])
    path = args.runs / f"{recipe.stem}-{seed}"
    started = time.perf_counter()
    if not (path / "config.json").is_file():
        start(config, path, Watching(_say))
    elif not (path / "status.json").is_file() or not Run.open(path).read("status.json")["finished"]:
        resume(path, Watching(_say))
    run = Run.open(path)
    if run.read("config.json") != config.model_dump(mode="json"):
        raise SystemExit(f"{path} holds a run of another configuration")
    found = {name: run.evaluation(name) for name in CONTROLS}
    test, interval, items = paired(found["test-before"][1], found["test-after"][1])
    after = {item["id"]: item["score"] for item in found["test-after"][1]}
    ids = [item["id"] for item in found["test-before"][1]]
    row = {
        "recipe": recipe.stem,
        "seed": seed,
        "items": items,
        **{name: _accuracy(summary) for name, (summary, _) in found.items()},
        "majority": found["test-after"][0]["majority"]["accuracy"],
        "gain": test.difference,
        "gain_interval": None if interval is None else [interval.low, interval.high],
        "p_value": test.p_value,
        "ids": ids,
        "scores": {
            "before": [item["score"] for item in found["test-before"][1]],
            "after": [after.get(name) for name in ids],
        },
        "message_tokens": found["test-after"][0]["message_tokens"],
        "best_step": run.read("status.json")["best"],
        "training_seconds": run.read("status.json")["seconds"],
        "whole_seconds_of_this_call": round(time.perf_counter() - started, 1),
        "validation": [[line["step"], line["accuracy"]] for line in run.lines("validation.jsonl")],
        "about": run.read("run.json"),
    }
    print(
        f"{path.name}: {row['test-before']['accuracy']:.3f} -> {row['test-after']['accuracy']:.3f}",
        flush=True,
    )
    return row


def _accuracy(summary: dict[str, Any]) -> dict[str, Any]:
    return {"accuracy": summary["accuracy"], "interval": summary["interval"]}


def _over_seeds(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mean gain of a recipe: tested and bounded by question and seed, if all seeds were asked the same."""
    from neuromas.report.comparing import complete
    from neuromas.statistics import MIN_SEEDS, clustered_difference

    table = []
    for recipe in dict.fromkeys(row["recipe"] for row in rows):
        mine = [row for row in rows if row["recipe"] == recipe]
        sides = [[row["scores"][side] for row in mine] for side in ("before", "after")]
        before, after = complete(sides) if all(row["ids"] == mine[0]["ids"] for row in mine) else ([], [])
        enough = len(before) >= MIN_SEEDS and len(before[0]) > 1
        gains = [row["gain"] for row in mine]
        table.append(
            {
                "recipe": recipe,
                "seeds": len(gains),
                "gains": gains,
                "mean_gain": sum(gains) / len(gains),
                "trainings": asdict(clustered_difference(after, before)) if enough else None,
            }
        )
    return table


def _say(event: Any) -> None:
    """A line a step."""
    if event["event"] == "step":
        print(f"step {event['step']} reward {event['reward']} {event['seconds']}", flush=True)
    elif event["event"] == "validation":
        print(f"validation after {event['step']}: {event['accuracy']}", flush=True)


if __name__ == "__main__":
    main()
