"""Files are complete or absent; an adapter read back is the change that was written."""

import hashlib
import threading
from pathlib import Path

import gguf
import numpy as np
import pytest

from qfcore.delta import Delta
from qfcore.errors import Cancelled, ExportError, StoreCorrupt
from qfcore.export.adapter import read_adapter, write_adapter
from qfcore.export.atomic import atomic_write, remove_partials
from qfcore.export.merged import write_merged
from qfcore.gguf_file.header import check_gguf
from tests.conftest import write_gguf

DELTA = Delta(1, np.arange(64, dtype=np.float32).reshape(1, 64) / 64, np.linspace(-1, 1, 8, dtype=np.float32).reshape(8, 1))


def make_base(path: Path) -> Path:
    """A tiny GGUF with one weight to edit and one to leave alone."""

    def describe(writer: gguf.GGUFWriter) -> None:
        writer.add_block_count(2)
        writer.add_string("tokenizer.chat_template", "{{ messages }}")
        writer.add_array("tokenizer.ggml.tokens", ["a", "b"])

    random = np.random.default_rng(0)
    names = ("blk.1.ffn_down.weight", "blk.0.ffn_down.weight")
    write_gguf(path, "qwen2", {name: random.normal(size=(8, 64)).astype(np.float32) for name in names}, describe)
    return path


def tensors(path: Path) -> dict:
    """Tensors by name."""
    return {t.name: t for t in gguf.GGUFReader(path).tensors}


def test_an_adapter_read_back_is_the_change_at_scale_one(tmp_path: Path) -> None:
    path = tmp_path / "a.gguf"
    write_adapter(DELTA, path, architecture="qwen2", metadata={"content": "qf1:x"})
    delta, metadata = read_adapter(path)
    assert delta.digest == DELTA.digest and metadata == {"content": "qf1:x"}
    assert gguf.GGUFReader(path).fields["adapter.lora.alpha"].contents() == DELTA.rank


def test_the_same_change_gives_the_same_file(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_adapter(DELTA, tmp_path / name, architecture="qwen2", metadata={"x": "1", "y": "2"})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_file_that_is_no_adapter_is_reported(tmp_path: Path) -> None:
    (tmp_path / "a.gguf").write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(StoreCorrupt):
        read_adapter(tmp_path / "a.gguf")


def test_a_failed_write_leaves_the_old_file_and_no_rest(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic_write(path) as file:
        file.write(b"new")
        raise RuntimeError
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".x.abcd.partial").touch()
    (tmp_path / "kept").touch()
    assert remove_partials(tmp_path) == 1 and [p.name for p in tmp_path.iterdir()] == ["kept"]


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="does not exist"):
        write_adapter(DELTA, tmp_path / "no" / "a.gguf", architecture="qwen2", metadata={})


def test_a_merged_file_changes_one_tensor_and_keeps_the_bytes_of_the_others(tmp_path: Path) -> None:
    base, out = make_base(tmp_path / "base.gguf"), tmp_path / "out.gguf"
    before = base.read_bytes()
    result = write_merged(base, DELTA, out, metadata={"version": "3"}, tensor_type="F32")
    old, new = tensors(base), tensors(out)
    assert bytes(old["blk.0.ffn_down.weight"].data) == bytes(new["blk.0.ffn_down.weight"].data)
    wanted = gguf.dequantize(old["blk.1.ffn_down.weight"].data, old["blk.1.ffn_down.weight"].tensor_type) + DELTA.b @ DELTA.a
    np.testing.assert_allclose(new["blk.1.ffn_down.weight"].data, wanted, atol=1e-6)
    fields = gguf.GGUFReader(out).fields
    assert fields["qfchat.version"].contents() == "3" and fields["tokenizer.ggml.tokens"].contents() == ["a", "b"]
    assert result["tensor"] == "blk.1.ffn_down.weight" and result["type"] == "F32"
    assert check_gguf(out).architecture == "qwen2" and base.read_bytes() == before


def test_the_default_type_keeps_the_change_to_a_percent(tmp_path: Path) -> None:
    base, out = make_base(tmp_path / "base.gguf"), tmp_path / "out.gguf"
    assert write_merged(base, DELTA, out, metadata={})["type"] == "Q8_0"
    new, old = tensors(out)["blk.1.ffn_down.weight"], tensors(base)["blk.1.ffn_down.weight"]
    change = gguf.dequantize(new.data, new.tensor_type) - gguf.dequantize(old.data, old.tensor_type)
    wanted = DELTA.b @ DELTA.a
    assert np.linalg.norm(change - wanted) < 0.03 * np.linalg.norm(wanted)


def test_the_base_and_existing_files_are_never_written(tmp_path: Path) -> None:
    base = make_base(tmp_path / "base.gguf")
    (tmp_path / "link.gguf").symlink_to(base)
    (tmp_path / "mine.gguf").write_text("mine")
    refused = {base: "base model itself", tmp_path / "link.gguf": "base model itself", tmp_path / "mine.gguf": "exists"}
    for out, words in refused.items():
        with pytest.raises(ExportError, match=words):
            write_merged(base, DELTA, out, metadata={}, overwrite=out == base)
    assert (tmp_path / "mine.gguf").read_text() == "mine"


def test_tensors_of_another_alignment_keep_their_bytes(tmp_path: Path) -> None:
    base, out = tmp_path / "base.gguf", tmp_path / "out.gguf"
    random = np.random.default_rng(0)
    names = ("blk.0.ffn_norm.weight", "blk.1.ffn_down.weight", "blk.0.ffn_down.weight")
    values = {name: random.normal(size=(8, 64)).astype(np.float32) for name in names[1:]}
    values = {names[0]: np.ones(9, dtype=np.float32), **values}
    write_gguf(base, "qwen2", values, lambda writer: writer.add_custom_alignment(256))
    write_merged(base, DELTA, out, metadata={}, tensor_type="keep")
    reader = gguf.GGUFReader(out)
    assert reader.alignment == 256 and all(tensor.data_offset % 256 == 0 for tensor in reader.tensors)
    old, new = tensors(base), tensors(out)
    for name in (names[0], names[2]):
        assert bytes(old[name].data) == bytes(new[name].data)
    assert check_gguf(out).tensors.keys() == values.keys()


def test_an_unknown_type_and_another_base_are_refused(tmp_path: Path) -> None:
    base = make_base(tmp_path / "base.gguf")
    with pytest.raises(ExportError, match="not offered"):
        write_merged(base, DELTA, tmp_path / "o.gguf", metadata={}, tensor_type="Q2_K")
    with pytest.raises(ExportError, match="no tensor"):
        write_merged(base, Delta(7, DELTA.a, DELTA.b), tmp_path / "o.gguf", metadata={})
    assert not (tmp_path / "o.gguf").exists()


def test_every_key_keeps_its_bytes_and_an_export_of_an_export_names_its_own_version(tmp_path: Path) -> None:
    base, first, second = tmp_path / "base.gguf", tmp_path / "first.gguf", tmp_path / "second.gguf"

    def describe(writer: gguf.GGUFWriter) -> None:
        writer.add_block_count(2)
        writer.add_float32("qwen2.rope.freq_base", 1e6)
        writer.add_bool("tokenizer.ggml.add_bos_token", False)
        writer.add_array("tokenizer.ggml.scores", [0.5, -1.25])
        writer.add_array("tokenizer.ggml.tokens", ["a", "\u0120é"])
        writer.add_string("general.name", "A café")

    values = {f"blk.{n}.ffn_down.weight": np.ones((8, 64), np.float32) for n in (0, 1)}
    write_gguf(base, "qwen2", values, describe)
    write_merged(base, DELTA, first, metadata={"version": "3", "note": "n"})
    result = write_merged(first, DELTA, second, metadata={"version": "4"}, tensor_type="F16")
    assert result["sha256"] == hashlib.sha256(second.read_bytes()).hexdigest()
    old, new = check_gguf(base), check_gguf(second)
    for name, (offset, length) in old.keys.items():
        at, size = new.keys[name]
        assert second.read_bytes()[at : at + size] == base.read_bytes()[offset : offset + length], name
    assert new.keys.keys() - old.keys.keys() == {"qfchat.version"}
    fields = gguf.GGUFReader(second).fields
    assert fields["qfchat.version"].contents() == "4" and fields["tokenizer.ggml.tokens"].contents() == ["a", "\u0120é"]


def test_a_stopped_export_leaves_nothing(tmp_path: Path) -> None:
    base, told, stop = make_base(tmp_path / "base.gguf"), [], threading.Event()

    def tell(fraction: float, text: str) -> None:
        told.append((fraction, text))
        stop.set()

    with pytest.raises(Cancelled):
        write_merged(base, DELTA, tmp_path / "o.gguf", metadata={}, on_progress=tell, cancel=stop)
    assert told == [(0.0, "Writing blk.1.ffn_down.weight")] and list(tmp_path.iterdir()) == [base]
