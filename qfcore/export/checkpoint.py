"""The whole model with a version's knowledge as a transformers checkpoint (safetensors), for vLLM and for fine-tuning."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np

from qfcore.delta import Delta
from qfcore.errors import ExportError
from qfcore.export.atomic import atomic_folder, rust_errors_as_pythons
from qfcore.export.modules import down_projection

TYPES = ("bfloat16", "float16", "float32")
_TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "tokenizer.model",
    "vocab.json", "merges.txt", "chat_template.jinja", "chat_template.json",
)  # fmt: skip
"""What a checkpoint's tokenizer can consist of. Copied, since transformers would build it anew after the model's family."""


def write_checkpoint(
    base: Path, delta: Delta | None, folder: Path, *, card: str, dtype: str = "bfloat16",
    on_progress: Callable[[float, str], None] | None = None,
) -> dict:  # fmt: skip
    """Read the base with transformers (which dequantizes a GGUF file), add the change, and write a new folder.

    dtype: of all weights. The base's quantization error stays in them; only its bytes grow. Needs about four times the
    parameters in bytes of memory, and the extra `transformers`.

    Raises:
        ExportError: the folder exists or cannot be written, the type is not offered, the extra is missing, or
            transformers does not know the architecture.
    """
    if dtype not in TYPES:
        raise ExportError(f"The type {dtype!r} is not offered; choose {', '.join(TYPES)}.")
    if folder.exists():
        raise ExportError(f"{folder} exists already. Choose another name, or remove it first.")
    tell = on_progress or (lambda *_: None)
    tell(0.0, "Reading the base with transformers (a minute or two)")
    model, tokenizer = read_with_transformers(base, dtype)
    if delta is not None:
        import torch

        names = (name for name, _ in model.named_modules())
        weight = model.get_submodule(down_projection(names, delta.layer)).weight
        change = torch.from_numpy(np.asarray(delta.b @ delta.a, dtype=np.float32))
        if weight.shape != change.shape:
            raise ExportError(f"The edited weight is {tuple(weight.shape)}, the change {tuple(change.shape)}: another base.")
        with torch.no_grad():
            weight.copy_((weight.float() + change).to(weight.dtype))
    with atomic_folder(folder) as made, rust_errors_as_pythons():
        tell(0.7, "Writing safetensors")
        model.save_pretrained(made)
        if base.is_dir():
            _copy_tokenizer(base, made)
        else:
            tokenizer.save_pretrained(made)
        (made / "README.md").write_text(card, encoding="utf-8")
    return {"path": str(folder), "bytes": sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()), "type": dtype}


def _copy_tokenizer(base: Path, folder: Path) -> None:
    for name in _TOKENIZER_FILES:
        if (base / name).is_file():
            shutil.copyfile(base / name, folder / name)


def read_with_transformers(base: Path, dtype: str):  # noqa: ANN201 - transformers is imported only here
    """(model, tokenizer) of a GGUF file, on the CPU; of a checkpoint's folder the model alone, and None.

    Raises:
        ExportError: the extra is missing, or transformers cannot read the file, or not all of its weights.
    """
    try:
        if base.is_file():
            import accelerate  # noqa: F401 - transformers needs it to read GGUF
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer
    except ImportError as error:
        raise ExportError("This export needs the extra `transformers`: pip install 'qfchat[transformers]'.") from error
    source, given = (base, {}) if base.is_dir() else (base.parent, {"gguf_file": base.name})
    given |= {"local_files_only": True, "trust_remote_code": False}
    try:
        with quiet(), _without_the_readers_bar():
            model, told = AutoModelForCausalLM.from_pretrained(
                source, dtype=getattr(torch, dtype), output_loading_info=True, **given
            )
            tokenizer = None if base.is_dir() else AutoTokenizer.from_pretrained(source, **given)
    except (OSError, ValueError, KeyError, NotImplementedError) as error:
        raise ExportError(f"transformers cannot read {base.name}: {error}") from error
    if missing := sorted(told["missing_keys"]):
        raise ExportError(f"transformers finds no values for {len(missing)} weights of {base.name} ({missing[0]}, …).")
    return _plain(model).eval(), tokenizer


@contextmanager
def quiet() -> Iterator[None]:
    """Let transformers print nothing; what matters is raised."""
    from transformers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)


@contextmanager
def _without_the_readers_bar() -> Iterator[None]:
    """transformers' reader of GGUF files draws its own bar, whatever it is told; a version that has none is let be."""
    try:
        from transformers import modeling_gguf_pytorch_utils as reader
    except ImportError:
        reader = None
    bar = getattr(reader, "tqdm", None)
    if bar is not None:
        reader.tqdm = partial(bar, disable=True)
    try:
        yield
    finally:
        if bar is not None:
            reader.tqdm = bar


def _plain(model):  # noqa: ANN001, ANN202 - transformers is imported only when it is needed
    """Forget that the weights came quantized: they no longer are, and transformers refuses to save what says so."""
    model.hf_quantizer = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    return model
