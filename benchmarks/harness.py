"""A served network under lm-evaluation-harness, beside the run's own evaluation of the same questions.

    python benchmarks/harness.py runs/mine --python .venv-harness/bin/python --machine "two shared CPU cores"

``--python`` is that of an environment with ``pip install 'lm_eval[api]'``, which needs no torch. The first
``--items`` test questions of a run (``neuromas serve``) are asked through the harness's
``local-chat-completions`` by a task of our own, scored by its exact match. Writes results/harness.json.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from serving import NAME, OUT, served, typed

TASK = r"""task: questions
dataset_path: json
dataset_kwargs:
  data_files: {test: questions.jsonl}
test_split: test
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{answer}}"
generation_kwargs:
  until: ["\n"]
  max_gen_toks: 64
  do_sample: false
metric_list:
  - metric: exact_match
    aggregation: mean
    higher_is_better: true
"""


def main() -> None:
    """Ask, compare and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run")
    parser.add_argument("--python", required=True, type=Path)
    parser.add_argument("--items", type=int, default=40)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--machine", default="two shared CPU cores")
    parser.add_argument("--write", type=Path, default=OUT.with_name("harness.json"))
    args = parser.parse_args()
    import neuromas

    trained = neuromas.load(args.run, trust=True)
    problems = trained.problems("test", args.items)
    asked = [{"question": typed(one, trained.topology.shares), "answer": one.answer} for one in problems]
    own = trained.evaluate(items=args.items).summary["accuracy"]
    with tempfile.TemporaryDirectory() as folder, served(args.run, 32) as server:
        lines = "".join(json.dumps(one) + "\n" for one in asked)
        (Path(folder) / "questions.jsonl").write_text(lines, "utf-8")
        (Path(folder) / "questions.yaml").write_text(TASK, "utf-8")
        found = _harness(args, Path(folder), server.url)
    record = {
        "machine": args.machine,
        "harness": found["lm_eval_version"],
        "model": trained.assembly.config.model.backbone,
        "network": str(trained.topology),
        "items": len(asked),
        "harness_exact_match": found["results"]["questions"]["exact_match,none"],
        "own_accuracy": own,
    }
    args.write.write_text(json.dumps(record, indent=1) + "\n", "utf-8")
    print(json.dumps(record, indent=1))


def _harness(args: argparse.Namespace, folder: Path, url: str) -> dict[str, Any]:
    """The record that the harness writes of its run."""
    where = f"model={NAME},base_url={url}/chat/completions"
    options = f"{where},num_concurrent={args.clients},tokenized_requests=False"
    words = [str(args.python), "-m", "lm_eval", "--model", "local-chat-completions", "--apply_chat_template"]
    words += ["--model_args", options, "--include_path", ".", "--tasks", "questions"]
    words += ["--output_path", "found"]
    offline = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "cache"), "OPENAI_API_KEY": "none"}
    subprocess.run(words, cwd=folder, env=os.environ | offline, check=True)
    (file,) = (folder / "found").rglob("results_*.json")
    return dict(json.loads(file.read_text("utf-8")))


if __name__ == "__main__":
    main()
