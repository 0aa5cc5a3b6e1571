"""Nothing acknowledged is lost, nothing is half done: killed, out of space, read-only, two at once."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from qfcore.store.store import Store
from tests.conftest import IDENTITY, ROOT, teach
from tests.faults.tools import KILLS, SOAK, Nursery, build_shim


@pytest.fixture(scope="module")
def nursery():
    started = Nursery()
    yield started
    started.close()


def test_killed_while_committing(nursery: Nursery, tmp_path: Path) -> None:
    total = 0
    for kill in range(2 * KILLS):
        if kill % 20 == 0:  # a new home now and then: all versions of a long history take long to verify
            home, told = tmp_path / str(kill), []
            home.mkdir()
        new = nursery.run_and_kill("commit", home, longest=0.15)
        told, total = told + new, total + len(new)
        store = Store.open(home, IDENTITY)
        assert store.verify().ok, store.verify().problems
        known = {r.lesson.text for r in store.lessons(store.live())}
        assert set(told) <= known, f"lost: {set(told) - known}"
        assert len(known) == len(store.versions()) - 1  # none half there
        store.close()
    print(f"{2 * KILLS} kills, {total} commits acknowledged, none lost")
    assert total > KILLS


def test_each_write_of_a_commit_fails_once(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.worker", "fail-each", str(tmp_path)], cwd=ROOT, capture_output=True, text=True,
        env={**os.environ, "LD_PRELOAD": str(build_shim(tmp_path))}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    counts = json.loads(done.stdout)
    print(f"{counts['tried']} failed operations, {counts['refused']} told; nothing lost")
    assert counts["tried"] > 60 and counts["refused"] > 30


def test_two_processes_at_one_home(tmp_path: Path) -> None:
    count = 60 if SOAK else 12
    workers = [
        subprocess.Popen([sys.executable, "-m", "tests.faults.worker", "hammer", str(tmp_path), name, str(count)], cwd=ROOT)
        for name in ("Left", "Right")
    ]
    assert [worker.wait(timeout=300) for worker in workers] == [0, 0]
    store = Store.open(tmp_path, IDENTITY)
    known = {r.lesson.text for r in store.lessons(store.live())}
    told = set((tmp_path / "acks").read_text().splitlines())
    assert known == told and len(told) == 2 * count
    assert store.verify().ok
    store.close()


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="POSIX permissions")
def test_a_read_only_disk_is_named_and_can_still_be_read(tmp_path: Path) -> None:
    store = Store.open(tmp_path, IDENTITY)
    teach(store, "A.")
    store.close()
    for path in (store.folder, *store.folder.iterdir()):
        path.chmod(0o555 if path.is_dir() else 0o444)
    code = (
        "import os, sys; from pathlib import Path\n"
        "from qfcore.store.store import Store; from tests.conftest import IDENTITY\n"
        "os.geteuid() or os.setuid(65534)\n"
        "s = Store.open(Path(sys.argv[1]), IDENTITY, read_only=True)\n"
        "print([r.lesson.text for r in s.lessons()], s.verify().ok); s.close()\n"
        "Store.open(Path(sys.argv[1]), IDENTITY)\n"
    )
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(folder.stat().st_mode | 0o555)
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "['A.'] True", done.stderr
    assert "HomeError" in done.stderr and "--home" in done.stderr


def test_the_watcher_of_connections_sees_what_leaves_this_computer(tmp_path: Path) -> None:
    log = tmp_path / "contacts"
    code = (
        "import socket\n"
        "here = socket.socket(); here.bind(('127.0.0.1', 0)); here.listen(); socket.create_connection(here.getsockname())\n"
        "for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):\n"
        "    try: socket.socket(type=kind).connect(('192.0.2.1', 80))\n"
        "    except OSError as error: print(error.errno)\n"
    )
    environment = {**os.environ, "LD_PRELOAD": str(build_shim(tmp_path)), "QF_CONNECT_LOG": str(log)}
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], env=environment, check=True, capture_output=True)
    assert log.read_text() == "192.0.2.1 port 80\n" * 2
