"""A network on disk: ordinary PEFT adapter folders and one manifest that binds them together.

Every adapter is a folder that ``peft.PeftModel.from_pretrained`` loads. The manifest names topology,
assignment, prompt template, backbone identity and the hash of every file; a bundle is untrusted until
all of them match. Tensors are safetensors throughout, optimiser states too. Adapters lie under
``adapters/adapter-00`` …, or where the manifest's ``folders`` say: an exported network calls them by
position.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from neuromas.core.errors import RunError, one_line
from neuromas.models.adapters import AdapterBank
from neuromas.models.embedded import file_digest
from neuromas.storage import MANIFEST, OPTIMISERS, read_json, write_atomic

FORMAT = 1
WEIGHTS, PEFT_CONFIG = "adapter_model.safetensors", "adapter_config.json"
_FOLDER = re.compile(r"adapters/[a-z0-9][a-z0-9-]{0,60}")
_PEFT_PREFIX = "base_model.model."
_MEMORY = "algorithm."  # of the names of tensors that a training algorithm keeps


def save_adapters(folder: Path, bank: AdapterBank, backbone: str) -> dict[str, str]:
    """Write ``adapters/adapter-00`` …; returns the SHA-256 of every file by relative path."""
    for row in range(len(bank.parameters)):
        save_adapter(folder / "adapters" / f"adapter-{row:02d}", bank, row, backbone)
    return {
        path.relative_to(folder).as_posix(): file_digest(path)
        for path in sorted((folder / "adapters").rglob("*"))
        if path.is_file()
    }


def save_adapter(place: Path, bank: AdapterBank, row: int, backbone: str) -> None:
    """Write one adapter as the new folder ``place``, as PEFT reads it. Raises OSError."""
    place.mkdir(parents=True)
    tensors: dict[str, Tensor] = {}
    for slot, down, up in bank.factors(row):
        tensors[f"{_PEFT_PREFIX}{slot.path}.lora_A.weight"] = down.cpu().contiguous()
        tensors[f"{_PEFT_PREFIX}{slot.path}.lora_B.weight"] = up.cpu().contiguous()
    _save(tensors, place / WEIGHTS)
    about = peft_config(bank.ranks[row], bank.spec.alpha, bank.spec.targets, backbone)
    write_atomic(place / PEFT_CONFIG, json.dumps(about, indent=1))


def peft_config(rank: int, alpha: float, targets: Sequence[str], base: str | None) -> dict[str, Any]:
    """The fields PEFT reads of an adapter over the model ``base``, with our choices."""
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": rank,
        "lora_alpha": alpha,
        "target_modules": list(targets),
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
    }


def write_manifest(folder: Path, about: Mapping[str, Any], files: Mapping[str, str]) -> None:
    """The manifest comes last: a folder without one is not a network."""
    manifest = {"format": FORMAT, **about, "files": dict(files)}
    write_atomic(folder / MANIFEST, json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest after every file it names was found with the hash it names. Raises RunError."""
    manifest = read_json(folder / MANIFEST)
    if manifest.get("format") != FORMAT:
        raise RunError(
            f"{folder}: format {manifest.get('format')!r} is not one this version reads ({FORMAT})"
        )
    files = manifest.get("files")
    if not isinstance(files, dict):
        raise RunError(f"{folder / MANIFEST} is damaged: no list of files")
    versions = manifest.get("versions")
    if not isinstance(versions, list) or any(type(version) is not int for version in versions):
        raise RunError(f"{folder / MANIFEST} is damaged: no list of adapter versions")
    needed = [f"{place}/{WEIGHTS}" for place in adapter_folders(folder, manifest, len(versions))]
    for name in [*files, *needed]:
        digest = files.get(name)
        if digest is None:
            raise RunError(f"{folder / MANIFEST} is damaged: it does not vouch for {name}")
        check_file(folder, name, digest)
    return manifest


def adapter_folders(folder: Path, manifest: Mapping[str, Any], count: int) -> list[str]:
    """Where the ``count`` adapters lie, by row, relative to the bundle. Raises RunError."""
    given = manifest.get("folders")
    if given is None:
        return [f"adapters/adapter-{row:02d}" for row in range(count)]
    fits = isinstance(given, list) and len({str(one) for one in given}) == len(given) == count
    if not fits or not all(isinstance(one, str) and _FOLDER.fullmatch(one) for one in given):
        raise RunError(f"{folder / MANIFEST} is damaged: 'folders' does not name {count} folders of adapters")
    return list(given)


def check_file(folder: Path, name: str, digest: Any) -> None:
    """The file lies in the folder and has the hash. Raises RunError."""
    try:
        path = (folder / name).resolve()
        inside, there = path.is_relative_to(folder.resolve()), path.is_file()
    except (OSError, ValueError, RuntimeError):  # no name a file can have, or links in a circle
        raise RunError(f"{folder}: {name[:100]!r} is missing: no file can be called that") from None
    if not inside:
        raise RunError(f"{folder}: the manifest names {name!r}, which lies outside the folder")
    if not there:
        raise RunError(f"{folder}: {name} is missing")
    if file_digest(path) != digest:
        raise RunError(f"{folder}: {name} is damaged or was changed (its hash does not match)")


def load_adapters(folder: Path, bank: AdapterBank, versions: Sequence[int]) -> None:
    """Fill the bank's adapters from a bundle. Raises RunError if shapes or names do not fit."""
    if len(versions) != len(bank.parameters):
        raise RunError(
            f"{folder}: {len(versions)} adapters are saved, the network has {len(bank.parameters)}"
        )
    for row, vector in enumerate(held_adapters(folder, bank)):
        with torch.no_grad():
            bank.parameters[row].copy_(vector)
        bank.versions[row] = versions[row]


def held_adapters(folder: Path, bank: AdapterBank, ranks: Sequence[int] | None = None) -> list[Tensor]:
    """The saved vectors (P,) of the bank's adapters, on the CPU in fp32; the bank stays as it is.

    ``ranks`` are those of another network's adapters over the same backbone. Raises RunError if shapes or
    names do not fit.
    """
    ranks = bank.ranks if ranks is None else ranks
    manifest = read_json(folder / MANIFEST) if (folder / MANIFEST).is_file() else {}
    places = adapter_folders(folder, manifest, len(ranks))
    return [_vector(folder / place / WEIGHTS, bank, rank) for place, rank in zip(places, ranks, strict=True)]


def _vector(path: Path, bank: AdapterBank, rank: int) -> Tensor:
    """One adapter's factors as they lie in the bank's vector. Raises RunError."""
    tensors = load_tensors(path)
    pieces = []
    for slot in bank.slots:
        for part, shape in (("A", (rank, slot.inputs)), ("B", (slot.outputs, rank))):
            name = f"{_PEFT_PREFIX}{slot.path}.lora_{part}.weight"
            tensor = tensors.get(name)
            if tensor is None or tuple(tensor.shape) != shape:
                found = "missing" if tensor is None else f"of shape {tuple(tensor.shape)}"
                raise RunError(f"{path}: {name} is {found}, expected {shape}")
            _check_numbers(tensor, f"{path}: {name}")
            pieces.append(tensor.reshape(-1).float())
    return torch.cat(pieces)


def save_optimisers(
    folder: Path, optimisers: Sequence[torch.optim.Optimizer], memory: Mapping[str, Tensor] | None = None
) -> dict[str, str]:
    """AdamW states as safetensors, the ``memory`` of an algorithm beside them; the file's hash by name."""
    kept = (memory or {}).items()
    tensors = {f"{_MEMORY}{name}": value.detach().cpu().contiguous() for name, value in kept}
    for row, optimiser in enumerate(optimisers):
        for state in optimiser.state_dict()["state"].values():
            tensors |= {f"{row}.{name}": value.cpu().contiguous() for name, value in state.items()}
    path = folder / OPTIMISERS
    _save(tensors, path)
    return {path.name: file_digest(path)}


def load_optimisers(folder: Path, optimisers: Sequence[torch.optim.Optimizer], required: bool = True) -> None:
    """Put saved AdamW states back, or none for an adapter that had not been stepped.

    A finished run has only those of its newest checkpoint: where they need not be (``required``), and are
    not, the present ones stay.

    Raises RunError if there is no file of them, or a tensor is missing, of another shape or not a finite
    number; then none is put back.
    """
    path = folder / OPTIMISERS
    if not path.exists():
        if not required:
            return
        raise RunError(
            f"{folder} has no optimiser states (any more), so nothing can be trained on from it; "
            f"a new run can begin with its network: growth.parent={folder}"
        )
    tensors = load_tensors(path)
    states = []
    for row, optimiser in enumerate(optimisers):
        prefix = f"{row}."
        state = {name[len(prefix) :]: t for name, t in tensors.items() if name.startswith(prefix)}
        if state:
            _check_moments(state, optimiser.param_groups[0]["params"][0].shape, f"{path}: adapter {row}")
        states.append(state)
    for optimiser, state in zip(optimisers, states, strict=True):
        whole = optimiser.state_dict()
        optimiser.load_state_dict({**whole, "state": {0: state} if state else {}})


def load_memory(folder: Path) -> dict[str, Tensor]:
    """What ``save_optimisers`` kept as ``memory``, on the CPU. Raises RunError where that is not finite."""
    path = folder / OPTIMISERS
    tensors = load_tensors(path).items() if path.exists() else ()
    found = {name[len(_MEMORY) :]: tensor for name, tensor in tensors if name.startswith(_MEMORY)}
    for name, tensor in found.items():
        if tensor.is_floating_point():
            _check_numbers(tensor, f"{path}: {_MEMORY}{name}")
    return found


def _check_moments(state: Mapping[str, Tensor], shape: torch.Size, where: str) -> None:
    """AdamW's count of steps and its two moments, of the adapter's shape. Raises RunError."""
    wanted = {"step": torch.Size(()), "exp_avg": shape, "exp_avg_sq": shape}
    if state.keys() != wanted.keys():
        raise RunError(f"{where} has {sorted(state)[:5]}, expected {sorted(wanted)}")
    for name, tensor in state.items():
        if tensor.shape != wanted[name]:
            raise RunError(
                f"{where}: {name} is of shape {tuple(tensor.shape)}, expected {tuple(wanted[name])}"
            )
        _check_numbers(tensor, f"{where}: {name}")
    if min(float(state["step"]), float(state["exp_avg_sq"].min())) < 0:
        raise RunError(f"{where}: step or exp_avg_sq is negative")


def _check_numbers(tensor: Tensor, where: str) -> None:
    """Raises RunError if the tensor does not hold finite real numbers."""
    if not tensor.is_floating_point():
        raise RunError(f"{where} holds {tensor.dtype}, not real numbers")
    if not bool(torch.isfinite(tensor.float()).all()):
        raise RunError(f"{where} holds numbers that are not finite: its training diverged or it was changed")


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors file. Raises RunError if it is missing or damaged."""
    try:
        return load_file(path)
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise RunError(f"{path} cannot be read: {one_line(error)}") from error


def _save(tensors: dict[str, Tensor], path: Path) -> None:
    """Write a safetensors file that others may read, too. Raises OSError as other writing does."""
    try:
        save_file(tensors, path, metadata={"format": "pt"})
    except SafetensorError as error:
        raise OSError(str(error)) from error
    path.chmod(0o644)
