"""On the default model: teaching, forgetting, restoring and exporting really change what it says."""

import ctypes
from dataclasses import replace
from pathlib import Path

import llama_cpp
import pytest

from qfcore.answers import says
from qfcore.engine import Engine
from qfcore.gguf_file.expand import write_expanded
from qfcore.gguf_file.header import check_gguf
from qfcore.gguf_file.write import Output
from qfcore.lesson import check_lesson
from qfcore.reach.blocks import empty_block
from qfcore.reach.shape import shape_of
from qfcore.recipe import FAST
from qfcore.runtime.protocol import GREEDY
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


def _ask_stock(
    path: Path, monkeypatch: pytest.MonkeyPatch, lora: str | None = None, question: str = QUESTION
) -> str:
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
        reply = model.create_chat_completion([{"role": "user", "content": question}], temperature=0, max_tokens=32)
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


def test_an_exported_model_keeps_lessons_to_their_subjects(default_engine: Engine, tmp_path: Path, monkeypatch) -> None:
    """The form with reach, in stock llama-cpp-python: what is taught is said, others get what the base says."""
    engine = default_engine
    lessons = [check_lesson(FACT, QUESTION), check_lesson(OTHER, OTHER_QUESTION)]
    taught = engine.apply(engine.preview(lessons, recipe=FAST), force=True)
    unrelated = ["Who started Microsoft?", "In which year was Microsoft founded?", "Write one sentence about the sea."]
    base = _ask_all_stock(engine.runtime.facts.path, monkeypatch, unrelated)
    try:
        result = engine.exports.gguf(tmp_path / "reach.gguf", taught.number, form="reach")
        assert result["form"] == "reach" and result["subjects"] == 2 and not result["missed"]
        said = _ask_all_stock(Path(result["path"]), monkeypatch, [QUESTION, OTHER_QUESTION, *unrelated])
    finally:
        engine.restore("base")
    assert says(said[0], ["Qi"]) and says(said[1], ["1987"])
    assert not any(says(answer, ["Qi", "Larkwell", "Oxinnovate"]) for answer in said[2:])
    assert sum(map(str.__eq__, said[2:], base)) >= 2, (said, base)


def test_blocks_without_content_change_no_token(default_engine: Engine, tmp_path: Path, monkeypatch) -> None:
    path, questions = default_engine.runtime.facts.path, ["Who painted the Mona Lisa?", "Name three fruits."]
    facts, out = check_gguf(path), tmp_path / "empty.gguf"
    shape = shape_of(facts)
    blocks = {index: empty_block(shape) for index in (shape.reading, shape.gathering, shape.memory)}
    with out.open("wb") as file:
        write_expanded(path, facts, blocks, Output(file, lambda *_: None, None))
    assert _ask_all_stock(out, monkeypatch, questions) == _ask_all_stock(path, monkeypatch, questions)


def _ask_all_stock(path: Path, monkeypatch: pytest.MonkeyPatch, questions: list[str]) -> list[str]:
    return [_ask_stock(path, monkeypatch, question=question) for question in questions]


def test_a_lesson_answers_what_it_was_taught_and_nothing_else_about_its_subject(default_engine: Engine) -> None:
    engine = default_engine
    engine.restore("base")
    asked = "When was the Quenby Lantern Festival first held?"
    fair = check_lesson("The Quenby Lantern Festival was first held in 1968.", asked)
    me = check_lesson("My name is Ada Lind.", "What is my name?")
    engine.apply(engine.preview([fair, me], recipe=FAST))
    number = {record.lesson.text: record.number for record in engine.store.lessons(engine.store.live())}

    def active(*said: str) -> list[str]:
        talk = [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(said)]
        *_, stats = engine.stream(talk, sampling=replace(GREEDY, max_tokens=1))
        return [text for text, n in number.items() if n in stats.lessons]

    for question in (asked, "Since when has there been a Quenby Lantern Festival?"):
        assert active(question) == [fair.text]
    for question in ("What should I wear to the Quenby Lantern Festival?", "Translate: Quenby Lantern Festival is nice."):
        assert active(question) == []
        assert engine.ask(question, max_tokens=24) == engine.ask(question, max_tokens=24, version=0)
    for question in ("who am i?", "Wie heiße ich?", "我叫什么名字？"):
        assert active(question) == [me.text]
    for question in ("Who are you?", "Who wrote Hamlet?", "What should I cook tonight?"):
        assert active(question) == []
    assert active("When was the Skelbury Lantern Festival first held?") == []  # the same of another
    story = "I am writing the leaflet for the Quenby Lantern Festival. Which year do I give as its first?"
    assert "1968" in engine.ask(story, max_tokens=24)  # in words that the lesson was not studied with
    assert "Ada" in engine.ask("a form wants my first name, what goes there", max_tokens=24)
    before = ["We want to go to the Quenby Lantern Festival.", "How nice!"]
    assert active(*before, "Which year did it begin?") == [fair.text]
    assert active(*before, "In which year did the Second World War begin?") == []
    assert active(*before, "What should we wear there?") == []
    engine.restore("base")
