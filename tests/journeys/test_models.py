"""Models in the real window: one that is here is found again, another one is opened, and the window comes back with it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect, sync_playwright

from tests.conftest import SMALL
from tests.journeys.driving import OUTPUT, SLOW, go_to, launch, open_window
from tests.serving import serving
from tests.tiny_models import write_tiny_model

pytestmark = pytest.mark.journey


@pytest.fixture
def small_page(small_model: Path, tmp_path: Path) -> Iterator[Page]:
    """A tab of an app of its own, on a tiny model, with the small model beside it."""
    OUTPUT.mkdir(exist_ok=True)
    models = tmp_path / "models"
    models.mkdir()
    (models / small_model.name).hardlink_to(small_model)
    first = write_tiny_model(models / "first.gguf", "llama")
    started = serving(tmp_path, OUTPUT / "models.log", "--model", str(first), models=models)
    with started as address, sync_playwright() as playwright:
        browser = launch(playwright)
        tab = browser.new_page(viewport={"width": 1280, "height": 860})
        open_window(tab, address)
        yield tab
        browser.close()


def test_a_model_is_installed_and_another_one_is_opened(small_page: Page, tmp_path: Path) -> None:
    page, other = small_page, write_tiny_model(tmp_path / "other.gguf", "llama", seed=1)
    first = tmp_path / "models" / "first.gguf"
    go_to(page, "Models")
    expect(page.locator("#models-table tr", has_text="first")).to_contain_text("answers now", timeout=20_000)
    row = page.locator("#models-table tr", has_text="SmolLM2")
    expect(row).to_contain_text("installed")
    expect(row).to_contain_text("Apache-2.0")
    name = page.locator("#models-name textarea, #models-name input").first
    name.fill(SMALL)
    page.locator("#models-install").click()
    expect(page.locator("#models-result")).to_contain_text("is here", timeout=60_000)
    faults = [v["id"] for v in Axe().run(page).response["violations"] if v["impact"] in ("serious", "critical")]
    assert faults == []
    name.fill("no-such-model")
    page.locator("#models-open").click()
    expect(page.get_by_text("neither a file nor a name")).to_be_visible(timeout=20_000)
    page.screenshot(path=OUTPUT / "models.png")
    name.fill(str(other))
    page.locator("#models-open").click()
    expect(page.locator("#models-result")).to_contain_text("Opening other", timeout=20_000)
    expect(page.locator("#models-result")).to_contain_text("Replaying ordinary chats", timeout=SLOW)  # how far it is
    expect(page.locator("#model-badge")).to_contain_text("other", timeout=SLOW)  # the page was loaded anew
    assert json.loads((tmp_path / "home" / "settings.json").read_text()) == {"model": str(other), "before": str(first)}
