"""A frozen backbone of which every process holds a part of each decoder layer (FSDP2's ``fully_shard``).

For backbones that do not fit on one device. Each layer's weights are gathered before it computes and let go
after. Embeddings, the head, adapters and optimisers are whole in every process. All processes must make the
same forward passes in the same order, so none computes in several threads, and what is decoded is decoded
by all.
"""

from __future__ import annotations

from dataclasses import replace

from neuromas.core.errors import ModelError
from neuromas.models.backbone import Backbone, load_backbone, pick_device, sized
from neuromas.models.precision import chosen
from neuromas.models.prefix_tree import TreePlan, build_trees, pad_trees


def load_sharded(name: str, dtype: str, device: str, size: int) -> Backbone:
    """The backbone ``name`` among the ``size`` processes of the run. Raises ModelError."""
    import torch
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    place = pick_device(device)
    backbone = load_backbone(name, chosen(dtype, place.type), "cpu", packed=False)
    layers = getattr(backbone.model.get_decoder(), "layers", None)
    if not layers:
        raise ModelError(f"model.shard = true: backbone {name!r} has no list of decoder layers to divide")
    mesh = init_device_mesh(place.type, (size,))
    for layer in layers:
        fully_shard(layer, mesh=mesh, reshard_after_forward=True)  # no one module is the root of all
    backbone.model.to(place)
    if place.type == "cpu":
        torch.set_num_threads(1)  # passes of several threads would gather their layers in any order
    whole = sized(replace(backbone, device=place))
    # the first pass makes the tensors that layers are gathered into: a sampler's inference mode would make
    # them such as no gradient may flow through
    trees = pad_trees(build_trees([(0, (0,))])[0], place)
    with torch.no_grad():
        whole.hidden(trees.ids, trees.position, TreePlan(trees))
    return whole
