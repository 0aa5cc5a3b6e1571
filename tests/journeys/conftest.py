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
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with random weights, which can think and be taught."""
    path, controls = tmp_path_factory.mktemp("tiny-model") / "model.gguf", ("<think>", "</think>")
    return write_tiny_model(path, "qwen3", template=templates.OPEN_THINKING, controls=controls)


@pytest.fixture(scope="session")
def tiny_address(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The app on the tiny model, for all that does not depend on what a model says; tests/tiny_app.py tells what it does.

    A module takes it by a fixture of its own called `address`.
    """
    OUTPUT.mkdir(exist_ok=True)
    model = ("--model", str(tiny_model))
    with serving(tmp_path_factory.mktemp("tiny"), OUTPUT / "tiny.log", *model, app="tests.tiny_app") as opened:
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
