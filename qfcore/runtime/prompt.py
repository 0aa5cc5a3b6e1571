"""Conversations to token ids and answers' tokens to text."""

import codecs
import datetime
from collections.abc import Callable, Sequence
from typing import Protocol

from qfcore.errors import ModelError
from qfcore.runtime.protocol import Message
from qfcore.runtime.template import CHATML, LESSON_DAY, PLAIN, open_template
from qfcore.runtime.thoughts import ThoughtSplitter, split_thoughts

_HELLO = [{"role": "user", "content": "Hello"}]
_ANSWERED = "Good morning."


class Vocabulary(Protocol):
    """What a model's tokenizer can do. bos, eos: token ids, negative for none."""

    bos: int
    eos: int

    def ends(self) -> list[int]:
        """Tokens that end a turn, the likeliest first."""

    def chat_template(self) -> str | None:
        """The model's own template, or None."""

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        """Token ids. With parse_special, the text of a control token becomes that token."""

    def piece(self, token: int, *, special: bool = False) -> bytes:
        """Bytes of one token (a character may span several tokens)."""

    def is_end(self, token: int) -> bool:
        """Whether the token ends a turn."""

    def special_texts(self) -> list[str]:
        """Texts of all control tokens."""


class Prompts:
    """Turns conversations into the tokens that a model expects."""

    def __init__(self, model: Vocabulary) -> None:
        self._model = model
        self._bos = self._text_of(model.bos)
        template = model.chat_template() or (CHATML if "<|im_end|>" in model.special_texts() else PLAIN)
        self._template = open_template(template, bos=self._bos, eos=self._text_of(model.eos))
        self.end_of_turn: int = self._find_end(template)
        self.end_of_turn_text: str = self._text_of(self.end_of_turn)
        self._marks = marks = self._template.marks
        self._shown = set(self._control(marks.open + marks.close + marks.between)) if marks else set()
        self.end_of_thoughts: list[int] = self._control(marks.ending) if marks else []
        self.thinks: bool = self._can_think()

    def _text_of(self, token: int) -> str:
        return self._model.piece(token, special=True).decode("utf-8", "replace") if token >= 0 else ""

    def _control(self, text: str) -> list[int]:
        return self._model.tokenize(text, add_special=False, parse_special=True)

    def _find_end(self, template: str) -> int:
        """The end that the template writes after an answer, else one that it names, else the likeliest; -1 without any.

        Programs that serve the model elsewhere stop at that one, and some at no other.
        """
        ends = {text: token for token in self._model.ends() if (text := self._text_of(token))}
        try:
            told = self._template.render([*_HELLO, {"role": "assistant", "content": _ANSWERED}, *_HELLO])
        except ModelError:
            told = ""
        after = told.partition(_ANSWERED)[2]
        written = sorted((text for text in ends if text in after), key=after.find)
        named = sorted((text for text in ends if text in template), key=ends.__getitem__)
        return next((ends[text] for text in (*written, *named, *ends)), -1)

    def _can_think(self) -> bool:
        """Whether the template can be told to let the model think."""
        try:
            return self._marks is not None and self._template.render(_HELLO, think=True) != self._template.render(_HELLO)
        except ModelError:  # the chat will say so
            return False

    def try_thinking(self, greedy: Callable[[list[int], int], list[int]]) -> None:
        """See whether the model thinks though it was not told to, as the first DeepSeek R1 files do.

        greedy: answers a prompt with so many tokens.
        """
        try:
            if self._marks is None or self._template.render(_HELLO).rstrip().endswith(self._marks.close):
                return
            said = greedy(self.tokens(_HELLO), len(self._control(self._marks.open)) + 2)
        except ModelError:
            return
        if self._decoded(said).lstrip().startswith((self._marks.open, self._marks.bare or self._marks.open)):
            self._template.begins_to_think = self.thinks = True

    def tokens(self, messages: Sequence[Message]) -> list[int]:
        """Prompt tokens of what is learned or measured: without thoughts, and the same on every day."""
        return self._conversation(messages, think=False, now=LESSON_DAY)[0]

    def chat(self, messages: Sequence[Message], *, think: bool) -> tuple[list[int], ThoughtSplitter | None]:
        """Prompt tokens of a chat today, and what tells the thoughts from its answer if the model has any.

        A conversation that ends with an answer is one whose answer goes on.
        """
        if len(messages) > 1 and messages[-1]["role"] == "assistant":
            tokens, _ = self._conversation(messages[:-1], think=False, now=datetime.datetime.now())
            said = self._model.tokenize(messages[-1]["content"], add_special=False, parse_special=False)
            return tokens + said, None
        tokens, text = self._conversation(messages, think=think, now=datetime.datetime.now())
        if not self.thinks:
            return tokens, None
        return tokens, ThoughtSplitter(self._marks, opened=text.rstrip().endswith(self._marks.open))

    def _conversation(
        self, messages: Sequence[Message], *, think: bool, now: datetime.datetime
    ) -> tuple[list[int], str]:
        """Tokens and text; control tokens written by a person are read as plain letters."""
        text = self._template.render(messages, think=think, now=now)
        add_special = not (self._bos and text.startswith(self._bos))
        if not self._holds_control_text(messages):
            return self._model.tokenize(text, add_special=add_special, parse_special=True), text
        tokens: list[int] = []
        for index, (piece, is_template) in enumerate(self._template.segments(messages, think=think, now=now)):
            tokens += self._model.tokenize(piece, add_special=add_special and index == 0, parse_special=is_template)
        return tokens, text

    def render(self, messages: Sequence[Message]) -> str:
        """The prompt's text."""
        return self._template.render(messages)

    def answer(self, text: str) -> list[int]:
        """Tokens of an answer's plain text and the end of turn."""
        return [*self._model.tokenize(text, add_special=False, parse_special=False), self.end_of_turn]

    def close(self) -> None:
        """End what renders the template."""
        self._template.close()

    def plain(self, text: str) -> list[int]:
        """Tokens of plain text, with the model's beginning-of-text token if it uses one."""
        return self._model.tokenize(text, add_special=True, parse_special=False)

    def text(self, tokens: Sequence[int]) -> str:
        """Text of answer tokens; the end of turn is left out, and so are thoughts that came unasked."""
        text = self._decoded(tokens)
        return split_thoughts(text, self._marks)[1] if self.thinks else text

    def _decoded(self, tokens: Sequence[int]) -> str:
        data = b"".join(self._piece(t) for t in tokens if not self._model.is_end(t))
        return data.decode("utf-8", "replace")

    def decoder(self) -> "PieceDecoder":
        """A decoder for a stream of tokens."""
        return PieceDecoder(self._piece)

    def _piece(self, token: int) -> bytes:
        return self._model.piece(token, special=token in self._shown)  # some files have the marks as control tokens

    def _holds_control_text(self, messages: Sequence[Message]) -> bool:
        content = "\n".join(m["content"] for m in messages)
        return any(special in content for special in self._model.special_texts())


class PieceDecoder:
    """Text of tokens as they come; a character split over tokens appears when it is complete."""

    def __init__(self, piece: Callable[[int], bytes]) -> None:
        """piece: the bytes of a token."""
        self._piece = piece
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, token: int) -> str:
        """New text, maybe empty."""
        return self._decoder.decode(self._piece(token))

    def finish(self) -> str:
        """What is left."""
        return self._decoder.decode(b"", True)
