"""Many conversations at once, each with weights of its own: greedy answers for a third of the time that a few take each.

llama.cpp multiplies weights by 48 tokens in twice the time that it needs for seven (NOTES.md, 2026-11-26).
As in `qfcore.runtime.batching` an answer does not depend on its company, so that what is compared may be asked in any order:
every step computes from `TILED` to `MOST` tokens, and logits for as many, for which llama.cpp uses the same kernels, and the
cells of a sequence are in the order of their positions.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from qfcore.errors import Cancelled, RuntimeFailure
from qfcore.runtime.batching import TILED, Heads
from qfcore.runtime.handles import Context

WIDE = 48
"""Conversations computed together."""
MOST = 63
"""Tokens of one step; from 64 on llama.cpp computes attention by tiles."""
STEPS = 8
"""Steps of one run; a chat may come between two runs."""
_PLACES = 63
"""Conversations of one run: the cells of an answer that has ended stay until the next, freed ones would be filled out of
order."""
_COMPANY = _PLACES
SEQUENCES = _PLACES + 1
"""Sequences that a context needs for this."""

Told = Callable[[Sequence[Path | None]], None]
"""Called before a step with the adapter of each row whose logits are wanted."""


@dataclass
class Asked:
    """One conversation. head: how many tokens of the prompt others begin with, too; read: how many tokens are cached."""

    prompt: Sequence[int]
    head: int
    adapter: Path | None = None
    answer: list[int] = field(default_factory=list)
    read: int = 0
    state: bytes = b""
    """What the cache held of it at the end of a run."""

    @property
    def due(self) -> list[int]:
        """Tokens to be read next: what is left of the prompt, or the answer's last token."""
        return list(self.prompt[self.read :]) or self.answer[-1:]


class Wide:
    """Answers conversations, the first ones first, `WIDE` at a time. size: of the context, in tokens.

    Raises:
        RuntimeFailure: a conversation is longer than the context.
    """

    def __init__(self, asked: Sequence[Asked], max_tokens: int, size: int) -> None:
        longest = max((len(one.prompt) for one in asked), default=0) + max_tokens
        if longest > size - TILED:
            raise RuntimeFailure(
                f"A question and its answer are {longest:,} tokens, and {size - TILED:,} are the most. Shorten the question."
            )
        self._waiting, self._max_tokens, self._size = deque(asked), max_tokens, size

    @property
    def left(self) -> int:
        """Conversations without a whole answer."""
        return len(self._waiting)

    def run(self, context: Context, heads: Heads, tell: Told, cancel: threading.Event | None = None) -> None:
        """Compute some steps. The context is free for others afterwards: open conversations are taken out of it.

        Raises:
            Cancelled: `cancel` was set. RuntimeFailure: llama.cpp failed.
        """
        context.clear()
        places, free, room = dict[int, Asked](), deque(range(_PLACES)), self._size - TILED
        for left in range(STEPS, 0, -1):
            if cancel is not None and cancel.is_set():
                raise Cancelled("Stopped. Nothing was changed.")
            room -= self._admit(context, heads, places, free, room, left)
            if not places:
                break
            self._step(context, places, tell)
        for place, asked in places.items():
            asked.state = context.take(place) if asked.read else b""
        self._waiting.extendleft(reversed(places.values()))

    def _admit(
        self, context: Context, heads: Heads, places: dict[int, Asked], free: deque[int], room: int, steps: int
    ) -> int:
        """Let waiting conversations begin or go on; the cells that they may fill in this run."""
        taken = 0
        while self._waiting and free and len(places) < WIDE:
            asked = self._waiting[0]
            need = len(asked.prompt) + min(len(asked.answer) + steps, self._max_tokens)
            if taken + need > room:
                break
            place, taken = free.popleft(), taken + need
            places[place] = self._waiting.popleft()
            if asked.state:
                context.put(place, asked.state)
                asked.state = b""
            else:
                heads.read(context, asked.prompt[: asked.head], place)
                asked.read = asked.head
        return taken

    def _step(self, context: Context, places: dict[int, Asked], tell: Told) -> None:
        """Read the last token of each open answer, then prompts as far as there is room in the batch."""
        tokens, positions, sequences, ends = [], [], [], []
        for place, asked in sorted(places.items(), key=lambda item: not item[1].answer):
            part = asked.due[: MOST - len(tokens)]
            tokens += part
            positions += range(asked.read, asked.read + len(part))
            sequences += [(place,)] * len(part)
            asked.read += len(part)
            if part and asked.read >= len(asked.prompt):
                ends.append((len(tokens) - 1, place))
        company, at = max(TILED - len(tokens), 0), dict(ends)
        rows = range(len(tokens) + company)
        # The last layer and the output see wanted rows only; those, too, have to be enough for the same kernels.
        spare = [row for row in reversed(rows) if row not in at][: max(TILED - len(at), 0)]
        wanted = [row in at or row in spare for row in rows]
        tell([places[at[row]].adapter if row in at else None for row in rows if wanted[row]])
        context.decode(
            tokens + tokens[:1] * company, [*positions, *range(company)], sequences + [(_COMPANY,)] * company, wanted
        )
        if company:
            context.drop(_COMPANY)
        for row, place in ends:
            asked = places[place]
            asked.answer.append(int(context.logits(row).argmax()))
            if context.model.is_end(asked.answer[-1]) or len(asked.answer) == self._max_tokens:
                del places[place]
