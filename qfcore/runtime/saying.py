"""What a runtime hands out while a model answers: thoughts and text, as they come."""

from collections.abc import Callable, Sequence
from typing import Any

from qfcore.runtime.prompt import Prompts
from qfcore.runtime.thoughts import ThoughtSplitter

THINKING_SHARE = 0.75
"""Share of an answer's tokens after which thoughts are ended, so that some are left for the answer itself."""


class Said:
    """Tokens of an answer as the pieces that are handed out, and the end of thoughts that grow too long.

    longest: tokens after which thoughts are ended.
    """

    def __init__(
        self, prompts: Prompts, thoughts: ThoughtSplitter | None, emit: Callable[[Any], None], longest: int
    ) -> None:
        self._decoder, self._thoughts, self._emit, self._longest = prompts.decoder(), thoughts, emit, longest
        self._ending = iter(prompts.end_of_thoughts)
        self._is_due = False
        self.thought_tokens = 0

    def due(self, made: int) -> int | None:
        """The token that must come next; None leaves it to the model."""
        self._is_due |= bool(self._thoughts and self._thoughts.thinking and made >= self._longest)
        return next(self._ending, None) if self._is_due else None

    def push(self, token: int) -> None:
        """Hand out what a token adds."""
        self.thought_tokens += bool(self._thoughts and self._thoughts.thinking)
        self._hand_out(self._decoder.push(token))

    def finish(self) -> None:
        """Hand out what is left."""
        self._hand_out(self._decoder.finish())
        for piece in self._thoughts.finish() if self._thoughts else ():
            self._emit(piece)

    def _hand_out(self, text: str) -> None:
        if text and self._thoughts is None:
            self._emit(text)
        elif text:
            for piece in self._thoughts.push(text):
                self._emit(piece)


def reusable(cached: Sequence[int], prompt: Sequence[int], chunk: int) -> int:
    """How many of a prompt's first tokens the cache has, in whole chunks; never all: the last one's logits are gone."""
    common = 0
    for ours, wanted in zip(cached, prompt, strict=False):
        if ours != wanted:
            break
        common += 1
    if common == len(prompt):
        common -= 1
    return common - common % chunk
