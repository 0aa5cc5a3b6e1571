"""The window of a home is found by others while it answers, and only then."""

import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from app.beside import Address, announced, find_window
from qfcore.settings import Paths

SHA256 = "ab" * 32


class _Window(BaseHTTPRequestHandler):
    def do_GET(self) -> None:  # noqa: N802
        known = self.headers.get("Authorization") == "Bearer secret"
        body = json.dumps({"home": str(self.server.home), "sha256": SHA256} if known else {"detail": "no"}).encode()
        self.send_response(200 if known else 401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """A home."""
    made = Paths(tmp_path / "home")
    made.prepare()
    return made


@pytest.fixture
def url(paths: Paths) -> Iterator[str]:
    """A window that wants a token."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Window)
    server.home = paths.home
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_window_is_found_while_it_is_open(paths: Paths, url: str) -> None:
    here = Address(url, "secret", SHA256)
    assert find_window(paths, SHA256) is None
    with announced(paths, here):
        (file,) = paths.temporary.iterdir()
        assert file.stat().st_mode & 0o777 == 0o600
        assert find_window(paths, SHA256) == here and find_window(paths, "cd" * 32) is None
        paths.uploads.mkdir()
        (paths.uploads / "lessons.txt").touch()
        paths.empty_uploads()  # after erasing
        assert list(paths.uploads.iterdir()) == [] and find_window(paths, SHA256) == here
        paths.empty_temporary()
        paths.uploads.rmdir()
    assert find_window(paths, SHA256) is None and list(paths.temporary.iterdir()) == []


def test_what_is_no_window_of_this_home_is_passed_over(paths: Paths, url: str, tmp_path: Path) -> None:
    for number, text in enumerate(("{", "[]", json.dumps({"url": "http://127.0.0.1:9", "token": None, "sha256": SHA256}))):
        file = paths.temporary / f"address-{os.getppid() if number else os.getpid()}"
        file.write_text(text)
        assert find_window(paths, SHA256) is None
    (paths.temporary / "address-x").write_text("{}")
    with announced(paths, Address(url, "wrong", SHA256)):
        assert find_window(paths, SHA256) is None
    other = Paths(tmp_path / "other")
    other.prepare()
    with announced(other, Address(url, "secret", SHA256)):  # it answers for another home
        assert find_window(other, SHA256) is None
