"""Exported folders opened by transformers and peft, on a tiny model with random weights."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from qfcore.delta import Delta
from qfcore.errors import ExportError
from qfcore.export.checkpoint import read_with_transformers, write_checkpoint
from qfcore.export.modules import expected_down_projection
from qfcore.export.peft import write_peft
from tests.tiny_models import INNER, LAYERS, WIDTH, write_tiny_model

pytestmark = pytest.mark.filterwarnings("default")  # of other people's libraries
TOKENS = torch.tensor([[1, 270, 271, 30, 40, 272, 273]])


def _delta(layer: int, rank: int = 3) -> Delta:
    random = np.random.default_rng(layer)
    a, b = random.normal(size=(rank, INNER)) / INNER**0.5, random.normal(size=(WIDTH, rank))
    return Delta(layer, a.astype(np.float32), b.astype(np.float32))


def _module(layer: int) -> str:
    return expected_down_projection("llama", LAYERS, layer)


def _logits(model: torch.nn.Module) -> np.ndarray:
    with torch.no_grad():
        return model(TOKENS).logits[0].double().numpy()


def _edited(model: torch.nn.Module, delta: Delta) -> np.ndarray:
    """Logits with the change in the weights, which are then put back."""
    weight = model.get_submodule(_module(delta.layer)).weight
    kept = weight.detach().clone()
    with torch.no_grad():
        weight += torch.from_numpy(delta.b @ delta.a)
        logits = _logits(model)
        weight.copy_(kept)
    return logits


def _away(values: np.ndarray, wanted: np.ndarray, base: np.ndarray) -> float:
    """How far logits are from the wanted ones, as a share of what the change does."""
    return float(np.linalg.norm(values - wanted) / np.linalg.norm(wanted - base))


@pytest.mark.parametrize("layer", [0, LAYERS - 1])
def test_peft_computes_the_change_at_its_layer(tmp_path: Path, layer: int) -> None:
    from peft import PeftModel

    delta, base_file = _delta(layer), write_tiny_model(tmp_path / "base.gguf", "llama")
    write_peft(delta, tmp_path / "adapter", module=_module(layer), base="a/b", card="Hello")
    model, _ = read_with_transformers(base_file, "float32")
    base, wanted = _logits(model), _edited(model, delta)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adapted = PeftModel.from_pretrained(model, tmp_path / "adapter")
    assert _away(_logits(adapted), wanted, base) < 0.01
    other, _ = read_with_transformers(base_file, "float32")
    assert _away(_edited(other, _delta(1)), wanted, base) > 0.1  # the place matters


@pytest.mark.parametrize(("dtype", "bound"), [("float32", 1e-4), ("float16", 0.01), ("bfloat16", 0.1)])
def test_transformers_opens_the_checkpoint_with_the_change_in_it(tmp_path: Path, dtype: str, bound: float) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    delta, base_file = _delta(LAYERS - 1), write_tiny_model(tmp_path / "base.gguf", "llama")
    result = write_checkpoint(base_file, delta, tmp_path / "whole", card="Hello", dtype=dtype)
    model, tokenizer = read_with_transformers(base_file, "float32")
    base, wanted = _logits(model), _edited(model, delta)
    whole = AutoModelForCausalLM.from_pretrained(tmp_path / "whole", dtype=torch.float32)
    assert _away(_logits(whole), wanted, base) < bound and result["type"] == dtype
    text = "word1 word2"
    again = AutoTokenizer.from_pretrained(tmp_path / "whole")
    assert again(text)["input_ids"] == tokenizer(text)["input_ids"] and again.chat_template
    with pytest.raises(ExportError, match="exists already"):
        write_checkpoint(base_file, delta, tmp_path / "whole", card="")


def test_a_change_of_another_base_is_refused(tmp_path: Path) -> None:
    base_file = write_tiny_model(tmp_path / "base.gguf", "llama")
    narrow = Delta(1, np.ones((1, INNER // 2), dtype=np.float32), np.ones((WIDTH, 1), dtype=np.float32))
    with pytest.raises(ExportError, match="another base"):
        write_checkpoint(base_file, narrow, tmp_path / "whole", card="")
    with pytest.raises(ExportError, match="not offered"):
        write_checkpoint(base_file, None, tmp_path / "whole", card="", dtype="int8")
    assert not (tmp_path / "whole").exists()
