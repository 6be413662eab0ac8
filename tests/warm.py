"""What every process of ``together`` would load for itself, in the process they are forked from."""

import torch.distributed
import torch.distributed.distributed_c10d  # noqa: F401

import neuromas.learner.update
import neuromas.training.run
from neuromas.core.parts import ALGORITHMS
from neuromas.models.backbone import load_backbone
from neuromas.models.resident import LoraSpec, ResidentModel

# no backward pass: autograd does not survive a fork
neuromas.learner.update.Learner(
    ResidentModel.around(load_backbone("tiny", "float32", "cpu"), LoraSpec(2), 1, 0),
    neuromas.learner.update.TrainConfig(),
)
for name in ALGORITHMS.builtin:
    ALGORITHMS.get(name)
