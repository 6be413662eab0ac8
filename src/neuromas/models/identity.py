"""Which backbone is it: a hash of all that decides what it says, weights, tokenizer and chat template.

Hashing the 270 MB of the embedded model takes about a third of a second on one core, and its cache is checked
by the same hashes, so each load pays once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from neuromas.models.embedded import known_digest

MARK = "v2:"  # networks of 0.1.0 hold a digest without a mark, of the two ends of every weight file
_TABLES = ("config.json", "generation_config.json", "tokenizer_config.json")
_WHOLE = (
    *("*.safetensors", "tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json", "vocab.txt"),
    *("merges.txt", "added_tokens.json", "special_tokens_map.json", "chat_template.json"),
    *("*.jinja", "additional_chat_templates/*.jinja"),
)
# how 0.1.0's tables were cleaned: where they were written, by which version, and how weights were stored
_OLD_NOISE = ("_name_or_path", "transformers_version", "torch_dtype", "dtype")
# what else depends on the version that wrote a tokenizer's table
_NOISE = (*_OLD_NOISE, "name_or_path", "is_local", "local_files_only", "backend", "tokenizer_class")


def fingerprint(folder: Path) -> str:
    """Identity of a model's folder: its tables without noise, every other file that counts byte for byte."""
    files = sorted({path for pattern in _WHOLE for path in folder.glob(pattern) if path.is_file()})
    digest = hashlib.sha256()
    for name, content in _tables(folder):
        digest.update(f"{name}\n{hashlib.sha256(content).hexdigest()}\n".encode())
    with ThreadPoolExecutor(4) as pool:  # hashing releases the interpreter's lock
        for path, one in zip(files, pool.map(known_digest, files), strict=True):
            digest.update(f"{path.relative_to(folder).as_posix()}\n{one}\n".encode("utf-8", "replace"))
    return MARK + digest.hexdigest()[:32]


def same(saved: str, digest: str, folder: Path | None) -> bool:
    """Whether a saved identity is that of this backbone; one of 0.1.0 is compared as 0.1.0 made it."""
    if saved == digest:
        return True
    return folder is not None and not saved.startswith(MARK) and saved == old_fingerprint(folder)


def old_fingerprint(folder: Path) -> str:
    """The identity that version 0.1.0 saved: configuration, and names, sizes and ends of the weight files."""
    digest = hashlib.sha256()
    config = _without_noise(json.loads((folder / "config.json").read_text("utf-8")), _OLD_NOISE)
    digest.update(json.dumps(config, sort_keys=True).encode())
    for path in sorted(folder.glob("*.safetensors")):
        size = path.stat().st_size
        digest.update(f"{path.name}:{size}".encode())
        with path.open("rb") as stream:
            digest.update(stream.read(1 << 20))
            stream.seek(max(0, size - (1 << 20)))
            digest.update(stream.read())
    return digest.hexdigest()[:16]


def _tables(folder: Path) -> Iterator[tuple[str, bytes]]:
    """The JSON tables that are there, in one spelling and without noise."""
    for name in _TABLES:
        path = folder / name
        if path.is_file():
            content = path.read_bytes()
            try:
                data = _without_noise(json.loads(content), _NOISE)
                content = json.dumps(data, sort_keys=True).encode()
            except (ValueError, RecursionError):  # counts as it stands
                pass
            yield name, content


def _without_noise(data: Any, noise: tuple[str, ...]) -> Any:
    """The table without its noise; anything else as it is."""
    return {k: v for k, v in data.items() if k not in noise} if isinstance(data, dict) else data
