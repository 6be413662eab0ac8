"""A frozen backbone with its adapters, in memory: what a learner trains and the local engine samples."""

from __future__ import annotations

from dataclasses import dataclass

from neuromas.models.adapters import AdapterBank, LoraSpec
from neuromas.models.backbone import Backbone
from neuromas.models.ranks import ALONE, Ranks


@dataclass(frozen=True, slots=True)
class ResidentModel:
    """One backbone and the adapters of one network; ``ranks`` are the processes that train them together."""

    backbone: Backbone
    bank: AdapterBank
    ranks: Ranks = ALONE

    @classmethod
    def around(cls, backbone: Backbone, lora: LoraSpec, count: int, seed: int) -> ResidentModel:
        """``count`` new adapters. The backbone's layers are wrapped in place: it serves one network."""
        return cls(backbone, AdapterBank(backbone.model, lora, count, seed))
