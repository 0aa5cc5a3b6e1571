"""Conversations to token ids and answers' tokens to text."""

import codecs
import datetime
from collections.abc import Callable, Sequence

from qfcore.runtime.handles import LlamaModel
from qfcore.runtime.protocol import Message
from qfcore.runtime.template import LESSON_DAY, open_template
from qfcore.runtime.thoughts import CLOSE, OPEN, ThoughtSplitter, split_thoughts


class Prompts:
    """Turns conversations into the tokens that a model expects."""

    def __init__(self, model: LlamaModel) -> None:
        import llama_cpp as lc

        self._model = model
        bos, eos = lc.llama_vocab_bos(model.vocab), lc.llama_vocab_eos(model.vocab)
        self._bos = model.piece(bos, special=True).decode("utf-8", "replace") if bos >= 0 else ""
        eos_text = model.piece(eos, special=True).decode("utf-8", "replace") if eos >= 0 else ""
        self._template = open_template(model.chat_template(), bos=self._bos, eos=eos_text)
        eot = lc.llama_vocab_eot(model.vocab)
        self.end_of_turn: int = eot if eot >= 0 else eos
        self.end_of_turn_text: str = model.piece(self.end_of_turn, special=True).decode("utf-8", "replace")
        self.end_of_thoughts: list[int] = self._mark(f"\n{CLOSE}\n\n")
        marks = [self._mark(mark) for mark in (OPEN, CLOSE)] if self.thinks else []
        self._marks = {mark[0] for mark in marks if len(mark) == 1}

    @property
    def thinks(self) -> bool:
        """Whether the model can think before it answers."""
        return self._template.thinks

    def _mark(self, text: str) -> list[int]:
        return self._model.tokenize(text, add_special=False, parse_special=True)

    def tokens(self, messages: Sequence[Message]) -> list[int]:
        """Prompt tokens of what is learned or measured: without thoughts, and the same on every day."""
        return self._conversation(messages, think=False, now=LESSON_DAY)[0]

    def chat(self, messages: Sequence[Message], *, think: bool) -> tuple[list[int], ThoughtSplitter | None]:
        """Prompt tokens of a chat today, and what tells the thoughts from its answer if the model has any."""
        tokens, text = self._conversation(messages, think=think, now=datetime.datetime.now())
        return tokens, ThoughtSplitter(opened=text.rstrip().endswith(OPEN)) if self.thinks else None

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
        data = b"".join(self._piece(t) for t in tokens if not self._model.is_end(t))
        text = data.decode("utf-8", "replace")
        return split_thoughts(text)[1] if self.thinks else text

    def decoder(self) -> "PieceDecoder":
        """A decoder for a stream of tokens."""
        return PieceDecoder(self._piece)

    def _piece(self, token: int) -> bytes:
        return self._model.piece(token, special=token in self._marks)  # some files have the marks as control tokens

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
