"""What a browser sees while the model is loaded and prepared, before the window itself is served: how far it is."""

import contextlib
import html
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from app import words
from qfcore.runtime.protocol import Progress

HTTP_PORT = 80
"""The port that browsers leave out."""
STATUS = "/api/status"
_READ = 1 << 20
"""Bytes of a request's body that are read, and dropped."""
_PAGE = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="1">'
    "<title>{title}</title>"
    "<style>:root {{ color-scheme: light dark }} body {{ font: 16px system-ui; max-width: 40em; margin: 20vh auto }}</style>"
    '</head><body><h1>{title}</h1><p role="status">{text}</p></body></html>'
)
_HEADERS = {
    "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Retry-After": "1",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
}  # fmt: skip


def hosts_of(host: str, port: int) -> tuple[str, ...]:
    """What browsers on this computer write into Host for a server at `port` of its address `host`."""
    names = (host, "localhost")
    return (*(f"{name}:{port}" for name in names), *(names if port == HTTP_PORT else ()))


class _Room(ThreadingHTTPServer):
    """Answers everything with 503 and the same sentence."""

    daemon_threads, block_on_close = True, False

    def __init__(self, host: str, port: int) -> None:
        super().__init__((host, port), _Handler)
        self.hosts = hosts_of(host, port)
        self.text = words.STARTING

    def handle_error(self, request: object, client_address: object) -> None:
        """A browser that goes away is no error."""


class _Handler(BaseHTTPRequestHandler):
    server: _Room

    def do_GET(self) -> None:  # noqa: N802 - http.server's name
        if self.headers.get("Host") not in self.server.hosts:  # a foreign name that leads here
            self._answer(403, "text/plain", "")
        elif self.path.partition("?")[0] == STATUS:
            self._answer(503, "application/json", json.dumps({"preparing": self.server.text}))
        else:
            self._answer(503, "text/html", _PAGE.format(title=words.TITLE, text=html.escape(self.server.text)))

    def do_POST(self) -> None:  # noqa: N802 - a page that was open before asks as it did; Gradio then says: busy
        length = self.headers.get("Content-Length", "0")
        self.rfile.read(min(int(length), _READ) if length.isdecimal() else 0)  # what is left unread resets the connection
        self.do_GET()

    def _answer(self, status: int, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        for name, value in {**_HEADERS, "Content-Type": f"{kind}; charset=utf-8", "Content-Length": len(body)}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing: the terminal shows the progress itself."""


@contextmanager
def waiting_room(host: str, port: int, say: Progress) -> Iterator[Progress]:
    """Yield what tells the progress to `say` and to browsers; the port is free again afterwards."""
    try:
        room = _Room(host, port)
    except OSError:  # the window itself will say what is wrong with the port
        yield say
        return
    thread = threading.Thread(target=room.serve_forever, kwargs={"poll_interval": 0.05}, name="waiting", daemon=True)
    thread.start()

    def tell(fraction: float, text: str) -> None:
        room.text = f"{text} ({fraction:.0%})"
        say(fraction, text)

    try:
        yield tell
    finally:
        with contextlib.suppress(OSError):
            room.shutdown()
            room.server_close()
        thread.join()
