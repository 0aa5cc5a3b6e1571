"""Proof, backups and imports on a real model, from the command line."""

import json
import os
from pathlib import Path

import pytest

from tests.conftest import SMALL, qfchat, told
from tests.unit.test_bundle import with_replay

pytestmark = pytest.mark.small


def run(*arguments: str, home: Path, code: int = 0) -> dict:
    """A command's JSON, on SmolLM2."""
    return told(*arguments, home=home, model=SMALL, code=code)


@pytest.fixture(scope="module")
def taught(small_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that knows one lesson and has a bundle and a backup."""
    os.environ["QFCHAT_MODELS"] = str(small_model.parent)
    home = tmp_path_factory.mktemp("trust") / "home"
    made = run("teach", "Ash is a heron.", "--question", "What is Ash?", "--method", "fast", "--message", "Birds", home=home)
    assert made["version"] == 1
    assert run("export", "bundle", "--out", str(home / "all.qfbundle"), home=home)["lessons"] == 1
    backup = run("backup", home=home)
    assert backup["checked"]["lessons"] == 1 and backup["checked"]["replays"] == 1 and Path(backup["path"]).is_dir()
    return home


def folder_of(home: Path) -> Path:
    """The store's folder."""
    [path] = (home / "stores").glob("*/store.db")
    return path.parent


def test_versions_say_what_they_added(taught: Path) -> None:
    [version, base] = run("versions", home=taught)
    assert (version["added"], version["removed"], version["message"]) == (["Ash is a heron."], [], "Birds")
    assert base["added"] == []
    shown = qfchat("versions", "--home", str(taught), "--model", SMALL).stdout
    assert "+ Ash is a heron." in shown


def test_a_damaged_replay_and_adapter_are_found_by_verify_and_healed(taught: Path) -> None:
    [replay] = folder_of(taught).glob("replay-*.safetensors")
    adapters = {path: path.read_bytes() for path in (folder_of(taught) / "adapters").glob("*.gguf")}
    sound = replay.read_bytes()
    for path in (replay, *adapters):
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(bytes(data))
    found = run("verify", home=taught, code=8)
    assert not found["ok"] and len(found["problems"]) == 1 + len(adapters) and "puts it back" in found["problems"][0]
    assert all("solves it anew" in problem for problem in found["problems"][1:])
    assert run("ask", "What is Ash?", home=taught)["answer"]  # solved again, so the replay is needed and healed
    assert replay.read_bytes() == sound and run("verify", home=taught)["ok"]
    again = [path for path in adapters if path.exists()]
    assert again and all(path.read_bytes() == adapters[path] for path in again)


def test_a_damaged_store_is_refused_by_writers_and_a_backup_put_back(taught: Path) -> None:
    path = folder_of(taught) / "store.db"
    before = run("versions", home=taught)
    path.write_bytes(path.read_bytes()[:20000])
    done = qfchat("forget", "1", "--home", str(taught), "--model", SMALL)
    assert done.returncode == 8 and "restore-backup" in done.stderr and "Traceback" not in done.stderr
    assert len(path.read_bytes()) == 20000
    assert run("restore-backup", "--yes", home=taught)["version"] == 1
    assert run("versions", home=taught) == before and run("verify", home=taught)["ok"]


def test_a_bundle_with_another_replay_is_refused_and_the_way_to_study_it_anew_is_named(taught: Path, tmp_path: Path) -> None:
    forged = with_replay(taught / "all.qfbundle", tmp_path / "forged.qfbundle", "replay-29-0123456789ab", b"another one")
    # A home that shares no replay files, so that nothing else can stand in for the one that is missing.
    models = tmp_path / "models"
    models.mkdir()
    for path in Path(os.environ["QFCHAT_MODELS"]).glob("smollm2*"):
        (models / path.name).symlink_to(path)
    arguments = ("import", str(forged), "--home", str(tmp_path / "home"), "--model", SMALL)
    done = qfchat(*arguments, QFCHAT_MODELS=str(models))
    assert done.returncode == 14 and "lacks the replay" in done.stderr and "--reobserve" in done.stderr


def test_nothing_is_applied_that_was_not_learned_when_asked_to_be_strict(taught: Path) -> None:
    before = len(run("versions", home=taught))
    done = qfchat(
        "teach", "Zq xv.", "--question", "What is two plus two?", "--answer", "kjhgf qwpoe zmxnc vbruty",
        "--method", "fast", "--strict", "--json", "--home", str(taught), "--model", SMALL,
    )  # fmt: skip
    value = json.loads(done.stdout)
    assert value["learned"] is (done.returncode == 0)
    assert len(run("versions", home=taught)) == before + (done.returncode == 0)
    if not value["learned"]:
        assert value["version"] is None and done.returncode == 3
