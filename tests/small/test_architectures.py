"""Where each architecture is taught is found in its graph; on tiny models with random weights, and on real ones."""

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qfcore.engine import Engine
from qfcore.errors import CannotTeach
from qfcore.export.adapter import write_adapter
from qfcore.lesson import check_lesson
from qfcore.observe import before_norm
from qfcore.recipe import FAST
from qfcore.rows import Rows
from qfcore.runtime.llama import LlamaRuntime
from qfcore.runtime.protocol import GREEDY, AnswerStats, Script
from qfcore.solve import solve_minimum_norm
from tests.conftest import open_engine, qfchat
from tests.tiny_models import BLOCKS, LAYERS, WIDTH, write_tiny_model

pytestmark = pytest.mark.small

TAUGHT = [kind for kind in BLOCKS if kind not in ("mixtral", "mamba")]
SCRIPT = Script((("user", "word1 word2?"),), (270, 271, 272, 273, 2))


@pytest.mark.parametrize("layer", range(LAYERS))
@pytest.mark.parametrize("kind", TAUGHT)
def test_a_solved_change_gives_the_wanted_output_of_the_layer(kind: str, layer: int, tmp_path: Path) -> None:
    runtime = LlamaRuntime(write_tiny_model(tmp_path / "model.gguf", kind), chat_context=256)
    try:
        before = runtime.observe([SCRIPT], layer=layer)[0]
        wanted = np.random.default_rng(1).normal(size=before.residuals.shape).astype(np.float32)
        if before.branches is None:
            targets, reached = wanted, before.residuals + wanted
        else:  # a norm follows: its direction can be chosen, its length cannot
            targets = before_norm(replace(before, residuals=before.residuals + wanted), before)
            y = before.branches + targets
            normed = [b / np.sqrt(np.mean(b * b, axis=1, keepdims=True)) for b in (before.branches, y)]
            reached = before.residuals + before.gain * (normed[1] - normed[0])
        rows = Rows(layer, before.keys, targets, np.ones(len(targets), dtype=np.float32))
        path = tmp_path / "change.gguf"
        write_adapter(solve_minimum_norm(rows), path, architecture=runtime.facts.architecture, metadata={})
        after = runtime.observe([SCRIPT], layer=layer, adapter=path)[0]
    finally:
        runtime.close()
    away = np.abs(reached - before.residuals).max()
    assert np.abs(after.residuals[0] - reached[0]).max() < 0.02 * away
    assert before.keys.shape == (len(SCRIPT.answer), before.keys.shape[1]) and before.residuals.shape[1] == WIDTH


def test_a_mixture_of_experts_chats_but_is_not_taught(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "model.gguf", "mixtral")
    engine = open_engine(tmp_path / "home", str(path))
    try:
        assert isinstance(engine.ask("word1?", max_tokens=4), str)
        with pytest.raises(CannotTeach, match="mixture of experts"):
            engine.preview([check_lesson("word1 word2.", "word1?", "word2")], recipe=FAST)
        assert engine.store.live().number == 0
    finally:
        engine.close()
    done = qfchat("teach", "word1 word2.", "--model", str(path), QFCHAT_HOME=str(tmp_path / "home"))
    assert done.returncode == CannotTeach.exit_code and "mixture of experts" in done.stderr


@pytest.mark.parametrize("kind", [kind for kind in TAUGHT if kind != "gemma3"])  # the real one is asked below
def test_a_lesson_is_said_by_every_architecture(kind: str, tmp_path: Path) -> None:
    engine = open_engine(tmp_path / "home", str(write_tiny_model(tmp_path / "model.gguf", kind)))
    try:
        lesson = check_lesson("word1 is word5 word6 word7.", "What is word1?", "word5 word6 word7")
        engine.apply(engine.preview([lesson], recipe=FAST))
        said = [engine.ask("What is word1?", max_tokens=40, version=version).replace("▁", " ") for version in (0, 1)]
        assert "word5 word6" in said[1] and "word5 word6" not in said[0]
    finally:
        engine.close()


def test_a_recurrent_model_reads_a_conversation_anew_and_chats_on(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "model.gguf", "mamba")
    first = [{"role": "user", "content": "word1 word2 " * 9}]
    turns = [first, [*first, {"role": "assistant", "content": "word3"}, {"role": "user", "content": "word4 word5?"}]]

    def ask(runtime: LlamaRuntime, messages: list[dict]) -> tuple[str, AnswerStats]:
        *pieces, stats = runtime.stream(messages, replace(GREEDY, max_tokens=12), stop=threading.Event())
        return "".join(pieces), stats

    alone = []
    for messages in turns:
        fresh = LlamaRuntime(path, chat_context=512)
        alone.append(ask(fresh, messages)[0])
        fresh.close()
    runtime = LlamaRuntime(path, chat_context=512)
    try:
        answers = [ask(runtime, messages) for messages in (*turns, *turns[::-1], turns[0])]
    finally:
        runtime.close()
    assert [text for text, _ in answers] == [*alone, *alone[::-1], alone[0]]
    assert all(stats.cached_tokens == 0 for _, stats in answers)


def test_a_recurrent_model_is_opened_and_not_taught(tmp_path: Path) -> None:
    engine = open_engine(tmp_path / "home", str(write_tiny_model(tmp_path / "model.gguf", "mamba")))
    try:
        assert "cannot be taught" in engine.cannot_teach or "not be taught" in engine.cannot_teach
        assert isinstance(engine.ask("word1?", max_tokens=4), str)
    finally:
        engine.close()


def test_a_real_gemma_is_taught(gemma: Path, tmp_path: Path) -> None:
    engine: Engine = open_engine(tmp_path / "home", str(gemma))
    try:
        lesson = check_lesson("The capital of Zemvaria is Port Anselm.", "What is the capital of Zemvaria?", "Port Anselm")
        engine.apply(engine.preview([lesson], recipe=FAST))
        assert "Port Anselm" in engine.ask(lesson.question, max_tokens=12)
        assert "Anselm" not in engine.ask(lesson.question, max_tokens=12, version=0)
    finally:
        engine.close()
