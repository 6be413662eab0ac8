"""What a run takes back when it goes on from a checkpoint: the lines that were written after it."""

from __future__ import annotations

from neuromas.store import Run


def forget(run: Run, step: int) -> None:
    """Drop the lines that were written after ``step`` steps, from which the run goes on."""
    for name in ("metrics.jsonl", "episodes.jsonl", "growth.jsonl"):
        run.keep_lines(name, lambda row: row["step"] < step)
    run.keep_lines("validation.jsonl", lambda row: row["step"] <= step)
    # the end of a stage is told again by the session that goes on from it
    run.keep_lines("events.jsonl", lambda row: row["step"] < step + (row["event"] != "stage"))
