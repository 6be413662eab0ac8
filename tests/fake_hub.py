"""A hub of models in this process, on loopback: enough of the protocol for create, upload, list and download.

Content is kept in memory by repository. It asks for a token where the real one does, refuses a card whose
metadata are no YAML of the known form, and can be told to refuse the next commit.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

TOKEN = "hf_aTokenNobodyMayEverSee"
LICENCES = {"apache-2.0", "mit", "cc-by-4.0", "other"}


@dataclass
class Repo:
    """One repository: its files, how often they were committed, who reads it."""

    private: bool
    files: dict[str, bytes] = field(default_factory=dict)
    commits: int = 0

    @property
    def sha(self) -> str:
        """The name of its newest commit."""
        return hashlib.sha1(repr((self.commits, sorted(self.files))).encode()).hexdigest()


@dataclass
class Hub:
    """The server's state, for tests to look at. ``asked`` are all requests, as method and path."""

    url: str = ""
    repos: dict[str, Repo] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)
    refuse_commit: int = 0


def card_faults(text: str) -> list[str]:
    """What the hub would say of a card's metadata."""
    found = re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)
    if not found:
        return ["no metadata"]
    data = yaml.safe_load(found[1])
    faults = [] if isinstance(data, dict) else ["metadata are no mapping"]
    if not faults:
        base, licence, tags = data.get("base_model"), data.get("license"), data.get("tags", [])
        if base is not None and not re.fullmatch(r"[\w.-]+/[\w.-]+", base):
            faults.append(f"base_model {base!r}")
        if licence is not None and licence not in LICENCES:
            faults.append(f"license {licence!r}")
        if not all(isinstance(tag, str) for tag in tags):
            faults.append("tags")
        for one in data.get("model-index", []):
            if not isinstance(one["name"], str):
                faults.append("model-index name")
            for result in one["results"]:
                if not ({"type"} <= result["task"].keys() and {"type", "name"} <= result["dataset"].keys()):
                    faults.append("model-index result")
                faults += [
                    "metric" for metric in result["metrics"] if not isinstance(metric["value"], int | float)
                ]
    return faults


@contextmanager
def fake_hub() -> Iterator[Hub]:
    """A hub that answers at ``url`` until the block ends."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: Any) -> None:
        """Nothing on the terminal."""

    def _say(self, status: int, data: Any = b"", headers: dict[str, str] | None = None) -> None:
        body = data if isinstance(data, bytes) else json.dumps(data).encode()
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _handle(self) -> None:
        body, path = self._body(), unquote(urlsplit(self.path).path)
        self.hub.asked.append(f"{self.command} {path}")
        free = self.command in ("GET", "HEAD") or "/upload/" in path or "validate-yaml" in path
        if not free and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._say(401, {"error": "who are you?"})
        for pattern, answer in _ROUTES:
            if found := re.fullmatch(pattern, f"{self.command} {path}"):
                return answer(self, body, *found.groups())
        return self._say(404, {"error": f"{self.command} {path}"}, {"X-Error-Code": "RepoNotFound"})

    do_GET = do_POST = do_PUT = do_HEAD = _handle

    def create(self, body: bytes) -> None:
        """A new repository; the owner is ``joe``."""
        about = json.loads(body)
        owner = about.get("organization") or "joe"
        name = f"{owner}/{about['name']}"
        made = {"url": f"{self.hub.url}/{name}"}
        if owner != "joe":
            return self._say(403, {"error": f"you are not {owner}"})
        if name in self.hub.repos:
            return self._say(409, made)
        private = about.get("private") is True or about.get("visibility") == "private"
        self.hub.repos[name] = Repo(private)
        return self._say(200, made)

    def info(self, body: bytes, name: str, revision: str | None = None) -> None:
        """What is in it."""
        repo = self.hub.repos.get(name)
        if repo is None or (revision not in (None, "main", repo.sha)):
            return self._say(404, {"error": "nothing there"}, {"X-Error-Code": "RepoNotFound"})
        files = [{"rfilename": file} for file in repo.files]
        return self._say(200, {"id": name, "sha": repo.sha, "private": repo.private, "siblings": files})

    def tree(self, body: bytes, name: str) -> None:
        """The same as a list."""
        files = self.hub.repos[name].files
        rows = [{"type": "file", "path": f, "size": len(c), "oid": _oid(c)} for f, c in files.items()]
        return self._say(200, rows)

    def yaml(self, body: bytes) -> None:
        """Whether a card's metadata will do."""
        faults = card_faults(json.loads(body)["content"])
        said = {"errors": [{"message": one} for one in faults], "warnings": []}
        return self._say(400 if faults else 200, said)

    def preupload(self, body: bytes, name: str) -> None:
        """Which files go as large ones."""
        files = [
            {
                "path": one["path"],
                "uploadMode": "lfs" if one["path"].endswith(".safetensors") else "regular",
                "shouldIgnore": False,
            }
            for one in json.loads(body)["files"]
        ]
        return self._say(200, {"files": files})

    def batch(self, body: bytes, name: str) -> None:
        """Where large files are put; nowhere if they are here already."""
        rows: list[dict[str, Any]] = []
        for one in json.loads(body)["objects"]:
            place = {"href": f"{self.hub.url}/upload/{one['oid']}"}
            actions = {} if one["oid"] in self.hub.objects else {"actions": {"upload": place}}
            rows.append({"oid": one["oid"], "size": one["size"], **actions})
        return self._say(200, {"transfer": "basic", "objects": rows})

    def upload(self, body: bytes, oid: str) -> None:
        """A large file."""
        self.hub.objects[oid] = body
        self.hub.sent.append(oid)
        return self._say(200)

    def commit(self, body: bytes, name: str) -> None:
        """All at once, or nothing."""
        if self.hub.refuse_commit:
            return self._say(self.hub.refuse_commit, {"error": f"no room, {self.headers['Authorization']}"})
        repo, new = self.hub.repos[name], {}
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                new[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                new[value["path"]] = self.hub.objects[value["oid"]]
        repo.files |= new
        repo.commits += 1
        url = f"{self.hub.url}/{name}/commit/{repo.sha}"
        return self._say(200, {"success": True, "commitUrl": url, "commitOid": repo.sha})

    def file(self, body: bytes, name: str, revision: str, file: str) -> None:
        """One file, or what is known of it."""
        repo = self.hub.repos.get(name)
        if repo is None or file not in repo.files:
            return self._say(404, b"", {"X-Error-Code": "EntryNotFound"})
        content = repo.files[file]
        headers = {"ETag": f'"{_oid(content)}"', "X-Repo-Commit": repo.sha, "Accept-Ranges": "bytes"}
        return self._say(200, content, headers)


def _oid(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


_NAME = r"([\w.-]+/[\w.-]+)"
_ROUTES = [
    (r"POST /api/repos/create", _Handler.create),
    (rf"GET /api/models/{_NAME}", _Handler.info),
    (rf"GET /api/models/{_NAME}/revision/([\w.-]+)", _Handler.info),
    (rf"GET /api/models/{_NAME}/tree/[\w.-]+", _Handler.tree),
    (r"POST /api/validate-yaml", _Handler.yaml),
    (rf"POST /api/models/{_NAME}/preupload/main", _Handler.preupload),
    (rf"POST /{_NAME}\.git/info/lfs/objects/batch", _Handler.batch),
    (r"PUT /upload/(\w+)", _Handler.upload),
    (rf"POST /api/models/{_NAME}/commit/main", _Handler.commit),
    (rf"(?:GET|HEAD) /{_NAME}/resolve/([\w.-]+)/(.+)", _Handler.file),
]
