"""A tiny network that answers, and servers over it on free ports of this machine."""

from __future__ import annotations

import json
import threading
import time
from contextlib import contextmanager
from http.client import HTTPConnection

MODEL = "tiny"


def make_player(**network):
    """A network of three nodes that all read the question, with adapters drawn at random."""
    import torch

    import neuromas
    from neuromas.serving.playing import Player

    config = neuromas.make_config(
        {
            "model": {"backbone": "tiny", "dtype": "float32", "device": "cpu"},
            "network": {
                "topology": "2-1",
                "question": "all",
                "message_tokens": 4,
                "answer_tokens": 10,
                **network,
            },
        }
    )
    assembly = neuromas.untrained(config).assembly
    draw = torch.Generator().manual_seed(0)
    for row in range(len(assembly.model.bank.parameters)):  # nodes differ from each other and the backbone
        for _, _, up in assembly.model.bank.factors(row):
            up.copy_(torch.randn(up.shape, generator=draw) * 0.3)
    return Player(assembly)


class Server:
    """A server in a thread of this process, its log, and a plain client."""

    def __init__(self, player, offer):
        from neuromas.serving.server import Running, bind

        self.lines = []
        self.running = Running(player, offer, self.lines.append)
        self.batcher = self.running.service.batcher
        bound = bind("127.0.0.1", 0)
        self.port = bound.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self._thread = threading.Thread(target=self.running.run, args=(bound,), daemon=True)
        self._thread.start()
        self.until(lambda: self.running.started)

    def until(self, holds, seconds=10.0):
        """Wait until something holds, or fail."""
        end = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < end, "waited in vain"
            time.sleep(0.005)

    def ask(self, body=None, path="/v1/chat/completions", method=None, **headers):
        """Status, headers and JSON of one request; ``body`` is bytes or an object."""
        raw = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        line = HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            named = {key.replace("_", "-"): value for key, value in headers.items()}
            line.request(method or ("GET" if raw is None else "POST"), path, raw, named)
            answer = line.getresponse()
            return answer.status, answer.headers, json.loads(answer.read() or b"null")
        finally:
            line.close()

    def end(self):
        self.running.stop()
        self._thread.join(20)
        assert not self._thread.is_alive()


@contextmanager
def serving(player, **settings):
    """A server over the player; settings are those of ``Offer``."""
    from neuromas.serving.app import Offer

    server = Server(player, Offer(settings.pop("name", MODEL), **settings))
    try:
        yield server
    finally:
        server.end()


def question(text="What is 1 + 1?", **more):
    """The body of a request."""
    return {"model": MODEL, "messages": [{"role": "user", "content": text}], **more}


class Held:
    """A player whose rollouts wait until they are let go; counts what came to be played."""

    def __init__(self, player):
        self._player, self.free, self.batches = player, threading.Event(), []

    def __getattr__(self, name):
        return getattr(self._player, name)

    def play(self, asked):
        self.batches.append([ask.problem.question for ask, _ in asked])
        assert self.free.wait(20)
        return self._player.play(asked)
