"""The models that the window offers, the choice that the home remembers, and beginning anew with it."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from app import server
from app.choice import Choice, read_choice, remember_choice
from app.present.models import models_table
from app.restart import Restart, arguments_again
from app.shelf import Shelf
from qfcore.engine import Engine
from qfcore.errors import ModelError, NotFound, QFError, RuntimeFailure, StoreBusy, StoreCorrupt
from qfcore.models import library
from qfcore.models.catalogue import CATALOGUE
from qfcore.models.library import Library, Listed
from qfcore.models.memory import Memory
from qfcore.settings import Paths
from tests.conftest import ROOT, qfchat
from tests.unit.test_export import make_base


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    """A home with models of its own."""
    monkeypatch.delenv("QFCHAT_MODELS")
    made = Paths(tmp_path / "home")
    made.prepare()
    return made


@pytest.fixture
def shelf(paths: Paths) -> Shelf:
    """A shelf on which one local file stands, which is open."""
    here = make_base(paths.models / "mine.gguf")
    return Shelf(SimpleNamespace(paths=paths, runtime=SimpleNamespace(facts=SimpleNamespace(path=here))), "smollm2-135m")


def test_models_are_listed_with_what_they_need(shelf: Shelf, paths: Paths) -> None:
    listed = {model.title: model for model in shelf.list()}
    assert len(listed) == len(CATALOGUE) + 1 and shelf.is_open(listed["mine"])
    (paths.models / "bad.gguf").write_bytes(b"GGUF" + bytes(40))
    table = models_table(shelf.list(), shelf.is_open)
    assert "answers now" in table and "damaged: " in table and "at least 1.6 GB" in table
    assert table.count('data-action="install"') == len(CATALOGUE) and 'data-action="open"' not in table


def test_a_model_that_does_not_fit_has_no_button(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "memory_here", lambda: Memory(1 << 30, 1 << 30))
    table = models_table(shelf.list(), shelf.is_open)
    assert table.count("more than this computer has") == 1 and table.count("data-action") == len(CATALOGUE) - 1


def test_names_are_shown_as_text() -> None:
    model = Listed("<x>", "<img src=x>", 1, "", "", "<b>", False, "/x", True, 1, True, "")
    assert "<img" not in models_table([model], lambda _: False) and "<b>" not in models_table([model], lambda _: False)


def test_a_file_is_looked_at_and_chosen(shelf: Shelf, paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_base(tmp_path / "other.gguf")
    assert shelf.install(str(tmp_path / "other.gguf"), "tab", lambda *_: None).title == "other"
    monkeypatch.chdir(tmp_path)
    shelf.choose(" other.gguf ")
    assert read_choice(paths) == Choice(str(tmp_path / "other.gguf"), "smollm2-135m")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("", "No model is named"), ("gpt-17", "neither a file nor a name"), ("smollm2-135m", "not installed. Press Install"),
        ("hf:people/one-GGUF", "not installed"), ("hf:x", "OWNER/NAME"),
    ],
)  # fmt: skip
def test_what_cannot_be_opened_is_not_remembered(shelf: Shelf, paths: Paths, name: str, says: str) -> None:
    with pytest.raises(NotFound, match=says):
        shelf.choose(name)
    assert read_choice(paths) == Choice()


def test_a_damaged_file_is_neither_installed_nor_chosen(shelf: Shelf, paths: Paths, tmp_path: Path) -> None:
    (tmp_path / "bad.gguf").write_bytes(b"GGUF" + bytes(40))
    for act in (shelf.choose, lambda name: shelf.install(name, "tab", lambda *_: None)):
        with pytest.raises(ModelError):
            act(str(tmp_path / "bad.gguf"))
    assert read_choice(paths) == Choice()


def test_the_command_chooses_and_forgets(tmp_path: Path) -> None:
    other, home = make_base(tmp_path / "other.gguf"), Paths(tmp_path / "home")
    done = qfchat("models", "--choose", str(other), "--home", str(home.home))
    assert done.returncode == 0 and read_choice(home).name == str(other), done.stderr
    refused = qfchat("models", "--choose", "gpt-17", "--home", str(home.home))
    assert refused.returncode == NotFound.exit_code and read_choice(home).name == str(other)
    assert qfchat("models", "--choose", "default", "--home", str(home.home)).returncode == 0
    assert read_choice(home) == Choice()


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"model": 7}', '{"model": ""}'])
def test_a_damaged_choice_counts_as_none(paths: Paths, text: str) -> None:
    (paths.home / "settings.json").write_text(text)
    assert read_choice(paths) == Choice()


def test_the_remembered_model_is_opened_unless_another_is_named(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str | None] = []

    def open_(*, model: str | None, **_: object) -> str:
        asked.append(model)
        if model == "gone":
            raise NotFound("There is no model 'gone'.")
        return "engine"

    monkeypatch.setattr(Engine, "open", open_)

    def opened(model: str | None) -> str | None:
        return server._open(paths, model, lambda *_: None)[1]

    assert opened(None) is None
    remember_choice(paths, Choice("chosen", "earlier"))
    assert opened(None) == "chosen" and opened("named") == "named"
    remember_choice(paths, Choice("gone", "earlier"))
    assert opened(None) == "earlier" and read_choice(paths) == Choice("earlier")
    assert asked == [None, "chosen", "named", "gone", "earlier"]


@pytest.mark.parametrize(
    ("error", "kept"),
    [(StoreBusy, "chosen"), (StoreCorrupt, "earlier"), (RuntimeFailure, "earlier"), (ModelError, "earlier")],
)
def test_a_choice_that_cannot_be_opened_is_forgotten_unless_it_is_only_busy(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, error: type[QFError], kept: str
) -> None:
    def open_(*, model: str | None, **_: object) -> str:
        if model == "chosen":
            raise error("It cannot be opened.")
        return "engine"

    monkeypatch.setattr(Engine, "open", open_)
    remember_choice(paths, Choice("chosen", "earlier"))
    assert server._open(paths, None, lambda *_: None) == ("engine", "earlier")
    assert read_choice(paths).name == kept


def test_closing_stops_what_is_being_installed(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf, seen = Shelf(SimpleNamespace(paths=paths)), []
    monkeypatch.setattr(Library, "find", lambda _self, _name, _tell, cancel: (shelf.close(), seen.append(cancel.is_set())))
    monkeypatch.setattr("app.shelf._check", lambda _: None)
    shelf.install("smollm2-135m", "tab", lambda *_: None)
    assert seen == [True]


def test_a_choice_that_is_gone_is_told(paths: Paths, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    remember_choice(paths, Choice(str(paths.home / "gone.gguf")))
    opened: list[str | None] = []
    real = Engine.open
    monkeypatch.setattr(
        Engine, "open", lambda *, model, **more: real(model=model, **more) if model else opened.append(model)
    )
    server._open(paths, None, lambda *_: None)
    assert opened == [None] and "gone.gguf that was chosen cannot be opened: There is no model" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "again"),
    [
        (["-m", "app", "run"], ["-m", "app", "run", "--no-browser"]),
        (["/bin/qfchat", "run", "--model", "x", "--port", "7"], ["/bin/qfchat", "run", "--port", "7", "--no-browser"]),
        (["q", "run", "--model=x y", "--no-browser", "--home", "h"], ["q", "run", "--home", "h", "--no-browser"]),
    ],
)
def test_the_same_command_is_given_without_its_model(given: list[str], again: list[str]) -> None:
    assert arguments_again(given) == again


def test_the_process_begins_anew_as_itself(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import os, sys\nfrom app.restart import begin_anew\nprint(os.getpid(), sys.argv[1:], flush=True)\n"
        "if '--no-browser' not in sys.argv: begin_anew()\n"
    )
    done = subprocess.run(
        [sys.executable, str(script), "run", "--model", "x", "--port", "7"], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    first, second = (line.split(" ", 1) for line in done.stdout.splitlines())
    assert first[0] == second[0] and second[1] == "['run', '--port', '7', '--no-browser']"


def test_a_restart_is_possible_once_it_is_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QFCHAT_TOKEN", "before")
    restart, ended = Restart(), []
    assert not restart.possible and not restart.wanted
    restart.offer(lambda: ended.append(True), "t" * 20)
    restart.ask()
    assert restart.possible and restart.wanted and ended == [True]
    assert server._token() == "t" * 20  # the new process is opened by the same one
