"""Killing processes at random moments, and the library that makes writes fail. Counts grow with QFCHAT_SOAK=1."""

import os
import random
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import MODELS, ROOT
from tests.soaking import SOAK

KILLS = 200 if SOAK else 20


class Nursery:
    """A process that has imported everything and forks children that are killed.

    shim: the library of `build_shim`, for children in which operations of the disk fail.
    """

    def __init__(self, shim: Path | None = None) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.worker", "nursery"], cwd=ROOT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env={**os.environ, "QFCHAT_MODELS": str(MODELS), **({"LD_PRELOAD": str(shim)} if shim else {})},
        )  # fmt: skip
        self._choose = random.Random(20261124)

    def run_and_kill(self, mode: str, folder: Path, *, longest: float, after: str = "") -> list[str]:
        """Start a child, wait until it works, kill -9 it within `longest` seconds; what it acknowledged.

        after: wait until the last line that it wrote begins so.
        """
        child = self._start(mode, folder)
        if after:
            _wait(lambda: "".join(_acknowledged(folder)[-1:]).startswith(after), f"{mode} never came to {after!r}")
        time.sleep(self._choose.uniform(0, longest))
        return self._kill(child, folder)

    def run(self, mode: str, folder: Path) -> list[str]:
        """Start a child and wait until it ends; what it acknowledged. It fails with what the child says."""
        _gone(self._start(mode, folder), None)
        failed = folder / "failed"
        assert not failed.exists(), failed.read_text()
        return _acknowledged(folder)

    def pace(self, mode: str, folder: Path) -> float:
        """Seconds from a child's start to the first thing it acknowledges, on this machine now; the child is killed then."""
        child = self._start(mode, folder)
        started = time.monotonic()
        _wait(lambda: len(_acknowledged(folder)) > 0, f"{mode} acknowledged nothing")
        seconds = time.monotonic() - started
        self._kill(child, folder)
        return seconds

    def _start(self, mode: str, folder: Path) -> int:
        acks = folder / "acks"
        acks.unlink(missing_ok=True)
        self._process.stdin.write(f"{mode} {folder}\n")
        self._process.stdin.flush()
        child = int(self._process.stdout.readline())
        _wait(lambda: acks.exists() or _gone(child, 0), f"{mode} did not begin")
        assert acks.exists(), (folder / "failed").read_text()
        return child

    def _kill(self, child: int, folder: Path) -> list[str]:
        os.kill(child, signal.SIGKILL)
        _gone(child, None)
        return _acknowledged(folder)

    def close(self) -> None:
        """End the nursery."""
        self._process.stdin.close()
        self._process.wait(timeout=30)
        self._process.stdout.close()


def _acknowledged(folder: Path) -> list[str]:
    """What a child wrote after it began, whole lines only."""
    return [line.rstrip("\n") for line in (folder / "acks").read_text().splitlines(keepends=True)[1:] if line.endswith("\n")]


def _wait(until: Callable[[], bool], otherwise: str) -> None:
    end = time.monotonic() + 120
    while not until():
        assert time.monotonic() < end, otherwise
        time.sleep(0.005)


def _gone(process: int, seconds: float | None) -> bool:
    """Whether all threads have ended within `seconds` (None: wait): the first may be gone while others still hold locks."""
    descriptor = os.pidfd_open(process)  # nobody reaps the children, so it is there, if only as a zombie
    try:
        return bool(select.select([descriptor], [], [], seconds)[0])
    finally:
        os.close(descriptor)


def build_shim(folder: Path) -> Path:
    """Compile the library that makes writes fail and watches connections."""
    if not sys.platform.startswith("linux") or not shutil.which("cc"):
        pytest.skip("needs Linux and a C compiler")
    out = folder / "shim.so"
    source = Path(__file__).with_name("shim.c")
    subprocess.run(["cc", "-O1", "-Wall", "-shared", "-fPIC", "-o", str(out), str(source), "-ldl"], check=True)
    return out
