"""A real shell completes words with the script that is printed."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from neuromas.cli import main
from neuromas.cli.verbs import VERBS
from neuromas.config import key_names


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    folder = tmp_path_factory.mktemp("completion")
    for shell in ("bash", "zsh", "fish"):
        with (folder / shell).open("w") as out, pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.stdout", out)
            assert main(["completion", shell]) == 0
    return folder


def completed(script, folder, *words):
    """What bash offers for the last of the words, in an empty folder."""
    line = " ".join(f"'{word}'" for word in words)
    code = f"""source {script}/bash; COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; _neuromas 2>/dev/null
        printf '%s\\n' "${{COMPREPLY[@]}}"; complete -p neuromas >&2"""
    done = subprocess.run(
        [shutil.which("bash"), "-c", code],
        capture_output=True,
        text=True,
        cwd=folder,
        env={"PATH": ""},
        check=True,
    )
    assert "-F _neuromas neuromas" in done.stderr, "it is registered; no program runs while one types"
    return done.stdout.split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["neuromas", "tr"], ["train"]),
        (["neuromas", "tra", "x"], []),
        (["neuromas", "train", "train.l"], ["train.lr=", "train.length_penalty="]),
        (["neuromas", "train", "task.n"], ["task.name="]),
        (["neuromas", "train", "--res"], ["--resume"]),
        (["neuromas", "grow", "run", "growth.in"], ["growth.init=", "growth.inherited_rate="]),
        (["neuromas", "evaluate", "run", "--messages", ""], ["none", "blank", "shuffle"]),
        (["neuromas", "evaluate", "run", "--split", "t"], ["train", "test"]),
        (["neuromas", "topology", "--share", "l"], ["layer"]),
        (["neuromas", "completion", "b"], ["bash"]),
        (["neuromas", "schema", "e"], ["experiment"]),
        (["neuromas", "train", "re"], ["recipe.toml"]),
        (["neuromas", "lineage", "train.l"], []),
    ],
)
def test_bash_completes(script, tmp_path, words, offered):
    (tmp_path / "recipe.toml").touch()
    assert sorted(completed(script, tmp_path, *words)) == sorted(offered)


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_knows_every_command_and_key(script, tmp_path):
    assert completed(script, tmp_path, "neuromas", "") == list(VERBS)
    keys = {word for word in completed(script, tmp_path, "neuromas", "train", "") if word.endswith("=")}
    assert keys == {f"{key}=" for key in key_names()}


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_other_shells_read_their_script(script, shell):
    text = (script / shell).read_text()
    assert all(verb in text for verb in VERBS)
    assert "train.lr=" in text
    if shutil.which(shell):
        subprocess.run([shell, "-n", str(script / shell)], check=True)
