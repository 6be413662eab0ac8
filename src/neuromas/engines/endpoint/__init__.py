"""An engine that asks an OpenAI-compatible endpoint, one request a message; nothing is trained over it.

``options`` checks ``engine.options``, ``codec`` lets a chat's roles travel as tokens, ``reply`` reads what an
endpoint says, ``client`` sends requests by the library ``openai``, ``engine`` is the engine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from neuromas.engines.build import read_options

if TYPE_CHECKING:
    from neuromas.config import Config
    from neuromas.engines.endpoint.engine import ChatEngine
    from neuromas.models.resident import ResidentModel


def build(config: Config, model: ResidentModel) -> ChatEngine:
    """The engine ``openai``. Raises ConfigError for options that cannot be, or without the library."""
    from neuromas.engines.endpoint.client import Client
    from neuromas.engines.endpoint.engine import ChatEngine
    from neuromas.engines.endpoint.options import DEFAULTS, checked, key_of
    from neuromas.models.tokenizer import load_codec

    options = checked(read_options(config, DEFAULTS))
    codec, context = model.backbone.codec, model.backbone.context
    if options.tokenizer:
        codec, said = load_codec(options.tokenizer)
        context = said or context
    return ChatEngine(codec, options.context or context, options, Client(options, key_of(options)))
