"""Every way out, over a real store and a tiny base file: nothing is overwritten unasked, the base never."""

import hashlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import load_file

from qfcore.delta import Delta
from qfcore.errors import ExportError
from qfcore.export.adapter import read_adapter
from qfcore.export.ollama import modelfile
from qfcore.exports import Exports
from qfcore.gguf_file.header import check_gguf
from qfcore.gguf_file.tensors import floats, map_tensor
from qfcore.knowledge import Knowledge
from qfcore.lesson import Phrasing, check_lesson
from qfcore.recipe import PAPER
from qfcore.runtime.protocol import ModelFacts
from qfcore.runtime.template import ChatTemplate
from qfcore.store.records import ModelIdentity, PendingLesson
from qfcore.store.store import Store
from tests.conftest import make_rows
from tests.unit.test_export import make_base

SETTINGS = {**PAPER.solve_settings, "replay": ""}
TEMPLATE = "<s>{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}[assistant] "
REPORT = {"answers": [], "probes": [{"same": True}, {"same": True}, {"same": False}, {"same": True}], "lessons": 1}


class Desk:
    """A store with one version per call of `teach`, and the exports over it."""

    def __init__(self, folder: Path) -> None:
        self.base = make_base(folder / "base.gguf")
        identity = ModelIdentity(hashlib.sha256(self.base.read_bytes()).hexdigest(), "A model", "qwen2", 1000)
        self.store = Store.open(folder / "stores", identity)
        facts = ModelFacts(self.base, "A model", "qwen2", 2, 8, 2, 512, "</s>", added_begin="<s>")
        runtime = SimpleNamespace(facts=facts, render=ChatTemplate(TEMPLATE).render)
        self.knowledge = Knowledge(self.store, "qwen2", lambda: None)
        self.exports = Exports(runtime, self.store, self.knowledge)

    def teach(self, text: str, report: dict | None = None, rows: int = 3) -> int:
        """A version that knows this too; its number."""
        pending = PendingLesson(
            check_lesson(text), make_rows(len(text), count=rows, inputs=64), "paper-test", (Phrasing("Who?", "Me."),)
        )
        made = self.store.commit(
            keep=self.store.live().entries, new=[pending], solve=SETTINGS, kind="teach", message=text, expect_live=None,
            report=report,
        )  # fmt: skip
        return made.number


@pytest.fixture
def desk(tmp_path: Path):
    """A store that was taught one lesson."""
    made = Desk(tmp_path)
    made.teach("The code is 7.", REPORT)
    yield made
    made.store.close()


FILES = ("adapter", "gguf", "card", "bundle")


@pytest.mark.parametrize("kind", FILES)
def test_a_file_that_exists_is_written_over_only_when_asked(desk: Desk, tmp_path: Path, kind: str) -> None:
    out, write = tmp_path / "mine", getattr(desk.exports, kind)
    out.write_text("mine")
    with pytest.raises(ExportError, match="exists already"):
        write(out)
    assert out.read_text() == "mine"
    assert write(out, overwrite=True)["bytes"] == out.stat().st_size > 4


@pytest.mark.parametrize("kind", FILES)
def test_the_base_is_never_written_under_any_name(desk: Desk, tmp_path: Path, kind: str) -> None:
    before = desk.base.read_bytes()
    (tmp_path / "soft.gguf").symlink_to(desk.base)
    (tmp_path / "hard.gguf").hardlink_to(desk.base)
    for out in (desk.base, tmp_path / "soft.gguf", tmp_path / "hard.gguf"):
        with pytest.raises(ExportError, match="base model itself"):
            getattr(desk.exports, kind)(out, overwrite=True)
    assert desk.base.read_bytes() == before


@pytest.mark.parametrize("kind", FILES)
def test_nothing_is_written_into_the_store_or_over_a_folder(desk: Desk, tmp_path: Path, kind: str) -> None:
    write = getattr(desk.exports, kind)
    for out in (desk.store.folder / "store.db", desk.store.folder / "adapters" / "x.gguf"):
        out.parent.mkdir(exist_ok=True)
        with pytest.raises(ExportError, match="own data"):
            write(out, overwrite=True)
    (tmp_path / "folder").mkdir()
    with pytest.raises(ExportError, match="is a folder"):
        write(tmp_path / "folder", overwrite=True)
    with pytest.raises(ExportError, match="does not exist"):
        write(tmp_path / "no" / "file")
    assert desk.store.verify().ok


@pytest.mark.parametrize("kind", ["peft", "ollama", "checkpoint"])
def test_a_folder_that_exists_is_refused(desk: Desk, tmp_path: Path, kind: str) -> None:
    (tmp_path / "mine").mkdir()
    with pytest.raises(ExportError, match="exists already"):
        getattr(desk.exports, kind)(tmp_path / "mine")
    assert list((tmp_path / "mine").iterdir()) == []


def test_a_gguf_gets_a_card_when_asked(desk: Desk, tmp_path: Path) -> None:
    assert "card" not in desk.exports.gguf(tmp_path / "plain.gguf") and not (tmp_path / "plain.md").exists()
    result = desk.exports.gguf(tmp_path / "m.gguf", card=True, with_lessons=True)
    text = Path(result["card"]).read_text()
    assert result["card"] == str(tmp_path / "m.md") and "`m.gguf` opens in llama.cpp" in text and "The code is 7." in text
    assert "3 of 4 unrelated answers (75%)" in text
    (tmp_path / "n.md").write_text("mine")
    with pytest.raises(ExportError, match="n.md exists already"):
        desk.exports.gguf(tmp_path / "n.gguf", card=True)
    assert not (tmp_path / "n.gguf").exists()


def test_a_card_tells_an_evaluation_of_exactly_these_lessons(desk: Desk, tmp_path: Path) -> None:
    other = desk.teach("The door is green.")
    desk.exports.card(tmp_path / "other.md", other)
    assert "unrelated answers" not in (tmp_path / "other.md").read_text()
    same = desk.store.restore(1).number
    desk.exports.card(tmp_path / "same.md", same)
    assert "3 of 4 unrelated answers" in (tmp_path / "same.md").read_text()


def test_an_ollama_folder_leaves_the_first_token_to_the_tokenizer(desk: Desk, tmp_path: Path) -> None:
    assert desk.exports.ollama(tmp_path / "out")["form"] == "plain"
    text = (tmp_path / "out" / "Modelfile").read_text()
    assert '"[user] "' in text and "<s>" not in text and 'PARAMETER stop "</s>"' in text
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["Modelfile", "README.md", "model.gguf"]
    render = ChatTemplate(TEMPLATE).render  # a tokenizer that adds nothing needs it in the template
    assert '"<s>[user] "' in modelfile("m", render, stop="", temperature=0, top_k=1, top_p=1)


def test_a_versions_peft_folder_and_adapter_hold_the_same_change(desk: Desk, tmp_path: Path) -> None:
    result = desk.exports.peft(tmp_path / "peft", base="a/b")
    desk.exports.adapter(tmp_path / "a.gguf")
    factors = load_file(tmp_path / "peft" / "adapter_model.safetensors")
    name = "base_model.model.model.layers.1.mlp.down_proj"
    change = factors[f"{name}.lora_B.weight"] @ factors[f"{name}.lora_A.weight"]
    delta, _ = read_adapter(tmp_path / "a.gguf")
    np.testing.assert_allclose(change, delta.b @ delta.a, atol=1e-6)
    assert result["error"] == 0 and "--max-lora-rank 8" in (tmp_path / "peft" / "README.md").read_text()


def _of_rank(rank: int, factors: int, size: int = 600) -> Delta:
    random = np.random.default_rng(0)
    a, b = random.normal(size=(rank, size)), random.normal(size=(size, rank)) * np.linspace(1, 0.1, rank)
    mix = random.normal(size=(rank, factors))
    return Delta(1, (np.linalg.pinv(mix) @ a).astype(np.float32), (b @ mix).astype(np.float32))


def test_more_factors_than_rank_are_taken_out_without_a_loss() -> None:
    delta = _of_rank(20, 20)
    doubled = Delta(1, np.concatenate([delta.a, delta.a]), np.concatenate([delta.b, 0.5 * delta.b], axis=1))
    small, lost = doubled.reduced()
    assert small.rank == 20 and lost == 0
    whole = doubled.b @ doubled.a
    assert np.linalg.norm(small.b @ small.a - whole) < 1e-5 * np.linalg.norm(whole)
    assert delta.reduced()[0] is delta


def test_a_cut_is_the_closest_change_of_its_rank_and_tells_what_is_lost() -> None:
    delta = _of_rank(20, 20)
    cut, lost = delta.reduced(5)
    whole = delta.b.astype(np.float64) @ delta.a
    values = np.linalg.svd(whole, compute_uv=False)
    assert cut.rank == 5 and lost == pytest.approx(np.linalg.norm(values[5:]) / np.linalg.norm(values), rel=1e-4)
    assert np.linalg.norm(whole - cut.b @ cut.a) / np.linalg.norm(whole) == pytest.approx(lost, rel=1e-4)


def test_what_vllm_cannot_load_is_refused_or_cut_when_asked(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk.knowledge, "delta", lambda _version: _of_rank(550, 550))
    with pytest.raises(ExportError, match="rank 550, vLLM loads adapters up to 512.*transformers"):
        desk.exports.peft(tmp_path / "out")
    result = desk.exports.peft(tmp_path / "out", max_rank=512)
    assert result["rank"] == 512 and 0 < result["error"] < 0.1
    assert "cut to 512" in (tmp_path / "out" / "README.md").read_text()


def test_a_weaker_export_has_a_share_of_the_change_and_says_so(desk: Desk, tmp_path: Path) -> None:
    whole, _ = read_adapter(Path(desk.exports.adapter(tmp_path / "whole.gguf")["path"]))
    desk.exports.adapter(tmp_path / "weak.gguf", strength=0.25)
    weak, metadata = read_adapter(tmp_path / "weak.gguf")
    assert np.allclose(weak.b @ weak.a, 0.25 * (whole.b @ whole.a), atol=1e-7) and metadata["strength"] == "0.25"
    desk.exports.peft(tmp_path / "peft", strength=0.5)
    weights = load_file(tmp_path / "peft" / "adapter_model.safetensors")
    a, b = (next(value for name, value in weights.items() if f"lora_{letter}" in name) for letter in "AB")
    assert np.allclose(b @ a, 0.5 * (whole.b @ whole.a), atol=1e-6)
    desk.exports.gguf(tmp_path / "weak-model.gguf", strength=0.5, tensor_type="F32", card=True)
    base, merged = (down_projection(path) for path in (desk.base, tmp_path / "weak-model.gguf"))
    assert np.allclose(merged - base, 0.5 * (whole.b @ whole.a), atol=1e-6)
    for text in ((tmp_path / "weak-model.md").read_text(), (tmp_path / "peft" / "README.md").read_text()):
        assert "at 50% of its strength" in text


@pytest.mark.parametrize("strength", [0, -0.5, 1.5, float("nan"), float("inf")])
def test_a_strength_that_is_no_share_is_refused(desk: Desk, tmp_path: Path, strength: float) -> None:
    for kind in ("adapter", "gguf", "peft"):
        with pytest.raises(ExportError, match="above 0 and at most 1"):
            getattr(desk.exports, kind)(tmp_path / "out", strength=strength)
    assert not (tmp_path / "out").exists()


def down_projection(path: Path) -> np.ndarray:
    """The weight of a file that lessons change."""
    place = check_gguf(path).tensors["blk.1.ffn_down.weight"]
    return floats(map_tensor(path, place), place.kind)


def test_a_version_of_no_lessons_has_no_adapter(desk: Desk, tmp_path: Path) -> None:
    for kind in ("adapter", "peft"):
        with pytest.raises(ExportError, match="knows no lessons"):
            getattr(desk.exports, kind)(tmp_path / "out", 0)



def test_a_form_that_the_base_cannot_have_is_refused(desk: Desk, tmp_path: Path) -> None:
    assert desk.exports.gguf(tmp_path / "plain.gguf")["form"] == "plain"
    with pytest.raises(ExportError, match="biases.* Choose the plain form"):
        desk.exports.gguf(tmp_path / "reach.gguf", form="reach")
    with pytest.raises(ExportError, match="choose plain or reach"):
        desk.exports.gguf(tmp_path / "odd.gguf", form="odd")
    assert not (tmp_path / "reach.gguf").exists() and not (tmp_path / "odd.gguf").exists()
