"""In what the frozen backbone computes where the configuration leaves it open.

bfloat16 halves the memory, and is made for hardware that multiplies it. A processor that does not converts
every product, and a training step then takes about three times that of float32 (``benchmarks/precision.py``).
"""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path

AUTO = "auto"
PRECISIONS = ("bfloat16", "float32")
_FACTS = Path("/proc/cpuinfo")
_DRIVERS = tuple(map(Path, ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")))  # NVIDIA's, AMD's, of WSL
_MULTIPLIES = frozenset(("avx512_bf16", "amx_bf16", "bf16"))  # x86's names for it, and Arm's


def chosen(dtype: str, device: str = "cpu") -> str:
    """ "bfloat16" or "float32" for "auto" on a device ("auto", "cpu", "cuda:1"); another name as it is.

    Where nothing is known of a processor, as outside Linux, it is float32, which is slow nowhere.
    """
    if dtype != AUTO:
        return dtype
    on_card = _card_there() if device == AUTO else device.startswith("cuda")
    fast = _card_multiplies() if on_card else bool(_MULTIPLIES & flags())
    return "bfloat16" if fast else "float32"


def plain_name(dtype: object) -> str:
    """``float32`` for torch's ``torch.float32``."""
    return str(dtype).removeprefix("torch.")


@cache
def flags() -> frozenset[str]:
    """What Linux says this processor can."""
    try:
        lines = _FACTS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return frozenset()
    wanted = "Features" if platform.machine() in ("aarch64", "arm64") else "flags"
    found = (line.partition(":")[2].split() for line in lines if line.partition(":")[0].strip() == wanted)
    return frozenset(next(found, ()))


def _card_there() -> bool:
    """Whether torch computes on a card where it may; torch, slow to load, is not asked without a driver."""
    if not any(path.exists() for path in _DRIVERS):
        return False
    import torch

    return torch.cuda.is_available()


def _card_multiplies() -> bool:
    """Whether the card has bf16 in hardware, as from Ampere on; one that is not here is taken for such."""
    import torch

    return not torch.cuda.is_available() or torch.cuda.is_bf16_supported(including_emulation=False)
