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
    """A tab of an app of its own, on the small model."""
    OUTPUT.mkdir(exist_ok=True)
    with serving(tmp_path, OUTPUT / "models.log", "--model", SMALL) as address, sync_playwright() as playwright:
        browser = launch(playwright)
        tab = browser.new_page(viewport={"width": 1280, "height": 860})
        open_window(tab, address)
        yield tab
        browser.close()


def test_a_model_is_installed_and_another_one_is_opened(small_page: Page, tmp_path: Path) -> None:
    page, other = small_page, write_tiny_model(tmp_path / "tiny.gguf", "llama")
    go_to(page, "Models")
    row = page.locator("#models-table tr", has_text="SmolLM2")
    expect(row).to_contain_text("answers now", timeout=20_000)
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
    expect(page.locator("#models-result")).to_contain_text("Opening tiny", timeout=20_000)
    expect(page.locator("#model-badge")).to_contain_text("tiny", timeout=SLOW)  # the page was loaded anew
    assert json.loads((tmp_path / "home" / "settings.json").read_text()) == {"model": str(other), "before": SMALL}
