"""Checkpoints from the hub: what of a repository is fetched, how it is checked, and what is refused."""

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from qfcore.errors import Cancelled, HomeError, ModelError, NotFound
from qfcore.models import hub, library
from qfcore.models.checkpoint import check_checkpoint
from qfcore.models.hub import Hub
from qfcore.models.library import Library
from qfcore.models.memory import Memory
from tests.hub_server import COMMIT, OLD, Files, HubServer, git_hash, hub_server
from tests.unit.test_checkpoint import CONFIG

NAME = "hf:people/tiny"
SHARDS = [f"model-0000{n}-of-00002.safetensors" for n in (1, 2)]
PARTS = [save({f"w{n}": np.full((600, 1000), n, dtype=np.float32)}) for n in (1, 2)]  # 2.4 MB each
INDEX = json.dumps({"weight_map": {"w1": SHARDS[0], "w2": SHARDS[1]}}).encode()
REPOSITORY: Files = {
    "config.json": json.dumps(CONFIG).encode(), "tokenizer.json": b'{"model": {}}', "generation_config.json": b"{}",
    "model.safetensors.index.json": INDEX, **dict(zip(SHARDS, PARTS, strict=True)), "README.md": b"Hello",
    "modeling_tiny.py": b"raise SystemExit", "pytorch_model.bin": b"pickle", "consolidated-00001-of-00001.safetensors": b"x",
    "onnx/model.onnx": b"x",
}  # fmt: skip
FETCHED = {"config.json", "tokenizer.json", "generation_config.json", "model.safetensors.index.json", *SHARDS}


@pytest.fixture
def server() -> Iterator[HubServer]:
    """A hub with one checkpoint of two parts, and what else such repositories hold."""
    with hub_server() as made:
        made.files = dict(REPOSITORY)
        yield made


@pytest.fixture
def local(server: HubServer, tmp_path: Path) -> Hub:
    """A hub that is this server."""
    return Hub(tmp_path / "models", endpoint=server.endpoint)


def files_of(folder: Path) -> dict[str, bytes]:
    """What lies in it."""
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_of_a_checkpoint_safetensors_and_what_describes_them_are_fetched(local: Hub, server: HubServer) -> None:
    told: list[float] = []
    entry = local.look_up(f"{NAME}@main")
    folder = local.fetch(entry, lambda fraction, _: told.append(fraction))
    assert files_of(folder) == {name: REPOSITORY[name] for name in FETCHED}  # no code, no pickle
    assert check_checkpoint(folder).parameters == 1_200_000
    assert told == sorted(told) and 0.9 < told[-1] <= 1 and len(told) > 6
    assert (entry.repo, entry.commit, entry.bytes) == ("people/tiny", COMMIT, sum(len(REPOSITORY[n]) for n in FETCHED))
    assert folder.name == f"people--tiny--{COMMIT[:12]}" and entry.reference == f"{NAME}@{COMMIT}"
    assert all(f"/resolve/{COMMIT}/" in path for path, _, _ in server.asked if "/resolve/" in path)  # pinned
    asked = len(server.asked)
    assert local.here(NAME) == local.here(f"{NAME}@main") == local.here(entry.reference) == folder
    assert local.here(f"{NAME}@{OLD}") is None and local.here(f"{NAME}/x.gguf") is None
    assert local.fetch(entry) == folder and len(server.asked) == asked
    assert {path.name for path in folder.parent.iterdir()} == {
        folder.name, f"{folder.name}.lock", "hub.json", "sha256.json"
    }


def test_the_library_finds_lists_and_names_it(server: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notices: list[str] = []
    shelf = Library(tmp_path / "models", server.endpoint, notices.append)
    found = shelf.find(NAME)
    assert (found.title, found.trusted) == ("people/tiny", False) and "people/tiny needs at least" in notices[0]
    (tmp_path / "models" / "mine").mkdir()
    for name in FETCHED:
        (tmp_path / "models" / "mine" / name).write_bytes(REPOSITORY[name])
    fetched, mine = [model for model in shelf.list() if "qwen" not in model.name and "smollm" not in model.name]
    assert fetched.name == f"{NAME}@{COMMIT}" and fetched.installed and not fetched.problem and fetched.fits
    assert mine.name == str(tmp_path / "models" / "mine") and mine.memory_bytes == fetched.memory_bytes > 500e6
    Path(fetched.path, SHARDS[0]).write_bytes(PARTS[0][:1000])
    assert "truncated" in next(model for model in shelf.list() if model.name == fetched.name).problem
    monkeypatch.setattr(library, "memory_here", lambda: Memory(10_000_000, 10_000_000))
    asked = len(server.asked)
    with pytest.raises(ModelError, match="Choose a smaller model"):
        shelf.find(f"{NAME}@stable")
    assert [path for path, _, _ in server.asked[asked:] if "resolve" in path] == []  # before anything is fetched


def test_the_memory_is_that_of_the_precision_in_which_it_is_loaded(
    local: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = replace(local.look_up(NAME), parameters=1000, bytes=2000)
    for dtype, need in (("float32", 4000), ("bfloat16", 2000)):
        monkeypatch.setenv("QFCHAT_DTYPE", dtype)
        assert library._loaded(entry) == need == library._loaded(replace(entry, parameters=0))


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("redirects", [True, False])
def test_an_interrupted_checkpoint_goes_on_where_it_stopped(
    local: Hub, server: HubServer, ranges: bool, redirects: bool
) -> None:
    entry, server.redirects = local.look_up(NAME), redirects
    server.break_after = 1_500_000
    with pytest.raises(ModelError, match="start again"):
        local.fetch(entry)
    assert local.here(NAME) is None and local.installed() == []
    server.break_after, server.ranges = None, ranges
    asked = len(server.asked)
    assert files_of(local.fetch(entry)) == {name: REPOSITORY[name] for name in FETCHED}
    paths, begins = zip(*[(path, begin) for path, begin, _ in server.asked[asked:]], strict=True)
    assert not any("json" in path for path in paths)  # what was whole is not fetched twice
    assert set(begins) == {f"bytes={1 << 20}-", None}  # whole blocks are kept


def test_files_are_fetched_from_where_the_hub_sends_one(local: Hub, server: HubServer) -> None:
    server.redirects = True
    assert files_of(local.fetch(local.look_up(NAME))) == {name: REPOSITORY[name] for name in FETCHED}
    assert sum(path.startswith("/elsewhere/") for path, _, _ in server.asked) == len(FETCHED)


def test_the_token_is_not_sent_to_another_server(
    local: Hub, server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with hub_server() as other:
        other.files = server.files
        server.redirects = True
        monkeypatch.setattr(server, "redirects_to", other.endpoint)
        local.fetch(local.look_up(NAME))
        assert len(other.asked) == len(FETCHED) and {token for _, _, token in other.asked} == {None}
    assert {token for _, _, token in server.asked} == {"Bearer hf_secret"}


def test_a_download_of_parts_can_be_stopped(local: Hub) -> None:
    cancel, entry = threading.Event(), local.look_up(NAME)

    def stop_soon(fraction: float, _text: str) -> None:
        if fraction > 0.6:
            cancel.set()

    with pytest.raises(Cancelled):
        local.fetch(entry, stop_soon, cancel)
    assert local.here(NAME) is None
    assert files_of(local.fetch(entry)).keys() == FETCHED


@pytest.mark.parametrize(("name", "says"), [("config.json", "git SHA-1"), (SHARDS[1], "SHA-256")])
def test_other_bytes_than_the_hub_promised_are_deleted(local: Hub, server: HubServer, name: str, says: str) -> None:
    entry = local.look_up(NAME)
    server.files[name] = bytes(len(REPOSITORY[name]))
    with pytest.raises(ModelError, match=f"{name} has {says} .* the hub says"):
        local.fetch(entry)
    assert local.here(NAME) is None
    server.files[name] = REPOSITORY[name]
    assert files_of(local.fetch(entry))[name] == REPOSITORY[name]


def test_a_part_that_was_damaged_here_is_fetched_again(local: Hub, server: HubServer) -> None:
    entry = local.look_up(NAME)
    folder = local.fetch(entry)
    (folder / SHARDS[0]).write_bytes(PARTS[0][:7])
    (folder / "tokenizer.json").write_bytes(b"7" * len(REPOSITORY["tokenizer.json"]))
    asked = len(server.asked)
    assert local.fetch(entry) == folder and files_of(folder) == {name: REPOSITORY[name] for name in FETCHED}
    assert len(server.asked) == asked + 2


def test_room_for_all_parts_is_looked_for_before(
    local: Hub, server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = local.look_up(NAME)
    asked = len(server.asked)
    free = hub._RESERVE + len(PARTS[0]) + 100_000  # enough for one
    monkeypatch.setattr(hub.shutil, "disk_usage", lambda _: type("Usage", (), {"free": free}))
    with pytest.raises(HomeError, match="people/tiny needs .* GB are free"):
        local.fetch(entry)
    assert len(server.asked) == asked


@pytest.mark.parametrize(
    ("config", "words"),
    [({"auto_map": {"AutoModel": "modeling_tiny.Tiny"}}, "never runs"), ({"quantization_config": {"bits": 4}}, "quantized")],
)  # fmt: skip
def test_what_would_be_refused_is_refused_before_its_weights_are_fetched(
    local: Hub, server: HubServer, config: dict, words: str
) -> None:
    server.files["config.json"] = json.dumps(CONFIG | config).encode()
    with pytest.raises(ModelError, match=f"people/tiny .*{words}"):
        local.fetch(local.look_up(NAME))
    assert not any("model-0000" in path for path, _, _ in server.asked)


@pytest.mark.parametrize(
    ("gone", "more", "words"),
    [
        ([*SHARDS, "model.safetensors.index.json"], [], "pickle, which can run code"),
        ([*SHARDS, "model.safetensors.index.json", "pytorch_model.bin"], [], "no GGUF file and no checkpoint"),
        ([*SHARDS, "model.safetensors.index.json"], ["adapter_config.json"], "PEFT adapter"),
        (["tokenizer.json"], [], "no tokenizer.json"), (["config.json"], [], "no config.json"),
    ],
)
def test_repositories_without_a_checkpoint_are_refused(
    local: Hub, server: HubServer, gone: list[str], more: list[str], words: str
) -> None:
    server.files = {n: data for n, data in server.files.items() if n not in gone} | dict.fromkeys(more, b"{}")
    with pytest.raises(NotFound, match=words):
        local.look_up(NAME)


@pytest.mark.parametrize("refused", [(401, "GatedRepo"), (403, "GatedRepo"), (403, ""), (401, "")])
@pytest.mark.parametrize("at_once", [True, False])
def test_what_is_not_for_everybody_is_said(
    local: Hub, server: HubServer, refused: tuple[int, str], at_once: bool
) -> None:
    server.refused, server.refused_at_once = refused, at_once
    with pytest.raises(NotFound, match="people/tiny only to people who accepted its terms.*set HF_TOKEN"):
        local.fetch(local.look_up(NAME))
    server.refused, server.refused_at_once = None, False
    assert files_of(local.fetch(local.look_up(NAME))).keys() == FETCHED


def test_a_small_file_is_named_as_git_names_it() -> None:
    assert git_hash(b"hello\n") == "ce013625030ba8dba906f756967f9e9ca394464a"  # git hash-object
