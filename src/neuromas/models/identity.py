"""Which backbone is it: a hash of all that decides what it says, weights, tokenizer and chat template.

Hashing 270 MB takes about a third of a second; what was hashed once in a process is not read again while
its size and times stay.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any

from neuromas.models.embedded import file_digest

MARK = "v2:"  # networks of 0.1.0 hold a digest without a mark, of the two ends of every weight file
_TABLES = ("config.json", "generation_config.json", "tokenizer_config.json")
_WHOLE = (
    *("*.safetensors", "tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json", "vocab.txt"),
    *("merges.txt", "added_tokens.json", "special_tokens_map.json", "chat_template.json"),
    *("*.jinja", "additional_chat_templates/*.jinja"),
)
# where a table was written and by which version, and how its weights were stored
_NOISE = ("_name_or_path", "name_or_path", "transformers_version", "torch_dtype", "dtype", "is_local")


def fingerprint(folder: Path) -> str:
    """Identity of a model's folder: its tables without noise, every other file that counts byte for byte."""
    files = sorted({path for pattern in _WHOLE for path in folder.glob(pattern) if path.is_file()})
    digest = hashlib.sha256()
    for name, content in _tables(folder):
        digest.update(f"{name}\n{hashlib.sha256(content).hexdigest()}\n".encode())
    with ThreadPoolExecutor(4) as pool:  # hashing releases the interpreter's lock
        for path, one in zip(files, pool.map(_known_digest, files), strict=True):
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
    config = _without_noise(json.loads((folder / "config.json").read_text("utf-8")), _NOISE[:1] + _NOISE[2:5])
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


def _known_digest(path: Path) -> str:
    """SHA-256 of a file, read once while its size and times stay."""
    stat = path.stat()
    return _digest(path.resolve(), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


@lru_cache(maxsize=256)
def _digest(path: Path, size: int, changed: int, renewed: int) -> str:
    return file_digest(path)
