"""An engine that asks an OpenAI-compatible endpoint, one request a message; nothing is trained over it.

``options`` checks ``engine.options``, ``codec`` lets a chat's roles travel as tokens, ``reply`` reads what an
endpoint says, ``client`` sends requests by the library ``openai``. ``engine`` is the engine of chats,
``tokens`` that of prompts as token ids.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from neuromas.engines.build import read_options

if TYPE_CHECKING:
    from neuromas.config import Config
    from neuromas.engines.endpoint.engine import ChatEngine
    from neuromas.engines.endpoint.tokens import TokenEngine
    from neuromas.models.resident import ResidentModel


def build(config: Config, model: ResidentModel) -> ChatEngine | TokenEngine:
    """The engine ``openai``. Raises ConfigError for options that cannot be, or without the library."""
    from neuromas.engines.endpoint.client import Client
    from neuromas.engines.endpoint.engine import ChatEngine
    from neuromas.engines.endpoint.options import DEFAULTS, checked, key_of
    from neuromas.engines.endpoint.tokens import TokenEngine, servers_of
    from neuromas.models.tokenizer import load_codec

    options = checked(read_options(config, DEFAULTS))
    codec, context = model.backbone.codec, model.backbone.context
    if options.tokenizer:
        codec, said = load_codec(options.tokenizer)
        context = said or context
    key, room = key_of(options), options.context or context
    if options.mode == "tokens":
        return TokenEngine(codec, room, options.model, servers_of(options), key)
    return ChatEngine(codec, room, options, Client(options, key))
