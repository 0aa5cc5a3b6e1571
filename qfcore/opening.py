"""From the path of a model to a runtime: a GGUF file opens in llama.cpp, the folder of a checkpoint in transformers.

torch takes 2 s to import, so the transformers runtime is imported for checkpoints only.
"""

import hashlib
from pathlib import Path

from qfcore.gguf_file.header import GGUFFacts, check_gguf
from qfcore.margin import Head, check_head
from qfcore.models.checkpoint import CheckpointFacts, check_checkpoint, weight_files
from qfcore.models.fingerprint import sha256_of
from qfcore.models.head import OutputHead
from qfcore.models.library import check_memory, memory_needed
from qfcore.models.norms import down_norm
from qfcore.runtime.llama import LlamaRuntime
from qfcore.runtime.protocol import Progress, Runtime, Script, part_of
from qfcore.settings import CHAT_CONTEXT

Facts = GGUFFacts | CheckpointFacts
"""What a model says of itself before it is loaded."""


def facts_of(path: Path) -> Facts:
    """Look at a model before it is loaded.

    Raises:
        ModelError: it is damaged, incomplete or refused.
    """
    return check_checkpoint(path) if path.is_dir() else check_gguf(path)


def check_room(path: Path, facts: Facts, on_progress: Progress | None = None) -> None:
    """Say before loading when there is too little memory.

    Raises:
        ModelError: the computer, or the GPU, has less than the model needs.
    """
    if not path.is_dir():
        check_memory(facts, CHAT_CONTEXT, on_progress)
        return
    from qfcore.runtime.hf.loading import check_gpu_memory, choose_placement

    placement = choose_placement()
    loaded = facts.loaded(placement.bytes_per_parameter)
    if placement.on_gpu:
        check_gpu_memory(placement, memory_needed(loaded, CHAT_CONTEXT))
    else:
        check_memory(loaded, CHAT_CONTEXT, on_progress)


def identity_of(path: Path, cache: Path, on_progress: Progress | None = None) -> str:
    """SHA-256 (64 hex digits) of a model: of the GGUF file, or over the hashes of a checkpoint's weights, sorted by name."""
    if not path.is_dir():
        return sha256_of(path, cache, on_progress)
    files = weight_files(path)
    hasher = hashlib.sha256(b"qf-checkpoint-1:")
    for index, file in enumerate(files):
        tell = part_of(on_progress, index / len(files), 1 / len(files))
        hasher.update(bytes.fromhex(sha256_of(file, cache, tell)))
    return hasher.hexdigest()


def open_runtime(path: Path, on_progress: Progress | None = None) -> Runtime:
    """The runtime that computes a model.

    Raises:
        ModelError, RuntimeFailure: it cannot be opened.
    """
    if path.is_dir():
        from qfcore.runtime.hf.runtime import TransformersRuntime

        return TransformersRuntime(path, on_progress=on_progress)
    return LlamaRuntime(path, on_progress=on_progress)


def open_head(runtime: Runtime) -> Head:
    """The model's last step, for the margin targets; tried out on what the model itself computes.

    Raises:
        ModelError: the model ends otherwise.
    """
    if runtime.facts.path.is_dir():
        return runtime.head()
    head = OutputHead(runtime.facts.path)
    script = Script((("user", "Hello"),), tuple(runtime.tokenize_answer("Hello there.")))
    (seen,) = runtime.observe([script], layer=runtime.facts.n_layer - 1)
    check_head(head, seen.residuals, seen.logits)
    return head


def base_norm(runtime: Runtime, layer: int) -> float | None:
    """Frobenius norm of the weight that is edited at a layer; None when it is unknown.

    Raises:
        ModelError: the model has no such weight.
    """
    if runtime.facts.path.is_dir():
        return runtime.down_norm(layer)
    return down_norm(runtime.facts.path, layer)

