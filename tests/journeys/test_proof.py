"""Proof, backup and the import of a bundle in the real window, over an engine that computes nothing."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.journeys.driving import go_to, launch, open_window
from tests.scripted_engine import SCRIPTED, serving_scripted

pytestmark = pytest.mark.journey


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that knows one lesson and has its bundle."""
    return tmp_path_factory.mktemp("proof") / "home"


@pytest.fixture(scope="module")
def window(home: Path) -> Iterator[Page]:
    """The window."""
    with serving_scripted(home, "The otter is called Momo.") as address, sync_playwright() as playwright:
        browser = launch(playwright)
        page = browser.new_page(viewport={"width": 1280, "height": 860})
        open_window(page, address)
        yield page
        browser.close()


def test_verify_shows_what_was_checked_and_what_does_not_match(window: Page, home: Path) -> None:
    go_to(window, "Versions")
    window.locator("#versions-proof").get_by_role("button").first.click()
    result = window.locator("#proof-result")
    window.locator("#proof-verify").click()
    expect(result).to_contain_text("Everything matches.", timeout=30_000)
    expect(result).to_contain_text("replay files that versions name")
    window.locator("#proof-backup").click()
    expect(result).to_contain_text("and verified it", timeout=30_000)
    [made] = (home / "stores" / SCRIPTED.sha256[:16] / "backups").iterdir()
    assert str(made) in result.inner_text()
    [replay] = made.parents[1].glob("replay-*")
    sound = replay.read_bytes()
    replay.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
    window.locator("#proof-verify").click()
    expect(result).to_contain_text("Something does not match", timeout=30_000)
    expect(result).to_contain_text("puts it back")
    replay.write_bytes(sound)


def test_a_bundle_is_studied_anew(window: Page, home: Path) -> None:
    go_to(window, "Export")
    window.locator("#import-path textarea, #import-path input").first.fill(str(home / "exports/all.qfbundle"))
    window.locator("#import-reobserve input").check()
    window.locator("#import-read").click()
    told = re.compile(r"Version \d+ is live and knows 1 lesson")
    expect(window.locator("#import-result")).to_contain_text(told, timeout=30_000)
    go_to(window, "Versions")
    expect(window.locator("#versions-timeline")).to_contain_text("studied anew", timeout=20_000)
