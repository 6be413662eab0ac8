"""What the doctor says of GPUs, in the cases that a machine without one cannot show."""

from __future__ import annotations

import pytest

from neuromas.cli import doctor
from neuromas.cli.doctor import gpu_hints, sandboxes


@pytest.mark.parametrize(
    ("card", "built_for", "seen", "says"),
    [
        ("NVIDIA A100, 550.54", "12.8", 1, "--jobs 2"),
        ("NVIDIA A100, 550.54; NVIDIA A100, 550.54", "12.8", 2, "2 GPUs: one run uses one"),
        ("", None, 0, "no NVIDIA driver answers"),
        ("NVIDIA A100, 550.54", None, 0, "built for the CPU: install a CUDA build"),
        ("NVIDIA A100, 550.54", "12.8", 0, "CUDA_VISIBLE_DEVICES='' hides it"),
        ("NVIDIA A100, 450.80", "12.8", 0, "torch (CUDA 12.8) cannot use it"),
    ],
)
def test_a_gpu_that_is_not_used_is_explained(monkeypatch, card, built_for, seen, says):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if "hides" in says:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    (hint,) = gpu_hints(card, built_for, seen)
    assert says in hint


@pytest.mark.parametrize(("has", "takes"), [(True, "bfloat16"), (False, "float32")])
def test_what_auto_takes_on_a_card_is_said(monkeypatch, has, takes):
    import torch

    for name, value in (("is_available", True), ("get_device_name", "T4"), ("is_bf16_supported", has)):
        monkeypatch.setattr(torch.cuda, name, lambda value=value, **_: value)
    monkeypatch.setattr(doctor, "_speed", lambda dtype, device: 9.0)
    assert doctor.accelerator()[1] == f'  model.dtype = "auto" takes {takes} on it'


def test_which_sandbox_works_and_why_others_do_not(monkeypatch):
    found = {"bubblewrap": "no user namespaces", "landlock": ""}
    monkeypatch.setattr("neuromas.sandbox.standing", lambda: found)
    assert sandboxes() == ["sandbox for programs: landlock", "  bubblewrap: no user namespaces"]
    found["landlock"] = "nor is this"
    assert sandboxes()[0] == "sandbox for programs: none, so none is run"
    assert len(sandboxes()) == 3
