"""A tokenizer's own chat template: one turn of a user under a system text, thinking switched off.

The template may be a stranger's: transformers renders it in a sandbox, here it is only parsed. What it is
given is the same on every day and machine, so that a network's prompts stay what they were.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from jinja2 import TemplateError, meta
from jinja2.sandbox import ImmutableSandboxedEnvironment

_SYSTEM, _USER = "\ue000NEUROMAS-SYSTEM\ue001", "\ue000NEUROMAS\ue001"
# how templates call the switch of thinking, and what is its least
_THINKING: Mapping[str, Any] = {
    "enable_thinking": False,
    "thinking": False,
    "think": False,
    "thinking_budget": 0,
    "reasoning_effort": "low",
}
_WORD = "/no_think"  # the switch of templates that look for it in the system text
_DAY = datetime(2024, 7, 26)  # that of Llama's own templates where no clock is at hand
_CLOCK = re.compile(r"""strftime_now\(\s*(['"])(.*?)\1\s*\)""")
_TRACKED = re.compile(r"\{%-?\s*(?:end)?generation\s*-?%\}")  # a tag of transformers, unknown to jinja


class ChatTemplate:
    """One tokenizer's template. ``render`` is what makes text of messages and variables."""

    def __init__(self, source: str, render: Callable[..., Any]) -> None:
        # transformers hands its templates a clock; a prompt that changes by the day is not the one trained
        self._source = _CLOCK.sub(lambda found: repr(_DAY.strftime(found[2])), source)
        self._render = render
        self.variables = _variables(source)
        """What the template reads besides the messages."""
        switches = {name: value for name, value in _THINKING.items() if name in self.variables}
        self._says_off = not switches and _WORD in source
        day = {"date_string": _DAY.strftime("%d %b %Y")} if "date_string" in self.variables else {}
        self._given = {**switches, **day}
        self.has_system = self._has_system()
        """Whether it has a place for a system text; else that stands before the user's."""

    def frame(self, system: str) -> tuple[str, str]:
        """The text before and after the user's. Raises ValueError if the template does not show that once."""
        if self._says_off:
            system = f"{system}\n{_WORD}" if system else _WORD
        if not system:
            text = self._text([_turn("user", _USER)])
        elif self.has_system:
            text = self._text([_turn("system", system), _turn("user", _USER)])
        else:
            text = self._text([_turn("user", f"{system}\n\n{_USER}")])
        before, found, after = text.partition(_USER)
        if not found or _USER in after:
            raise ValueError("the chat template does not show the user's text exactly once")
        return before, after

    def _has_system(self) -> bool:
        """Some templates refuse the role, others leave its text out without a word."""
        try:
            return _SYSTEM in self._text([_turn("system", _SYSTEM), _turn("user", _USER)])
        except Exception:  # a template is foreign code: how it refuses is its own
            return False

    def _text(self, messages: list[dict[str, str]]) -> str:
        given = {"chat_template": self._source, "tokenize": False, "add_generation_prompt": True}
        return str(self._render(messages, **given, **self._given))


def _turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def _variables(source: str) -> frozenset[str]:
    """Names a template reads and does not set itself; those in its text where jinja cannot parse it."""
    try:
        environment = ImmutableSandboxedEnvironment(extensions=["jinja2.ext.loopcontrols"])
        return frozenset(meta.find_undeclared_variables(environment.parse(_TRACKED.sub("", source))))
    except (TemplateError, RecursionError):
        return frozenset(re.findall(r"\w+", source))
