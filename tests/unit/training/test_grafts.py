"""A trained network in the place of a leaf: whose adapters it has, what it cost, and that it goes on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from neuromas.config import make_config
from neuromas.core.errors import ConfigError, RunError
from neuromas.growth.lineage import Budget, Lineage
from neuromas.growth.parent import ParentRun, child_config, copies_of, grafted
from neuromas.storage import MANIFEST, Run
from neuromas.system import assemble as assembling
from neuromas.system.trust import outside
from neuromas.topology.files import as_shape, load_topology, short
from neuromas.topology.shapes import build_shape
from neuromas.training.run import resume, start
from parity import Parity, small
from watched import KilledError, Watch, Watching, lines, manifest


@pytest.fixture(autouse=True)
def parity(monkeypatch):
    monkeypatch.setattr(assembling, "make_task", lambda name, options: Parity())


def trained(path: Path, **more) -> Run:
    """A trained run of 2-1 in which every node reads the question; every step moves every adapter."""
    data = small(
        network={"question": "first"},
        train={"steps": 2, "samples": 2, "problems": 1, "kl": 0.1, "entropy": 0.01, "warmup": 1},
        evaluate={"every": 0, "validation": 2, "test": 2},
        run={"checkpoint_every": 1, "keep": 99},
    )
    data |= {
        name: {**data.get(name, {}), **part} if isinstance(part, dict) else part
        for name, part in more.items()
    }
    return start(make_config(data), path, Watch())


def child(path: Path, at: str, module: Path | None = None, steps: int = 2, settings=()):
    shape, growth = grafted(path, at, "" if module is None else str(module))
    return child_config(path, shape, steps, settings, growth)


def vectors(folder: Path) -> list[torch.Tensor]:
    files = sorted((folder / "adapters").glob("*/*.safetensors"))
    return [torch.cat([t.reshape(-1) for _, t in sorted(load_file(file).items())]) for file in files]


def by_node(folder: Path) -> dict[str, torch.Tensor]:
    data, found = manifest(folder), vectors(folder)
    names = [node["name"] for node in data["topology"]["nodes"]]
    return {name: found[row] for name, row in zip(names, data["assignment"], strict=True)}


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Two networks trained apart."""
    folder = tmp_path_factory.mktemp("pair")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assembling, "make_task", lambda name, options: Parity())
        return trained(folder / "host"), trained(folder / "other", seed=5)


@pytest.mark.parametrize("foreign", [False, True])
def test_every_node_has_the_adapter_of_whom_it_copies(pair, tmp_path, foreign):
    host, other = (run.path for run in pair)
    config = child(host, "1.2", other if foreign else None)
    asked = [named for key, named in outside(config) if key == "growth.module"]
    assert asked == ([str(other)] if foreign else []), "a stranger's is asked about"
    copies, mark = copies_of(host, config), f"{other}:" if foreign else ""
    inner = {f"1.2_{name}": f"{mark}{name}" for name in ("1.1", "1.2", "2.1")}
    assert copies == {"1.1": "1.1", "2.1": "2.1"} | inner
    with pytest.raises(KilledError):
        start(config, tmp_path / "grafted", Watch(kill=0))
    first = by_node(Run.open(tmp_path / "grafted").named("start-1"))
    run = resume(tmp_path / "grafted", Watch())
    had = by_node(Run.open(host).handed_on)
    had |= {f"{other}:{name}": vector for name, vector in by_node(Run.open(other).handed_on).items()}
    assert all(torch.equal(first[name], had[copied]) for name, copied in copies.items())
    last = by_node(run.checkpoints()[-1])
    assert not any(torch.equal(first[name], last[name]) for name in first), "all learn"
    data = manifest(run.checkpoints()[-1])
    assert sorted(data["assignment"]) == list(range(5))
    assert data["lineage"][-1]["copies"] == copies
    assert [node["question"] for node in data["topology"]["nodes"]] == ["all"] * 3 + ["none"] * 2
    steps = {
        key: float(t)
        for key, t in load_file(run.checkpoints()[-1] / "optimisers.safetensors").items()
        if key.endswith("step")
    }
    names = [node["name"] for node in data["topology"]["nodes"]]
    mine = {name: steps[f"{row}.step"] for name, row in zip(names, data["assignment"], strict=True)}
    assert (mine["1.1"], mine["2.1"]) == (4, 4), "AdamW remembers what was trained here"
    assert {mine[name] for name in inner} == {2.0 if foreign else 4.0}, "of another run it begins anew"


def test_it_goes_on_without_its_parents_and_elsewhere(pair, tmp_path):
    for run, name in zip(pair, ("host", "other"), strict=True):
        shutil.copytree(run.path, tmp_path / name)
    config = child(tmp_path / "host", "1.1", tmp_path / "other", 4)
    whole = start(config, tmp_path / "whole", Watch())
    path = tmp_path / "killed"
    with pytest.raises(KilledError):  # before its first checkpoint
        start(config, path, Watching(lambda event: (_ for _ in ()).throw(KilledError)))
    assert not Run(path).checkpoints()
    with pytest.raises(KilledError):
        resume(path, Watch(kill=1))
    shutil.rmtree(tmp_path / "host")
    shutil.rmtree(tmp_path / "other")
    shutil.move(path, tmp_path / "moved")
    run = resume(tmp_path / "moved", Watch())
    assert run.finished
    assert lines(run.path / "metrics.jsonl") == lines(whole.path / "metrics.jsonl")
    ends = [manifest(one.checkpoints()[-1]) for one in (run, whole)]
    assert ends[0]["files"] == ends[1]["files"]
    assert ends[0]["spent"] == ends[1]["spent"]
    again = start(
        child_config(run.path, as_shape(load_topology(config.shapes[0][0])), 1), tmp_path / "on", Watch()
    )
    assert manifest(again.checkpoints()[-1])["spent"]["steps"] == 2 + 2 + 4 + 1


def test_what_both_cost_is_counted_once(pair, tmp_path):
    host, other = pair
    run = start(child(host.path, "1.1", other.path), tmp_path / "grafted", Watch())
    data, parents = manifest(run.checkpoints()[-1]), [ParentRun.of(one.path).lineage.spent for one in pair]
    own = sum(row["calls"] for row in run.lines("metrics.jsonl"))
    assert data["spent"]["calls"] == sum(one.calls for one in parents) + own
    assert data["spent"]["steps"] == 6
    entry = data["lineage"][-1]
    assert (entry["run"], entry["spent"]["steps"]) == (str(host.path), 2), "its own cost alone"
    assert (entry["module"]["run"], entry["module"]["spent"]["steps"]) == (str(other.path), 2)
    # siblings share what their parent cost, and so does the grafted one with either of its parents
    left, right = (
        start(child_config(host.path, "2-1", 1, [f"seed={i}"]), tmp_path / f"{i}", Watch()) for i in (1, 2)
    )
    both = start(child(left.path, "1.1", right.path, 1), tmp_path / "both", Watch())
    assert manifest(both.checkpoints()[-1])["spent"]["steps"] == 2 + 1 + 1 + 1
    once = ParentRun.of(run.path, str(other.path)).lineage.spent
    assert once.steps == 6, "what was grafted in already is paid"
    longer = trained(tmp_path / "longer", train={"steps": 5, "problems": 2})
    for one, two in ((host, longer), (longer, host)):
        assert ParentRun.of(one.path, str(two.path)).problems_seen == 10, "training meets what neither met"


def test_costs_of_two_pasts():
    def past(*steps: int) -> Lineage:
        costs = [Budget(count, count, 0, 0, float(count)) for count in steps]
        entries = tuple(
            {
                "spent": {
                    "steps": c.steps,
                    "calls": c.calls,
                    "prompt_tokens": 0,
                    "new_tokens": 0,
                    "seconds": c.seconds,
                }
            }
            for c in costs[:-1]
        )
        return Lineage(entries, costs[-1])

    assert past(3, 10).joined(past(5, 7)).spent.steps == 17, "strangers"
    assert past(3, 5, 10).joined(past(3, 5, 7)).spent.steps == 12, "cousins"
    assert past(3, 10).joined(past(3)).spent.steps == 10, "an ancestor of itself"
    assert past(3).joined(past(3, 10)).spent.steps == 10, "a descendant"


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("rank", 2, "model.rank = 2 there, 4 here"),
        ("alpha", 3.0, "model.alpha = 3.0 there, 16.0 here"),
        ("targets", ["q_proj"], "model.targets = "),
    ],
)
def test_adapters_of_another_kind_are_refused(pair, tmp_path, key, value, says):
    other = trained(tmp_path / "other", model={key: value}, train={"steps": 1})
    for refused in (
        lambda: grafted(pair[0].path, "1.1", str(other.path)),
        lambda: ParentRun.of(pair[0].path, str(other.path)),
    ):
        with pytest.raises(RunError, match="cannot be a module") as error:
            refused()
        assert says in str(error.value)
        assert "\n" not in str(error.value)


def test_another_backbone_is_refused_and_a_damaged_module_is_one_line(pair, tmp_path):
    folder = shutil.copytree(pair[1].handed_on, tmp_path / "network")
    data = json.loads((folder / MANIFEST).read_text())
    for change, says in (
        ({"backbone": {"name": "tiny", "digest": "0"}}, r"model.backbone = 'tiny \(0\)' there"),
        ({"assignment": [0, 1]}, "is damaged"),
        ({"assignment": [0, 1, 7]}, "is damaged"),
        ({"topology": {}}, "is damaged"),
        ({"config": 3}, "is damaged"),
        ({"ranks": ["x"]}, "is damaged"),
    ):
        (folder / MANIFEST).write_text(json.dumps({**data, **change}))
        with pytest.raises(RunError, match=says) as error:
            grafted(pair[0].path, "1.1", str(folder))
        assert "\n" not in str(error.value)


def test_the_network_itself_as_its_module_is_a_copy(pair):
    assert grafted(pair[0].path, "1.1", str(pair[0].path)) == grafted(pair[0].path, "1.1")


def test_tied_grafts_share_within_their_own_network(pair, tmp_path):
    host, other = (run.path for run in pair)
    for module, rows in ((None, [0, 0, 1, 2, 2]), (other, [1, 0, 3, 4, 2])):
        run = start(
            child(host, "1.1", module, 1, ["growth.tied=true"]),
            tmp_path / str(len(rows) + bool(module)),
            Watch(),
        )
        data = manifest(run.checkpoints()[-1])
        assert len(set(data["assignment"])) == len(set(rows)), data["assignment"]


def test_a_module_is_only_for_maps_that_copy_it(pair, tmp_path):
    with pytest.raises(ConfigError, match=r"growth\.module needs growth\.parent"):
        make_config({"growth": {"module": "x"}})
    host, other = (run.path for run in pair)
    shape, growth = grafted(host, "1.1", str(other))
    lost = {name: copied for name, copied in growth["map"].items() if str(other) not in copied}
    for chosen, says in (
        (lost, "copies no node of growth.module"),
        ({name: f"{other}:2.1" for name in growth["map"]}, "no new node copies the trained node"),
        ({"2.1": f"{other}:9"}, "unknown trained node in growth.map"),
    ):
        config = child_config(host, shape, 1, (), {**growth, "map": chosen})
        with pytest.raises(Exception, match=says) as error:
            start(config, tmp_path / "no", Watch())
        assert "\n" not in str(error.value)
    assert not (tmp_path / "no").exists()


def test_the_json_form_is_a_shape():
    graph = build_shape("tree:2,1", "split")
    text = as_shape(graph)
    assert load_topology(text) == graph
    assert "\n" not in text
    assert short(text) == "2-1"
    assert short("2-2-1") == "2-2-1"
    assert short("mine.json") == "mine.json"
