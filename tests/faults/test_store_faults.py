"""Nothing acknowledged is lost, nothing is half done: killed, out of space, read-only, two at once."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from qfcore.errors import StoreUnfinished
from qfcore.store.store import Store
from tests.conftest import IDENTITY, ROOT, qfchat, teach
from tests.faults.scenarios import SCENARIOS
from tests.faults.tools import KILLS, SOAK, Nursery, build_shim
from tests.tiny_models import write_tiny_model


@pytest.fixture(scope="module")
def nursery(tmp_path_factory: pytest.TempPathFactory):
    started = Nursery(build_shim(tmp_path_factory.mktemp("shim")))
    yield started
    started.close()


def test_killed_while_committing(nursery: Nursery, tmp_path: Path) -> None:
    total = unfinished = 0
    for kill in range(2 * KILLS):
        if kill % 20 == 0:  # a new home now and then: all versions of a long history take long to verify
            home, told = tmp_path / str(kill), []
            home.mkdir()
        new = nursery.run_and_kill("commit", home, longest=0.15)
        told, total = told + new, total + len(new)
        try:  # a reader never calls it damaged: it reads, or asks for a writer who undoes the change
            with contextlib.closing(Store.open(home, IDENTITY, read_only=True)) as reader:
                assert reader.verify().ok
        except StoreUnfinished:
            unfinished += 1
        store = Store.open(home, IDENTITY)
        assert store.verify().ok, store.verify().problems
        known = {r.lesson.text for r in store.lessons(store.live())}
        assert set(told) <= known, f"lost: {set(told) - known}"
        assert len(known) == len(store.versions()) - 1  # none half there
        store.close()
    print(f"{2 * KILLS} kills, {total} commits acknowledged, {unfinished} undone, none lost")
    assert total > KILLS


@pytest.fixture
def memory(tmp_path: Path):
    """A folder in memory where there is one: operations fail and processes die there as on a disk, only faster."""
    shared = Path("/dev/shm")
    if not os.access(shared, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=shared, prefix="qfchat-faults-") as folder:
        yield Path(folder)


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("name", SCENARIOS)
def test_each_operation_of_the_disk_fails_once(name: str, nursery: Nursery, memory: Path) -> None:
    counts = json.loads(nursery.run(f"fail-each:{name}", memory)[-1])
    print(f"{name}: {counts['tried']} failed operations, {counts['refused']} told; nothing lost")
    least = counts["kinds"] / counts["stride"]
    assert counts["tried"] > 7 * least and counts["refused"] > 2 * least


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("name", [name for name in SCENARIOS if name != "commit"])
def test_killed_while(name: str, nursery: Nursery, memory: Path) -> None:
    finished, begun, longest = 0, 0, 0.03
    rounds = KILLS if SOAK else SCENARIOS[name].kills
    for number in range(10 * rounds):
        if number >= rounds and begun > finished:
            break
        told = nursery.run_and_kill(f"repeat:{name}", memory, longest=longest, after="begun")
        done = {line.removeprefix("done ") for line in told if line.startswith("done ")}
        for line in told:
            home = line.removeprefix("begun ")
            if home != line:
                SCENARIOS[name]().check(memory / home, home in done)
                begun += 1
        finished += len(done)
        if begun == finished:  # none was hit in the middle
            longest *= 0.7
        elif not finished:  # none comes to its end
            longest *= 1.5
        for home in (*memory.glob("home-*"), *memory.glob("before-*")):
            shutil.rmtree(home)
    print(f"{name}: killed in {begun - finished} of {begun}, {finished} were acknowledged; none lost, none half done")
    assert begun > finished  # some were killed in the middle


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
    if os.geteuid() == 0:  # somebody else has to get there, through a folder more where tests run in parallel
        for folder in (tmp_path, *tmp_path.parents[:3]):
            folder.chmod(folder.stat().st_mode | 0o555)
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "['A.'] True", done.stderr
    assert "HomeError" in done.stderr and "cannot be written" in done.stderr and "--home" in done.stderr
    store.folder.joinpath("store.db").chmod(0o000)
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout == "" and "HomeError" in done.stderr and "Check the folder's permissions" in done.stderr
    store.folder.chmod(0o000)
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False)
    store.folder.chmod(0o755)
    assert done.stdout == "" and "HomeError" in done.stderr and "cannot be read (Permission denied)" in done.stderr


def test_the_watcher_of_connections_sees_what_leaves_this_computer(tmp_path: Path) -> None:
    log = tmp_path / "contacts"
    code = (
        "import socket\n"
        "here = socket.socket(); here.bind(('127.0.0.1', 0)); here.listen(); socket.create_connection(here.getsockname())\n"
        "for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):\n"
        "    try: socket.socket(type=kind).connect(('192.0.2.1', 80))\n"
        "    except OSError as error: print(error.errno)\n"
        "for name in ('localhost', socket.gethostname(), '127.0.0.1', '::1', 'example.invalid'):\n"
        "    try: socket.getaddrinfo(name, 80)\n"
        "    except OSError as error: print(error.errno)\n"
    )
    environment = {**os.environ, "LD_PRELOAD": str(build_shim(tmp_path)), "QF_CONNECT_LOG": str(log)}
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], env=environment, check=True, capture_output=True)
    assert log.read_text() == "192.0.2.1 port 80\n" * 2 + "look-up of example.invalid\n"


def test_commands_that_need_no_model_contact_nobody(tmp_path: Path) -> None:
    log = tmp_path / "contacts"
    environment = {"LD_PRELOAD": str(build_shim(tmp_path)), "QF_CONNECT_LOG": str(log)}
    for arguments in (["--help"], ["--version"], ["models", "--json"], ["teach", ""], ["ask", "Hi", "--model", "/nowhere"]):
        qfchat(*arguments, "--home", str(tmp_path / "home"), **environment) if len(arguments) > 1 else qfchat(
            *arguments, **environment
        )
    assert not log.exists(), log.read_text()


def test_commands_over_a_model_contact_nobody(tmp_path: Path) -> None:
    model, home, log = write_tiny_model(tmp_path / "model.gguf", "llama"), tmp_path / "home", tmp_path / "contacts"
    environment = {"LD_PRELOAD": str(build_shim(tmp_path)), "QF_CONNECT_LOG": str(log), "QFCHAT_MODELS": str(tmp_path)}
    for command in (["ask", "word1", "--max-tokens", "4"], ["verify"], ["backup"]):
        done = qfchat(*command, "--home", str(home), "--model", str(model), **environment)
        assert done.returncode == 0, done.stderr
    assert not log.exists(), log.read_text()
