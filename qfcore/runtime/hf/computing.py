"""One loaded checkpoint and the passes over it: with a cache, in left-padded batches, watched."""

import inspect
import threading
from collections.abc import Callable, Sequence
from contextlib import contextmanager, nullcontext

import torch
from torch.nn.functional import log_softmax

from qfcore.errors import Cancelled, ModelError, RuntimeFailure, TooLong
from qfcore.runtime.hf.layers import Factors, LayerParts, changed, find_parts, watching
from qfcore.runtime.protocol import Observed

SEQUENCES = 16
"""Questions asked together."""
BATCH_TOKENS = 4096
"""Tokens, padding included, that the questions asked together may hold with their answers."""
READ_TOKENS = 256
"""Longest text whose likelihood is computed; bounds the logits' memory."""


class Computer:
    """A model on its device. Used by one thread at a time. size: tokens that a conversation may hold."""

    def __init__(self, model, size: int) -> None:  # noqa: ANN001 - transformers is not imported here
        self.model, self.size = model, size
        config = model.config.get_text_config()
        self.n_layer: int = config.num_hidden_layers
        self.n_embd: int = config.hidden_size
        self.n_vocab: int = config.vocab_size
        self.device: torch.device = model.device
        self._takes = set(inspect.signature(model.forward).parameters)
        self._parts: dict[int, LayerParts] = {}
        self._check_cache()

    def _check_cache(self) -> None:
        """Raises ModelError when the model keeps something else than keys and values of all tokens."""
        cache = self.new_cache()
        try:
            self.logits(torch.zeros((1, 2), dtype=torch.long), cache=cache)
            kept = [layer.get_seq_length() for layer in cache.layers]
        except (AttributeError, TypeError, ValueError, IndexError, RuntimeError) as error:
            raise ModelError(f"transformers cannot compute this model here: {error}") from error
        if len(kept) != self.n_layer or set(kept) != {2}:
            raise ModelError(
                "This model does not keep keys and values of every token in every layer (it is recurrent, or a hybrid), "
                "which QF Chat needs. Choose a plain transformer, or a GGUF of this model."
            )

    @staticmethod
    def new_cache():  # noqa: ANN205
        """An empty cache that may be cut at any length, also where attention looks back through a window only."""
        from transformers import DynamicCache

        return DynamicCache()

    @torch.inference_mode()
    def logits(
        self, tokens: torch.Tensor, *, cache: object = None, mask: torch.Tensor | None = None,
        positions: torch.Tensor | None = None, keep: int = 1,
    ) -> torch.Tensor:  # fmt: skip
        """(B, keep, V) float32 logits after the last `keep` of the tokens (B, T), on the model's device.

        mask: (B, cached + T), 0 for padding. positions: (B, T); None counts on from the cache.

        Raises:
            RuntimeFailure: the GPU's memory is full.
        """
        given = {"input_ids": tokens.to(self.device), "attention_mask": mask, "position_ids": positions}
        given["cache" if "cache" in self._takes else "past_key_values"] = cache
        given["use_cache"] = cache is not None
        if "logits_to_keep" in self._takes:
            given["logits_to_keep"] = keep
        try:
            return self.model(**given).logits[:, -keep:].float()
        except torch.cuda.OutOfMemoryError as error:
            raise RuntimeFailure(
                "The GPU ran out of memory. Close other programs on it, or start a new, shorter conversation."
            ) from error

    def parts(self, layer: int) -> LayerParts:
        """Where a layer can be taught; tried once.

        Raises:
            CannotTeach: the layer has no place for lessons.
        """
        if layer not in self._parts:
            self._parts[layer] = find_parts(self.model, layer, self.logits)
        return self._parts[layer]

    @contextmanager
    def knowing(self, factors: Factors | None):  # noqa: ANN201
        """Answer with an adapter inside the block."""
        with nullcontext() if factors is None else changed(self.parts(factors.layer), factors):
            yield

    def observe(self, prompt: list[int], answer: list[int], layer: int) -> Observed:
        """A teacher-forced pass over one script alone, at the positions that predict the answer.

        Raises:
            CannotTeach: see `parts`. ModelError: the script does not fit.
        """
        tokens, count = prompt + answer[:-1], len(answer)  # the last answer token is predicted, never read
        if len(tokens) + 1 > self.size:
            raise ModelError(
                f"The lesson and its answer have {len(tokens):,} tokens, the context holds {self.size:,}. "
                "Shorten the lesson."
            )
        parts = self.parts(layer)
        with watching(parts) as seen:
            logits = self.logits(torch.tensor([tokens]), keep=count)[0]
        keys, residuals, branches = (
            x[0, -count:].float().cpu().numpy() for x in (seen.keys, seen.residuals, seen.branches)
        )
        normed = parts.norm is not None
        return Observed(keys, residuals, logits.cpu().numpy(), branches if normed else None, parts.gain)

    def likelihood(self, tokens: Sequence[int]) -> tuple[float, int]:
        """(sum of negative log-likelihoods in nats, predicted tokens) of a text read alone."""
        read = torch.tensor([list(tokens)[: min(self.size, READ_TOKENS)]])
        count = read.shape[1] - 1
        if count < 1:
            return 0.0, 0
        told = log_softmax(self.logits(read, keep=count + 1)[0, :-1].double(), dim=-1)
        return -float(told.gather(1, read[0, 1:, None].to(told.device)).sum()), count


def groups(prompts: Sequence[Sequence[int]], max_tokens: int) -> list[tuple[int, int]]:
    """(begin, end) of the parts of a list that are computed together: each prompt is padded to the longest."""
    parts, begin, longest = [], 0, 0
    for index, prompt in enumerate(prompts):
        wider, count = max(longest, len(prompt)), index - begin + 1
        if count > 1 and (count > SEQUENCES or count * (wider + max_tokens) > BATCH_TOKENS):
            parts.append((begin, index))
            begin, wider = index, len(prompt)
        longest = wider
    return [*parts, (begin, len(prompts))] if prompts else []


def greedy_group(
    computer: Computer, prompts: Sequence[Sequence[int]], max_tokens: int, is_end: Callable[[int], bool], *,
    cancel: threading.Event | None = None,
    on_step: Callable[[list[int]], None] | None = None,
) -> list[list[int]]:  # fmt: skip
    """Greedy continuations of prompts, computed together; end of turn included when reached.

    The prompts are padded on the left; finished answers leave the batch.
    on_step: called after each pass with the prompt's index for each row of the batch, -1 where the answer is finished.

    Raises:
        Cancelled: `cancel` was set. TooLong: a prompt does not fit into the context.
    """
    width = max(map(len, prompts))
    if width + 1 > computer.size:
        raise TooLong(f"The question has {width:,} tokens, the context holds {computer.size:,}. Shorten it.")
    device, cache = computer.device, computer.new_cache()
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=device)
    tokens = torch.tensor([[0] * (width - len(p)) + list(p) for p in prompts], device=device)
    positions = (mask.cumsum(dim=1) - 1).clamp_min(0)
    rows, answers, open_ = list(range(len(prompts))), [[] for _ in prompts], set(range(len(prompts)))
    for step in range(max_tokens):
        if cancel is not None and cancel.is_set():
            raise Cancelled("Stopped. Nothing was changed.")
        following = computer.logits(tokens, cache=cache, mask=mask, positions=positions)[:, -1].argmax(dim=-1)
        if on_step:
            on_step([row if row in open_ else -1 for row in rows])
        for row, token in zip(rows, following.tolist(), strict=True):
            if row in open_:
                answers[row].append(token)
                if is_end(token):
                    open_.discard(row)
        if not open_ or step == max_tokens - 1:
            break
        if len(open_) < len(rows):
            kept = torch.tensor([i for i, row in enumerate(rows) if row in open_], device=device)
            cache.batch_select_indices(kept)
            rows = [row for row in rows if row in open_]
            following, mask, positions = following[kept], mask[kept], positions[kept]
        tokens, positions = following[:, None], positions[:, -1:] + 1
        mask = torch.cat([mask, torch.ones_like(mask[:, :1])], dim=1)
    return answers
