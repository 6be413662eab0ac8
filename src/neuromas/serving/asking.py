"""From a conversation to the one question that a network answers."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from neuromas.core.errors import ConfigError
from neuromas.serving.limits import Limits
from neuromas.serving.playing import Ask, Player
from neuromas.serving.refusals import Refused, invalid
from neuromas.serving.schema import ChatRequest, Message

REFUSE, JOIN = "refuse", "join"
TURNS = (REFUSE, JOIN)


def read_ask(wanted: ChatRequest, player: Player, turns: str, limits: Limits) -> Ask:
    """What a request asks of the network. Raises Refused (400, 413).

    Without a seed a greedy answer has seed 0, so that it can be had again, and a drawn one a new seed.
    """
    pieces = question_of(wanted.messages, turns)
    size = sum(map(len, pieces))
    if size > limits.question:
        text = f"the question has {size} characters, more than {limits.question}"
        raise Refused(413, text, code="question_too_long", param="messages")
    try:
        problem = player.problem(pieces)
    except ConfigError as error:
        raise invalid(str(error), "messages") from error
    seed = wanted.seed
    if seed is None:
        seed = 0 if wanted.temperature == 0.0 else secrets.randbits(53)  # any JSON reader holds 53 bits
    return Ask(problem, wanted.temperature, seed, wanted.most, wanted.stops)


def question_of(messages: Sequence[Message], turns: str) -> tuple[str, ...]:
    """The last message, which must be the user's, in its pieces.

    Earlier messages are refused, as no network was trained to read them, or with ``join`` stand before it
    (before its first piece) as lines ``role: text``. Raises Refused.
    """
    *earlier, last = messages
    if last.role != "user":
        raise invalid(
            f"the last message is of role {last.role!r}; it must be the user's question", "messages"
        )
    pieces = last.pieces or ("",)
    if not earlier:
        return pieces
    if turns == REFUSE:
        roles = ", ".join(dict.fromkeys(one.role for one in earlier))
        raise invalid(
            f"this network answers one question, and earlier messages ({roles}) are nothing it was trained "
            "to read: send one message of role 'user' (or serve with --turns join, which puts them before)",
            "messages",
            "unsupported_value",
        )
    told = [f"{one.role}: {' '.join(' '.join(one.pieces).split())}" for one in earlier]
    return ("\n".join([*told, pieces[0]]), *pieces[1:])
