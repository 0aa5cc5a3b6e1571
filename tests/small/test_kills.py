"""Killed with -9 while a real model learns and exports: what was acknowledged is there, nothing is half done."""

import hashlib
from pathlib import Path

import pytest

from qfcore.store.store import Store
from tests.conftest import SMALL, open_engine
from tests.faults.tools import KILLS, SOAK, Nursery

pytestmark = pytest.mark.small

EXPORT_KILLS = KILLS if SOAK else 8


@pytest.fixture(scope="module")
def nursery(small_model: Path):
    started = Nursery()
    yield started
    started.close()


@pytest.mark.timeout(7200)
def test_killed_while_teaching(nursery: Nursery, tmp_path: Path) -> None:
    engine = open_engine(tmp_path, SMALL)
    engine.prepare()
    identity = engine.store.model
    engine.close()
    told: list[str] = []
    longest = 2 * nursery.pace("learn", tmp_path)
    for _ in range(KILLS):
        told += nursery.run_and_kill("learn", tmp_path, longest=longest)
        store = Store.open(tmp_path / "stores", identity)
        assert store.verify().ok, store.verify().problems
        known = {r.lesson.text for r in store.lessons(store.live())}
        assert set(told) <= known, f"lost: {set(told) - known}"
        store.close()
    engine = open_engine(tmp_path, SMALL)
    assert engine.verify().ok
    assert engine.ask("Who leads station 1?", max_tokens=8)
    engine.close()
    assert list(tmp_path.rglob("*.partial")) == []  # what the killed left behind is cleared at the start
    print(f"{KILLS} kills, {len(told)} lessons acknowledged, none lost")
    assert told


def test_killed_while_exporting(nursery: Nursery, tmp_path: Path) -> None:
    engine = open_engine(tmp_path / "home", SMALL)
    reference = engine.exports.gguf(tmp_path / "reference.gguf")["sha256"]
    engine.close()
    complete = 0
    longest = 2 * nursery.pace("export", tmp_path)
    for _ in range(EXPORT_KILLS):
        nursery.run_and_kill("export", tmp_path, longest=longest)
        if (tmp_path / "model.gguf").exists():
            complete += 1
            assert hashlib.sha256((tmp_path / "model.gguf").read_bytes()).hexdigest() == reference
            (tmp_path / "model.gguf").unlink()
        for left in tmp_path.glob(".*.partial"):
            left.unlink()
    print(f"{EXPORT_KILLS} kills, {complete} complete files, none broken")
    assert complete
