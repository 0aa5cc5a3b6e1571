"""From a scripted model's tokens to thoughts and answer; its vocabulary is letters and a few control tokens."""

import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from qfcore.runtime import chatting
from qfcore.runtime.chatting import THINKING_SHARE, ChatSession
from qfcore.runtime.prompt import Prompts
from qfcore.runtime.protocol import GREEDY, AnswerStats, Thought
from tests import templates

CONTROLS = {"<think>": 1 << 21, "</think>": (1 << 21) + 1, "<end>": (1 << 21) + 2}
NAMES = {token: text for text, token in CONTROLS.items()}
HELLO = [{"role": "user", "content": "Hello"}]


class Letters:
    """A model whose tokens are letters; control tokens are invisible unless they are asked for."""

    vocab, n_vocab = None, 1 << 22
    bos = eos = -1

    def __init__(self, template: str) -> None:
        self._template = template

    def chat_template(self) -> str:
        return self._template

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:  # noqa: ARG002
        parts = re.split("(" + "|".join(CONTROLS) + ")", text) if parse_special else [text]
        return [t for part in parts for t in ([CONTROLS[part]] if part in CONTROLS else map(ord, part))]

    def piece(self, token: int, *, special: bool = False) -> bytes:
        return (NAMES[token] * special if token in NAMES else chr(token)).encode()

    def is_end(self, token: int) -> bool:
        return token in self.ends()

    def ends(self) -> list[int]:
        return [CONTROLS["<end>"]]

    def special_texts(self) -> list[str]:
        return list(CONTROLS)


class Nothing:
    """A context that computes nothing."""

    def __init__(self, model: Letters) -> None:
        self.model, self.size = model, 4096

    def decode(self, *_: object) -> bool:
        return True

    def keep(self, count: int) -> int:
        return count


@pytest.fixture
def prompts() -> Iterator:
    """Makes prompts of letters from a template."""
    made: list[Prompts] = []

    def make(template: str) -> Prompts:
        made.append(Prompts(Letters(template)))
        return made[-1]

    yield make
    for one in made:
        one.close()


def answer(prompts: Prompts, text: str, monkeypatch: pytest.MonkeyPatch, *, think: bool, tokens: int = 1000) -> tuple:
    """(thoughts, answer, figures) when the model says `text`."""
    model = Letters("")
    script = iter(model.tokenize(text, add_special=False, parse_special=True))

    class Scripted:
        def __init__(self, *_: object) -> None:
            pass

        def draw(self, _context: object) -> int:
            return next(script, CONTROLS["<end>"])

        def close(self) -> None:
            pass

    monkeypatch.setattr(chatting, "_Sampler", Scripted)
    prompt, thoughts = prompts.chat(HELLO, think=think)
    said: list = []
    sampling = replace(GREEDY, max_tokens=tokens)
    ChatSession(Nothing(model), prompts).answer(prompt, sampling, threading.Event(), said.append, thoughts)
    assert isinstance(said[-1], AnswerStats)
    return _joined(said, Thought), _joined(said, str), said[-1]


def _joined(said: Sequence, kind: type) -> str:
    return "".join(piece.text if kind is Thought else piece for piece in said if isinstance(piece, kind))


@pytest.mark.parametrize(
    ("template", "spoken"),
    [(templates.THINKING, "<think>\nHm.\n</think>\n\nQi."), (templates.OPEN_THINKING, "Hm.\n</think>\n\nQi.")],
)
def test_marks_that_are_control_tokens_are_seen(prompts, monkeypatch, template: str, spoken: str) -> None:  # noqa: ANN001
    made = prompts(template)
    assert made.thinks
    thoughts, said, stats = answer(made, spoken, monkeypatch, think=True)
    assert (thoughts.strip(), said) == ("Hm.", "Qi.") and not stats.cut
    assert 4 <= stats.thought_tokens <= 8
    tokens = Letters("").tokenize("<think>\n\n</think>\n\nQi.<end>", add_special=False, parse_special=True)
    assert made.text(tokens) == "Qi."


def test_thoughts_that_grow_too_long_are_ended_and_answered(prompts, monkeypatch) -> None:  # noqa: ANN001
    made = prompts(templates.OPEN_THINKING)
    thoughts, said, stats = answer(made, "m" * 60 + "Qi." * 90, monkeypatch, think=True, tokens=80)
    assert thoughts.rstrip() == "m" * int(80 * THINKING_SHARE) and said.startswith("Qi.")
    assert stats.cut and stats.generated_tokens == 80


def test_a_thinking_model_that_was_told_not_to_answers_at_once(prompts, monkeypatch) -> None:  # noqa: ANN001
    made = prompts(templates.OPEN_THINKING)
    assert answer(made, "Qi.", monkeypatch, think=False)[:2] == ("", "Qi.")
    assert made.render(HELLO).endswith("<think>\n\n</think>\n\n")


def test_a_model_without_thoughts_may_speak_of_them(prompts, monkeypatch) -> None:  # noqa: ANN001
    made = prompts(templates.TOOLS)
    made.try_thinking(lambda *_: pytest.fail("nothing to try"))
    assert not made.thinks and answer(made, "<thin> air", monkeypatch, think=False)[:2] == ("", "<thin> air")


@pytest.mark.parametrize(("begins", "thinks"), [("<think>\nHm", True), ("Hello!", False)])
def test_whether_a_model_thinks_by_itself_is_tried(prompts, monkeypatch, begins: str, thinks: bool) -> None:  # noqa: ANN001
    made = prompts(templates.SILENT_THINKING)
    assert not made.thinks
    made.try_thinking(lambda _prompt, tokens: made._control(begins)[:tokens])  # noqa: SLF001
    assert made.thinks == thinks
    assert made.render(HELLO).endswith("<think>\n\n</think>\n\n" if thinks else "assistant: ")
    spoken = "<think>\nHm.\n</think>\n\nQi." if thinks else "Qi."
    assert answer(made, spoken, monkeypatch, think=True)[:2] == (("Hm.\n", "Qi.") if thinks else ("", "Qi."))


def test_lessons_have_a_fixed_day_and_chats_have_today(prompts) -> None:  # noqa: ANN001
    made = prompts(templates.DATED)
    learned, spoken = made.tokens(HELLO), made.chat(HELLO, think=False)[0]
    assert "26 Jul 2024" in made.text(learned) and "26 Jul 2024" not in made.text(spoken)
