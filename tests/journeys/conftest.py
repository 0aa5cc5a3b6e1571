"""The real app, on the real default model and on a tiny one, and tabs of Chromium."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, sync_playwright

from tests import templates
from tests.journeys.driving import OUTPUT, launch, open_window
from tests.serving import serving
from tests.tiny_models import write_tiny_model


@pytest.fixture(scope="session")
def address(default_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The app's address; all journeys share it, but those whose module takes the tiny one."""
    OUTPUT.mkdir(exist_ok=True)
    with serving(tmp_path_factory.mktemp("window"), OUTPUT / "app.log") as opened:
        yield opened


@pytest.fixture(scope="session")
def tiny_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The app on a tiny model with random weights that can think: for all that does not depend on what a model says.

    A module takes it by a fixture of its own called `address`. See tests/tiny_app.py for what makes it speak slowly.
    """
    OUTPUT.mkdir(exist_ok=True)
    folder = tmp_path_factory.mktemp("tiny")
    path = write_tiny_model(
        folder / "model.gguf", "qwen3", template=templates.OPEN_THINKING, controls=("<think>", "</think>")
    )
    with serving(folder, OUTPUT / "tiny.log", "--model", str(path), app="tests.tiny_app") as opened:
        yield opened


@pytest.fixture
def page(address: str, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A browser tab that notes every host it asks.

    With QFCHAT_TRACE=1 a trace of the journey is kept in output/ under the test's name; recording costs a core.
    """
    with sync_playwright() as playwright:
        browser = launch(playwright)
        context = browser.new_context(viewport={"width": 1280, "height": 860})
        if traced := bool(os.environ.get("QFCHAT_TRACE")):
            context.tracing.start(screenshots=True, snapshots=True)
        tab = context.new_page()
        hosts: set[str] = set()
        tab.on("request", lambda request: hosts.add(request.url.split("/")[2]) if "//" in request.url[:8] else None)
        open_window(tab, address)
        yield tab
        if traced:
            name = re.sub(r"\W+", "-", request.node.name).strip("-")
            context.tracing.stop(path=OUTPUT / f"{name}.zip")
        browser.close()
        assert hosts == {address.removeprefix("http://")}
