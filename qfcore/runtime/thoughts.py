"""What a reasoning model thinks before it answers: told from the answer, and kept out of what the model reads later.

Such models write their thoughts between `<think>` and `</think>` at the beginning of an answer. Some chat templates write
the first mark themselves, so that the answer begins inside the thoughts.
"""

from collections.abc import Iterator, Sequence

from qfcore.runtime.protocol import Message, Thought

OPEN, CLOSE = "<think>", "</think>"
NO_THOUGHTS = f"{OPEN}\n\n{CLOSE}\n\n"
"""What such models are given instead of thoughts, and were trained to take for them."""


class ThoughtSplitter:
    """Tells thoughts from the answer in a text that comes in pieces.

    Only what stands at the very beginning counts: an answer may speak of `<think>`.
    """

    def __init__(self, *, opened: bool) -> None:
        """opened: the prompt ended with the mark that begins the thoughts."""
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
            thought, closed, rest = self._held.partition(CLOSE)
            if not closed:
                keep = overlap(thought, CLOSE)
                thought, rest = thought[: len(thought) - keep], thought[len(thought) - keep :]
            yield from self._pieces(thought, thought=True)
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
        start = self._held.lstrip()
        if OPEN.startswith(start):  # also while nothing but spaces came
            if start != OPEN:
                return False
        self._begun = True
        if start.startswith(OPEN):
            self.thinking, self._held = True, start[len(OPEN) :]
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
    return f"{OPEN}\n{thoughts.strip()}\n{CLOSE}\n\n{answer}" if thoughts.strip() else answer


def split_thoughts(text: str) -> tuple[str, str]:
    """(thoughts, answer) of a whole text; thoughts that do not end have no answer after them."""
    splitter = ThoughtSplitter(opened=False)
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
