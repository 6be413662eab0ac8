"""A prompt file read and checked: one line says which file, which key, which value, and what is valid.

What is checked is what prompts need to keep their promises: every placeholder is known and there, a message
stands on a line that begins with words of the file, lines end where the next section begins, and a plain cue
leaves the model in the middle of a line.
"""

from __future__ import annotations

import hashlib
import tomllib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from neuromas.config import check_plain
from neuromas.core.choices import STYLES
from neuromas.core.errors import ConfigError, PromptError, cut, one_line, shown, unknown
from neuromas.core.files import read_bytes
from neuromas.prompts.template import LINE, PLACE, TURN, Template, built_in, file_name, placeholders

MOST_BYTES = 65_536  # of a file
ROLES = "network.roles"  # the name of a template whose file was made of that key
_MOST_STOP = 16  # characters of a stop rule
_TOP = (*STYLES, "nodes", "examples", "roles")
_FIELDS: Mapping[str, tuple[str, ...]] = {  # keys and the placeholders they may have
    **dict.fromkeys(
        ("system", "role", "header", "cue", "hidden", "output", "hidden_cue", "output_cue"), PLACE
    ),
    "question": ("question",),
    "message": ("label", "text"),
    "example": ("question", "answer"),
}
_STYLE = ("system", "hidden", "output", "question", "message", "example", "hidden_cue", "output_cue", "stop")
_NODE = ("system", "role", "header", "example", "cue", "stop")


def load_template(path: str | Path, style: str) -> Template:
    """The prompt file at ``path``. Raises PromptError with one line on anything wrong with it."""
    try:
        raw = read_bytes(path, MOST_BYTES)
    except OSError as error:
        raise PromptError(f"network.prompt = {shown(str(path))}: {error.strerror or error}") from None
    return read_template(raw, file_name(path), style)


def of_roles(roles: Mapping[str, str], style: str) -> Template:
    """The built-in texts with a role for each of these nodes: that of a prompt file which says no more.

    So such a network is kept and read back as any with a prompt file. Raises PromptError.
    """
    data = {"nodes": {node: {"role": text} for node, text in roles.items()}}
    return read_template(tomli_w.dumps(data).encode("utf-8"), ROLES, style)


def read_template(raw: bytes, name: str, style: str) -> Template:
    """The template of a prompt file's bytes; ``name`` is what errors and reports call it.

    ``style`` is the network's: what the file says of single nodes is for that. Keys that are not given are as
    in the built-in texts. Raises PromptError.
    """
    where = _Where(name)
    try:
        if len(raw) > MOST_BYTES:
            raise ValueError(f"it has {len(raw)} bytes, at most {MOST_BYTES}")
        data = tomllib.loads(raw.decode("utf-8-sig"))
        check_plain(data)
    except (ValueError, RecursionError) as error:
        raise PromptError(f"{name}: is not TOML of plain text: {one_line(error)}") from None
    except ConfigError as error:
        raise PromptError(f"{name}: {error}") from None
    where.only(data, "", _TOP)
    base = built_in()
    styles: dict[str, dict[str, Any]] = {}
    for one in STYLES:
        given = where.table(data, one)
        where.only(given, f"{one}.", _STYLE)
        texts = {key: where.value(f"{one}.{key}", key, value, one) for key, value in given.items()}
        styles[one] = {**base.styles[one], **texts}
    nodes = {}
    for node, given in where.table(data, "nodes").items():
        table = where.table({f"nodes.{node}": given}, f"nodes.{node}")
        where.only(table, f"nodes.{node}.", _NODE)
        nodes[node] = {key: where.value(f"nodes.{node}.{key}", key, v, style) for key, v in table.items()}
    roles = data.get("roles", False)
    if type(roles) is not bool:
        raise where.wrong("roles", roles, "should be true or false")
    # a text for one node alone about who it is, is a role, whatever the file calls it
    roles = roles or any({"role", "system"} & table.keys() for table in nodes.values())
    digest = hashlib.sha256(f"{base.digest}\n".encode() + raw).hexdigest()[:12]
    return Template(digest, styles, nodes, where.shown(data.get("examples", "sink")), roles, name, raw)


@dataclass(frozen=True, slots=True)
class _Where:
    """The file of which errors speak."""

    name: str

    def wrong(self, key: str, value: object, why: str) -> PromptError:
        """One line: file, key, value, and what would be valid."""
        return PromptError(cut(f"{self.name}: {key} = {shown(value)}: {why}"))

    def only(self, table: Mapping[str, Any], prefix: str, valid: tuple[str, ...]) -> None:
        """Raises PromptError for a key that is not one of the valid ones."""
        for key in table:
            if key not in valid:
                names = [f"{prefix}{name}" for name in valid]
                raise PromptError(cut(f"{self.name}: {unknown('key', f'{prefix}{key}', names)}"))

    def table(self, data: Mapping[str, Any], key: str) -> dict[str, Any]:
        """The table under a key, empty where there is none."""
        found = data.get(key, {})
        if not isinstance(found, dict):
            raise self.wrong(key, found, "should be a table")
        return found

    def shown(self, value: Any) -> tuple[str, ...]:
        """Who reads worked examples: a node, or a list of nodes."""
        names = value if isinstance(value, list) else [value]
        if not names or not all(isinstance(name, str) for name in names):
            raise self.wrong("examples", value, "should name nodes: 'sink', 'leaves', 'all', '2/1' or a name")
        return tuple(names)

    def value(self, key: str, kind: str, value: Any, style: str) -> Any:
        """A checked text or stop rule."""
        return self.stop(key, value) if kind == "stop" else self.text(key, kind, value, style)

    def stop(self, key: str, value: Any) -> tuple[str, ...]:
        """One or more rules."""
        rules = value if isinstance(value, list) else [value]
        valid = f"should be {LINE!r}, {TURN!r}, a text of up to {_MOST_STOP} characters, or a list of these"
        for rule in rules:
            if not isinstance(rule, str) or not 0 < len(rule) <= _MOST_STOP:
                raise self.wrong(key, value, valid)
            if rule != rule.strip():
                raise self.wrong(key, value, f"begins or ends with a blank, as most tokens do; {valid}")
        if not rules:
            raise self.wrong(key, value, valid)
        return tuple(rules)

    def text(self, key: str, kind: str, value: Any, style: str) -> str:
        """A text with the placeholders and line ends that prompts need."""
        if not isinstance(value, str):
            raise self.wrong(key, value, "should be text")
        if any(unicodedata.category(c) == "Cc" and c not in "\n\t" for c in value):
            raise self.wrong(key, value, "should have no control characters but line breaks and tabs")
        self._fields(key, kind, value)
        if kind == "message":
            self._message(key, value)
        ending = kind in ("question", "message", "example") or (
            style == "plain" and kind in ("hidden", "output", "header")
        )
        if ending and value and not value.endswith("\n"):
            raise self.wrong(key, value, "should end with a line break (\\n), so that the next line is one")
        if style == "plain" and kind.endswith("cue") and (not value or value != value.rstrip()):
            why = (
                "in the plain style the message goes on where the cue ends, so it should end with a word or "
            )
            raise self.wrong(key, value, f"{why}mark such as ':', not with a blank or a line break")
        return value

    def _fields(self, key: str, kind: str, value: str) -> None:
        """Placeholders are known, and those a text is for are there once."""
        found, valid = placeholders(value), _FIELDS[kind]
        for name in found:
            if name not in valid:
                said = unknown("placeholder", f"{{{name}}}", [f"{{{one}}}" for one in valid])
                raise self.wrong(key, value, f"{said}; write {{{{{name}}}}} for the text {{{name}}}")
        for name in () if valid == PLACE else valid:
            if found.count(name) != 1:
                many = "is missing" if name not in found else "is there more than once"
                raise self.wrong(key, value, f"{{{name}}} {many}")

    def _message(self, key: str, value: str) -> None:
        """A message cannot pass for a line of ours: its line begins with the file's own words."""
        before = value.partition("{text}")[0]
        if "{label}" not in before or not before.rpartition("\n")[2].strip():
            why = "{text} needs {label} before it and words or marks before it on its line, else a message "
            raise self.wrong(key, value, f"{why}could pass for another line")
