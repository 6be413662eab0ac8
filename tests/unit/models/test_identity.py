"""A backbone's identity: all of every file that decides what it says, and 0.1.0's digests still known."""

from __future__ import annotations

import hashlib
import json

import pytest

from neuromas.models import embedded
from neuromas.models.identity import MARK, fingerprint, old_fingerprint, same

MIB = 1 << 20


@pytest.fixture
def folder(tmp_path):
    """A model's files; only their bytes matter here."""
    table = {"hidden_size": 4, "transformers_version": "5.17", "_name_or_path": "x", "dtype": "bfloat16"}
    (tmp_path / "config.json").write_text(json.dumps(table))
    (tmp_path / "model.safetensors").write_bytes(bytes(3 * MIB))
    (tmp_path / "tokenizer.json").write_text('{"model": {}}')
    (tmp_path / "tokenizer_config.json").write_text('{"eos_token": "</s>"}')
    (tmp_path / "README.md").write_text("words")
    return tmp_path


def change(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_a_byte_in_the_middle_of_the_weights_counts(folder):
    before, old = fingerprint(folder), old_fingerprint(folder)
    change(folder / "model.safetensors")
    assert old_fingerprint(folder) == old, "what 0.1.0 did not see"
    assert fingerprint(folder) != before


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("tokenizer.json", '{"model": {"a": 1}}'),
        ("tokenizer_config.json", '{"eos_token": "x"}'),
        ("chat_template.jinja", "{{ messages }}"),
        ("additional_chat_templates/tool.jinja", "x"),
        ("special_tokens_map.json", "{}"),
        ("generation_config.json", '{"eos_token_id": 3}'),
        ("config.json", '{"hidden_size": 5}'),
        ("merges.txt", "a b"),
        ("model-2.safetensors", "x"),
        ("generation_config.json", "no table"),
    ],
)
def test_every_file_that_counts_counts(folder, name, content):
    before = fingerprint(folder)
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(content)
    assert fingerprint(folder) != before


def test_noise_does_not(folder):
    before = fingerprint(folder)
    table = {"dtype": "float32", "transformers_version": "6.0", "_name_or_path": "y", "hidden_size": 4}
    (folder / "config.json").write_text(json.dumps(table, indent=1))
    (folder / "tokenizer_config.json").write_text(
        '{"eos_token": "</s>", "tokenizer_class": "X", "is_local": true}'
    )
    (folder / "README.md").write_text("other words")
    (folder / "neuromas.json").write_text("{}")
    assert fingerprint(folder) == before
    assert fingerprint(folder).startswith(MARK)


def test_a_digest_of_the_first_version_is_compared_as_it_was_made(folder):
    """Computed here as 0.1.0 did: names, sizes and a MiB at both ends."""
    data = bytes(3 * MIB)
    digest = hashlib.sha256(json.dumps({"hidden_size": 4}, sort_keys=True).encode())
    digest.update(f"model.safetensors:{3 * MIB}".encode() + data[:MIB] + data[-MIB:])
    saved = digest.hexdigest()[:16]
    assert old_fingerprint(folder) == saved
    assert same(saved, fingerprint(folder), folder)
    assert same(fingerprint(folder), fingerprint(folder), folder)
    assert not same(MARK + saved, fingerprint(folder), folder)
    assert not same("0" * 16, fingerprint(folder), folder)
    assert same("tiny-0", "tiny-0", None)
    assert not same("tiny-1", "tiny-0", None)


def test_what_did_not_change_is_read_once(folder, monkeypatch):
    fingerprint(folder)
    monkeypatch.setattr(embedded, "file_digest", lambda path: pytest.fail("read again"))
    fingerprint(folder)
