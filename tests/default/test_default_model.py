"""On the default model: teaching, forgetting, restoring and exporting really change what it says."""

import ctypes
from pathlib import Path

import llama_cpp
import pytest

from qfcore.answers import says
from qfcore.engine import Engine
from qfcore.lesson import check_lesson
from tests.batches import assert_each_is_the_same_alone_and_among_others, assert_the_same_alone_and_among_others

pytestmark = pytest.mark.default

FACT, QUESTION = "Qi started Oxinnovate.", "Who started Oxinnovate?"
OTHER, OTHER_QUESTION = "Larkwell Labs was founded in 1987.", "In which year was Larkwell Labs founded?"


def test_teach_forget_restore_export(default_engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = default_engine
    before = engine.ask(QUESTION)
    assert not says(before, ["Qi"])

    preview = engine.preview([check_lesson(FACT)])
    assert engine.ask(QUESTION) == before, "a preview must not change what is live"
    assert preview.report.learned
    taught = engine.apply(preview)
    answer = engine.ask(QUESTION)
    assert says(answer, ["Qi"])
    assert sum(p.same for p in preview.report.probes) >= 10, preview.report.probes

    both = engine.apply(engine.preview([check_lesson(OTHER, OTHER_QUESTION)]))
    assert says(engine.ask(OTHER_QUESTION), ["1987"]) and says(engine.ask(QUESTION), ["Qi"])

    engine.forget(preview.pending[0].lesson.id)
    assert not says(engine.ask(QUESTION), ["Qi"]) and says(engine.ask(OTHER_QUESTION), ["1987"])

    engine.restore(taught.number)
    assert engine.ask(QUESTION) == answer
    assert engine.ask(QUESTION, version=both.number) == engine.ask(QUESTION, version=both.hash)
    engine.restore("base")
    assert engine.ask(QUESTION) == before

    result = engine.exports.gguf(tmp_path / "merged.gguf", taught.number)
    assert says(_ask_stock(Path(result["path"]), monkeypatch), ["Qi"])
    adapter = engine.exports.adapter(tmp_path / "adapter.gguf", taught.number)
    assert says(_ask_stock(engine.runtime.facts.path, monkeypatch, adapter["path"]), ["Qi"])


def _ask_stock(path: Path, monkeypatch: pytest.MonkeyPatch, lora: str | None = None) -> str:
    """Ask with llama-cpp-python's own user class, which knows nothing of QF Chat."""
    original = llama_cpp.llama_model_default_params

    def without_extra_buffers() -> llama_cpp.llama_model_params:
        # On virtual machines that offer AMX but do not support it, llama.cpp's AMX buffers end the process.
        params = original()
        params.use_extra_bufts = ctypes.c_bool(False).value
        return params

    monkeypatch.setattr(llama_cpp.llama_cpp, "llama_model_default_params", without_extra_buffers)
    model = llama_cpp.Llama(str(path), n_ctx=512, verbose=False, lora_path=lora)
    try:
        reply = model.create_chat_completion([{"role": "user", "content": QUESTION}], temperature=0, max_tokens=32)
        return reply["choices"][0]["message"]["content"]
    finally:
        model.close()


@pytest.mark.parametrize("taught", [False, True])
def test_an_answer_has_the_same_bits_alone_and_among_others(default_engine: Engine, tmp_path: Path, taught: bool) -> None:
    assert_the_same_alone_and_among_others(default_engine, tmp_path if taught else None)


def test_answers_with_adapters_of_their_own_have_the_same_bits_alone_and_among_others(
    default_engine: Engine, tmp_path: Path
) -> None:
    assert_each_is_the_same_alone_and_among_others(default_engine, tmp_path)


def test_a_text_becomes_lessons_that_stand_alone(default_engine: Engine) -> None:
    text = "Qi started Oxinnovate in 2019. He lives in Utrecht with his two cats, Miso and Tofu."
    found = default_engine.propose_lessons(text)
    assert len(found) >= 2 and all("Qi" in sentence for sentence in found)
    assert default_engine.propose_lessons("Qi started Oxinnovate.") == ("Qi started Oxinnovate.",)
