"""Many conversations at once: each gets the answer that it gets alone, within the bounds in which llama.cpp's bits agree."""

import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qfcore.errors import Cancelled, RuntimeFailure
from qfcore.runtime.batching import TILED, Heads
from qfcore.runtime.wide import MOST, SEQUENCES, Asked, Wide

VOCABULARY, END = 50, 0


class Row(list):
    """Logits of one row."""

    def argmax(self) -> int:
        """The likeliest token."""
        return self.index(max(self))


class CountingContext:
    """Answers from what its cache holds of a sequence and the row's adapter; refuses what llama.cpp would refuse."""

    has_base_cache, batch = True, 256

    def __init__(self, size: int) -> None:
        self.size, self.cells, self.held = size, 0, {}
        self.model = SimpleNamespace(is_end=lambda token: token == END)
        self.rows: dict[int, Row] = {}
        self.told: list[Path | None] = []
        self.steps: list[int] = []

    def clear(self) -> None:
        """Forget everything."""
        self.cells, self.held = 0, {}

    def put(self, sequence: int, state: bytes) -> None:
        """Give a sequence what `take` returned."""
        assert sequence not in self.held
        self.held[sequence] = list(state)
        self._fill(len(state))

    def take(self, sequence: int) -> bytes:
        """What a sequence holds."""
        return bytes(self.held[sequence])

    def drop(self, sequence: int) -> None:
        """Forget a sequence."""
        self.cells -= len(self.held.pop(sequence))

    def _fill(self, count: int) -> None:
        self.cells += count
        assert self.cells <= self.size, "the context is full"

    def decode(self, tokens: list, positions: list, sequences: list, wanted: list) -> bool:
        """Read a batch."""
        self.rows, adapters, self.steps = {}, iter(self.told), [*self.steps, len(tokens)]
        for row, (token, position, (sequence,)) in enumerate(zip(tokens, positions, sequences, strict=True)):
            held = self.held.setdefault(sequence, [])
            assert len(held) == position and sequence < SEQUENCES
            held.append(token)
            self._fill(1)
            if wanted[row]:
                self.rows[row] = _logits(held, next(adapters))
        assert next(adapters, self) is self and (not self.rows or len(self.rows) >= TILED)
        self.told = []
        return True

    def logits(self, row: int) -> Row:
        """Of a wanted row."""
        return self.rows[row]


def _logits(held: list[int], adapter: Path | None) -> Row:
    following = (sum((i + 1) * token for i, token in enumerate(held)) + len(str(adapter))) % VOCABULARY
    return Row(float(token == following) for token in range(VOCABULARY))


def _alone(asked: Asked, max_tokens: int) -> list[int]:
    held = list(asked.prompt)
    while len(held) - len(asked.prompt) < max_tokens and (len(held) == len(asked.prompt) or held[-1] != END):
        held.append(_logits(held, asked.adapter).argmax())
    return held[len(asked.prompt) :]


def _answer(asked: list[Asked], size: int, max_tokens: int) -> CountingContext:
    context, heads, work = CountingContext(size), Heads(), Wide(asked, max_tokens, size)

    def tell(adapters: list[Path | None]) -> None:
        context.told = adapters

    while left := work.left:
        steps = len(context.steps)
        work.run(context, heads, tell)
        assert len(context.steps) > steps or work.left < left, "a run without a step"
        context.clear()  # somebody else used it
    return context


prompts = st.lists(st.integers(1, VOCABULARY - 1), min_size=2, max_size=90)
conversations = st.tuples(prompts, st.integers(0, 40), st.sampled_from([None, Path("one"), Path("another")]))


@given(st.lists(conversations, min_size=1, max_size=70), st.integers(1, 20), st.integers(0, 600) | st.integers(0, 9))
def test_each_answer_is_the_one_it_is_alone(given_: list, max_tokens: int, spare: int) -> None:
    asked = [Asked(prompt, min(head, len(prompt) - 1), adapter) for prompt, head, adapter in given_]
    _answer(asked, max(len(one.prompt) for one in asked) + max_tokens + TILED + spare, max_tokens)
    assert [one.answer for one in asked] == [_alone(one, max_tokens) for one in asked]


def test_every_step_has_as_many_tokens_as_the_kernels_agree_on() -> None:
    asked = [Asked([1 + i % 49] * (3 + i % 80), 0) for i in range(100)]
    context = _answer(asked, 4096, 32)
    assert all(TILED <= count <= MOST for count in context.steps)
    assert MOST in context.steps  # and as many as there are


def test_a_stop_ends_it_and_what_is_too_long_is_told() -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Cancelled):
        Wide([Asked([1, 2], 0)], 4, 200).run(CountingContext(200), Heads(), list, stop)
    with pytest.raises(RuntimeFailure, match="204 tokens, and 192 are the most"):
        Wide([Asked([1, 2], 0), Asked([1] * 200, 0)], 4, 200)
