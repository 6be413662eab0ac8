"""Which architectures are served: refused by their configuration, and checked by their numbers.

What a configuration can tell is refused before weights are read (``check_config``). Whether the rest is
right is not guessed from names: every model that is loaded forwards one small branching tree of tokens with
our attention, and its logits must be those of transformers' own forward pass over each branch (``agree``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from neuromas.core.errors import ModelError, one_line
from neuromas.models.prefix_tree import TreePlan, build_trees, pad_trees

Run = Callable[[Tensor, Tensor, TreePlan], Tensor]  # tokens (R, L), positions (R, L), plan: logits (R, L, V)

LAYERS = ("full_attention", "sliding_attention")
# relative error of logits. Where all is right: up to 1e-6 in fp32; in bf16 0.07 between kernels (30 layers).
# A wrong mask, position or scale: from 0.3 up (docs/architectures.md)
_MOST = {torch.float32: 1e-3, torch.bfloat16: 0.2}
# a root, two branches, one of which branches again, and a sequence that shares nothing
_BRANCHES = ((5, 11, 3, 17, 8, 2), (5, 11, 3, 9, 21), (5, 11, 3, 9, 6, 19, 7), (14, 6, 20))


def check_config(config: Any, name: str) -> None:
    """Raises ModelError, one line, for what cannot be right: layer types, position schemes, soft caps."""
    text = config.get_text_config()
    kind = f"backbone {name!r} ({getattr(text, 'model_type', '?')})"
    others = sorted(set(getattr(text, "layer_types", None) or ()) - set(LAYERS))
    if others:
        raise ModelError(
            f"{kind} has layers of the type {', '.join(others)}, which carry a state from token to token and "
            f"cannot read a tree of messages; served: {', '.join(LAYERS)}"
        )
    if "dynamic" in _ropes(text):
        raise ModelError(
            f"{kind} has rotary positions of the type 'dynamic', which change with the longest sequence of "
            "a batch; served are fixed ones"
        )
    if getattr(text, "attn_logit_softcapping", None) is not None:
        raise ModelError(f"{kind} caps its attention scores (attn_logit_softcapping), which is not served")


def usable_context(config: Any) -> int:
    """Positions that may be used: with ``longrope`` those before its frequencies change."""
    text = config.get_text_config()
    context = int(text.max_position_embeddings)
    for kind, table in _ropes(text).items():
        own = getattr(text, "original_max_position_embeddings", None)
        first = table.get("original_max_position_embeddings", own)
        if kind == "longrope" and first:
            context = min(context, int(first))
    return context


def _ropes(text: Any) -> dict[str, Mapping[str, Any]]:
    """Parameters of rotary positions by their type; a configuration has one table, or one a layer type."""
    given = getattr(text, "rope_parameters", None) or {}
    tables = (
        [given] if "rope_type" in given else [table for table in given.values() if isinstance(table, dict)]
    )
    return {str(table.get("rope_type", "default")): table for table in tables}


def cast(model: torch.nn.Module, dtype: torch.dtype) -> None:
    """Weights and what is stored with them in ``dtype``, in place; what is computed at loading keeps its own.

    That is chiefly the frequencies of rotary positions, which transformers keeps in fp32: rounded to bf16
    they are off by more than a radian at position 1000.
    """
    own: list[tuple[torch.nn.Module, str, Tensor]] = [
        (module, name, buffer)
        for module in model.modules()
        for name, buffer in module.named_buffers(recurse=False)
        if name in module._non_persistent_buffers_set
    ]
    model.to(dtype=dtype)
    for module, name, buffer in own:
        setattr(module, name, buffer)


def scaled(logits: Tensor, config: Any) -> Tensor:
    """Logits (..., V) as the model's own forward pass makes them from the product with its last matrix.

    Granite divides by ``logits_scaling``, Cohere multiplies by ``logit_scale``, Gemma has a soft cap.
    """
    text = config.get_text_config()
    for key, power in (("logits_scaling", -1.0), ("logit_scale", 1.0)):
        value = getattr(text, key, None)
        if value is not None and value != 1.0:
            logits = logits * float(value) ** power
    cap = getattr(text, "final_logit_softcapping", None)
    return logits if cap is None else torch.tanh(logits / cap) * cap


def reference(model: Any, name: str) -> list[Tensor]:
    """Logits (L, V) of every branch by the model's own forward pass, before anything of it is replaced."""
    branches, device = _branches(model), next(model.parameters()).device
    width = max(map(len, branches))
    rows = [branch + (0,) * (width - len(branch)) for branch in branches]  # what follows is not seen
    with _one_line(name, "its own forward pass fails"), torch.no_grad():
        model.set_attn_implementation("eager")  # the kernel that ours is closest to in rounding
        logits = model(input_ids=torch.tensor(rows, device=device), use_cache=False).logits
    return [row[: len(branch)] for row, branch in zip(logits, branches, strict=True)]


def agree(model: Any, expected: Sequence[Tensor], run: Run, name: str) -> float:
    """Relative error of the logits that ``run`` gives for the same branches as one tree; see ``reference``.

    Raises ModelError, one line, if it is larger than rounding explains: this architecture is not served.
    """
    branches, first = _branches(model), next(model.parameters())
    trees, places = build_trees([(0, branch) for branch in branches])
    batch = pad_trees(trees, first.device)
    with _one_line(name, "its layers cannot be given our attention"), torch.no_grad():
        found = run(batch.ids, batch.position, TreePlan(batch))
    wanted = torch.cat(list(expected)).float()
    ours = torch.cat([found[row, columns] for row, columns in places]).float()
    spread = (wanted - wanted.mean(dim=-1, keepdim=True)).norm()  # a constant on all logits means nothing
    error = float((ours - wanted).norm() / spread.clamp(min=1e-12))
    if not error <= _MOST.get(first.dtype, max(_MOST.values())):  # NaN is refused, too
        kind = getattr(model.config.get_text_config(), "model_type", "?")
        raise ModelError(
            f"backbone {name!r}: this architecture ({kind}) is not served: on a small tree its logits "
            f"are off by {error:.1%} from those of transformers' own forward pass"
        )
    return error


def _branches(model: Any) -> list[tuple[int, ...]]:
    """The branches in tokens of this vocabulary, spread over its first thousands."""
    size = int(model.get_output_embeddings().weight.shape[0])
    return [tuple((397 * token + token * token) % size for token in branch) for branch in _BRANCHES]


@contextmanager
def _one_line(name: str, what: str) -> Iterator[None]:
    """Whatever a foreign model raises is one line for the user."""
    try:
        yield
    except Exception as error:
        raise ModelError(f"backbone {name!r} is not served: {what} ({one_line(error)[:200]})") from error
