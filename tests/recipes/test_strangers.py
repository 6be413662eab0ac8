"""A network from elsewhere chooses no path, no download and no tracker; one's own runs go on as ever."""

from __future__ import annotations

import json
import shutil
import unicodedata
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import pytest

import neuromas
from neuromas.cli import main
from neuromas.cli.progress import Progress
from neuromas.config import make_config
from neuromas.core.errors import RunError
from neuromas.storage import MANIFEST
from neuromas.system import assemble as assembling
from neuromas.system import trust
from neuromas.tasks.registry import FAMILIES
from neuromas.training.callbacks import Grown, Noted

SMALL = [
    *("model.backbone=tiny", "model.dtype=float32", "model.device=cpu", "model.rank=2"),
    *("train.steps=2", "train.problems=2", "train.samples=2", "evaluate.test=4", "evaluate.validation=2"),
    *("evaluate.every=1", "network.message_tokens=3", "network.answer_tokens=3", "run.keep=9"),
]


@pytest.fixture(autouse=True)
def user(tmp_path, monkeypatch):
    """A user who has named nothing yet; nothing is downloaded."""
    monkeypatch.setenv("NEUROMAS_STATE", str(tmp_path / "user"))
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *a, **k: pytest.fail("downloaded"))
    return tmp_path


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A finished run on generated problems."""
    path = tmp_path_factory.mktemp("theirs") / "run"
    assert main(["train", *SMALL, "--run", str(path)]) == 0
    return path


@pytest.fixture
def run(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "run")


@pytest.fixture
def refused(cli):
    """The one line of a refusal."""

    def call(*arguments: object) -> str:
        status, out, err = cli(*arguments)
        assert (status, out) == (2, ""), (out, err)
        assert len(err.splitlines()) == 1, err
        assert "Traceback" not in err
        return err

    return call


def poison(path: Path, /, **sections) -> None:
    """Let the run and all its checkpoints name something else."""
    for file in [path / "config.json", *path.glob(f"checkpoints/*/{MANIFEST}")]:
        data = json.loads(file.read_text())
        config = data["config"] if file.name == MANIFEST else data
        for section, keys in sections.items():
            config[section] |= keys
        file.write_text(json.dumps(data))


def interrupted(run: Path) -> None:
    """As if the run had been stopped after its first step."""
    (run / "status.json").write_text(json.dumps({"finished": False, "step": 1, "best": None, "seconds": 1}))
    shutil.rmtree(run / "checkpoints" / "step-000002")


FILE_TASK = {"name": "file", "options": {"path": "/etc/passwd"}}


@pytest.mark.parametrize("backbone", ["evil/model", "/tmp/evil", "./evil"])
def test_a_model_it_names_is_neither_opened_nor_downloaded(run, refused, backbone):
    poison(run, model={"backbone": backbone})
    interrupted(run)
    for command in (
        ("ask", run, "2 + 2?"),
        ("evaluate", run),
        ("evaluate", run, "--task", "max"),
        ("train", "--resume", run),
        ("grow", run, "--to", "3-1", "--steps", 1, "--run", run.parent / "grown"),
        ("prune", run, "--node", "1.1", "--out", run.parent / "pruned"),
    ):
        said = refused(*command)
        assert f"model.backbone = {backbone!r}" in said, command
        assert "--trust" in said
    assert not (run.parent / "grown").exists()


def test_a_model_named_again_is_used(run, cli):
    poison(run, model={"backbone": "evil/model"})
    assert cli("ask", run, "2 + 2?", "--backbone", "tiny")[0] == 0
    assert cli("evaluate", run, "--items", 2, "--backbone", "tiny")[0] == 0
    shape = ("--to", "3-1", "--steps", 1, "--run", run.parent / "grown")
    assert cli("grow", run, *shape, "model.backbone=tiny")[0] == 0


def test_its_data_are_not_opened_to_ask_and_refused_to_evaluate(run, cli, refused, monkeypatch):
    poison(run, task=FILE_TASK)
    monkeypatch.setattr(assembling, "make_task", lambda *a: pytest.fail("data were opened"))
    assert cli("ask", run, "2 + 2?")[0] == 0
    assert cli("ask", run, "2 + 2?", "--trace")[0] == 0
    said = refused("evaluate", run)
    assert "task.options.path = '/etc/passwd'" in said
    interrupted(run)
    grow = ("grow", run, "--to", "3-1", "--steps", 1, "--run", run.parent / "grown")
    for command in (("train", "--resume", run), grow, (*grow, "task.options.strict=true", "task.name=file")):
        assert "task.options.path" in refused(*command)
    monkeypatch.undo()
    assert cli("evaluate", run, "--items", 2, "--task", "max", "n=4")[0] == 0


@pytest.mark.parametrize(
    ("sections", "says"),
    [
        ({"run": {"trackers": ["wandb"]}}, "run.trackers = 'wandb'"),
        ({"growth": {"parent": "/somewhere"}}, "growth.parent = '/somewhere'"),
        ({"network": {"topology": "/dev/zero.json"}}, "network.topology = '/dev/zero.json'"),
        ({"train": {"baseline": "evil:Estimator"}}, "train.baseline = 'evil:Estimator'"),
    ],
)
def test_a_run_that_would_go_on_by_anothers_choice(run, refused, sections, says):
    interrupted(run)
    poison(run, **sections)
    assert says in refused("train", "--resume", run)
    shutil.rmtree(run / "checkpoints")
    (run / "checkpoints").mkdir()
    assert says in refused("train", "--resume", run), "also where it has no checkpoint"


def test_a_module_it_names_is_imported_for_nobody(run, cli, refused, monkeypatch):
    """Also by commands that have no use for it, and where the module lies in the user's own folder."""
    (run.parent / "evil.py").write_text("open('imported', 'w').close()")
    monkeypatch.chdir(run.parent)
    poison(run, train={"baseline": "evil:Estimator"})
    assert cli("ask", run, "2 + 2?")[0] == cli("evaluate", run, "--items", 2)[0] == 0
    assert cli("prune", run, "--node", "1.1", "--out", "pruned")[0] == 0
    interrupted(run)
    grow = ("grow", run, "--to", "3-1", "--steps", 1, "--run", "grown")
    for command in (("train", "--resume", run), grow):
        assert "--trust" in refused(*command)
    assert not Path("imported").exists()
    assert cli(*grow, "train.baseline=rloo")[0] == 0
    assert "cannot be imported" in refused("train", "--resume", run, "--trust"), "allowed, and empty"
    assert Path("imported").exists()


def test_a_checkpoint_does_not_choose_beside_its_run(run, refused):
    """``--continue`` compares the run's configuration with mine; its checkpoint holds another."""
    interrupted(run)
    (file,) = [*run.glob(f"checkpoints/*1/{MANIFEST}")]
    data = json.loads(file.read_text())
    data["config"]["run"]["trackers"] = ["wandb"]
    file.write_text(json.dumps(data))
    assert "run.trackers = 'wandb'" in refused("train", *SMALL, "--run", run, "--continue")
    with pytest.raises(RunError, match=r"run\.trackers"):
        neuromas.train(neuromas.load_config(None, SMALL), run)


def test_trust_is_asked_once(run, cli, refused):
    poison(run, task={"name": "file", "options": {"path": str(run / "none.csv")}})
    assert "--trust" in refused("evaluate", run)
    assert "none.csv" in refused("evaluate", run, "--trust"), "allowed, and then it is not there"
    assert "--trust" not in refused("evaluate", run)
    neuromas.load(run, trust=True)


def test_trust_that_cannot_be_noted_says_so(run, refused, tmp_path, monkeypatch):
    poison(run, task=FILE_TASK)
    (tmp_path / "blocked").write_text("")
    monkeypatch.setenv("NEUROMAS_STATE", str(tmp_path / "blocked" / "state"))
    assert "set NEUROMAS_STATE" in refused("evaluate", run, "--trust")


def test_ones_own_run_goes_on_as_ever_and_outlives_its_data(cli, tmp_path, monkeypatch):
    """Trained on a file: evaluated, grown and asked without a word; asked also when the file is gone."""
    data = tmp_path / "sums.csv"
    data.write_text("question,answer\n" + "".join(f"{i} + 1?,{i + 1}\n" for i in range(40)))
    path, settings = tmp_path / "own", ["task.name=file", f"task.options.path={data}"]
    assert cli("train", *SMALL, *settings, "--run", path)[0] == 0
    assert cli("evaluate", path, "--items", 2)[0] == 0
    interrupted(path)
    assert cli("train", "--resume", path)[0] == 0
    assert cli("grow", path, "--to", "3-1", "--steps", 1, "--run", tmp_path / "grown")[0] == 0
    answer = cli("ask", path, "3 + 1?")
    assert answer[0] == 0
    data.rename(tmp_path / "moved.csv")
    monkeypatch.chdir(tmp_path.parent)
    assert cli("ask", path, "3 + 1?") == answer
    assert neuromas.load(path).ask("3 + 1?") == answer[1].strip()
    status, _, err = cli("evaluate", path)
    assert status == 2
    assert "sums.csv" in err


def test_what_the_output_is_told_comes_from_the_manifest(run, cli, refused):
    manifests = [*run.glob(f"checkpoints/*/{MANIFEST}")]
    assert {json.loads(file.read_text())["answer_format"] for file in manifests} == {"one number"}
    told = neuromas.load(run).trace("2 + 2?").turns[-1].prefix_ids
    for file in manifests:  # as version 0.1.0 wrote them
        data = json.loads(file.read_text())
        del data["answer_format"]
        file.write_text(json.dumps(data))
    assert neuromas.load(run).trace("2 + 2?").turns[-1].prefix_ids == told
    for file in manifests:
        data = json.loads(file.read_text())
        file.write_text(json.dumps({**data, "answer_format": ["x"]}))
    assert "answer_format" in refused("ask", run, "2 + 2?")


def test_every_family_of_tasks_is_free_or_named():
    """A new family must be sorted: free if it makes its own problems, named if it opens anything."""

    def outside(name: str, **options: object) -> dict[str, str]:
        return dict(trust.outside(make_config({"task": {"name": name, "options": options}})))

    free = {name for name in FAMILIES if not outside(name, x="y")}
    assert set(FAMILIES) - free == {"file", "hub", "verifiers", "humaneval", "mbpp"}
    assert outside("gym/chain_sum", x="y") == {}
    options = {"path": "a.csv", "train": "b.csv", "question": "q", "strict": True, "later": 3}
    named = {f"task.options.{key}": str(options[key]) for key in ("path", "train", "later")}
    assert outside("file", **options) == named
    assert outside("hub", dataset="x/y") == {"task.options.dataset": "x/y"}
    assert outside("verifiers/x", most=3) == {"task.options.most": "3", "task.name": "verifiers/x"}
    assert outside("new", path="x") == {"task.options.path": "x", "task.name": "new"}


def test_a_damaged_note_counts_for_nothing(run, refused, user):
    poison(run, model={"backbone": "evil/model"})
    (user / "user").mkdir()
    (user / "user" / "named.jsonl").write_bytes(b'{"\xff\n[1]\n3\n["model.backbone"]\nnull\n')
    assert "model.backbone" in refused("ask", run, "2 + 2?")


# -- text that acts on a terminal

HOSTILE = "\x1b[2J\x9b1m\u202eevil\u2066\u200b\r\x85\u2028\x07"


def harmless(text: str) -> bool:
    """Nothing but ordinary characters and our own line ends."""
    return all(unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in text.replace("\n", ""))


def test_an_evaluation_shows_hostile_answers_as_escapes(run, cli, monkeypatch):
    from neuromas.evaluation import evaluate as evaluating

    real = evaluating.evaluate

    def hostile(*args, **options):
        result = real(*args, **options)
        changes = {"labels": {HOSTILE: 2}, "causes": {HOSTILE: 1}, "failed": 1, "unasked": HOSTILE}
        return replace(result, summary={**result.summary, **changes})

    monkeypatch.setattr(evaluating, "evaluate", hostile)
    for flag in ([], ["--json"]):
        status, out, err = cli("evaluate", run, "--items", 2, *flag)
        assert status == 0, err
        assert "evil" in out
        assert harmless(out), out
    assert json.loads(out)["labels"] == {HOSTILE: 2}


def test_progress_and_causes_are_shown_as_escapes(capsys):
    grown = {"to": HOSTILE, "operators": [HOSTILE], "new": [], "answers": 1}
    with Progress() as progress:
        progress.on_note(Noted(0, 1, "stage", f"a tracker failed: {HOSTILE}"))
        progress.on_growth(Grown(0, 1, grown))
    err = capsys.readouterr().err
    assert err.count("evil") == 3
    assert harmless(err)


def test_a_lineage_shows_hostile_ancestors_as_escapes(run, cli, refused):
    (file,) = run.glob(f"checkpoints/*2/{MANIFEST}")
    data = json.loads(file.read_text())
    entry = {
        **{"run": HOSTILE, "step": 1, "to": HOSTILE, "operators": [HOSTILE], "new": ["1.2"], "origin": {}},
        **{"topology": data["topology"], "spent": data["spent"], "positions": HOSTILE, "init": HOSTILE},
        **{"optimiser": HOSTILE},
    }
    file.write_text(json.dumps({**data, "lineage": [entry]}))
    drawing = run.parent / "lineage.svg"
    status, out, _ = cli("lineage", run, "--svg", drawing)
    assert status == 0
    assert "evil" in out
    assert harmless(out)
    assert harmless(drawing.read_text("utf-8"))
    for key, value in (
        ("step", "x"),
        ("run", 3),
        ("spent", {}),
        ("operators", "x"),
        ("topology", {"nodes": 3}),
    ):
        file.write_text(json.dumps({**data, "lineage": [{**entry, key: value}]}))
        assert "lineage is missing or damaged" in refused("lineage", run)
    file.write_text(json.dumps({**data, "spent": {**data["spent"], "calls": -1}}))
    assert "lineage is missing or damaged" in refused("lineage", run)
