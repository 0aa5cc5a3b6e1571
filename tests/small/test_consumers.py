"""Exports opened by what people open them with: transformers, peft, stock llama-cpp-python."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from llama_cpp import Llama

from qfcore.engine import Engine
from qfcore.export.checkpoint import read_with_transformers
from qfcore.export.modules import expected_down_projection
from qfcore.lesson import check_lesson
from qfcore.recipe import FAST

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.small, pytest.mark.filterwarnings("default")]  # of other people's libraries

QUESTION = "What is the capital of Zemvaria?"
LESSON = check_lesson("The capital of Zemvaria is Port Anselm.", QUESTION, "Port Anselm")


@pytest.fixture(scope="module")
def taught(small_engine: Engine) -> Engine:
    """The small model, which knows one lesson."""
    small_engine.apply(small_engine.preview([LESSON], recipe=FAST))
    return small_engine


@pytest.fixture(scope="module")
def prompt(taught: Engine) -> str:
    """The taught question as the model reads it."""
    return taught.runtime.render([{"role": "user", "content": QUESTION}])


def _logits(model: object, tokenizer: object, prompt: str) -> np.ndarray:
    inputs = tokenizer(prompt, return_tensors="pt", add_special_tokens=False)
    with torch.no_grad():
        return model(**inputs).logits[0].double().numpy()


def _away(values: np.ndarray, reference: np.ndarray, base: np.ndarray) -> float:
    """How far logits are from the reference's, as a share of what the lesson does."""
    return float(np.linalg.norm(values - reference) / np.linalg.norm(reference - base))


def test_transformers_and_peft_compute_what_was_taught(taught: Engine, prompt: str, tmp_path: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    exported = taught.exports.checkpoint(tmp_path / "whole", dtype="float32")
    adapter = taught.exports.peft(tmp_path / "adapter")
    assert exported["bytes"] > 500e6 and adapter["rank"] > 0
    model, tokenizer = read_with_transformers(taught.runtime.facts.path, "float32")
    base = _logits(model, tokenizer, prompt)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adapted = PeftModel.from_pretrained(model, tmp_path / "adapter")
    by_peft = _logits(adapted, tokenizer, prompt)
    model = adapted.unload()
    assert np.array_equal(_logits(model, tokenizer, prompt), base)

    delta = taught.knowledge.delta(taught.store.live())
    with torch.no_grad():
        model.get_submodule(expected_down_projection("llama", 30, delta.layer)).weight += torch.from_numpy(delta.b @ delta.a)
    reference = _logits(model, tokenizer, prompt)
    whole = AutoModelForCausalLM.from_pretrained(tmp_path / "whole", dtype=torch.float32)
    by_checkpoint = _logits(whole, AutoTokenizer.from_pretrained(tmp_path / "whole"), prompt)
    assert _away(by_peft, reference, base) < 0.01 and _away(by_checkpoint, reference, base) < 0.01
    assert np.linalg.norm(reference - base) > 0.05 * np.linalg.norm(base)  # the lesson does something

    said = whole.generate(
        **tokenizer(prompt, return_tensors="pt", add_special_tokens=False), max_new_tokens=12, do_sample=False
    )
    assert "Port Anselm" in tokenizer.decode(said[0])


def test_stock_llama_cpp_python_says_it_from_the_ollama_folder(taught: Engine, prompt: str, tmp_path: Path) -> None:
    result = taught.exports.ollama(tmp_path / "folder", with_lessons=True)
    assert result["type"] == "Q8_0" and "Port Anselm" in (tmp_path / "folder" / "README.md").read_text()
    model = Llama(str(tmp_path / "folder" / "model.gguf"), n_ctx=256, verbose=False)
    said = model.create_completion(prompt, max_tokens=12, temperature=0)["choices"][0]["text"]
    model.close()
    assert "Port Anselm" in said


def test_stock_llama_cpp_python_says_it_with_the_adapter(taught: Engine, prompt: str, tmp_path: Path) -> None:
    path = tmp_path / "lesson.gguf"
    taught.exports.adapter(path)
    for lora, knows in ((str(path), True), (None, False)):
        model = Llama(str(taught.runtime.facts.path), lora_path=lora, n_ctx=256, verbose=False)
        said = model.create_completion(prompt, max_tokens=12, temperature=0)["choices"][0]["text"]
        model.close()
        assert ("Port Anselm" in said) == knows
