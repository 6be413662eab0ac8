"""``neuromas serve``: a trained network behind an OpenAI-compatible address."""

from __future__ import annotations

import argparse
import importlib.util
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from neuromas.cli.network import RUN, add_trust, there
from neuromas.cli.options import name, whole
from neuromas.core.errors import ConfigError, shown
from neuromas.report.terminal import visible

if TYPE_CHECKING:
    from neuromas.serving.gate import Access
    from neuromas.serving.limits import Limits

_KEY = "NEUROMAS_KEY"
_NEEDS = ("fastapi", "uvicorn")
_LEAST_KEY, _MOST_KEYS = 16, 1000


def add(parser: argparse.ArgumentParser) -> None:
    """Say what may be typed."""
    parser.add_argument("path", metavar="RUN", help=f"{RUN}, or an exported network")
    parser.add_argument("--port", type=whole(65_535, 0), default=8000, help="0 is any free one (8000)")
    text = "address to listen on (127.0.0.1); any but loopback needs a key"
    parser.add_argument("--host", type=name, default="127.0.0.1", help=text)
    text = f"file with one key a line; else ${_KEY}; without either, loopback is open to this machine"
    parser.add_argument("--key-file", type=name, metavar="FILE", help=text)
    parser.add_argument("--name", type=name, help="what clients call the model (the folder's name)")
    text = "earlier turns of a conversation: refuse them, or join them before the question (refuse)"
    parser.add_argument("--turns", choices=("refuse", "join"), default="refuse", help=text)
    text = "requests a minute of one key, 0: any number (0)"
    parser.add_argument("--per-minute", type=whole(10**6, 0), default=0, metavar="N", help=text)
    text = "requests of one key under way (128)"
    parser.add_argument("--at-once", type=whole(10**4), default=128, metavar="N", help=text)
    text = "requests that may wait for the network (256)"
    parser.add_argument("--waiting", type=whole(10**5), default=256, metavar="N", help=text)
    text = "requests played together at most (32)"
    parser.add_argument("--batch", type=whole(4096), default=32, metavar="N", help=text)
    text = "milliseconds to wait for others before a rollout (5)"
    parser.add_argument("--window", type=whole(10_000, 0), default=5, metavar="MS", help=text)
    text = "characters of a question (32000)"
    parser.add_argument("--question", type=whole(10**7), default=32_000, metavar="N", help=text)
    parser.add_argument("--quiet", action="store_true", help="no line a request")
    add_trust(parser, model=True)


def run(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C."""
    missing = [package for package in _NEEDS if importlib.util.find_spec(package) is None]
    if missing:
        raise ConfigError(f"serve needs {' and '.join(missing)}: pip install 'neuromas[serve]'")
    there(args.path)
    served = _name(args)
    access = _access(args.host, _keys(args.key_file))
    from neuromas.serving.server import Running, bind

    bound = bind(args.host, args.port)  # a port in use is said before a model is loaded
    from neuromas.api import load
    from neuromas.serving.app import Offer
    from neuromas.serving.playing import Player

    trained = load(args.path, args.device, args.backbone, args.trust)
    offer = Offer(served, args.turns, access, _limits(args))
    running = Running(Player(trained.assembly), offer, _quiet if args.quiet else _log)
    bound.listen()  # who reads the line below may ask at once
    host, port = bound.getsockname()[:2]
    where = f"http://{f'[{host}]' if ':' in host else host}:{port}/v1"
    nodes = len(trained.topology.nodes)
    print(f"serving {visible(shown(served))} ({nodes} nodes) at {where}; Ctrl-C ends it", flush=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt):  # uvicorn hands the signal on after it has ended in order
        running.run(bound)
    print("ended", flush=True)
    return 0


def _name(args: argparse.Namespace) -> str:
    """What clients call the network."""
    served: str = args.name or Path(args.path).resolve().name
    if not served.isprintable() or len(served) > 200:
        raise ConfigError(f"--name {shown(served)}: a name has up to 200 printable characters")
    return served


def _limits(args: argparse.Namespace) -> Limits:
    from neuromas.serving.limits import Limits

    return Limits(
        body=max(1 << 20, 8 * args.question),  # JSON may write a character in several bytes
        question=args.question,
        per_minute=args.per_minute,
        at_once=args.at_once,
        waiting=args.waiting,
        batch=args.batch,
        window=args.window / 1000,
    )


def _access(host: str, keys: tuple[str, ...]) -> Access:
    """Who may ask at this address. Raises ConfigError where anybody on the network could, without a key."""
    from neuromas.serving.gate import ANYWHERE, LOOPBACK, Access

    if host in LOOPBACK:
        return Access(LOOPBACK, keys)
    if not keys:
        text = f"--host {shown(host)} lets other machines ask: give --key-file FILE or ${_KEY}"
        raise ConfigError(f"{text}, or leave it at 127.0.0.1")
    print(
        visible(
            f"warning: {host} is reached by other machines; the key, questions and answers travel unencrypted"
        ),
        file=sys.stderr,
    )
    return Access(frozenset() if host in ANYWHERE else LOOPBACK | {host.lower()}, keys)


def _keys(file: str | None) -> tuple[str, ...]:
    """The keys, none where none is wanted. Raises ConfigError without showing one."""
    if file is None:
        if _KEY not in os.environ:
            return ()
        found, whence = [os.environ[_KEY]], f"${_KEY}"
    else:
        path, whence = Path(file), f"--key-file {shown(file)}"
        try:
            if path.stat().st_mode & 0o077:
                print(visible(f"warning: {whence} can be read by others: chmod 600"), file=sys.stderr)
            with path.open(encoding="utf-8") as lines:
                found = [line.strip() for line in lines.read(1 << 20).splitlines() if line.strip()]
        except UnicodeDecodeError:
            raise ConfigError(f"{whence} is not text") from None
    if not 0 < len(found) <= _MOST_KEYS:
        raise ConfigError(f"{whence} holds {len(found)} keys; it takes 1 to {_MOST_KEYS}, one a line")
    for place, key in enumerate(found, 1):
        if len(key) < _LEAST_KEY or not (key.isascii() and key.isprintable()) or " " in key:
            raise ConfigError(
                f"{whence}: key {place} is not {_LEAST_KEY} or more printable ASCII characters without spaces"
            )
    return tuple(found)


def _log(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _quiet(line: str) -> None:
    """Nothing."""
