"""Fetching from the hub, with the real client, from a server on this computer that speaks the hub's protocol."""

import hashlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from qfcore.errors import Cancelled, HomeError, ModelError, NotFound
from qfcore.models import hub
from qfcore.models.hub import Hub, HubFile, parse
from tests.conftest import qfchat
from tests.hub_server import COMMIT, DATA, OLD, HubServer, hub_server
from tests.unit.test_export import make_base


@pytest.fixture
def server() -> Iterator[HubServer]:
    """The hub; `asked` notes the requests, the other settings make it misbehave."""
    with hub_server() as made:
        yield made


@pytest.fixture
def local(server: HubServer, tmp_path: Path) -> Hub:
    """A hub that is this server."""
    return Hub(tmp_path / "models", endpoint=server.endpoint)


ONE = "hf:people/one-GGUF"


def test_a_file_is_fetched_once_checked_and_pinned(local: Hub, server: HubServer) -> None:
    told: list[tuple[float, str]] = []
    entry = local.look_up(ONE)
    assert entry == HubFile("people/one-GGUF", "model-q4.gguf", COMMIT, len(DATA), hashlib.sha256(DATA).hexdigest())
    path = local.fetch(entry, lambda fraction, text: told.append((fraction, text)))
    assert path.read_bytes() == DATA and len(told) > 4 and told == sorted(told, key=lambda t: t[0])
    assert local.here(ONE) == local.here(entry.reference) == path
    asked = len(server.asked)
    assert local.fetch(entry) == path and local.here(ONE) == path and len(server.asked) == asked  # nobody is asked again
    assert local.here(f"{ONE}@{OLD}") is None
    assert [p.suffix for p in path.parent.iterdir() if p.suffix == ".fetching"] == []


def test_a_branch_that_was_fetched_needs_no_connection_any_more(local: Hub, server: HubServer) -> None:
    old = local.fetch(local.look_up(f"{ONE}@stable"))
    new = local.fetch(local.look_up(f"{ONE}@main"))
    local.fetch(local.look_up(f"{ONE}@{COMMIT}"))
    asked = len(server.asked)
    assert (local.here(f"{ONE}@stable"), local.here(f"{ONE}@main"), local.here(ONE)) == (old, new, new)
    assert local.here(f"{ONE}@v1") is None and len(server.asked) == asked
    server.branches["stable"] = COMMIT
    assert local.fetch(local.look_up(f"{ONE}@stable")) == new  # the branch moved on: it is this commit's now
    assert (local.here(f"{ONE}@stable"), local.here(f"{ONE}@{OLD}")) == (new, old)


def test_a_list_of_an_earlier_form_is_read(local: Hub) -> None:
    path = local.fetch(local.look_up(ONE))
    listed = path.parent / "hub.json"
    values = json.loads(listed.read_text())
    for value in values:
        del value["revisions"]
    listed.write_text(json.dumps(values))
    assert local.here(ONE) == path and local.here(f"{ONE}@main") is None


@pytest.mark.parametrize("offline", ["0", "1"])
def test_the_command_installs_from_the_hub_and_lists_what_is_here(
    server: HubServer, tmp_path: Path, offline: str
) -> None:
    good = make_base(tmp_path / "base.gguf").read_bytes()
    server.files = {"model-q4.gguf": good}
    models = tmp_path / "models"
    environment = {
        "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "HF_HUB_OFFLINE": offline, "QFCHAT_MODELS": str(models),
    }  # fmt: skip
    done = qfchat("models", "--install", f"{ONE}@main", "--json", **environment)
    assert done.returncode == 0 and "needs at least 0.5 GB of memory" in done.stderr, done.stderr
    fetched = next(model for model in json.loads(done.stdout) if model["name"].startswith("hf:"))
    assert fetched["installed"] and fetched["fits"] and not fetched["problem"] and fetched["bytes"] == len(good)
    assert Path(fetched["path"]).read_bytes() == good
    asked = len(server.asked)
    assert qfchat("models", "--install", f"{ONE}@main", **environment).returncode == 0
    assert len(server.asked) == asked  # it is here
    (models / "mine.gguf").write_bytes(good)
    Path(fetched["path"]).write_bytes(good[:100])
    listed = qfchat("models", **environment)
    assert listed.returncode == 0 and "damaged:" in listed.stdout and "truncated" in listed.stdout
    assert "mine.gguf" in listed.stdout and "at least" in listed.stdout
    unknown = qfchat("models", "--install", "hf:nobody/nothing", **environment)
    assert unknown.returncode == NotFound.exit_code and "has no nobody/nothing" in unknown.stderr


@pytest.mark.parametrize("ranges", [True, False])
def test_an_interrupted_download_goes_on_where_it_stopped(local: Hub, server: HubServer, ranges: bool) -> None:
    entry = local.look_up(ONE)
    server.break_after = 3_000_000
    with pytest.raises(ModelError, match="start again"):
        local.fetch(entry)
    assert local.here(ONE) is None
    server.break_after, server.ranges = None, ranges
    assert local.fetch(entry).read_bytes() == DATA
    assert server.asked[-1][1] == f"bytes={2 << 20}-"  # whole blocks are kept


def test_two_do_not_fetch_one_file_at_a_time(local: Hub) -> None:
    entry = local.look_up(ONE)
    path = local.path(entry)
    path.parent.mkdir(parents=True)
    with FileLock(path.with_name(path.name + ".lock")), pytest.raises(ModelError, match="by another QF Chat"):
        local.fetch(entry)
    assert local.fetch(entry).read_bytes() == DATA


def test_a_folder_that_takes_no_lock_is_said(local: Hub) -> None:
    entry = local.look_up(ONE)
    path = local.path(entry)
    path.with_name(path.name + ".lock").mkdir(parents=True)
    with pytest.raises(HomeError, match="cannot be stored"):
        local.fetch(entry)


def test_a_download_can_be_stopped_and_keeps_what_it_has(local: Hub) -> None:
    cancel = threading.Event()

    def stop_soon(fraction: float, _text: str) -> None:
        if fraction > 0.3:
            cancel.set()

    entry = local.look_up(ONE)
    with pytest.raises(Cancelled):
        local.fetch(entry, stop_soon, cancel)
    assert 0 < local.path(entry).with_name(local.path(entry).name + ".fetching").stat().st_size < len(DATA)
    assert local.fetch(entry).read_bytes() == DATA


def test_other_bytes_than_the_hub_promised_are_deleted(local: Hub, server: HubServer) -> None:
    server.claimed_sha256 = "0" * 64
    entry = local.look_up(ONE)
    with pytest.raises(ModelError, match="the hub says 0000"):
        local.fetch(entry)
    assert [path.suffix for path in local.path(entry).parent.iterdir()] == [".lock"]


def test_room_is_looked_for_before(local: Hub, monkeypatch: pytest.MonkeyPatch, server: HubServer) -> None:
    entry = local.look_up(ONE)
    asked = len(server.asked)
    monkeypatch.setattr(hub.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1 << 20}))
    with pytest.raises(HomeError, match="GB are free"):
        local.fetch(entry)
    assert len(server.asked) == asked


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("hf:people/pairs-GGUF", "several models. Choose one of its files.*model-q4.gguf, model-q8.gguf"),
        ("hf:people/pairs-GGUF/model-q5.gguf", "holds no model-q5.gguf"),
        ("hf:people/pairs-GGUF/big-00001-of-00002.gguf", "several files"),
        ("hf:people/empty-GGUF", "holds no GGUF file"),
        ("hf:nobody/nothing", "has no nobody/nothing"),
        (f"{ONE}@deadbeef", "at deadbeef"),
    ],
)
def test_what_the_hub_has_not_is_said(local: Hub, reference: str, says: str) -> None:
    with pytest.raises(NotFound, match=says):
        local.look_up(reference)


def test_a_file_of_several_is_named(local: Hub) -> None:
    assert local.look_up("hf:people/pairs-GGUF/model-q8.gguf").bytes == len(DATA)
    assert local.look_up(f"{ONE}@{OLD}").commit == OLD


def test_a_hub_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be reached"):
        Hub(tmp_path, endpoint="http://127.0.0.1:9").look_up(ONE)


@pytest.mark.parametrize("reference", ["hf:", "hf:one", "hf:a/../b/c.gguf", "hf:a/b/c.safetensors", "hf:a/b@", "people/one"])
def test_what_names_nothing_is_refused(reference: str) -> None:
    with pytest.raises(NotFound, match="OWNER/NAME"):
        parse(reference)


def test_references_are_read() -> None:
    assert parse("hf:a/b") == ("a/b", None, None)
    assert parse("hf:a/b/c/d.gguf@main") == ("a/b", "c/d.gguf", "main")
