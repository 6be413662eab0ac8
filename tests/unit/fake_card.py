"""A device that is no CPU, without a card: numbers are computed on the CPU, devices kept as torch keeps them.

Every tensor that is on "card:0" is a wrapper around a tensor of the CPU. An operation on tensors of both is
first asked of torch's own ``FakeTensorMode``, which raises where a card would and says where the result lies;
then it is computed. So code that must look at values (a sampler that ends at an end token) runs whole, and
its results can be compared. The device has a name of its own, since torch without CUDA refuses to index what
says that it is on CUDA; our code asks of a device whether it is a CPU, and of CUDA only for its limits.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from itertools import repeat
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensor,
    FakeTensorMode,
)
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_flatten, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

CPU = torch.device("cpu")
aten = torch.ops.aten


class OnCard(Tensor):
    """A tensor that says it is on "card:0" and has its numbers on the CPU."""

    held: Tensor

    @staticmethod
    def __new__(cls, real: Tensor) -> OnCard:
        made = Tensor._make_wrapper_subclass(
            cls,
            real.shape,
            strides=real.stride(),
            storage_offset=real.storage_offset(),
            dtype=real.dtype,
            device=torch.device("card", 0),
            requires_grad=False,
        )
        made.held = real
        return made

    def __repr__(self, **_: Any) -> str:
        return f"OnCard({self.held})"

    def tolist(self) -> list[Any]:
        """What a copy to the CPU would hold."""
        return self.held.tolist()

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _compute(func, args, kwargs or {})


class _Factories(TorchDispatchMode):
    """New tensors on "card:0" and moves to it, which have no such tensor among their arguments."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _compute(func, args, kwargs or {})


def _compute(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """One operation: where it would be, then what it gives."""
    with _disable_current_modes():
        return _placed(func, args, kwargs)


def _placed(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """``_compute`` without modes."""
    if func is aten._fused_sdp_choice.default:
        return 0  # written out, as no kernel of a card is here
    given = [one for one in tree_flatten((args, kwargs))[0] if isinstance(one, Tensor)]
    placed = _devices(func, given, args, kwargs)
    wrappers = {id(one.held): one for one in given if isinstance(one, OnCard)}
    plain = {id(one) for one in given}
    out = func(*_real(args), **_real(kwargs))

    def put(one: Any) -> Any:
        if not isinstance(one, Tensor):
            return one
        on_card = next(placed) != CPU
        if id(one) in wrappers:  # written in place, or moved
            return wrappers[id(one)] if on_card else one.clone()
        return OnCard(one.clone() if id(one) in plain else one) if on_card else one

    return tree_map(put, out)


def _real(values: Any) -> Any:
    """Arguments with their numbers and devices on the CPU."""

    def one(value: Any) -> Any:
        if isinstance(value, torch.device):
            return CPU
        return value.held if isinstance(value, OnCard) else value

    return tree_map(one, values)


def _devices(func: Any, tensors: list[Tensor], args: Any, kwargs: dict[str, Any]) -> Iterator[torch.device]:
    """Where each tensor of the result lies. Raises where torch would not mix these devices."""
    asked = next((one for one in tree_flatten((args, kwargs))[0] if isinstance(one, torch.device)), None)
    found = {one.device for one in tensors}
    if asked is not None or len(found) < 2:  # nothing is mixed
        return repeat(torch.device(asked or next(iter(found), CPU)))
    mode = FakeTensorMode(allow_non_fake_inputs=False)

    def fake(one: Any) -> Any:
        if not isinstance(one, Tensor):
            return one
        with torch.no_grad():
            shape = torch.empty_strided(one.shape, one.stride(), dtype=one.dtype, device="meta")
        return FakeTensor(mode, shape, one.device)

    try:
        with mode:
            out = func(*tree_map(fake, args), **tree_map(fake, kwargs))
    except (DataDependentOutputException, DynamicOutputShapeException):
        if len({one.device for one in tensors if one.dim()}) > 1:
            raise RuntimeError(f"{func}: expected all tensors to be on the same device") from None
        return repeat(next(one.device for one in tensors if one.dim()))
    return iter([one.device for one in tree_flatten(out)[0] if isinstance(one, Tensor)])


@cache
def _register() -> None:
    """Tell torch of a device type that is written in Python; once a process."""
    _setup_privateuseone_for_python_backend("card")


@contextmanager
def fake_card() -> Iterator[torch.device]:
    """Within the block "card:0" can be named and used."""
    _register()
    before = torch._C._only_lift_cpu_tensors()
    torch._C._set_only_lift_cpu_tensors(
        True
    )  # moves of ``torch.tensor(..., device=)`` are asked of modes, too
    try:
        with _Factories(), torch.autograd.set_multithreading_enabled(False):
            yield torch.device("card", 0)
    finally:
        torch._C._set_only_lift_cpu_tensors(before)
