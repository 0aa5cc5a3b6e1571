"""Starting the window: a port that is taken, a native window."""

import os
import socket
import sys
import types
from pathlib import Path

import pytest

from app import server
from qfcore.errors import PortInUse, QFError
from tests.serving import listening


class _Server:
    """Serves nothing; stands where uvicorn's stands."""

    def __init__(self) -> None:
        self.started, self.should_exit = False, False

    def run(self) -> None:
        """Be ready at once."""
        self.started = True


def test_a_native_window_keeps_its_look_and_can_save_files(tmp_path: Path) -> None:
    begun: dict[str, object] = {}
    webview = types.SimpleNamespace(
        settings={"ALLOW_DOWNLOADS": False}, create_window=lambda *a, **_: begun.update(url=a[1]),
        start=lambda **options: begun.update(options),
    )  # fmt: skip
    serving = _Server()
    server._run_native(serving, webview, "http://127.0.0.1:1", tmp_path / "native")
    assert begun == {"url": "http://127.0.0.1:1", "private_mode": False, "storage_path": str(tmp_path / "native")}
    assert webview.settings["ALLOW_DOWNLOADS"] and serving.should_exit


def test_without_the_library_a_native_window_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "webview", None)
    with pytest.raises(QFError, match=r"qfchat\[window\]"):
        server._webview()


def test_a_port_that_is_taken_is_named_with_another_one() -> None:
    with socket.socket() as taken:
        taken.bind((server.HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PortInUse, match=f"Port {port} is taken .* --port {port + 1 if port < 65535 else port - 1}"):
            server.check_port(port)
    server.check_port(port)  # free again


def test_an_address_of_another_computer_is_refused_in_words() -> None:
    with pytest.raises(PortInUse, match="192.0.2.1:8000 cannot be opened"):
        server.check_port(8000, "192.0.2.1")


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="Linux's tables")
def test_what_watches_the_app_sees_every_address_that_it_would_open() -> None:
    before = listening(os.getpid())
    hosts = [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET, "0.0.0.0")]
    hosts += [(socket.AF_INET6, "::1"), (socket.AF_INET6, "::")] if Path("/proc/net/if_inet6").exists() else []
    opened = []
    for family, host in hosts:
        opened.append(socket.create_server((host, 0), family=family))
    try:
        assert listening(os.getpid()) - before == {s.getsockname()[:2] for s in opened}
    finally:
        for one in opened:
            one.close()
    assert listening(os.getpid()) == before
