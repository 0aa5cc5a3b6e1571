"""The real app on the real default model, started as a user starts it, and tabs of Chromium."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, sync_playwright

from tests.conftest import MODELS, ROOT, free_port
from tests.faults.tools import build_shim
from tests.journeys.driving import OUTPUT, launch, open_window


@pytest.fixture(scope="session")
def address(default_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The real app, started as a user starts it; ends with Ctrl-C, which must be clean."""
    OUTPUT.mkdir(exist_ok=True)
    port = free_port()
    folder = tmp_path_factory.mktemp("window")
    contacts = folder / "contacts"
    environment = {
        **os.environ, "QFCHAT_HOME": str(folder / "home"), "QFCHAT_MODELS": str(MODELS),
        "LD_PRELOAD": str(build_shim(folder)), "QF_CONNECT_LOG": str(contacts),
    }  # fmt: skip
    log = (OUTPUT / "app.log").open("w+")
    process = subprocess.Popen(
        [sys.executable, "-m", "app", "run", "--no-browser", "--port", str(port)], cwd=ROOT, stderr=log, env=environment
    )
    until = time.monotonic() + 600
    while "QF Chat is ready" not in (text := (OUTPUT / "app.log").read_text()):
        assert process.poll() is None and time.monotonic() < until, text[-2000:]
        time.sleep(0.5)
    yield f"http://127.0.0.1:{port}"
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) in (0, 130)
    log.close()
    assert not contacts.exists(), f"something outside was contacted: {contacts.read_text()}"
    assert "Traceback" not in (OUTPUT / "app.log").read_text()


@pytest.fixture
def page(address: str) -> Iterator[Page]:
    """A browser tab that notes every host it asks; a trace of the journey is kept in output/trace.zip."""
    with sync_playwright() as playwright:
        browser = launch(playwright)
        context = browser.new_context(viewport={"width": 1280, "height": 860})
        context.tracing.start(screenshots=True, snapshots=True)
        tab = context.new_page()
        hosts: set[str] = set()
        tab.on("request", lambda request: hosts.add(request.url.split("/")[2]) if "//" in request.url[:8] else None)
        open_window(tab, address)
        yield tab
        context.tracing.stop(path=OUTPUT / "trace.zip")
        browser.close()
        assert hosts == {address.removeprefix("http://")}
