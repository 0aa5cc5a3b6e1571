"""The history from the command line on a tiny model: branch, tag, diff, compare, why, bundle, bulk, erase."""

import json
import os
from pathlib import Path

import pytest

from tests.conftest import qfchat, qfchat_here, told
from tests.tiny_models import write_tiny_model

pytestmark = pytest.mark.small


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model in a models folder of its own, whose replay all homes share."""
    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny.gguf", "qwen3", seed=3)  # it takes these lessons


@pytest.fixture(autouse=True)
def models(tiny: Path, isolated_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the tiny model is."""
    monkeypatch.setenv("QFCHAT_MODELS", str(tiny.parent))
    monkeypatch.setenv("QFCHAT_TINY", str(tiny))


def run(*arguments: str, home: Path, code: int = 0) -> dict:
    """A command's JSON."""
    return told(*arguments, home=home, model=os.environ["QFCHAT_TINY"], code=code)


def test_a_history_from_the_command_line(tmp_path: Path) -> None:
    home, other = tmp_path / "home", tmp_path / "other"
    lessons = tmp_path / "lessons.csv"
    lessons.write_text(
        "text,question,answer\nQi started Oxinnovate.,Who started Oxinnovate?,Qi\n"
        "Ash is a heron.,What animal is Ash?,A heron\n"
    )
    plan = run("teach", "--file", str(lessons), "--method", "fast", "--dry-run", home=home)
    assert (plan["new"], plan["live"], plan["version"]) == (2, 0, None)
    taught = run("teach", "--file", str(lessons), "--method", "fast", home=home)
    assert taught["version"] == 1 and taught["refused"] == []
    again = run("teach", "--file", str(lessons), "--method", "fast", home=home)
    assert (again["version"], again["live"]) == (1, 2)

    run("tag", "two facts", home=home)
    run("branch", "work", home=home)
    assert run("switch", "work", home=home) == {"branch": "work", "version": 1}
    run("forget", "2", home=home)
    names = {n["name"]: (n["version"], n["current"]) for n in run("names", home=home)}
    assert names == {"two facts": (1, False), "main": (1, False), "work": (2, True)}
    assert run("diff", "two facts", "work", home=home)["removed"] == ["Ash is a heron."]

    origin = run("why", "Who started Oxinnovate?", home=home)
    assert [(o["number"], o["source"], o["version"]) for o in origin] == [(1, "file:lessons.csv", 1)]
    assert run("why", "Name a colour.", home=home) == []
    compared = run("compare", "0", "1", "--question", "Who started Oxinnovate?", "--question", "Name a colour.", home=home)
    assert compared["weights"]["norm"] > 0 and [a["same"] for a in compared["answers"]][1] is True

    bundle = tmp_path / "all.qfbundle"
    run("export", "bundle", "--out", str(bundle), home=home)
    assert run("import", str(bundle), home=other)["lessons"] == 1
    assert run("versions", home=other) == run("versions", home=home)
    adapters = [tmp_path / "a.gguf", tmp_path / "b.gguf"]
    for path, where in zip(adapters, (home, other), strict=True):
        run("export", "adapter", "--out", str(path), "--version", "two facts", home=where)
    assert adapters[0].read_bytes() == adapters[1].read_bytes()  # the same weights on both machines
    third = tmp_path / "third"
    run("teach", "Zinnia is a goat.", "--question", "What is Zinnia?", "--answer", "A goat", "--method", "fast", home=third)
    assert run("import", str(bundle), home=third)["lessons"] == 2  # its own is kept
    sources = [(o["source"], o["version"]) for o in run("why", "Who started Oxinnovate?", home=third)]
    assert sources == [("bundle", 2)] and run("verify", home=third)["ok"]

    assert run("erase", "1", "--yes", home=home)["versions"] == 2
    assert b"Oxinnovate" not in b"".join(p.read_bytes() for p in home.rglob("*") if p.is_file())
    assert run("verify", home=home)["ok"]
    run("names", "--delete", "two facts", home=home)
    run("tag", "3", home=home, code=13)
    bundle.write_bytes(bundle.read_bytes()[:-100])
    run("import", str(bundle), home=home, code=14)


def test_a_bundle_of_another_base_is_taught_anew_when_asked(tiny: Path, tmp_path: Path) -> None:
    home, text = tmp_path / "home", tmp_path / "a.csv"
    text.write_text("text,question,answer\nQi started Oxinnovate.,Who started Oxinnovate?,Qi\n")
    run("teach", "--file", str(text), "--method", "fast", home=home)
    bundle = tmp_path / "b.qfbundle"
    run("export", "bundle", "--out", str(bundle), home=home)
    model = tmp_path / "other.gguf"
    given = ("--home", str(home), "--model", str(model))
    exported = qfchat_here(
        "export", "gguf", "--version", "0", "--out", str(model), "--home", str(home), "--model", str(tiny)
    )
    assert exported.returncode == 0, exported.stderr
    done = qfchat("import", str(bundle), *given)  # as a user starts it
    assert done.returncode == 14 and "--reobserve" in done.stderr
    done = qfchat_here("import", str(bundle), "--reobserve", "--method", "fast", "--json", *given)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["lessons"] == 1
