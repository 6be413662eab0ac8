"""What the backbone computes in where the configuration leaves it open: what the processor is fast in."""

from __future__ import annotations

import pytest
import torch

from neuromas.models import precision
from neuromas.models.backbone import load_backbone
from neuromas.models.precision import chosen, flags

X86 = "processor : 0\nmodel name : a\nflags\t\t: fpu avx2 avx512f {}\n\nprocessor : 1\nflags : fpu\n"
ARM = "processor : 0\nBogoMIPS : 100\nFeatures\t: fp asimd {} sve\n"


@pytest.fixture
def processor(monkeypatch, tmp_path):
    def make(machine, text):
        (tmp_path / "cpuinfo").write_text(text)
        monkeypatch.setattr(precision, "_FACTS", tmp_path / "cpuinfo")
        monkeypatch.setattr(precision.platform, "machine", lambda: machine)
        flags.cache_clear()

    yield make
    flags.cache_clear()


@pytest.mark.parametrize(
    ("machine", "text", "expected"),
    [
        ("x86_64", X86.format("avx512_vnni"), "float32"),
        ("x86_64", X86.format("avx512_bf16"), "bfloat16"),
        ("x86_64", X86.format("amx_bf16 amx_tile"), "bfloat16"),
        ("x86_64", X86.format("xavx512_bf16"), "float32"),
        ("aarch64", ARM.format("i8mm"), "float32"),
        ("aarch64", ARM.format("bf16"), "bfloat16"),
        ("x86_64", "", "float32"),
    ],
)
def test_bfloat16_is_taken_where_the_processor_multiplies_it(processor, machine, text, expected):
    processor(machine, text)
    assert chosen("auto") == chosen("auto", "cpu") == expected


def test_a_processor_of_which_nothing_is_known_computes_in_float32(processor, monkeypatch, tmp_path):
    processor("x86_64", "")
    monkeypatch.setattr(precision, "_FACTS", tmp_path / "none")
    flags.cache_clear()
    assert chosen("auto") == "float32"


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_what_is_named_stays(processor, dtype):
    processor("x86_64", X86.format("avx512_bf16" if dtype == "float32" else ""))
    assert chosen(dtype, "cpu") == chosen(dtype, "cuda:1") == dtype


@pytest.mark.parametrize(("has", "expected"), [(True, "bfloat16"), (False, "float32")])
def test_a_card_is_asked_for_hardware_and_not_for_emulation(monkeypatch, has, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation or has
    )
    assert chosen("auto", "cuda:0") == expected


@pytest.mark.parametrize(("driver", "card"), [(True, True), (True, False), (False, True)])
def test_where_the_device_is_open_too_a_card_is_asked_behind_its_driver(monkeypatch, tmp_path, driver, card):
    """Torch, slow to load, is not asked where there is no driver."""
    monkeypatch.setattr(precision, "flags", frozenset)
    monkeypatch.setattr(precision, "_DRIVERS", (tmp_path / "none", tmp_path if driver else tmp_path / "none"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: card)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True)
    assert chosen("auto", "auto") == ("bfloat16" if driver and card else "float32")


def test_the_backbone_is_loaded_in_it(processor):
    for text, dtype in (("", torch.float32), ("avx512_bf16", torch.bfloat16)):
        processor("x86_64", X86.format(text))
        assert load_backbone("tiny", device="cpu").dtype == dtype
