"""What a reasoning model thinks before it answers: told from the answer, and kept out of what the model reads later.

Such models write their thoughts between two marks at the beginning of an answer, mostly `<think>` and `</think>`. Some chat
templates write the first mark themselves, so that the answer begins inside the thoughts.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from qfcore.runtime.protocol import Message, Thought


@dataclass(frozen=True)
class Marks:
    """What a model writes before and after its thoughts.

    bare: before an answer without thoughts. between: between thoughts that it writes one after the other. Both are empty for
    models that write nothing there.
    """

    open: str
    close: str
    bare: str = ""
    between: str = ""

    @property
    def empty(self) -> str:
        """What such models are given instead of thoughts, and take for them."""
        return self.bare or f"{self.open}\n\n{self.close}\n\n"

    @property
    def ending(self) -> str:
        """What ends thoughts that grow too long."""
        return self.close if self.bare else f"\n{self.close}\n\n"


THINK = Marks("<think>", "</think>")
"""Of Qwen, DeepSeek, SmolLM and most others; thoughts are also stored between these."""
_THOUGHT, _FINAL = "<|channel|>analysis<|message|>", "<|channel|>final<|message|>"
_NEXT = "<|end|><|start|>assistant"
HARMONY = Marks(_THOUGHT, _NEXT + _FINAL, bare=_FINAL, between=_NEXT + _THOUGHT)
"""Of gpt-oss, whose thoughts and answer are messages in channels (https://github.com/openai/harmony, docs/format.md)."""
KNOWN = (
    THINK, Marks("[THINK]", "[/THINK]"), Marks("<|channel>thought", "<channel|>"),
    Marks("<|START_THINKING|>", "<|END_THINKING|>"), HARMONY,
)  # fmt: skip
"""Mistral's, Gemma 4's and Cohere's too."""


def marks_in(template: str) -> Marks | None:
    """The marks that a chat template speaks of; None for a model that is not known to think."""
    return next((marks for marks in KNOWN if marks.open in template or marks.close in template), None)


class ThoughtSplitter:
    """Tells thoughts from the answer in a text that comes in pieces.

    Only what stands at the very beginning counts: an answer may speak of `<think>`.
    """

    def __init__(self, marks: Marks = THINK, *, opened: bool) -> None:
        """opened: the prompt ended with the mark that begins the thoughts."""
        self._marks = marks
        self.thinking = opened
        self._begun = opened
        self._trim = True
        self._held = ""

    def push(self, text: str) -> Iterator[str | Thought]:
        """What is certain now: pieces of the answer, or thoughts."""
        self._held += text
        if not self._begun and not self._begin():
            return
        if self.thinking:
            close, between = self._marks.close, self._marks.between
            thought, closed, rest = self._held.partition(close)
            if not closed:
                keep = max(overlap(thought, close), overlap(thought, between))
                thought, rest = thought[: len(thought) - keep], thought[len(thought) - keep :]
            yield from self._pieces(thought.replace(between, "\n\n") if between else thought, thought=True)
            self._held = rest
            if not closed:
                return
            self.thinking, self._trim = False, True
        rest, self._held = self._held, ""
        yield from self._pieces(rest, thought=False)

    def finish(self) -> Iterator[str | Thought]:
        """What was held back."""
        rest, self._held = self._held, ""
        self._trim = self._trim and self._begun
        yield from self._pieces(rest, thought=self.thinking)

    def _begin(self) -> bool:
        """Whether it is known how the text begins."""
        start, mark, bare = self._held.lstrip(), self._marks.open, self._marks.bare
        if any(m.startswith(start) and start != m for m in (mark, bare)):  # also while nothing but spaces came
            return False
        self._begun = True
        if start.startswith(mark):
            self.thinking, self._held = True, start[len(mark) :]
        elif bare and start.startswith(bare):
            self._held = start[len(bare) :]
        else:
            self._trim = False  # an answer without thoughts is passed on to the letter
        return True

    def _pieces(self, text: str, *, thought: bool) -> Iterator[str | Thought]:
        if self._trim:  # spaces between a mark and what follows it say nothing
            text = text.lstrip()
        if text:
            self._trim = False
            yield Thought(text) if thought else text


def join_thoughts(thoughts: str, answer: str) -> str:
    """Both as one text, from which `split_thoughts` gets them back."""
    return f"{THINK.open}\n{thoughts.strip()}\n{THINK.close}\n\n{answer}" if thoughts.strip() else answer


def split_thoughts(text: str, marks: Marks = THINK) -> tuple[str, str]:
    """(thoughts, answer) of a whole text; thoughts that do not end have no answer after them."""
    splitter = ThoughtSplitter(marks, opened=False)
    pieces = [*splitter.push(text), *splitter.finish()]
    thoughts = "".join(piece.text for piece in pieces if isinstance(piece, Thought))
    return thoughts.strip(), "".join(piece for piece in pieces if isinstance(piece, str))


def without_thoughts(messages: Sequence[Message]) -> list[Message]:
    """A conversation as a model may read it: what it thought before its earlier answers is left out."""
    return [
        {**m, "content": split_thoughts(m["content"])[1]} if m["role"] == "assistant" else m for m in messages
    ]


def overlap(text: str, mark: str) -> int:
    """Length of the longest end of `text` with which `mark` begins."""
    return next((n for n in range(min(len(text), len(mark) - 1), 0, -1) if mark.startswith(text[-n:])), 0)
