"""An OpenAI-compatible endpoint on loopback that says what a test wants, and notes what it was asked."""

from __future__ import annotations

import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def completion(text, finish="stop", read=10, wrote=2, **more):
    """A chat completion as plain data."""
    message = {"role": "assistant", "content": text}
    usage = {"prompt_tokens": read, "completion_tokens": wrote}
    choice = {"index": 0, "finish_reason": finish, "message": message}
    return {"model": "stub-1", "system_fingerprint": "fp-1", "choices": [choice], "usage": usage} | more


class Stub(ThreadingHTTPServer):
    """``answer(body, number)`` gives plain data, or (status, headers, bytes), or seconds to be silent."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, answer):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer, self.bodies, self.headers, self.times = answer, [], [], []
        self.lock, self.under_way, self.most = threading.Lock(), 0, 0

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/v1"

    def handle_error(self, request, client_address):
        """Callers that hang up are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        """Nothing on the terminal."""

    def do_POST(self):
        stub = self.server
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        with stub.lock:
            number = len(stub.bodies)
            stub.bodies.append(body)
            stub.headers.append({name.lower(): value for name, value in self.headers.items()})
            stub.times.append(time.monotonic())
            stub.under_way += 1
            stub.most = max(stub.most, stub.under_way)
        try:
            found = stub.answer(body, number)
            if isinstance(found, float):
                time.sleep(found)
                found = completion("late")
            status, headers, raw = (
                found if isinstance(found, tuple) else (200, {}, json.dumps(found).encode())
            )
        finally:
            with stub.lock:
                stub.under_way -= 1
        self.send_response(status)
        for name, value in {"content-type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)


def refusal(status, message="no", **headers):
    """An error as endpoints word it; repeated tries come at once unless ``headers`` say otherwise."""
    raw = json.dumps({"error": {"message": message, "type": "t", "code": None}}).encode()
    return status, {"retry-after-ms": "5"} | headers, raw


@contextmanager
def serving(answer):
    """The stub while it runs."""
    stub = Stub(answer)
    thread = threading.Thread(target=stub.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield stub
    finally:
        stub.shutdown()
        thread.join()
        stub.server_close()
