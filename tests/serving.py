"""The real app as a process of its own, started as a user starts it."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.conftest import MODELS, ROOT
from tests.faults.tools import build_shim


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def listening(process: int) -> set[tuple[str, int]]:
    """Addresses and ports at which a process accepts connections, by Linux's own tables."""
    own = set()
    for entry in Path(f"/proc/{process}/fd").iterdir():
        with suppress(OSError):  # closed meanwhile
            own.add(str(entry.readlink()))
    found = set()
    for table, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        path = Path(f"/proc/{process}/net/{table}")
        for line in path.read_text().splitlines()[1:] if path.exists() else ():
            _, local, _, state, *rest = line.split()
            if state == "0A" and f"socket:[{rest[5]}]" in own:
                address, _, port = local.partition(":")
                words = [int(address[at : at + 8], 16) for at in range(0, len(address), 8)]
                packed = b"".join(word.to_bytes(4, sys.byteorder) for word in words)
                found.add((socket.inet_ntop(family, packed), int(port, 16)))
    return found


@contextmanager
def serving(
    folder: Path, log: Path, *arguments: str, app: str = "app", models: Path = MODELS
) -> Iterator[str]:
    """Its address, once it is ready. It ends with Ctrl-C, which must be clean; nothing outside may have been contacted.

    It must listen on 127.0.0.1 only, and at one port.

    app: the module that is run. models: where its model files are.
    """
    port, contacts = free_port(), folder / "contacts"
    environment = {
        **os.environ, "QFCHAT_HOME": str(folder / "home"), "QFCHAT_MODELS": str(models),
        "LD_PRELOAD": str(build_shim(folder)), "QF_CONNECT_LOG": str(contacts),
    }  # fmt: skip
    command = [sys.executable, "-m", app, "run", "--no-browser", "--port", str(port), *arguments]
    with log.open("w") as written:
        process = subprocess.Popen(command, cwd=ROOT, stderr=written, env=environment)
        until = time.monotonic() + 600
        while "QF Chat is ready" not in (text := log.read_text()):
            assert process.poll() is None and time.monotonic() < until, text[-2000:]
            time.sleep(0.2)
        try:
            if Path("/proc/net/tcp").exists():
                while not (heard := listening(process.pid)):  # "ready" is said just before
                    assert time.monotonic() < until
                    time.sleep(0.02)
                assert heard == {("127.0.0.1", port)}
            yield f"http://127.0.0.1:{port}"
        finally:
            process.send_signal(signal.SIGINT)
            status = process.wait(timeout=60)
    assert status in (0, 130)
    assert not contacts.exists(), f"something outside was contacted: {contacts.read_text()}"
    assert "Traceback" not in log.read_text()
