"""The service and the chat as processes of their own, with the signals people send them."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
import urllib.request

import pytest
from servers import question

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run of the tiny model that answers in up to 1500 tokens, which takes it seconds."""
    import neuromas

    config = neuromas.make_config(
        {
            "model": {"backbone": "tiny", "dtype": "float32", "device": "cpu"},
            "network": {"topology": "2-1", "question": "all", "message_tokens": 4, "answer_tokens": 1500},
            "train": {"steps": 1, "problems": 1, "samples": 2},
            "evaluate": {"test": 1, "every": 0},
        }
    )
    return neuromas.train(config, tmp_path_factory.mktemp("run") / "tiny").path


def started(words, **options):
    return subprocess.Popen([sys.executable, "-m", "neuromas.cli", *words], **options)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_service_in_order(run, number):
    words = ["serve", str(run), "--port", "0", "--name", "tiny"]
    process = started(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        url = re.search(r"http://\S+/v1", process.stdout.readline())[0]
        body = json.dumps(question(max_tokens=3)).encode()
        with urllib.request.urlopen(f"{url}/chat/completions", body, timeout=60) as answer:
            assert json.load(answer)["choices"][0]["finish_reason"] == "length"
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, out) == (0, "ended\n")
    assert re.fullmatch(r"POST /v1/chat/completions 200 [\d.]+ s\n", err)


class Terminal:
    """A process on a terminal of its own."""

    def __init__(self, words):
        self.pid, self._file = pty.fork()
        if self.pid == 0:
            os.execv(sys.executable, [sys.executable, "-m", "neuromas.cli", *words])
        self.text = ""

    def until(self, found, seconds=90):
        """Read until something is there."""
        end = time.monotonic() + seconds
        while found not in self.text:
            assert time.monotonic() < end, self.text[-2000:]
            if select.select([self._file], [], [], 0.1)[0]:
                try:
                    self.text += os.read(self._file, 65536).decode("utf-8", "replace")
                except OSError:  # it has ended
                    assert found in self.text, self.text[-2000:]

    def type(self, text):
        self.text = ""
        os.write(self._file, text.encode())


def test_ctrl_c_ends_an_answer_and_ctrl_d_the_chat(run):
    terminal = Terminal(["chat", str(run), "--temperature", "1"])
    terminal.until("> ")
    terminal.type("What?\n")
    terminal.until("2.1 answers │")
    terminal.type("\x03")
    terminal.until("(ended)")
    terminal.until("> ")
    terminal.type("\x03")
    terminal.until("> ")
    terminal.type("/help\n")
    terminal.until("/quit")
    terminal.type("\x04")
    _, status = os.waitpid(terminal.pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert "\x1b[?25h" in terminal.text or "\x1b[?25l" not in terminal.text  # the cursor is shown again
