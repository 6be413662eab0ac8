"""``neuromas engine``: the server of a configuration whose messages vLLM writes, run or printed."""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from neuromas.cli.options import name, whole
from neuromas.core.errors import ConfigError, shown
from neuromas.report.terminal import visible

if TYPE_CHECKING:
    from neuromas.config import Config
    from neuromas.engines.served.command import Server

_PORTS, _CONTEXT, _SERVERS = 65_535, 10_000_000, 10_000
_PROBE = "import importlib.util, sys; sys.exit(importlib.util.find_spec('vllm') is None)"


def add(parser: argparse.ArgumentParser) -> None:
    """Say what may be typed."""
    parser.set_defaults(pairs="settings")
    parser.add_argument("act", choices=("start",), help="run the server here until it is interrupted")
    text = "a configuration with engine.name = 'vllm', and key=value"
    parser.add_argument("settings", nargs="*", metavar="CONFIG", help=text)
    parser.add_argument("--print", action="store_true", dest="only", help="print the command, run nothing")
    text = "an interpreter that has vLLM (default: this one)"
    parser.add_argument("--python", type=name, default=sys.executable, metavar="PROGRAM", help=text)
    parser.add_argument("--host", type=name, default="127.0.0.1", help="to listen at (default 127.0.0.1)")
    text = "which of engine.options.urls this one is (default 1)"
    parser.add_argument("--server", type=whole(_SERVERS), default=1, metavar="N", help=text)
    text = "longest sequence, prompt and message (default: the model's)"
    parser.add_argument("--context", type=whole(_CONTEXT, 0), default=0, metavar="TOKENS", help=text)


def run(args: argparse.Namespace) -> int:
    """Print the command, or become the server."""
    from neuromas.cli.train import config_of
    from neuromas.engines.served.command import ENVIRONMENT, command
    from neuromas.growth.stages import settle

    words = command(args.python, _server(settle(config_of(args.settings)), args))
    if args.only:
        print(visible(shlex.join([*(f"{key}={value}" for key, value in ENVIRONMENT.items()), *words])))
        return 0
    try:
        found = subprocess.run([args.python, "-c", _PROBE], capture_output=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError(f"--python {shown(args.python)} cannot be run ({error})") from error
    if found.returncode:
        raise ConfigError(
            f"{args.python} has no vLLM: it needs an environment of its own (see docs/engines.md), whose "
            "python is named with --python"
        )
    sys.stdout.flush()
    os.execvpe(words[0], words, {**os.environ, **ENVIRONMENT})


def _server(config: Config, args: argparse.Namespace) -> Server:
    """What the configuration's networks need of a server. Raises ConfigError."""
    from neuromas.engines.served import OPTIONS
    from neuromas.engines.served.command import Server

    if config.engine.name != "vllm":
        raise ConfigError(f"engine.name = {shown(config.engine.name)} needs no server; give engine.name=vllm")
    urls = config.engine.options.get("urls", OPTIONS["urls"])
    if not isinstance(urls, list) or args.server > len(urls):
        raise ConfigError(f"--server {args.server}: engine.options.urls is {shown(urls)}")
    from neuromas.engines.served.client import plain_url
    from neuromas.models.backbone import pick_device
    from neuromas.models.precision import chosen

    rank = max((config.model.rank, *config.model.ranks))
    device = pick_device(config.model.device).type
    return Server(
        folder=_folder(config.model.backbone),
        dtype=chosen(config.model.dtype, device),
        adapters=_adapters(config),
        rank=rank,
        host=args.host,
        port=urlsplit(plain_url(urls[args.server - 1])).port or 80,
        context=args.context,
        cpu=device == "cpu",
    )


def _folder(backbone: str) -> str:
    """Where the backbone's files lie. Raises ConfigError, ModelError."""
    from neuromas.models.dims import EMBEDDED, TINY_NAME
    from neuromas.models.embedded import embedded_folder
    from neuromas.models.tokenizer import locate

    if backbone == TINY_NAME:
        raise ConfigError("model.backbone = 'tiny' has no files that a server could read; name another")
    return str((embedded_folder() if backbone == EMBEDDED else locate(backbone)).absolute())


def _adapters(config: Config) -> int:
    """The most adapters that any stage has at once."""
    from neuromas.config import at_stage
    from neuromas.system.network import assign
    from neuromas.topology.files import load_topology

    counts = []
    for index, (shape, _) in enumerate(config.shapes):
        network = (at_stage(config, index) if config.stages else config).network
        counts.append(max(assign(load_topology(shape, network.question), network.share)) + 1)
    return max(counts)
