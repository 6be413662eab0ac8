"""What the frozen backbone makes of a prompt: the hidden state of its last token, which critics read.

Adapters are off, so a state depends on the prompt alone and not on what was learned. Beginnings that prompts
share are forwarded once (see ``models.prefix_tree``).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from neuromas.models.parallel import parallel_map
from neuromas.models.prefix_tree import PrefixTree, TreePlan, batch_by_length, build_trees, pad_trees
from neuromas.models.resident import ResidentModel

_NONE = 0  # the adapter of a tree whose tokens no adapter reads


def last_states(model: ResidentModel, prompts: Sequence[tuple[int, ...]]) -> tuple[Tensor, int]:
    """Hidden states (N, d) in fp32 on the CPU of N prompts' last tokens, and how many tokens were forwarded.

    Prompts hold at least one token. The cut into micro-batches does not depend on the number of threads.
    """
    backbone = model.backbone
    trees, places = build_trees([(_NONE, prompt) for prompt in prompts])
    share = 4 if backbone.device.type == "cpu" else 1
    batches = list(batch_by_length(trees, backbone.tokens // share))
    ends: list[list[tuple[int, int]]] = [
        [] for _ in trees
    ]  # of each tree: prompt and column of its last token
    for number, (tree, columns) in enumerate(places):
        ends[tree].append((number, columns[-1]))
    states = torch.zeros(len(prompts), int(backbone.model.config.get_text_config().hidden_size))

    def one(batch: list[int]) -> tuple[list[int], Tensor]:
        found = [(row, *end) for row, tree in enumerate(batch) for end in ends[tree]]
        hidden = _hidden(model, [trees[tree] for tree in batch])
        rows, numbers, columns = zip(*found, strict=True)
        return list(numbers), hidden[list(rows), list(columns)].float().cpu()

    with parallel_map(backbone.device, len(batches)) as each:
        for numbers, part in model.ranks.deal(batches, one, each):
            states[numbers] = part
    return states, sum(tree.length for tree in trees)


def _hidden(model: ResidentModel, trees: Sequence[PrefixTree]) -> Tensor:
    """Last hidden states (R, L, d) of trees, by the backbone without adapters."""
    backbone = model.backbone
    batch = pad_trees(trees, backbone.device)
    with torch.no_grad(), model.bank.select(None, backbone.dtype):  # a worker begins without the caller's
        return backbone.hidden(batch.ids, batch.position, TreePlan(batch))
