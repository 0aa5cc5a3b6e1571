"""Several conversations in one batch: greedy answers, each to the bit what it is when asked alone.

On a CPU the bits of a result depend on which kernel computes it, and llama.cpp chooses kernels by the number of tokens in a
batch: one for a single token where weights are F32, F16, Q8_0 or Q4_0 (an adapter's are F32), another from `TILED` tokens on
where they are K-quants. In between they agree; and flash attention over a sequence does not see the cells of others, as long
as its own are in the order of their positions. So every step computes from two to seven sequences, each prompt is read
alone, and nothing is dropped from the cache before all are done, since freed cells would be filled out of order (NOTES.md,
2026-11-25).
"""

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence

from qfcore.errors import Cancelled
from qfcore.runtime.handles import Context

HEADS_KEPT = 16
"""Beginnings of prompts whose keys and values are kept, of 28 kB a token on the default model."""
TILED = 8
"""Tokens from which on llama.cpp multiplies K-quants by tiles."""
TOGETHER = 14
"""Questions of one call; a chat may come between two calls."""
_COMPANY = TOGETHER
"""The sequence that keeps a lone one company."""
SEQUENCES = TOGETHER + 1
"""Sequences that a context needs for this."""


def shared_prefix(prompts: Sequence[Sequence[int]]) -> int:
    """How many leading tokens several prompts have in common, each keeping at least one of its own."""
    if len(prompts) == 1:
        return 0
    shortest = min(len(p) for p in prompts) - 1
    first = prompts[0]
    for position in range(shortest):
        if any(p[position] != first[position] for p in prompts):
            return position
    return max(shortest, 0)


Take = Callable[[list[int], list[bool]], None]
"""Called after a batch with the prompts whose logits were wanted (-1 for none), and the batch's wanted marks."""


class Heads:
    """Keys and values of beginnings that many prompts share, computed once."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[int, ...], bytes] = OrderedDict()

    def under(self, context: Context) -> "Heads":
        """These, or new ones where the context's adapter changes keys and values."""
        return self if context.has_base_cache else Heads()

    def read(self, context: Context, tokens: Sequence[int], sequence: int) -> None:
        """Let a sequence of a context, in which it is empty, begin with `tokens`."""
        head = tuple(tokens)
        if not head:
            return
        if head in self._kept:
            self._kept.move_to_end(head)
            context.put(sequence, self._kept[head])
            return
        _read(context, head, 0, sequence)
        self._kept[head] = context.take(sequence)
        while len(self._kept) > HEADS_KEPT:
            self._kept.popitem(last=False)


def _read(
    context: Context, tokens: Sequence[int], begin: int, sequence: int, *, last: bool = False, on_batch: Take | None = None
) -> int:
    """Read tokens[begin:] into a sequence; with `last`, the token that follows."""
    for start in range(begin, len(tokens), context.batch):
        part = tokens[start : start + context.batch]
        wanted = [last and start + i == len(tokens) - 1 for i in range(len(part))]
        context.decode(part, range(start, start + len(part)), [(sequence,)] * len(part), wanted)
        if on_batch and any(wanted):
            on_batch([sequence], wanted)
    return int(context.logits(len(part) - 1).argmax()) if last else 0


def groups(prompts: Sequence[Sequence[int]], context: Context, max_tokens: int) -> list[tuple[int, int]]:
    """(begin, end) of the parts of a list that fit into the context together."""
    parts, begin, used = [], 0, 0
    for index, prompt in enumerate(prompts):
        need = len(prompt) + max_tokens
        if index > begin and (index - begin == TOGETHER or used + need >= context.size):
            parts.append((begin, index))
            begin, used = index, 0
        used += need
    return [*parts, (begin, len(prompts))] if prompts else []


def greedy_group(
    context: Context,
    prompts: Sequence[Sequence[int]],
    max_tokens: int,
    *,
    cancel: threading.Event | None = None,
    on_batch: Take | None = None,
    heads: Heads | None = None,
    lengths: Sequence[int] | None = None,
) -> list[list[int]]:
    """Greedy continuations of prompts that fit into the context together; end of turn included when reached.

    lengths: of each prompt's head, which `heads` keeps; None takes what all prompts have in common, for this call.
    on_batch: called after each computed batch.

    Raises:
        Cancelled: `cancel` was set.
    """
    if lengths is None:
        heads, lengths = Heads(), [shared_prefix(prompts)] * len(prompts)
    heads = (heads or Heads()).under(context)
    answers: list[list[int]] = [[] for _ in prompts]
    waiting, active = deque(range(len(prompts))), []
    context.clear()
    while waiting or active:
        if cancel is not None and cancel.is_set():
            raise Cancelled("Stopped. Nothing was changed.")
        if waiting and len(active) < TILED - 1:
            index = waiting.popleft()
            active.append(index)
            heads.read(context, prompts[index][: lengths[index]], index)
            read = {index: _read(context, prompts[index], lengths[index], index, last=True, on_batch=on_batch)}
        else:
            read = _step(context, active, prompts, answers, on_batch)
        for index, token in read.items():
            answers[index].append(token)
            if context.model.is_end(token) or len(answers[index]) == max_tokens:
                active.remove(index)
    return answers


def _step(
    context: Context, active: Sequence[int], prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]],
    on_batch: Take | None,
) -> dict[int, int]:  # fmt: skip
    """Read the last token of each active answer; the token that follows, by prompt."""
    entries = [(i, answers[i][-1], len(prompts[i]) + len(answers[i]) - 1) for i in sorted(active)]
    alone = len(entries) == 1
    if alone:
        entries.append((_COMPANY, entries[0][1], 0))
    sequences, tokens, positions = zip(*entries, strict=True)
    wanted = [True] * len(entries)
    context.decode(tokens, positions, [(s,) for s in sequences], wanted)
    if on_batch:
        on_batch([-1 if s == _COMPANY else s for s in sequences], wanted)
    if alone:
        context.drop(_COMPANY)
    return {s: int(context.logits(row).argmax()) for row, s in enumerate(sequences) if s != _COMPANY}
