"""A server on this computer that speaks the hub's protocol, and can be told to misbehave."""

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT, OLD = "c0ffee" + "0" * 34, "badbed" + "0" * 34
DATA = bytes(range(256)) * 20_000  # 5 MB
Files = dict[str, bytes]
FILES: Files = {
    "model-q4.gguf": DATA, "model-q8.gguf": DATA[::-1], "big-00001-of-00002.gguf": b"x" * 9, "README.md": b"hello"
}  # fmt: skip
"""What the repository `people/pairs-GGUF` holds; `people/one-GGUF` has the first only."""
_LARGE = (".gguf", ".safetensors", ".bin")
"""Files that the hub stores by their SHA-256; of others it tells git's hash."""


class HubServer(ThreadingHTTPServer):
    """The hub. Its attributes may be changed while it runs.

    asked: (path, Range, Authorization) of each request. break_after: end each file after so many bytes. ranges: obey Range.
    claimed_sha256: said instead of the true one. redirects: files are sent from another path, of the server redirects_to
    where one is named. refused: (status, X-Error-Code) of every answer about files, or None; refused_at_once: also of
    questions about repositories.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[tuple[str, str | None, str | None]] = []
        self.break_after: int | None = None
        self.ranges, self.redirects, self.refused_at_once = True, False, False
        self.claimed_sha256: str | None = None
        self.redirects_to = ""
        self.refused: tuple[int, str] | None = None
        self.files, self.branches = FILES, {"main": COMMIT, "stable": OLD}

    @property
    def endpoint(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def hub_server() -> Iterator[HubServer]:
    """A running hub."""
    made = HubServer()
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    try:
        yield made
    finally:
        made.shutdown()
        thread.join()
        made.server_close()


def git_hash(data: bytes) -> str:
    """What git calls a file."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: HubServer

    def do_GET(self) -> None:  # noqa: N802
        self.server.asked.append((self.path, self.headers.get("Range"), self.headers.get("Authorization")))
        if match := re.fullmatch(r"/api/models/people/([\w-]+?)(-GGUF)?(/revision/(\w+))?(\?.*)?", self.path):
            if self.server.refused_at_once:
                return self._refuse()
            return self._info(match[1], match[2] or "", match[4] or COMMIT)
        if match := re.fullmatch(r"/people/[\w-]+/resolve/(\w+)/(.+)", self.path):
            if self.server.refused:
                return self._refuse()
            if self.server.redirects:
                return self._send(302, b"", {"Location": f"{self.server.redirects_to}/elsewhere/{match[2]}?signed=1"})
            return self._file(self.server.files[match[2]])
        if match := re.fullmatch(r"/elsewhere/(.+)\?signed=1", self.path):
            return self._file(self.server.files[match[1]])
        return self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"})

    def _refuse(self) -> None:
        status, code = self.server.refused
        self._send(status, b"{}", {"X-Error-Code": code} if code else {})

    def _info(self, repo: str, ending: str, commit: str) -> None:
        commit = self.server.branches.get(commit, commit)
        if commit not in (COMMIT, OLD):
            return self._send(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        files = self.server.files
        names = list(files)[:1] if repo == "one" else [] if repo == "empty" else list(files)
        siblings = [self._sibling(name, files[name]) for name in names]
        body = {"_id": "1", "id": f"people/{repo}{ending}", "sha": commit, "siblings": siblings, "private": False,
                "downloads": 0, "likes": 0, "tags": []}  # fmt: skip
        self._send(200, json.dumps(body).encode(), {"Content-Type": "application/json"})

    def _sibling(self, name: str, data: bytes) -> dict:
        told = {"rfilename": name, "size": len(data), "blobId": git_hash(data)}
        if name.endswith(_LARGE):
            sha256 = self.server.claimed_sha256 or hashlib.sha256(data).hexdigest()
            told["lfs"] = {"size": len(data), "sha256": sha256, "pointerSize": 1}
        return told

    def _file(self, data: bytes) -> None:
        begin = int(re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "bytes=0-"))[1])
        if not self.server.ranges:
            begin = 0
        part, broken = data[begin:], self.server.break_after
        status = 206 if begin else 200
        headers = {"Content-Range": f"bytes {begin}-{len(data) - 1}/{len(data)}"} if begin else {}
        self._send(status, part, headers, only=broken)
        if broken is not None and broken < len(part):
            self.close_connection = True

    def _send(self, status: int, body: bytes, headers: dict[str, str], only: int | None = None) -> None:
        self.send_response(status)
        for name, value in {**headers, "X-Repo-Commit": COMMIT, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body if only is None else body[:only])

    def log_message(self, *_: object) -> None:
        pass
