"""An engine that holds copies of the adapters, as a server would, over a backbone of its own.

It draws what the local engine draws, if and only if it is told of every change.
"""

from __future__ import annotations

from neuromas.config import Config
from neuromas.engines.local.engine import LocalEngine
from neuromas.models.adapters import AdapterBank
from neuromas.models.backbone import load_backbone
from neuromas.models.resident import ResidentModel


class Served(LocalEngine):
    """Named ``served:Served`` in a configuration."""

    def __init__(self, config: Config, model: ResidentModel) -> None:
        backbone = load_backbone(config.model.backbone, config.model.dtype, config.model.device)
        super().__init__(ResidentModel.around(backbone, model.bank.spec, 0, 0))

    def publish(self, bank: AdapterBank) -> None:
        """Copies of all that is there now."""
        own = self.model.bank
        own.parameters.clear(), own.ranks.clear(), own.versions.clear()
        for vector, version in zip(bank.parameters, bank.versions, strict=True):
            own.versions[own.append(vector)] = version
