"""The real app as a process of its own, started as a user starts it."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import MODELS, ROOT
from tests.faults.tools import build_shim


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def serving(folder: Path, log: Path, *arguments: str, models: Path = MODELS) -> Iterator[str]:
    """Its address, once it is ready. It ends with Ctrl-C, which must be clean; nothing outside may have been contacted."""
    port, contacts = free_port(), folder / "contacts"
    environment = {
        **os.environ, "QFCHAT_HOME": str(folder / "home"), "QFCHAT_MODELS": str(models),
        "LD_PRELOAD": str(build_shim(folder)), "QF_CONNECT_LOG": str(contacts),
    }  # fmt: skip
    command = [sys.executable, "-m", "app", "run", "--no-browser", "--port", str(port), *arguments]
    with log.open("w") as written:
        process = subprocess.Popen(command, cwd=ROOT, stderr=written, env=environment)
        until = time.monotonic() + 600
        while "QF Chat is ready" not in (text := log.read_text()):
            assert process.poll() is None and time.monotonic() < until, text[-2000:]
            time.sleep(0.2)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.send_signal(signal.SIGINT)
            status = process.wait(timeout=60)
    assert status in (0, 130)
    assert not contacts.exists(), f"something outside was contacted: {contacts.read_text()}"
    assert "Traceback" not in log.read_text()
