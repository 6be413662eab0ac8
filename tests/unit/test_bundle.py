"""A network on disk: what PEFT loads, and nothing that was changed is believed."""

from __future__ import annotations

import json
import shutil
import stat

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file

from neuromas import assemble as assembling
from neuromas.assemble import Assembly, assemble, load_bundle, save_bundle
from neuromas.config import make_config
from neuromas.errors import ConfigError, RunError
from neuromas.models.backbone import load_backbone
from neuromas.models.bundle import load_optimisers, read_manifest, save_optimisers
from neuromas.models.policy import Request
from neuromas.models.tiny import tiny_model
from neuromas.store import MANIFEST
from neuromas.training import Trainer, train_step
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
    trainer = Trainer(assembly.network, assembly.policy, config.train, config.seed)
    for step in range(2):
        train_step(trainer, assembly.task, [assembly.task.problem("train", 2 * step + i) for i in range(2)])
    assert min(assembly.policy.bank.versions) > 0
    return assembly, trainer


@pytest.fixture(scope="module")
def saved(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundle") / "network"
    folder.mkdir()
    files = save_optimisers(folder, trained[1].optimisers)
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
        patch.setattr(assembling, "load_adapters", lambda *a: pytest.fail("adapters were loaded"))
        with pytest.raises(RunError) as caught:
            load_bundle(folder)
    text = str(caught.value)
    assert text
    assert len(text.splitlines()) == 1
    return text


def test_saved_and_loaded_is_the_same_network(trained, saved):
    loaded = load_bundle(saved)
    bank = trained[0].policy.bank
    assert loaded.policy.bank.versions == bank.versions
    for mine, theirs in zip(loaded.policy.bank.parameters, bank.parameters, strict=True):
        assert torch.equal(mine, theirs)
    assert loaded.network.topology == trained[0].network.topology
    assert loaded.config == trained[0].config


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing:FutureWarning")  # PEFT asks by its old name
@pytest.mark.parametrize("node", [0, 1, 2])
def test_real_peft_loads_every_node_and_agrees(saved, node):
    """Log-probabilities of what we draw with a node are those of PEFT over transformers' own forward pass."""
    peft = PeftModel.from_pretrained(tiny_model(), saved / "adapters" / f"adapter-{node:02d}")
    policy = load_bundle(saved).policy
    prompt = tuple(range(65, 105))
    requests = [Request(node, prompt, (), 12, seed) for seed in range(4)]
    for message in policy.generate(requests, 1.0, frozenset()):
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


def test_a_device_this_machine_cannot_have(saved):
    with pytest.raises(ConfigError, match=r"model\.device = 'mps'"):
        load_bundle(saved, "mps")


def test_optimisers_return_bitwise(trained, saved):
    fresh = assemble(make_config(small()))
    trainer = Trainer(fresh.network, fresh.policy, fresh.config.train, 0)
    load_optimisers(saved, trainer.optimisers)
    for mine, theirs in zip(trainer.optimisers, trained[1].optimisers, strict=True):
        (a,), (b,) = mine.state.values(), theirs.state.values()
        assert a.keys() == b.keys() == {"step", "exp_avg", "exp_avg_sq"}
        assert all(torch.equal(a[name], b[name]) and a[name].dtype == b[name].dtype for name in a)


def test_an_optimiser_that_never_stepped_has_no_state(tmp_path):
    assembly = assemble(make_config(small()))
    trainer = Trainer(assembly.network, assembly.policy, assembly.config.train, 0)
    save_optimisers(tmp_path, trainer.optimisers)
    load_optimisers(tmp_path, trainer.optimisers)
    assert all(not optimiser.state for optimiser in trainer.optimisers)


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
    assert made.policy.bank.ranks == [2, 4, 3]
    folder = tmp_path / "network"
    folder.mkdir()
    save_bundle(folder, made, {}, {})
    again = load_bundle(folder)
    assert again.policy.bank.ranks == [2, 4, 3]
    assert all(
        torch.equal(a, b)
        for a, b in zip(made.policy.bank.parameters, again.policy.bank.parameters, strict=True)
    )
    for row, rank in enumerate((2, 4, 3)):
        config_file = folder / "adapters" / f"adapter-{row:02d}" / "adapter_config.json"
        assert json.loads(config_file.read_text("utf-8"))["r"] == rank
    with pytest.raises(ConfigError, match=r"model.ranks lists 2 ranks, but network 2-1 .* has 3 adapters"):
        assemble(make_config(small(model={"ranks": [2, 4]})))
