"""The real app on the small model, and a client for it."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.conftest import SMALL
from tests.serving import serving


@pytest.fixture(scope="module")
def served(small_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The app's address; one app for a module's tests."""
    folder = tmp_path_factory.mktemp("served")
    with serving(folder, folder / "app.log", "--model", SMALL) as opened:
        yield opened


@pytest.fixture
def http(served: str) -> Iterator[httpx.Client]:
    """A plain client."""
    with httpx.Client(base_url=served, timeout=300) as opened:
        yield opened
