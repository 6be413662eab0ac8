"""``neuromas serve``: what is refused before a model is loaded, and who may ask where."""

from __future__ import annotations

import importlib.util
import os
import socket

import pytest

from neuromas.cli.serve import _access, _keys
from neuromas.core.errors import ConfigError
from neuromas.serving.gate import LOOPBACK
from neuromas.storage import MANIFEST

KEY = "0123456789abcdef"


@pytest.fixture
def network(tmp_path, monkeypatch):
    """A folder that looks like a network until it is opened."""
    monkeypatch.delenv("NEUROMAS_KEY", raising=False)
    (tmp_path / MANIFEST).write_text("{}")
    return str(tmp_path)


def test_what_is_refused_at_once(cli_line, network, monkeypatch, tmp_path):
    assert "does not exist" in cli_line("serve", str(tmp_path / "nothing"))
    said = cli_line("serve", network, "--host", "192.0.2.1")
    assert "--host '192.0.2.1' lets other machines ask: give --key-file FILE or $NEUROMAS_KEY" in said
    assert "is more than 65535" in cli_line("serve", network, "--port", "65536")
    assert "No such file" in cli_line("serve", network, "--key-file", str(tmp_path / "none"))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        said = cli_line("serve", network, "--port", port)
        assert f"cannot listen on '127.0.0.1' port {port}: Address already" in said
    assert "name has up to 200 printable" in cli_line("serve", network, "--name", "a\x1b[2J")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "serve needs fastapi and uvicorn: pip install 'neuromas[serve]'" in cli_line("serve", network)


def test_keys_come_from_a_file_or_the_environment(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("NEUROMAS_KEY", raising=False)
    assert _keys(None) == ()
    monkeypatch.setenv("NEUROMAS_KEY", KEY)
    assert _keys(None) == (KEY,)
    file = tmp_path / "keys"
    file.write_text(f"\n{KEY}1\n  {KEY}2  \n")
    os.chmod(file, 0o600)
    assert _keys(str(file)) == (f"{KEY}1", f"{KEY}2")
    assert capsys.readouterr().err == ""
    os.chmod(file, 0o644)
    _keys(str(file))
    assert "can be read by others: chmod 600" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "holds 0 keys; it takes 1 to 1000"),
        (b"short", "key 1 is not 16 or more printable ASCII characters"),
        (KEY.encode() + b"\nwith a space in it", "key 2 is not"),
        (b"\xff\xfe", "is not text"),
    ],
)
def test_bad_keys_are_refused_without_being_shown(tmp_path, content, says):
    file = tmp_path / "keys"
    file.write_bytes(content)
    os.chmod(file, 0o600)
    with pytest.raises(ConfigError, match=says) as refused:
        _keys(str(file))
    assert KEY not in str(refused.value)


def test_an_empty_key_in_the_environment_is_no_open_door(monkeypatch):
    monkeypatch.setenv("NEUROMAS_KEY", "")
    with pytest.raises(ConfigError, match="NEUROMAS_KEY: key 1"):
        _keys(None)


def test_who_may_ask_where(capsys):
    assert _access("127.0.0.1", ()).hosts == LOOPBACK
    assert capsys.readouterr().err == ""
    named = _access("Box.example", (KEY,))
    hosts = ("box.example:8000", "localhost", "evil")
    assert [named.named(host) for host in hosts] == [True, True, False]
    assert "travel unencrypted" in capsys.readouterr().err
    everywhere = _access("0.0.0.0", (KEY,))
    assert everywhere.named("any.name")
    assert not everywhere.own("https://any.name")
