"""Exports that are folders, their cards, and the pieces they are made of."""

import json
from pathlib import Path

import gguf
import numpy as np
import pytest
from safetensors.numpy import load_file

from qfcore.delta import Delta
from qfcore.errors import ExportError
from qfcore.export.atomic import atomic_folder, remove_partials
from qfcore.export.card import Card
from qfcore.export.modules import down_projection, expected_down_projection
from qfcore.export.ollama import go_template, modelfile
from qfcore.export.peft import write_peft
from qfcore.runtime.quantize import quantize_rows
from qfcore.runtime.template import ChatTemplate
from qfcore.standing import FAILED, LEARNED, Standing

MODULE = "model.language_model.layers.1.mlp.down_proj"
DELTA = Delta(1, np.arange(64, dtype=np.float32).reshape(1, 64) / 64, np.linspace(-1, 1, 8, dtype=np.float32).reshape(8, 1))
STANDINGS = {"a": Standing(LEARNED), "b": Standing(LEARNED), "c": Standing(FAILED)}


def card(**more: object) -> Card:
    """A card with everything in it."""
    values = {
        "title": "A model", "base": "a/b", "base_sha256": "ab" * 32, "version": 3, "version_hash": "v", "content": "qf1:x",
        "created_at": "2026-11-24T12:00:00+00:00", "standings": STANDINGS, "layer": 1, "rank": 1,
    }  # fmt: skip
    return Card(**{**values, **more})


def test_a_peft_folder_holds_the_factors_at_scale_one(tmp_path: Path) -> None:
    write_peft(DELTA, tmp_path / "out", module=MODULE, base="a/b", card="Hello")
    config = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert config["lora_alpha"] == config["r"] == DELTA.rank and config["layers_to_transform"] == [1]
    factors = load_file(tmp_path / "out" / "adapter_model.safetensors")
    path = f"base_model.model.{MODULE}"
    change = factors[f"{path}.lora_B.weight"] @ factors[f"{path}.lora_A.weight"]
    np.testing.assert_array_equal(change, DELTA.b @ DELTA.a)
    with pytest.raises(ExportError, match="exists already"):
        write_peft(DELTA, tmp_path / "out", module=MODULE, base="a/b", card="Hello")


def test_a_folder_is_complete_or_absent(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), atomic_folder(tmp_path / "out") as made:
        (made / "half").write_text("x")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ExportError, match="does not exist"), atomic_folder(tmp_path / "no" / "out"):
        pass
    (tmp_path / ".killed.0123.partial").mkdir()
    (tmp_path / ".killed.0123.partial" / "file").write_text("x")
    assert remove_partials(tmp_path) == 1 and list(tmp_path.iterdir()) == []


def test_a_card_tells_where_lessons_act() -> None:
    everywhere, reach = card().markdown(use="Use."), card(subjects=2, strength=0.5).markdown(use="Use.")
    assert "All lessons are active at once" in everywhere and "rank 1" in everywhere
    assert "names its subject" in reach and "three added blocks, 2 subjects, at 50%" in reach and "at once" not in reach
    assert card(subjects=2).metadata()["form"] == "reach" and "form" not in card().metadata()


def test_a_card_counts_how_the_lessons_stood() -> None:
    text = card().markdown(use="Use it.")
    assert "3: 2 learned, 1 failed" in text and "can be read back" in text
    assert "rank 1, down projection of layer 1" in text


def test_a_card_lists_lessons_only_when_asked() -> None:
    assert "- The code is 7." in card(lessons=["The code\nis 7."]).markdown(use="")
    assert "The code" not in card().markdown(use="")


def test_a_card_of_the_base_says_so() -> None:
    assert "the base's own weights" in card(standings={}, layer=None).markdown(use="")


CHATML = (
    "{% if messages[0].role != 'system' %}<|im_start|>system\nYou help.<|im_end|>\n{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}{{ '<|im_start|>assistant\n' }}"
)


def test_ollamas_template_says_what_the_models_own_says() -> None:
    text = go_template(ChatTemplate(CHATML).render)
    assert '{{- "<|im_start|>system\\nYou help.<|im_end|>\\n<|im_start|>user\\n" -}}' in text
    assert '{{- else if eq .Role "assistant" -}}{{- "<|im_end|>\\n<|im_start|>assistant\\n" -}}' in text
    assert text.endswith('{{- "<|im_end|>\\n<|im_start|>assistant\\n" -}}')


def test_a_modelfile_names_file_template_and_stop() -> None:
    text = modelfile("model.gguf", ChatTemplate(CHATML).render, stop="<|im_end|>", temperature=0.7, top_k=20, top_p=0.8)
    assert text.startswith("FROM ./model.gguf\nTEMPLATE \"\"\"{{-")
    assert text.endswith('PARAMETER temperature 0.7\nPARAMETER top_k 20\nPARAMETER top_p 0.8\nPARAMETER stop "<|im_end|>"\n')


def test_a_template_that_changes_messages_has_no_modelfile() -> None:
    with pytest.raises(ExportError, match="changes messages"):
        go_template(ChatTemplate("{% for m in messages %}{{ m.content | length }}{% endfor %}").render)


@pytest.mark.parametrize(("name", "error"), [("F32", 1e-7), ("F16", 1e-3), ("Q8_0", 0.01), ("Q6_K", 0.03), ("Q4_K", 0.1)])
def test_llama_cpps_quantization_is_read_back_by_gguf(name: str, error: float) -> None:
    weights = np.random.default_rng(0).normal(size=(4, 512)).astype(np.float32)
    kind = gguf.GGMLQuantizationType[name]
    back = gguf.dequantize(quantize_rows(weights, kind), kind)
    assert np.linalg.norm(back - weights) < error * np.linalg.norm(weights)


def test_a_type_whose_blocks_do_not_fit_is_refused() -> None:
    with pytest.raises(ExportError, match="blocks of 256"):
        quantize_rows(np.zeros((2, 64), dtype=np.float32), gguf.GGMLQuantizationType.Q4_K)


def test_where_the_weight_is_follows_from_the_architecture() -> None:
    assert expected_down_projection("qwen2", 28, 27) == "model.layers.27.mlp.down_proj"
    assert expected_down_projection("gemma3", 18, 17) == "model.layers.17.mlp.down_proj"
    assert expected_down_projection("gemma3", 34, 33) == "model.language_model.layers.33.mlp.down_proj"
    with pytest.raises(ExportError, match="'falcon' is not known here"):
        expected_down_projection("falcon", 32, 31)


def test_where_the_weight_is_is_found_in_a_loaded_model() -> None:
    names = ["model.vision.layers.11.mlp.fc1", "model.text.layers.11.mlp.down_proj", "model.text.layers.1.mlp.down_proj"]
    assert [down_projection(names, layer) for layer in (1, 11)] == names[:0:-1]
    for wrong, layer in ((names, 2), ([*names, "draft.layers.1.mlp.down_proj"], 1)):
        with pytest.raises(ExportError, match="one was expected"):
            down_projection(wrong, layer)
