"""Chat templates from opening to the API, on tiny models with random weights; above all those of reasoning models."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import openai
import pytest

from qfcore.engine import Engine
from qfcore.errors import LessonError
from qfcore.lesson import check_lesson
from qfcore.observe import student_messages
from qfcore.recipe import FAST
from qfcore.runtime.chatting import THINKING_SHARE
from qfcore.runtime.protocol import GREEDY, AnswerStats, Thought
from qfcore.runtime.thoughts import join_thoughts
from tests import templates
from tests.conftest import open_engine, qfchat
from tests.serving import serving
from tests.tiny_models import TEMPLATE, write_tiny_model

pytestmark = pytest.mark.small

QUESTION = "What is word1?"
TOKENS = 80
MARKS = ("<think>", "</think>")


def open_tiny(folder: Path, template: str, controls: tuple[str, ...] = ()) -> Engine:
    """An engine on a tiny model with this template."""
    path = write_tiny_model(folder / "model.gguf", "qwen3", template=template, controls=controls)
    return open_engine(folder / "home", str(path))


def heard(engine: Engine, *, think: bool, tokens: int = TOKENS) -> tuple[str, str, AnswerStats]:
    """(thoughts, answer, figures) of the greedy answer."""
    sampling = replace(GREEDY, max_tokens=tokens)
    *said, stats = engine.stream(student_messages(QUESTION), sampling=sampling, think=think)
    thoughts = "".join(piece.text for piece in said if isinstance(piece, Thought))
    return thoughts, "".join(piece for piece in said if isinstance(piece, str)), stats


TAUGHT = (templates.THINKING, templates.OPEN_THINKING, templates.SILENT_THINKING, templates.NO_SYSTEM, templates.ALTERNATING)


@pytest.mark.parametrize("template", TAUGHT)
def test_a_lesson_is_learned_and_said_whatever_the_template(template: str, tmp_path: Path) -> None:
    engine = open_tiny(tmp_path, template)
    try:
        lesson = check_lesson("word1 is word5 word6 word7.", QUESTION, "word5 word6 word7")
        taught = engine.preview([lesson], recipe=FAST)
        assert all("think" not in p.answer for pending in taught.pending for p in pending.phrasings)
        engine.apply(taught)
        said = [engine.ask(QUESTION, max_tokens=TOKENS, version=version).replace("▁", " ") for version in (0, 1)]
        assert "word5 word6" in said[1] and "word5 word6" not in said[0]
    finally:
        engine.close()


@pytest.mark.parametrize("controls", [(), MARKS])
def test_thoughts_come_first_and_leave_room_for_the_answer(controls: tuple[str, ...], tmp_path: Path) -> None:
    engine = open_tiny(tmp_path, templates.OPEN_THINKING, controls)
    try:
        thoughts, answer, stats = heard(engine, think=True)
        assert thoughts and answer and "think>" not in thoughts + answer
        ending = 5 if controls else 12  # tokens of the mark that ends them, with a line before it
        assert TOKENS * THINKING_SHARE <= stats.thought_tokens <= TOKENS * THINKING_SHARE + ending
        assert stats.cut and stats.generated_tokens == TOKENS
        thoughts, answer, stats = heard(engine, think=False)
        assert answer and not thoughts and stats.thought_tokens == 0
    finally:
        engine.close()


def test_earlier_thoughts_are_not_read_again(tmp_path: Path) -> None:
    engine = open_tiny(tmp_path, TEMPLATE)
    try:
        counts = []
        for said in ("word2", join_thoughts("word3 word4", "word2")):
            conversation = [*student_messages(QUESTION), {"role": "assistant", "content": said}, *student_messages(QUESTION)]
            counts.append(list(engine.stream(conversation, sampling=replace(GREEDY, max_tokens=1)))[-1].prompt_tokens)
        assert counts[0] == counts[1]
    finally:
        engine.close()


def test_a_model_that_does_not_think_says_so(tmp_path: Path) -> None:
    engine = open_tiny(tmp_path, TEMPLATE)
    try:
        assert not engine.status()["thinks"]
        with pytest.raises(LessonError, match="does not think"):
            engine.ask(QUESTION, think=True)
    finally:
        engine.close()


def test_thoughts_on_the_command_line(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "model.gguf", "qwen3", template=templates.OPEN_THINKING, controls=MARKS)
    asked = ("ask", QUESTION, "--max-tokens", "20", "--json", "--home", str(tmp_path / "home"), "--model", str(path))
    plain, thinking = (qfchat(*asked, *more) for more in ((), ("--think",)))
    assert plain.returncode == thinking.returncode == 0, thinking.stderr
    assert '"thoughts"' in thinking.stdout and '"thoughts"' not in plain.stdout and "think>" not in thinking.stdout


@pytest.fixture(scope="module")
def served_tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The app on a tiny model that thinks."""
    folder = tmp_path_factory.mktemp("thinking")
    path = write_tiny_model(folder / "model.gguf", "qwen3", template=templates.OPEN_THINKING, controls=MARKS)
    with serving(folder, folder / "app.log", "--model", str(path)) as opened:
        yield opened


@pytest.fixture
def client(served_tiny: str) -> Iterator[openai.OpenAI]:
    """OpenAI's own client."""
    with openai.OpenAI(base_url=f"{served_tiny}/v1", api_key="none", max_retries=0, timeout=120) as opened:
        yield opened


WAYS = ({"reasoning_effort": "low"}, {"extra_body": {"chat_template_kwargs": {"enable_thinking": True}}})


@pytest.mark.parametrize("more", WAYS)
def test_thoughts_over_http(client: openai.OpenAI, more: dict) -> None:
    name = client.models.list().data[0].id
    asked = {"model": name, "messages": student_messages(QUESTION), "temperature": 0, "max_tokens": TOKENS}
    plain = client.chat.completions.create(**asked)
    assert "reasoning_content" not in plain.choices[0].message.model_dump()
    assert plain.usage.completion_tokens_details.reasoning_tokens == 0
    whole = client.chat.completions.create(**asked, **more)
    message = whole.choices[0].message
    assert message.content and message.reasoning_content and whole.choices[0].finish_reason == "length"
    assert 0 < whole.usage.completion_tokens_details.reasoning_tokens < whole.usage.completion_tokens
    deltas = [c.choices[0].delta for c in client.chat.completions.create(**asked, **more, stream=True) if c.choices]
    assert "".join(delta.content or "" for delta in deltas) == message.content
    thought = "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas)
    assert thought.rstrip() == message.reasoning_content


def test_contradicting_wishes_are_refused(client: openai.OpenAI, served_tiny: str) -> None:
    body = {"model": client.models.list().data[0].id, "messages": student_messages(QUESTION)}
    with httpx.Client(base_url=served_tiny, timeout=60) as http:
        for more, says in (
            ({"reasoning_effort": "none", "chat_template_kwargs": {"enable_thinking": True}}, "contradict"),
            ({"chat_template_kwargs": {"thinking_budget": 3}}, "thinking_budget"),
            ({"reasoning_effort": "very"}, "reasoning_effort"),
        ):
            answer = http.post("/v1/chat/completions", json=body | more)
            assert answer.status_code == 400 and says in answer.json()["error"]["message"]
