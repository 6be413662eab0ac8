"""A network on disk: what PEFT loads, and nothing that was changed is believed."""

from __future__ import annotations

import json
import shutil
import stat

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file

from neuromas.config import make_config
from neuromas.core.errors import ConfigError, RunError
from neuromas.engines.base import Request
from neuromas.models.backbone import load_backbone
from neuromas.models.bundle import load_optimisers, read_manifest, save_optimisers
from neuromas.models.tiny import tiny_model
from neuromas.storage import MANIFEST
from neuromas.system import assemble as assembling
from neuromas.system import saving
from neuromas.system.assemble import Assembly, assemble
from neuromas.system.saving import load_bundle, save_bundle
from neuromas.training.step import train_step
from neuromas.training.trainer import Trainer
from parity import Parity, small

WEIGHTS = "adapters/adapter-01/adapter_model.safetensors"


@pytest.fixture(scope="module", autouse=True)
def no_pickle():
    """Everything in this file must work, and fail as it should, without ever unpickling."""

    def refuse(*args, **kwargs):
        raise AssertionError("a pickle was read")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "load", refuse)
        patch.setattr("pickle.load", refuse)
        patch.setattr("pickle.loads", refuse)
        patch.setattr(assembling, "make_task", lambda name, options: Parity())
        yield


@pytest.fixture(scope="module")
def trained() -> tuple[Assembly, Trainer]:
    """A 2-1 network after two steps, so that every adapter has moved."""
    config = make_config(small())
    assembly = assemble(config)
    trainer = Trainer(assembly.network, assembly.model, config.train, config.seed)
    for step in range(2):
        train_step(trainer, assembly.task, [assembly.task.problem("train", 2 * step + i) for i in range(2)])
    assert min(assembly.model.bank.versions) > 0
    return assembly, trainer


@pytest.fixture(scope="module")
def saved(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundle") / "network"
    folder.mkdir()
    files = save_optimisers(folder, trained[1].learner.optimisers)
    save_bundle(folder, trained[0], {}, files)
    return folder


@pytest.fixture
def copy(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "copy")


def edit(folder, **changes):
    path = folder / MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def refused(folder) -> str:
    """The one line with which a bundle is refused; no adapter may have been filled by then."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(saving, "load_adapters", lambda *a: pytest.fail("adapters were loaded"))
        with pytest.raises(RunError) as caught:
            load_bundle(folder)
    text = str(caught.value)
    assert text
    assert len(text.splitlines()) == 1
    return text


def test_saved_and_loaded_is_the_same_network(trained, saved):
    loaded = load_bundle(saved)
    bank = trained[0].model.bank
    assert loaded.model.bank.versions == bank.versions
    for mine, theirs in zip(loaded.model.bank.parameters, bank.parameters, strict=True):
        assert torch.equal(mine, theirs)
    assert loaded.network.topology == trained[0].network.topology
    assert loaded.config == trained[0].config


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing:FutureWarning")  # PEFT asks by its old name
@pytest.mark.parametrize("node", [0, 1, 2])
def test_real_peft_loads_every_node_and_agrees(saved, node):
    """Log-probabilities of what we draw with a node are those of PEFT over transformers' own forward pass."""
    peft = PeftModel.from_pretrained(tiny_model(), saved / "adapters" / f"adapter-{node:02d}")
    engine = load_bundle(saved).network.engine
    prompt = tuple(range(65, 105))
    requests = [Request(node, prompt, (), 12, seed) for seed in range(4)]
    for message in engine.generate(requests, 1.0, frozenset()):
        ids = torch.tensor([prompt + message.ids])
        target = torch.tensor(message.ids)
        with torch.inference_mode():
            theirs, bare = (torch.log_softmax(m(input_ids=ids).logits[0], -1) for m in (peft, tiny_model()))
        at = torch.arange(len(prompt) - 1, ids.shape[1] - 1)  # each token is predicted by the one before
        assert (theirs[at, target] - bare[at, target]).abs().max() > 1e-3, "an idle adapter shows nothing"
        torch.testing.assert_close(torch.tensor(message.logprobs), theirs[at, target], rtol=1e-4, atol=1e-5)


def test_files_may_be_read_by_others_and_hold_tensors_only(saved):
    files = [path for path in saved.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".json", ".safetensors"}
    assert all(path.stat().st_mode & stat.S_IROTH for path in files)


def test_a_changed_byte(copy):
    path = copy / WEIGHTS
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert f"{WEIGHTS} is damaged or was changed" in refused(copy)


def test_a_missing_file(copy):
    (copy / WEIGHTS).unlink()
    assert f"{WEIGHTS} is missing" in refused(copy)
    shutil.rmtree(copy / "adapters")
    assert "is missing" in refused(copy)


def test_a_file_that_nobody_vouches_for(copy):
    files = json.loads((copy / MANIFEST).read_text())["files"]
    save_file({"x": torch.zeros(1)}, copy / WEIGHTS)
    edit(copy, files={name: digest for name, digest in files.items() if name != WEIGHTS})
    assert f"does not vouch for {WEIGHTS}" in refused(copy)


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "adapters/../../outside", "a\0b"])
def test_a_path_that_leads_out(copy, name):
    (copy.parent / "outside").write_text("secret")
    files = json.loads((copy / MANIFEST).read_text())["files"]
    edit(copy, files={name: "0" * 64, **files})
    said = refused(copy)
    assert "outside the folder" in said or "missing" in said


@pytest.mark.parametrize("name", ["\ud800", "a\udfffb/c", "x" * 5000, "a/" * 3000, "", "."])
def test_a_name_no_file_can_have(copy, name):
    files = json.loads((copy / MANIFEST).read_text())["files"]
    edit(copy, files={name: "0" * 64, **files})
    assert "missing" in refused(copy)


def test_links_in_a_circle(copy):
    (copy / "a").symlink_to("b")
    (copy / "b").symlink_to("a")
    edit(copy, files={"a": "0" * 64, **json.loads((copy / MANIFEST).read_text())["files"]})
    assert "missing" in refused(copy)


def test_a_link_that_leads_out(copy, saved):
    (copy / WEIGHTS).unlink()
    (copy / WEIGHTS).symlink_to(saved / WEIGHTS)
    assert "outside the folder" in refused(copy)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"format": 99}, "format 99 is not one this version reads"),
        ({"files": None}, "no list of files"),
        ({"files": {}}, "does not vouch"),
        ({"versions": [1]}, "does not give 1 adapters to 3 nodes"),
        ({"versions": None}, "no list of adapter versions"),
        ({"template": "000000000000"}, "trained with prompt template 000000000000"),
        ({"backbone": {"name": "tiny", "digest": "other"}}, "trained over backbone 'tiny' (other)"),
        ({"backbone": 3}, "network.json is damaged"),
        ({"assignment": [0, 0, 0]}, "assignment"),
        ({"config": {"nonsense": 1}}, "unknown key 'nonsense'"),
        ({"config": 3}, "network.json is damaged"),
        ({"topology": {"nodes": []}}, "network.json is damaged"),
        ({"topology_digest": "0" * 16}, "topology_digest '0000000000000000' is not that of its topology"),
        ({"topology_digest": None}, "is not that of its topology"),
        ({"answer_format": 3}, "answer_format = '3' is not a text"),
        ({"answer_format": "x" * 1001}, "at most 1000 characters"),
    ],
)
def test_a_manifest_of_something_else(copy, changes, says):
    edit(copy, **changes)
    assert says in refused(copy)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff"])
def test_a_manifest_that_is_not_json(copy, content):
    (copy / MANIFEST).write_bytes(content)
    assert "damaged" in refused(copy)


def test_another_backbone_under_the_same_name(copy, monkeypatch):
    from dataclasses import replace

    other = replace(load_backbone("tiny", "float32", "cpu"), digest="tiny-1")
    with pytest.raises(RunError, match=r"tiny-0.*is now tiny-1"):
        load_bundle(copy, backbone=other)


def test_adapters_of_another_shape(copy):
    path = copy / WEIGHTS
    tensors = load_file(path)
    name = next(iter(tensors))
    tensors[name] = tensors[name][:, :1].contiguous()
    save_file(tensors, path)
    revouch(copy)
    with pytest.raises(RunError, match="of shape") as caught:
        load_bundle(copy)
    assert len(str(caught.value).splitlines()) == 1
    path.write_bytes(b"no tensors at all")
    revouch(copy)
    with pytest.raises(RunError, match="cannot be read"):
        load_bundle(copy)


def revouch(folder):
    """Make the manifest believe the changed file, so that what comes after it is tested."""
    from neuromas.models.embedded import file_digest

    files = json.loads((folder / MANIFEST).read_text())["files"]
    edit(folder, files={**files, WEIGHTS: file_digest(folder / WEIGHTS)})


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("at", [0, -1])
def test_adapters_that_are_not_finite(copy, number, at):
    """With a hash that is right: training diverged, or a stranger wrote them."""
    path = copy / WEIGHTS
    tensors = load_file(path)
    tensors[list(tensors)[at]].view(-1)[3] = number
    save_file(tensors, path)
    revouch(copy)
    with pytest.raises(RunError, match=r"adapter-01.* holds numbers that are not finite") as caught:
        load_bundle(copy)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("kind", [torch.int64, torch.bool, torch.complex64])
def test_adapters_that_are_no_real_numbers(copy, kind):
    path = copy / WEIGHTS
    save_file({name: tensor.to(kind) for name, tensor in load_file(path).items()}, path)
    revouch(copy)
    with pytest.raises(RunError, match="not real numbers"):
        load_bundle(copy)


LIES = [
    {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 2**64]},
    {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 16]},
    {"dtype": "F32", "shape": [-1], "data_offsets": [0, 16]},
    {"dtype": "F99", "shape": [4], "data_offsets": [0, 16]},
    {"dtype": "F32", "shape": [4], "data_offsets": [16, 0]},
    {"dtype": "F32", "shape": None, "data_offsets": None},
    5,
]


@pytest.mark.parametrize("lie", LIES, ids=str)
@pytest.mark.parametrize("length", [None, 0, 2**62, 2**64 - 1])
def test_a_tensor_file_whose_header_lies(copy, lie, length):
    header = json.dumps({"x": lie}).encode()
    size = len(header) if length is None else length
    (copy / WEIGHTS).write_bytes(size.to_bytes(8, "little") + header + bytes(16))
    revouch(copy)
    with pytest.raises(RunError, match="cannot be read") as caught:
        load_bundle(copy)
    assert len(str(caught.value).splitlines()) == 1


def test_a_device_this_machine_cannot_have(saved):
    with pytest.raises(ConfigError, match=r"model\.device = 'mps'"):
        load_bundle(saved, "mps")


def test_optimisers_return_bitwise(trained, saved):
    fresh = assemble(make_config(small()))
    trainer = Trainer(fresh.network, fresh.model, fresh.config.train, 0)
    load_optimisers(saved, trainer.learner.optimisers)
    for mine, theirs in zip(trainer.learner.optimisers, trained[1].learner.optimisers, strict=True):
        (a,), (b,) = mine.state.values(), theirs.state.values()
        assert a.keys() == b.keys() == {"step", "exp_avg", "exp_avg_sq"}
        assert all(torch.equal(a[name], b[name]) and a[name].dtype == b[name].dtype for name in a)


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("1.exp_avg", lambda t: t[:5].clone(), r"exp_avg is of shape \(5,\), expected"),
        ("1.exp_avg_sq", lambda t: t[None], "exp_avg_sq is of shape"),
        ("1.step", lambda t: t.repeat(2), r"step is of shape \(2,\), expected \(\)"),
        ("1.step", lambda t: t * float("nan"), "not finite"),
        ("1.step", lambda t: -t, "negative"),
        ("1.exp_avg", lambda t: t + float("inf"), "not finite"),
        ("1.exp_avg_sq", lambda t: -t - 1, "negative"),
        ("1.exp_avg", lambda t: t.long(), "not real numbers"),
        ("1.exp_avg", lambda t: None, "expected .'exp_avg', 'exp_avg_sq', 'step'"),
        ("1.more", lambda t: torch.zeros(1), "expected .'exp_avg', 'exp_avg_sq', 'step'"),
    ],
)
def test_optimiser_states_of_another_network(copy, name, change, says):
    path = copy / "optimisers.safetensors"
    tensors = load_file(path)
    changed = {**tensors, name: change(tensors.get(name))}
    save_file({key: value.contiguous() for key, value in changed.items() if value is not None}, path)
    fresh = assemble(make_config(small()))
    trainer = Trainer(fresh.network, fresh.model, fresh.config.train, 0)
    with pytest.raises(RunError, match=rf"optimisers.safetensors: adapter 1.*{says}") as caught:
        load_optimisers(copy, trainer.learner.optimisers)
    assert len(str(caught.value).splitlines()) == 1
    assert all(not optimiser.state for optimiser in trainer.learner.optimisers), "all or nothing"


STATE = {
    **{"step": 2, "cursor": 4, "seed": 0, "ema": {"0": 0.5}, "best": [0.5, 2], "seconds": 1.5},
    "stage": {"index": 0, "since": 0, "steps": 6, "start": None, "goal": None, "new": [2]},
    "ancestor": {"run": ""},
}


@pytest.mark.parametrize(
    "kept", [STATE, {**STATE, "best": None, "ema": {}, "later": 3}, {**STATE, "best": (1, 2)}]
)
def test_a_training_state_that_fits(copy, kept):
    edit(copy, state=kept)
    assert load_bundle(copy).network.topology.depth == 2


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"step": -1}, "state.step = -1: "),
        ({"step": 2.5}, "state.step"),
        ({"step": 10**400}, "state.step"),
        ({"cursor": "x"}, "state.cursor"),
        ({"seed": None}, "state.seed"),
        ({"ema": {"9": 0.5}}, "state.ema = 9 is more than 2"),
        ({"ema": {"x": 0.5}}, "state.ema"),
        ({"ema": {"0": float("nan")}}, "state.ema.0"),
        ({"best": [0.5, 3]}, "state.best = 3 is more than 2"),
        ({"best": [0.5]}, "state.best"),
        ({"seconds": float("inf")}, "state.seconds"),
        ({"stage": 3}, "state.stage"),
        ({"stage": {**STATE["stage"], "index": 99}}, "state.stage.index = 99 is more than 0"),
        ({"stage": {**STATE["stage"], "index": -2}}, "state.stage.index"),
        ({"stage": {**STATE["stage"], "steps": 7}}, "state.stage.steps = 7, but the stage has 6 steps"),
        ({"stage": {**STATE["stage"], "since": 3}}, "state.stage.since = 3 is more than 2"),
        ({"stage": {**STATE["stage"], "new": [3]}}, "state.stage.new = 3 is more than 2"),
        ({"stage": {**STATE["stage"], "goal": {"nodes": []}}}, "topology"),
        ({"ancestor": []}, "state.ancestor"),
    ],
)
def test_a_training_state_that_cannot_be(copy, changes, says):
    edit(copy, state={**STATE, **changes})
    with pytest.raises(RunError, match=says) as caught:
        load_bundle(copy)
    assert len(str(caught.value).splitlines()) == 1


def test_an_optimiser_that_never_stepped_has_no_state(tmp_path):
    assembly = assemble(make_config(small()))
    trainer = Trainer(assembly.network, assembly.model, assembly.config.train, 0)
    save_optimisers(tmp_path, trainer.learner.optimisers)
    load_optimisers(tmp_path, trainer.learner.optimisers)
    assert all(not optimiser.state for optimiser in trainer.learner.optimisers)


def test_a_full_disk_is_an_ordinary_write_error(trained, tmp_path, monkeypatch):
    from safetensors import SafetensorError

    from neuromas.models import bundle

    def full(*args, **kwargs):
        raise SafetensorError("Error while serializing: I/O error: No space left on device")

    monkeypatch.setattr(bundle, "save_file", full)
    with pytest.raises(OSError, match="No space left"):
        save_bundle(tmp_path, trained[0], {}, {})
    assert not (tmp_path / MANIFEST).exists(), "a folder without a manifest is not a network"


def test_a_complete_bundle_is_believed(saved):
    assert read_manifest(saved)["format"] == 1


def test_ranks_of_their_own_are_saved_and_checked(tmp_path):
    config = make_config(small(model={"ranks": [2, 4, 3]}))
    made = assemble(config)
    assert made.model.bank.ranks == [2, 4, 3]
    folder = tmp_path / "network"
    folder.mkdir()
    save_bundle(folder, made, {}, {})
    again = load_bundle(folder)
    assert again.model.bank.ranks == [2, 4, 3]
    assert all(
        torch.equal(a, b)
        for a, b in zip(made.model.bank.parameters, again.model.bank.parameters, strict=True)
    )
    for row, rank in enumerate((2, 4, 3)):
        config_file = folder / "adapters" / f"adapter-{row:02d}" / "adapter_config.json"
        assert json.loads(config_file.read_text("utf-8"))["r"] == rank
    with pytest.raises(ConfigError, match=r"model.ranks lists 2 ranks, but network 2-1 .* has 3 adapters"):
        assemble(make_config(small(model={"ranks": [2, 4]})))
