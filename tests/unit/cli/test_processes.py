"""What of the command line is about several processes: the run's directory as a key, and who may come."""

from __future__ import annotations

import pytest

from neuromas.cli import main


def test_a_directory_named_twice_is_one_line(tmp_path, capsys):
    given = ["train", f"run.directory={tmp_path / 'a'}", "--run", str(tmp_path / "b")]
    assert main(given) == 2
    assert "name two directories; leave one of them out" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "given", [["--run", "{}"], ["run.directory={}"], ["--run", "{}", "run.directory={}"]]
)
def test_either_way_is_the_same(given, tmp_path, capsys):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/mine.txt").write_text("here")
    assert main(["train", *(word.format(tmp_path / "run") for word in given)]) == 2
    assert f"{tmp_path / 'run'} is not empty and not a run" in capsys.readouterr().err


def test_torchrun_starts_training_alone(monkeypatch, capsys):
    for key, value in {"WORLD_SIZE": "2", "RANK": "1", "TORCHELASTIC_RUN_ID": "one"}.items():
        monkeypatch.setenv(key, value)
    assert main(["recipes"]) == 2
    said = capsys.readouterr().err
    assert said == "neuromas (process 1 of 2): recipes is for one process; torchrun can start: train, grow\n"
