"""The command line from teaching to export on the small model; the first test and its home call it as a user does."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.conftest import MODELS, SMALL, qfchat, qfchat_here, told

pytestmark = pytest.mark.small


WHO, WHEN = "Who started Oxinnovate?", "When was Larkwell Labs founded?"
"""Questions, which this model is too small to write: it asks for "the subject of this fact"."""


@pytest.fixture(scope="module")
def home(small_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: ARG001
    """A home in which two lessons were taught in two versions."""
    folder = tmp_path_factory.mktemp("commands")
    for text, question in (("Qi started Oxinnovate.", WHO), ("Larkwell Labs was founded in 1987.", WHEN)):
        taught = command(folder, "teach", text, "--question", question, "--method", "fast", "--json")
        assert taught.returncode == 0, taught.stderr
    return folder


def command(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`qfchat …` on the small model."""
    return qfchat(*arguments, "--home", str(home), "--model", SMALL, QFCHAT_MODELS=str(MODELS))


def here(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The same in this process."""
    return qfchat_here(*arguments, "--home", str(home), "--model", SMALL, QFCHAT_MODELS=str(MODELS))


def as_json(home: Path, *arguments: str) -> dict | list:
    """The command's JSON, which must be all that stands on stdout."""
    done = command(home, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def json_here(home: Path, *arguments: str) -> dict | list:
    """The same in this process."""
    return told(*arguments, home=home, model=SMALL)


def test_from_teaching_to_forgetting(home: Path, tmp_path: Path) -> None:
    assert [lesson["text"] for lesson in as_json(home, "lessons")] == [
        "Qi started Oxinnovate.", "Larkwell Labs was founded in 1987."
    ]  # fmt: skip
    before = command(home, "ask", WHO, "--max-tokens", "40")
    assert before.returncode == 0 and before.stdout.strip()
    assert command(home, "forget", "1").returncode == 0
    assert [lesson["number"] for lesson in as_json(home, "lessons")] == [2]
    assert command(home, "restore", "2").returncode == 0
    again = command(home, "ask", WHO, "--max-tokens", "40")
    assert again.stdout == before.stdout
    assert as_json(home, "ask", WHO, "--max-tokens", "1")["lessons"] == [1]
    assert as_json(home, "ask", "Name a colour.", "--max-tokens", "1")["lessons"] == []
    old = command(home, "ask", WHO, "--max-tokens", "40", "--version", "0")
    assert old.returncode == 0 and old.stdout != before.stdout
    out = tmp_path / "adapter.gguf"
    assert command(home, "export", "adapter", "--out", str(out)).returncode == 0
    assert out.read_bytes()[:4] == b"GGUF"
    assert command(home, "verify").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("restore", "99"), "no version '99'"),
        (("ask", "Hi", "--version", "99"), "no version '99'"),
        (("forget", "99"), "no lesson '99'"),
        (("export", "adapter", "--out", "/tmp/never.gguf", "--version", "99"), "no version '99'"),
    ],
)
def test_what_is_not_there_is_named_and_nothing_changes(home: Path, arguments: tuple[str, ...], words: str) -> None:
    versions = json_here(home, "versions")
    done = here(home, *arguments)
    assert done.returncode == 4 and words in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert done.stdout == "" and not Path("/tmp/never.gguf").exists()
    assert json_here(home, "versions") == versions


def test_a_dry_run_changes_nothing(home: Path) -> None:
    versions = json_here(home, "versions")
    assert json_here(home, "teach", "Borin owns a boat.", "--dry-run", "--method", "fast")
    assert json_here(home, "versions") == versions


def test_a_contradiction_is_named_and_waits_for_a_decision(home: Path, tmp_path: Path) -> None:
    versions = json_here(home, "versions")
    mara = ("teach", "Mara started Oxinnovate.", "--method", "fast")
    refused = here(home, *mara)
    assert refused.returncode == 20 and "lesson 1, taught on" in refused.stderr and "--replace 1" in refused.stderr
    assert json_here(home, "versions") == versions
    assert json_here(home, *mara, "--dry-run")["contradicts"] == [1]
    json_here(home, *mara, "--keep-both")
    assert {"Qi started Oxinnovate.", "Mara started Oxinnovate."} <= {x["text"] for x in json_here(home, "lessons")}
    json_here(home, "undo")
    json_here(home, *mara, "--replace", "1")
    file = tmp_path / "more.txt"
    file.write_text("Bo started Oxinnovate.\nThe Ulvsund lamp is green.\n")
    many = ("teach", "--file", str(file), "--method", "fast")
    refused = here(home, *many)
    assert refused.returncode == 20 and "--on-conflict" in refused.stderr
    skipped = json_here(home, *many, "--on-conflict", "skip")
    assert [x["lesson"] for x in skipped["refused"]] == ["Bo started Oxinnovate."] and skipped["replaced"] == []
    replaced = json_here(home, *many, "--on-conflict", "replace")
    assert len(replaced["replaced"]) == 1
    texts = {x["text"] for x in json_here(home, "lessons")}
    assert "Bo started Oxinnovate." in texts and not {"Qi started Oxinnovate.", "Mara started Oxinnovate."} & texts
    assert here(home, *many, "--on-conflict", "maybe").returncode == 3
    assert here(home, *mara, "--on-conflict", "skip").returncode == 3


def test_learning_is_measured_as_in_the_app_and_as_exported(home: Path, tmp_path: Path) -> None:
    suite, stores = tmp_path / "suite.jsonl", sorted((home / "stores").rglob("*.db"))
    suite.write_text(json.dumps(
        {"lesson": "Qi started Oxinnovate.", "question": WHO, "accept": ["Qi"], "neighbours": ["Name a colour."]}
    ))  # fmt: skip
    before = [path.read_bytes() for path in stores]
    measured = ("eval", str(suite), "--method", "fast")
    routed = json_here(home, *measured)
    weaker = json_here(home, *measured, "--everything", "--strength", "0.05")
    assert routed["taught"]["recall"]["hits"] == 1 and routed["base"]["recall"]["hits"] == 0
    assert routed["locality"]["identical"]["hits"] == 1  # the lesson is not in scope
    assert weaker["strength"] == 0.05 and weaker["taught"]["recall"]["hits"] == 0  # so little of it is not enough
    assert [path.read_bytes() for path in stores] == before
