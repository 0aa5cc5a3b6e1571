"""Several conversations in one batch: greedy answers, always the same for the same list and weights.

A CPU's matrix kernels give slightly different bits for different batch shapes, enough to change a word. Where answers of
different weights are compared word by word, a finished answer stays in the batch (`steady`; its tokens are thrown away)
until all are finished, so that the shapes depend on the list alone.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence

import numpy as np

from qfcore.errors import Cancelled
from qfcore.runtime.handles import Context

HEADS_KEPT = 16
"""Beginnings of prompts whose keys and values are kept, of 28 kB a token on the default model."""


def shared_prefix(prompts: Sequence[Sequence[int]]) -> int:
    """How many leading tokens all prompts have in common, each keeping at least one of its own."""
    shortest = min(len(p) for p in prompts) - 1
    first = prompts[0]
    for position in range(shortest):
        if any(p[position] != first[position] for p in prompts):
            return position
    return max(shortest, 0)


Take = Callable[[list[int], np.ndarray, list[bool]], None]
"""Called after a batch with the sequences whose logits were wanted, those logits (n, V), and the batch's wanted marks."""


class Heads:
    """Keys and values of beginnings that many prompts share, computed once.

    A head is always computed alone, from an empty context, whether it is kept or not; so the bits that follow do not depend
    on what was computed before.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[int, ...], bytes] = OrderedDict()

    def read(self, context: Context, tokens: Sequence[int], sequence: int) -> None:
        """Let a sequence of a context, in which it is empty, begin with `tokens`."""
        head = tuple(tokens)
        known = context.adapter is None  # an adapter may change them
        if known and head in self._kept:
            self._kept.move_to_end(head)
            context.put(sequence, self._kept[head])
            return
        _run(context, [(token, position, (sequence,), -1) for position, token in enumerate(head)], _nothing)
        if known:
            self._kept[head] = context.take(sequence)
            while len(self._kept) > HEADS_KEPT:
                self._kept.popitem(last=False)


def _nothing(_indices: list[int], _logits: np.ndarray, _wanted: list[bool]) -> None:
    """No logits were asked for."""


def read_prompts(
    context: Context, prompts: Sequence[Sequence[int]], take: Take, heads: Heads, lengths: Sequence[int] | None = None
) -> None:
    """Read each prompt into the sequence of its index; `take` gets the logits after each prompt's last token.

    lengths: of each prompt's head; None takes what all prompts have in common, and does not keep it.
    """
    context.clear()
    if lengths is None:
        common = shared_prefix(prompts)
        _run(context, [(prompts[0][i], i, (0,), -1) for i in range(common)], take)
        for index in range(1, len(prompts)):
            context.copy(0, index)
        lengths = [common] * len(prompts)
    else:
        first: dict[tuple[int, ...], int] = {}
        for index, (prompt, length) in enumerate(zip(prompts, lengths, strict=True)):
            head = tuple(prompt[:length])
            if head and head in first:
                context.copy(first[head], index)
            elif head:
                heads.read(context, head, index)
                first[head] = index
    _run(
        context,
        [
            (token, position, (index,), index if position == len(prompt) - 1 else -1)
            for index, prompt in enumerate(prompts)
            for position, token in enumerate(prompt)
            if position >= lengths[index]
        ],
        take,
    )


def _run(context: Context, entries: list[tuple], take: Take) -> None:
    for begin in range(0, len(entries), context.batch):
        tokens, positions, sequences, marks = zip(*entries[begin : begin + context.batch], strict=True)
        wanted = [mark >= 0 for mark in marks]
        context.decode(tokens, positions, sequences, wanted)
        if any(wanted):
            logits = np.stack([context.logits(row) for row, want in enumerate(wanted) if want])
            take([mark for mark in marks if mark >= 0], logits, wanted)


def groups(prompts: Sequence[Sequence[int]], context: Context, max_tokens: int) -> list[tuple[int, int]]:
    """(begin, end) of the parts of a list that fit into the context together."""
    parts, begin, used = [], 0, 0
    for index, prompt in enumerate(prompts):
        need = len(prompt) + max_tokens
        if index > begin and (index - begin == context.sequences or used + need > context.size):
            parts.append((begin, index))
            begin, used = index, 0
        used += need
    return [*parts, (begin, len(prompts))] if prompts else []


def greedy_group(
    context: Context,
    prompts: Sequence[Sequence[int]],
    max_tokens: int,
    *,
    steady: bool = True,
    cancel: threading.Event | None = None,
    on_batch: Callable[[list[int], list[bool]], None] | None = None,
    heads: Heads | None = None,
    lengths: Sequence[int] | None = None,
) -> list[list[int]]:
    """Greedy continuations of prompts that fit into the context together; end of turn included when reached.

    steady: keep the batch's shape until the end; otherwise finished answers leave it, which is faster.
    heads, lengths: see `read_prompts`.
    on_batch: called after each computed batch with the open sequences among those wanted (-1 for finished ones).

    Raises:
        Cancelled: `cancel` was set.
    """
    following = [0] * len(prompts)
    answers: list[list[int]] = [[] for _ in prompts]
    open_ = set(range(len(prompts)))

    def take(indices: list[int], logits: np.ndarray, wanted: list[bool]) -> None:
        if on_batch:
            on_batch([i if i in open_ else -1 for i in indices], wanted)
        for index, token in zip(indices, logits.argmax(axis=1), strict=True):
            following[index] = int(token)

    read_prompts(context, prompts, take, heads or Heads(), lengths)
    everyone = list(range(len(prompts)))
    for step in range(max_tokens):
        if cancel is not None and cancel.is_set():
            raise Cancelled("Stopped. Nothing was changed.")
        for index in sorted(open_):
            answers[index].append(following[index])
            if context.model.is_end(following[index]):
                open_.discard(index)
        if not open_ or step == max_tokens - 1:
            break
        going_on = everyone if steady else sorted(open_)
        _run(context, [(following[i], len(prompts[i]) + step, (i,), i) for i in going_on], take)
    return answers
