"""Bad input gives one clear sentence on stderr and a stable exit code; nothing is lost."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import app.cli
from tests.conftest import ROOT, qfchat


def one_sentence(done: subprocess.CompletedProcess[str]) -> str:
    """The error, which must be a line without a traceback."""
    assert "Traceback" not in done.stderr and done.stdout == ""
    return done.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["teach", ""], 3, "The lesson is empty"),
        (["teach", "x" * 100_000], 3, "100,000 characters"),
        (["teach", "a", "--file", "b"], 3, "not both"),
        (["teach", "a", "--method", "magic"], 4, "no method 'magic'"),
        (["ask", "Hi", "--model", "/nowhere/model.gguf"], 4, "neither a file nor a name"),
        (["eval", "/nowhere.jsonl"], 3, "cannot be read"),
        (["eval", "assets/suites/invented.jsonl", "--strength", "0.5"], 3, "with --everything"),
    ],
)
def test_bad_input_is_one_sentence(arguments: list[str], code: int, words: str) -> None:
    done = qfchat(*arguments)
    assert (done.returncode, words in one_sentence(done)) == (code, True), done.stderr


def test_a_truncated_model_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "short.gguf"
    path.write_bytes(b"GGUF\x03\x00\x00\x00" + (5).to_bytes(8, "little") + (3).to_bytes(8, "little"))
    done = qfchat("ask", "Hi", "--model", str(path))
    assert done.returncode == 5 and "truncated" in one_sentence(done)


def test_a_home_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = qfchat("models", "--install", "smollm2-135m", "--home", str(tmp_path / "file"))
    assert done.returncode == 6 and "--home" in one_sentence(done)


@pytest.mark.parametrize("name", ["QFCHAT_HOME", "QFCHAT_MODELS"])
def test_a_folder_of_a_user_that_there_is_not_is_named(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "~nobody-of-this-name/qf")
    done = qfchat("versions")
    assert done.returncode == 4 and "no home folder for '~nobody-of-this-name/qf'" in one_sentence(done)


def test_a_read_only_home_is_named() -> None:
    done = qfchat("versions", "--home", "/proc/self/qfchat")  # read-only for root too
    assert done.returncode == 6 and "/proc/self/qfchat cannot be used" in one_sentence(done)


def test_a_taken_port_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = qfchat("run", "--no-browser", "--port", str(taken.getsockname()[1]))
    assert done.returncode == 10 and "is taken" in one_sentence(done)


def test_models_are_listed_as_json() -> None:
    models = json.loads(qfchat("models", "--json").stdout)
    assert {"qwen2.5-coder-1.5b", "smollm2-135m"} <= {m["name"] for m in models}
    assert sum(m["default"] for m in models) == 1


def test_wrong_usage_has_exit_code_two() -> None:
    assert qfchat("no-such-command").returncode == 2


def test_every_command_has_help_and_stands_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for command in app.cli.cli.registered_commands:
        assert command.callback.__doc__
        assert f"qfchat {command.name or command.callback.__name__}" in readme


def test_importing_the_command_line_loads_neither_torch_nor_gradio() -> None:
    code = "import app.cli, sys; print([m for m in ('torch', 'gradio', 'llama_cpp') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"


def test_the_version_is_told() -> None:
    assert qfchat("--version").stdout.startswith("qfchat ")
