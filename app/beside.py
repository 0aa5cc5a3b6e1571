"""Where the open window of a home listens: one process writes a home, and others of ours can ask it over HTTP."""

import contextlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import httpx

from qfcore.settings import Paths, is_used

_NAME = "address-"
_TIMEOUT = httpx.Timeout(None, connect=5.0)
"""An answer takes as long as it takes."""


@dataclass(frozen=True)
class Address:
    """Of a window: url; the token that it asks for, if any; sha256 of its model."""

    url: str
    token: str | None
    sha256: str

    def client(self) -> httpx.Client:
        """What speaks with it."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=_TIMEOUT, trust_env=False)


@contextmanager
def announced(paths: Paths, address: Address) -> Iterator[None]:
    """Let others find this process's window until the block ends. The file is for the owner's eyes: it holds the token."""
    path = paths.temporary / f"{_NAME}{os.getpid()}"
    with contextlib.suppress(OSError):  # nobody finds it then, and everything else works
        path.unlink(missing_ok=True)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:  # noqa: PTH123 - with its mode
            json.dump(asdict(address), file)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def find_window(paths: Paths, sha256: str) -> Address | None:
    """The window on this home and model that answers now, or None."""
    for path in sorted(paths.temporary.glob(f"{_NAME}*")):
        owner = path.name.removeprefix(_NAME)
        try:
            if not owner.isdecimal() or not is_used(path, int(owner)):
                continue
            address = Address(**json.loads(path.read_text()))
            if address.sha256 != sha256:
                continue
            with address.client() as client:
                status = client.get("/api/status", timeout=5.0).json()
        except (OSError, ValueError, TypeError, httpx.HTTPError):  # it ended, or is none of ours
            continue
        if status.get("sha256") == sha256 and status.get("home") == str(paths.home):
            return address
    return None
