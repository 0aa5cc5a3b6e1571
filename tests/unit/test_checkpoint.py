"""Folders of checkpoints are looked at before anything is loaded."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from qfcore.errors import ModelError, NotFound
from qfcore.models.catalogue import find_model
from qfcore.models.checkpoint import check_checkpoint, weight_files
from qfcore.models.library import Library
from qfcore.opening import identity_of

CONFIG = {
    "model_type": "qwen2", "vocab_size": 10, "num_hidden_layers": 2, "hidden_size": 8, "num_attention_heads": 4,
    "num_key_value_heads": 2,
}  # fmt: skip


def make(folder: Path, *, shards: int = 1, **config: object) -> Path:
    """A folder that looks like a checkpoint."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG | config))
    parts = [{f"w{n}": np.full((3, 4), n, dtype=np.float32)} for n in range(shards)]
    if shards == 1:
        save_file(parts[0], folder / "model.safetensors")
        return folder
    names = [f"model-{n}.safetensors" for n in range(shards)]
    for name, part in zip(names, parts, strict=True):
        save_file(part, folder / name)
    index = {"weight_map": {key: name for name, part in zip(names, parts, strict=True) for key in part}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def test_a_folder_says_what_it_holds(tmp_path: Path) -> None:
    facts = check_checkpoint(make(tmp_path / "a", shards=3))
    assert (facts.architecture, facts.name, facts.n_vocab, facts.parameters) == ("qwen2", "a", 10, 36)
    assert facts.kv_bytes_per_token == 2 * 2 * 2 * 2 * 2  # keys and values, 2 layers, 2 heads of 2, 2 bytes each
    assert facts.loaded(2).file_bytes == 72 and facts.loaded(4).kv_bytes_per_token == 64
    assert check_checkpoint(make(tmp_path / "b", model_type="mistral")).architecture == "llama"
    nested = make(tmp_path / "c", model_type="gemma3", text_config={"model_type": "gemma3_text", "vocab_size": 7})
    assert check_checkpoint(nested).architecture == "gemma3" and check_checkpoint(nested).n_vocab == 7


def test_its_identity_is_that_of_its_weights(tmp_path: Path) -> None:
    a, cache = make(tmp_path / "a", shards=2), tmp_path / "cache.json"
    copy = tmp_path / "copy"
    shutil.copytree(a, copy)
    (copy / "README.md").write_text("more")
    assert len(identity_of(a, cache)) == 64 and identity_of(a, cache) == identity_of(copy, cache)
    assert len(json.loads(cache.read_text())) == 4  # each file's hash is remembered
    save_file({"w0": np.zeros((3, 4), dtype=np.float32) + 5}, copy / "model-0.safetensors")
    assert identity_of(a, cache) != identity_of(copy, cache)


def test_a_folder_is_found_by_its_path_and_keeps_its_whole_name(tmp_path: Path) -> None:
    folder = make(tmp_path / "SmolLM2-1.7B")
    found = Library(tmp_path / "models").find(str(folder))
    assert (found.path, found.title, found.trusted) == (folder, "SmolLM2-1.7B", False)
    with pytest.raises(NotFound, match="holds no config.json"):
        find_model(str(tmp_path))


def headed(header: object) -> bytes:
    """Safetensors that consist of a header."""
    data = json.dumps(header).encode()
    return len(data).to_bytes(8, "little") + data


WEIGHTS, SETTINGS = "model.safetensors", "config.json"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        (WEIGHTS, b"\xff" * 64, "damaged"), (WEIGHTS, b"1234", "damaged"), (WEIGHTS, b"", "damaged"),
        (WEIGHTS, headed({"w": {"shape": "x", "data_offsets": [0, "y"]}}), "damaged"), (WEIGHTS, headed([]), "damaged"),
        (WEIGHTS, headed({"w": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}), "truncated"),
        (SETTINGS, b"{", "no JSON"), (SETTINGS, b"[]", "JSON object"), (SETTINGS, b"[" * 100_000, "no JSON"),
        (SETTINGS, b"\xff\xfe", "no JSON"), ("adapter_config.json", b"{}", "PEFT adapter"),
    ],
)  # fmt: skip
def test_a_damaged_folder_is_refused_with_one_sentence(name: str, content: bytes, words: str, tmp_path: Path) -> None:
    folder = make(tmp_path / "a")
    (folder / name).write_bytes(content)
    with pytest.raises(ModelError, match=words):
        check_checkpoint(folder)


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    folder = make(tmp_path / "a")
    (folder / WEIGHTS).rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="pickle .* refused"):
        check_checkpoint(folder)
    (folder / "pytorch_model.bin").unlink()
    with pytest.raises(ModelError, match="holds no weights"):
        check_checkpoint(folder)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"auto_map": {"AutoModel": "code.py"}}, "never runs"), ({"quantization_config": {"bits": 4}}, "is quantized"),
        ({"model_type": None}, "names no model_type"),
    ],
)  # fmt: skip
def test_what_qf_chat_does_not_open_is_refused(config: dict, words: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=words):
        check_checkpoint(make(tmp_path / "a", **config))


def test_an_index_names_files_beside_it_and_all_of_them(tmp_path: Path) -> None:
    folder = make(tmp_path / "a", shards=2)
    assert [file.name for file in weight_files(folder)] == ["model-0.safetensors", "model-1.safetensors"]
    (folder / "model-1.safetensors").unlink()
    with pytest.raises(ModelError, match="lacks model-1.safetensors"):
        weight_files(folder)
    index = folder / "model.safetensors.index.json"
    for name in ("../other.safetensors", "/etc/passwd", "model-0.bin", 7):
        index.write_text(json.dumps({"weight_map": {"w": name}}))
        with pytest.raises(ModelError, match="beside it was expected"):
            weight_files(folder)
