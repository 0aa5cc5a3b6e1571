"""Watching one layer while llama.cpp computes: its key (the down projection's input) and its output.

llama.cpp calls `cb_eval` for every tensor of the graph; the wanted ones are copied out (DESIGN.md 3, fact 1), and one may be
changed before the next is computed from it.
Which ones, the graph says (qfcore/runtime/graph.py). The last layer computes only the rows whose logits are asked for, so
logits are asked for at the wanted positions and rows are matched by counting.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import llama_cpp as lc
import numpy as np

from qfcore.errors import CannotTeach, ModelError, RuntimeFailure
from qfcore.export.adapter import read_adapter
from qfcore.runtime.batching import Heads
from qfcore.runtime.ggml import Tensors
from qfcore.runtime.graph import Node, NodeReader, Places, find_places
from qfcore.runtime.handles import Context, LlamaModel
from qfcore.runtime.protocol import Observed
from qfcore.runtime.wide import WIDE, Told

_TRIED = 3
"""Tokens that are computed to see the graph."""


class LayerWatch:
    """The callback of an observing context; collects the float32 tensors of one layer while a layer is set."""

    def __init__(self) -> None:
        self._tensors, self._reader = Tensors(), NodeReader()
        self._wanted: dict[bytes, str] = {}
        self._seen: dict[str, np.ndarray] = {}
        self._nodes: list[Node] | None = None
        self._failed: Exception | None = None
        self._places: dict[int, Places] = {}
        self._only_wanted = False
        self._adapters: list[Path | None] = []
        self._change = lru_cache(maxsize=2 * WIDE)(lambda path: read_adapter(path)[0])
        self.callback = lc.ggml_backend_sched_eval_callback(self._on_tensor)

    def places(self, context: Context, layer: int) -> Places:
        """Where a layer can be taught; looked up once, by computing a few tokens.

        Raises:
            CannotTeach: the layer has no such place.
        """
        if layer not in self._places:
            had, self._nodes, self._failed = context.adapter, [], None
            try:
                context.use_adapter(None, {had} if had else set())  # with one, the product has another name
                context.clear()
                context.decode([0] * _TRIED, range(_TRIED), [(0,)] * _TRIED, [False] * (_TRIED - 1) + [True])
                nodes = self._nodes
            finally:
                self._nodes = None
                context.clear()
                context.use_adapter(had, {had} if had else set())
            if self._failed:
                raise self._failed
            self._places[layer] = find_places(nodes, layer, tokens=_TRIED)
        return self._places[layer]

    @contextmanager
    def watching(self, context: Context, layer: int) -> Iterator[Places]:
        """Collect a layer's tensors inside the block.

        Raises:
            CannotTeach: the layer has no place for lessons.
        """
        places = self.places(context, layer)
        names = {"keys": places.key, "residuals": places.residual, "branches": places.branch}
        self._wanted = {name.encode(): kind for kind, name in names.items() if name}
        self._only_wanted = places.only_wanted
        try:
            yield places
        finally:
            self._wanted = {}
            self._seen.clear()

    @contextmanager
    def adding(self, context: Context, layer: int) -> Iterator[Told]:
        """Inside the block each wanted row of a batch has the adapter that it is told: its change b (a u) is added to the
        layer's product W u, where llama.cpp adds that of its own adapter. For a layer that computes wanted rows only.

        Raises:
            CannotTeach: the layer has no place for lessons. RuntimeFailure: an adapter could not be added.
        """
        places, self._failed = self.places(context, layer), None
        self._wanted = {places.key.encode(): "keys", places.product.encode(): "product"}
        try:
            yield self._tell
            self._see_that_it_was_added()
        finally:
            self._wanted, self._adapters = {}, []
            self._seen.clear()

    def forget_adapters(self) -> None:
        """Drop the changes that were read for `adding`."""
        self._change.cache_clear()

    def _tell(self, adapters: Sequence[Path | None]) -> None:
        self._see_that_it_was_added()
        self._adapters = list(adapters)

    def _see_that_it_was_added(self) -> None:
        """Raises when the batch before was computed without the changes of its adapters."""
        failed, self._failed = self._failed, None
        if failed or any(self._adapters):
            raise RuntimeFailure(f"The weights of a question could not be used: {failed or 'they were not asked for'}.")

    def _add(self, tensor: int) -> None:
        """Add the told adapters' changes to the product."""
        keys, product = self._seen.pop("keys"), self._tensors.floats(tensor)
        if not product.size:  # no row is wanted
            return
        told, self._adapters = self._adapters, []
        keys, product = keys.reshape(len(told), -1), product.reshape(len(told), -1)
        for row, path in enumerate(told):
            if path:  # each row by itself, so that its bits do not depend on the others
                change = self._change(path)
                product[row] += change.b @ (change.a @ keys[row])
        self._tensors.put(tensor, product)

    def rows(self, kind: str, wanted: Sequence[bool]) -> np.ndarray:
        """(number wanted, width) float32 rows of the last batch.

        Raises:
            CannotTeach: the graph did not compute them this time.
        """
        rows = sum(wanted) if self._only_wanted else len(wanted)
        data = self._seen.pop(kind, None)
        if data is None or data.size % rows:
            raise CannotTeach(f"The model's graph shows no {kind} at the layer to be taught, so it can chat but not learn.")
        data = data.reshape(rows, -1)
        return data if self._only_wanted else data[np.asarray(wanted)]

    def forget(self) -> None:
        """Drop what was seen of the last batch."""
        self._seen.clear()

    def _on_tensor(self, tensor: int, ask: bool, _data: object) -> bool:
        if ask and self._nodes is not None:
            self._safely(self._note, tensor)
        if not self._wanted:
            return not ask
        kind = self._wanted.get(self._tensors.name(tensor))
        if kind is None:
            return not ask
        if not ask and kind == "product":
            self._safely(self._add, tensor)
        elif not ask:
            self._seen[kind] = self._tensors.floats(tensor)
        return True

    def _safely(self, function: Callable[[int], None], tensor: int) -> None:
        try:
            function(tensor)
        except Exception as error:  # noqa: BLE001 - nothing may be raised through llama.cpp; told after the batch
            self._failed = error

    def _note(self, tensor: int) -> None:
        self._nodes.append(self._reader.node(tensor))


def observe_scripts(
    context: Context, watch: LayerWatch, heads: Heads, scripts: Sequence[tuple[Sequence[int], Sequence[int], int]],
    layer: int,
) -> list[Observed]:  # fmt: skip
    """Teacher-forced passes; each script is computed alone, so what it shows depends on nothing else.

    scripts: prompt, answer, and how many tokens of the prompt are the head that others begin with, too.
    """
    heads = heads.under(context)
    with watch.watching(context, layer) as places:
        return [_observe_one(context, watch, heads, list(p), list(a), head, places) for p, a, head in scripts]


def _observe_one(
    context: Context, watch: LayerWatch, heads: Heads, prompt: list[int], answer: list[int], head: int, places: Places
) -> Observed:
    tokens = prompt + answer[:-1]  # the last answer token is predicted, never read
    first = len(prompt) - 1
    if len(tokens) + 1 > context.size:
        raise ModelError(
            f"The lesson and its answer have {len(tokens):,} tokens, the observing context holds {context.size:,}. "
            "Shorten the lesson."
        )
    context.clear()
    if head:
        heads.read(context, tokens[:head], 0)
        watch.forget()
    keys, residuals, branches, logits = [], [], [], []
    for begin in range(head, len(tokens), context.batch):
        part = tokens[begin : begin + context.batch]
        wanted = [begin + i >= first for i in range(len(part))]
        context.decode(part, range(begin, begin + len(part)), [(0,)] * len(part), wanted)
        if not any(wanted):
            continue
        keys.append(watch.rows("keys", wanted))
        residuals.append(watch.rows("residuals", wanted))
        if places.branch:
            branches.append(watch.rows("branches", wanted))
        logits += [context.logits(i) for i, want in enumerate(wanted) if want]
    return Observed(
        np.concatenate(keys), np.concatenate(residuals), np.stack(logits), np.concatenate(branches) if branches else None,
        places.gain,
    )


def text_likelihood(context: Context, model: LlamaModel, tokens: Sequence[int]) -> tuple[float, int]:
    """(sum of negative log-likelihoods in nats, predicted tokens) of a text read alone."""
    tokens = list(tokens)[: min(context.size, context.batch)]
    if len(tokens) < 2:
        return 0.0, 0
    context.clear()
    context.decode(tokens, range(len(tokens)), [(0,)] * len(tokens), [True] * len(tokens))
    total = 0.0
    for position, following in enumerate(tokens[1:]):
        row = context.logits(position).astype(np.float64)
        peak = row.max()
        total += peak + float(np.log(np.exp(row - peak).sum())) - row[following]
    return total, len(tokens) - 1
