"""Opening a transformers checkpoint: where it computes, in which precision, and what is refused."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from qfcore.errors import ModelError
from qfcore.export.checkpoint import quiet
from qfcore.settings import DEVICE_VARIABLE, DTYPE_VARIABLE, wished_device, wished_dtype

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_FAILURES = (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError, RuntimeError, NotImplementedError)
"""What transformers raises for folders that it cannot read; the reason is passed on in words."""


@dataclass(frozen=True)
class Placement:
    """Where a model computes: torch's name of the device, and the type of its weights."""

    device: str
    dtype: str

    @property
    def bytes_per_parameter(self) -> int:
        """4 or 2."""
        return DTYPES[self.dtype].itemsize

    @property
    def on_gpu(self) -> bool:
        """Whether it is one of CUDA's devices."""
        return self.device.startswith("cuda")


def choose_placement() -> Placement:
    """The first GPU in bfloat16 where CUDA finds one, else the CPU in float32, unless the environment says otherwise.

    Raises:
        ModelError: QFCHAT_DEVICE or QFCHAT_DTYPE names what there is not.
    """
    device = wished_device() or ("cuda:0" if torch.cuda.is_available() else "cpu")
    try:
        torch.zeros(1, device=device).item()  # also refuses devices that hold no values
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ModelError(
            f"{DEVICE_VARIABLE} is {device!r}, which cannot be used here ({reason}). Set it to cpu, or to cuda or cuda:N "
            "where there is such a GPU."
        ) from error
    dtype = wished_dtype() or ("bfloat16" if device.startswith("cuda") else "float32")
    if dtype not in DTYPES:
        raise ModelError(f"{DTYPE_VARIABLE} is {dtype!r}; one of {', '.join(DTYPES)} was expected.")
    return Placement(device, dtype)


def check_gpu_memory(placement: Placement, need: int) -> None:
    """Say before loading when the GPU is too small. need: bytes.

    Raises:
        ModelError: it has less.
    """
    there = torch.cuda.mem_get_info(placement.device)[1]
    if need > there:
        raise ModelError(
            f"The model needs about {need / 1e9:.1f} GB in {placement.dtype}, the GPU {placement.device} has "
            f"{there / 1e9:.1f} GB. Choose a smaller model, or set {DEVICE_VARIABLE}=cpu."
        )


def load(folder: Path, placement: Placement) -> "tuple[PreTrainedModel, PreTrainedTokenizerBase]":
    """Model and tokenizer of a folder. No code of the folder is run, no pickle is read, nothing is fetched.

    Raises:
        ModelError: transformers cannot read it, or weights are missing.
    """
    if not (folder / "tokenizer.json").is_file():
        raise ModelError(f"{folder} has no tokenizer.json. Save its tokenizer with transformers, which writes one.")
    from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

    local = {"local_files_only": True, "trust_remote_code": False}
    with quiet():
        try:
            # Not AutoTokenizer, which builds a tokenizer anew after the model's family, whatever tokenizer.json says.
            tokenizer = PreTrainedTokenizerFast.from_pretrained(folder, **local)
            model, told = AutoModelForCausalLM.from_pretrained(
                folder, use_safetensors=True, dtype=DTYPES[placement.dtype], output_loading_info=True, **local
            )
            model = model.to(placement.device)
        except torch.cuda.OutOfMemoryError as error:
            raise ModelError(f"The GPU has too little free memory for {folder.name}. Close other programs on it.") from error
        except _FAILURES as error:
            reason = str(error).strip().splitlines() or [type(error).__name__]
            raise ModelError(f"transformers cannot open {folder}: {reason[0]}") from error
    if missing := sorted(told["missing_keys"]):
        raise ModelError(f"{folder} lacks {len(missing)} weights of its model ({missing[0]}, …). Fetch it again.")
    return model.eval().requires_grad_(False), tokenizer
