"""A server on loopback that speaks vLLM's part of the OpenAI protocol with our own sampler behind it.

``fault`` makes it wrong in one of the ways that vLLM was seen, or could be thought, to be.
"""

from __future__ import annotations

import itertools
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import torch
from safetensors.torch import load_file

from neuromas.engines.base import Generation, Request
from neuromas.engines.local.sampler import generate
from neuromas.models.adapters import LoraSpec
from neuromas.models.backbone import load_backbone
from neuromas.models.resident import ResidentModel

BASE = "served"


class StubVllm:
    """``with StubVllm() as stub: stub.url``; ``stub.asked`` are the bodies of completions, ``stub.loaded``
    and ``stub.unloaded`` what came of adapters, ``stub.most`` how many requests were there at once."""

    def __init__(self, fault: str = "", rank: int = 4, alpha: float = 6.0, key: str = "none") -> None:
        backbone = load_backbone("tiny", "float32", "cpu")
        self.model = ResidentModel.around(backbone, LoraSpec(rank, alpha), 1, 0)
        self.fault, self.key = fault, key
        self.rows: dict[str, int] = {BASE: 0}
        self.paths: dict[str, str] = {}
        self.first: dict[str, int] = {}
        self.asked: list[dict] = []
        self.loaded: list[tuple[str, str]] = []
        self.unloaded: list[str] = []
        self.failing: list[int] = []  # statuses of the next completions
        self._count = itertools.count()  # the requests, one by one: two threads never get the same
        self.hold = 0.0  # seconds before an answer
        self.here = self.most = 0
        self._lock, self._queue = threading.Lock(), threading.Lock()
        self._waiting: list[tuple[Request, tuple[float, frozenset[int]], list[Generation]]] = []
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> StubVllm:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path: str, body: dict) -> tuple[int, dict | str]:
        """Status and answer of one request."""
        if path == "/v1/models":
            rows = [{"id": BASE, "root": "x", "parent": None, "max_model_len": 2048}]
            return 200, {"data": rows + [{"id": one, "parent": BASE} for one in self.paths]}
        if path == "/v1/load_lora_adapter":
            return self._load(body["lora_name"], body["lora_path"])
        if path == "/v1/unload_lora_adapter":
            self.unloaded.append(body["lora_name"])
            self.paths.pop(body["lora_name"], None)
            known = self.rows.pop(body["lora_name"], None) is not None
            return (200, "ok") if known else (404, {"error": "?"})
        return self._complete(body) if path == "/v1/completions" else (404, {"error": path})

    def _load(self, name: str, path: str) -> tuple[int, dict | str]:
        if self.fault == "no-runtime":
            return 404, {"detail": "Not Found"}
        if name in self.rows:
            return 400, {"error": {"message": f"The lora adapter '{name}' has already been loaded."}}
        config = json.loads((Path(path) / "adapter_config.json").read_text())
        tensors, bank = load_file(Path(path) / "adapter_model.safetensors"), self.model.bank
        if config["r"] > 8 or config["lora_alpha"] != bank.spec.alpha:
            return 400, {"error": {"message": f"LoRA rank {config['r']} is greater than max_lora_rank"}}
        start = "base_model.model."
        pieces = [tensors[f"{start}{one.path}.lora_{ab}.weight"] for one in bank.slots for ab in "AB"]
        row = bank.append(torch.cat([piece.reshape(-1) for piece in pieces]))
        node = name.split("-")[2]
        if self.fault == "stale" and len(self.loaded) >= 2:  # the two that probe are as they should be
            row = self.first.setdefault(node, row)
        self.rows[name], self.paths[name] = row, path
        self.loaded.append((name, path))
        return 200, "Success"

    def _complete(self, body: dict) -> tuple[int, dict]:
        self.asked.append(body)
        if self.failing:
            return self.failing.pop(0), {"error": {"message": "hostile\n" * 3}}
        if body["model"] not in self.rows:
            return 404, {"error": {"message": f"The model `{body['model']}` does not exist."}}
        time.sleep(self.hold)
        row, heat, seed = self.rows[body["model"]], body["temperature"], body["seed"]
        row = {"base": 0, "swap": max(1, len(self.model.bank.ranks) - row)}.get(self.fault, row)
        heat = 1.0 if self.fault == "hot" and heat else heat
        seed = next(self._count) if self.fault == "unseeded" else seed
        seed = 7 if self.fault == "deaf" else seed
        prompt = body["prompt"][: -3 if self.fault == "cut" else None]
        request = Request(row, tuple(prompt), (), body["max_tokens"], seed)
        out = self._draw(request, (heat, frozenset(body["stop_token_ids"])))
        ids, logprobs = list(out.ids), list(out.logprobs)
        if self.fault == "short":
            ids, logprobs = ids[:1], logprobs[:1]
        choice = {"token_ids": ids, "logprobs": {"token_logprobs": logprobs}, "finish_reason": "stop"}
        if self.fault == "old":
            del choice["token_ids"]
        echo = body["prompt"][1:] if self.fault == "lost" else body["prompt"]
        return 200, {"model": body["model"], "choices": [{**choice, "prompt_token_ids": echo}]}


    def _draw(self, request: Request, how: tuple[float, frozenset[int]]) -> Generation:
        """Whoever has the lock draws for all who wait and ask for the same distribution."""
        mine: list[Generation] = []
        with self._queue:
            self._waiting.append((request, how, mine))
        with self._lock:
            if not mine:
                with self._queue:
                    batch = [one for one in self._waiting if one[1] == how]
                    self._waiting = [one for one in self._waiting if one[1] != how]
                torch.set_num_threads(1)
                drawn = generate(self.model.backbone, self.model.bank, [one[0] for one in batch], *how)
                for (_, _, out), message in zip(batch, drawn, strict=True):
                    out.append(message)
        return mine[0]


class _Server(ThreadingHTTPServer):
    daemon_threads, block_on_close, request_queue_size = True, False, 256


def _handler(stub: StubVllm) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1

        def _do(self) -> None:
            size = int(self.headers.get("content-length", 0))
            body = json.loads(self.rfile.read(size) or b"{}")
            stub.here += 1
            stub.most = max(stub.most, stub.here)
            if self.headers["authorization"] == f"Bearer {stub.key}":
                status, said = stub.answer(self.path, body)
            else:
                status, said = 401, {"error": {"message": "wrong key"}}
            stub.here -= 1
            text = json.dumps(said).encode()
            if stub.fault == "garbled" and self.path == "/v1/completions":
                text = b'{"choices": [{'
            try:
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("retry-after-ms", "1")
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)
            except OSError:
                self.close_connection = True  # who asked has gone

        do_GET = do_POST = _do

        def log_message(self, *args: object) -> None:
            pass

    return Handler
