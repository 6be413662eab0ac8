"""Reading a GGUF file quickly gives what gguf's own reader gives, and only while asked for."""

from __future__ import annotations

import gguf
import numpy as np
import pytest

from neuromas.models.embedded import find_gguf
from neuromas.models.gguf_reading import QuickReader, read_once, unpack

KINDS = (gguf.GGMLQuantizationType.Q4_1, gguf.GGMLQuantizationType.Q8_0, gguf.GGMLQuantizationType.Q6_K)


def written(path, endian=gguf.GGUFEndian.LITTLE):
    """A file with a value of every kind that the embedded model has, and words that are not ASCII."""
    writer = gguf.GGUFWriter(path, "llama", endianess=endian)
    writer.add_block_count(2)
    writer.add_float32("llama.rope.freq_base", 1e4)
    writer.add_bool("tokenizer.ggml.add_bos_token", True)
    writer.add_token_list(["a", "", "Ġé", "ünï", "日本"] * 20)
    writer.add_token_types([1, 3, 1, 1, 6] * 20)
    writer.add_array("some.scores", [0.5, -1.25])
    writer.add_tensor("plain", np.arange(6, dtype=np.float32).reshape(2, 3))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def told(reader):
    """All that can be read of it, with the kinds of numbers."""
    fields = {
        name: (field.offset, field.types, field.data, [(str(p.dtype), p.tobytes()) for p in field.parts])
        for name, field in reader.fields.items()
    }
    return fields, [(t.name, t.tensor_type, t.data.shape, t.data.tobytes()) for t in reader.tensors]


@pytest.mark.parametrize("endian", gguf.GGUFEndian)
def test_the_quick_reader_reads_the_same(tmp_path, endian):
    path = written(tmp_path / "small.gguf", endian)
    told_quickly = told(QuickReader(path))
    assert told_quickly == told(gguf.GGUFReader(path))
    assert len(told_quickly[0]["tokenizer.ggml.tokens"][2]) == 100


@pytest.mark.parametrize("missing", [30, 200, 2000])
def test_a_torn_file_is_refused_as_before(tmp_path, missing):
    path = written(tmp_path / "small.gguf")
    path.write_bytes(path.read_bytes()[:-missing])
    refused = []
    for reader in (gguf.GGUFReader, QuickReader):
        with pytest.raises((ValueError, IndexError)) as caught:
            reader(path)
        refused.append((caught.type, str(caught.value)))
    assert refused[0] == refused[1]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("rows", [1, 5, 48, 64, 4096])
def test_unpacked_in_large_pieces_every_bit_is_the_same(kind, rows):
    random = np.random.default_rng(rows)
    width = 3 * gguf.GGML_QUANT_SIZES[kind][1]
    packed = random.integers(0, 256, (rows, width), dtype=np.uint8)
    with np.errstate(all="ignore"):  # among random scales are infinite ones
        whole, own = unpack(packed, kind), gguf.dequantize(packed, kind)
    assert whole.shape == own.shape
    assert whole.tobytes() == own.tobytes()


def test_the_embedded_models_tensors_keep_every_bit():
    """The first and the last of each kind: 4 bits, 8 bits, plain numbers."""
    tensors = QuickReader(find_gguf()).tensors
    chosen = {t.tensor_type: t for t in tensors} | {(t.tensor_type, 0): t for t in reversed(tensors)}
    assert {t.tensor_type.name for t in chosen.values()} == {"Q4_1", "Q8_0", "F32"}
    for tensor in chosen.values():
        data = tensor.data[:4096]
        own = gguf.dequantize(data, tensor.tensor_type)
        assert unpack(data, tensor.tensor_type).tobytes() == own.tobytes()


def test_a_file_is_read_once_and_gguf_is_left_as_it_was(tmp_path):
    path, other = written(tmp_path / "small.gguf"), written(tmp_path / "other.gguf")
    names = ("GGUFReader", "dequantize", "get_tensor_name_map")
    before = [getattr(gguf, name) for name in names]
    with read_once():
        assert gguf.GGUFReader(path) is gguf.GGUFReader(str(path))
        assert gguf.GGUFReader(other) is not gguf.GGUFReader(path)
        llama = gguf.MODEL_ARCH.LLAMA
        assert gguf.get_tensor_name_map(llama, 2) is gguf.get_tensor_name_map(llama, 2)
        assert gguf.get_tensor_name_map(llama, 2).mapping != gguf.get_tensor_name_map(llama, 3).mapping
        assert before != [getattr(gguf, name) for name in names]
    assert before == [getattr(gguf, name) for name in names]
    with pytest.raises(FileNotFoundError), read_once():
        gguf.GGUFReader(tmp_path / "none.gguf")
    assert before == [getattr(gguf, name) for name in names]
