"""A bundle whose rows or replay have another shape than the model is refused before anything is stored."""

import dataclasses
from pathlib import Path
from threading import Event

import numpy as np
import pytest
from safetensors.numpy import save

from qfcore import fitting
from qfcore.errors import BundleError, Cancelled
from qfcore.fitting import check_fit, check_layer
from qfcore.gguf_file.header import TensorPlace
from qfcore.lesson import check_lesson
from qfcore.store.bundle import Bundle
from qfcore.store.records import PendingLesson
from qfcore.store.store import Store
from tests.conftest import IDENTITY, make_pending, make_rows, teach
from tests.scripted_engine import INPUTS, OUTPUTS, ScriptedRuntime, scripted_engine


@pytest.fixture
def facts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A model of two layers with the widths that `make_rows` makes; its header says the inner one."""
    places = {"blk.1.ffn_down.weight": TensorPlace((INPUTS, OUTPUTS), 0, 0, 0)}
    header = type("Header", (), {"n_ff": INPUTS + 9, "tensors": places})  # another layer is wider
    monkeypatch.setattr(fitting, "facts_of", lambda _: header)
    return ScriptedRuntime(tmp_path).facts


def _bundle(**changes: object) -> Bundle:
    lesson = dataclasses.replace(make_pending("A."), rows=make_rows(1, inputs=INPUTS, outputs=OUTPUTS, layer=1))
    return dataclasses.replace(Bundle(IDENTITY, {"x": lesson}, ("x",), {}, {}, {}), **changes)


def _lesson(**shape: int) -> dict[str, PendingLesson]:
    return {"x": dataclasses.replace(make_pending("A."), rows=make_rows(1, **{"layer": 1, **shape}))}


def _replay(width: int) -> bytes:
    return save({"keys": np.ones((4, width), np.float16), "first": np.ones(4, np.uint8)})


def test_what_fits_is_let_in(facts, tmp_path: Path) -> None:  # noqa: ANN001
    check_fit(_bundle(replays={"replay-1-0123456789ab.safetensors": _replay(INPUTS)}), facts, (tmp_path,))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"lessons": _lesson(inputs=INPUTS + 1)}, "25 inputs"),
        ({"lessons": _lesson(outputs=OUTPUTS + 1)}, "9 outputs"),
        ({"lessons": _lesson(layer=0)}, "layer 0"),
        ({"replays": {"replay-1-0123456789ab.safetensors": _replay(INPUTS + 1)}}, "keys of 25 numbers"),
        ({"replays": {"replay-1-0123456789ab.safetensors": b"no safetensors"}}, "no replay"),
        ({"missing": {"ab" * 32: [3]}}, "lacks the replay abababababab that version 3"),
    ],
)
def test_another_shape_is_refused(facts, tmp_path: Path, changes: dict, words: str) -> None:  # noqa: ANN001
    with pytest.raises(BundleError, match=words):
        check_fit(_bundle(**changes), facts, (tmp_path,))


def test_lessons_of_two_layers_are_not_mixed() -> None:
    check_layer([make_pending("A.")], 1)
    with pytest.raises(BundleError, match="taught at layer 1, those of this home .* layer 7"):
        check_layer([make_pending("A.")], 7)


def test_the_lessons_of_another_base_are_observed_anew_on_this_one(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = ("The otter is called Momo.", "The heron is called Ash.")
    teach(store, *texts, "The newt is called Olm.")
    store.commit(
        keep=[e for e in store.live().entries if store.lesson(e[0]).lesson.text in texts], solve=store.live().solve,
        kind="forget", message="Olm", expect_live=None,
    )  # fmt: skip
    store.write_bundle(tmp_path / "all.qfbundle")
    engine, direct = scripted_engine(tmp_path / "home"), scripted_engine(tmp_path / "direct")
    with pytest.raises(BundleError, match="--reobserve"):
        engine.import_bundle(engine.read_bundle(tmp_path / "all.qfbundle"))
    assert engine.store.is_fresh
    scripts, observe = [], engine.runtime.observe
    monkeypatch.setattr(engine.runtime, "observe", lambda s, **more: scripts.extend(s) or observe(s, **more))
    version, preview, states = engine.reobserve_bundle(tmp_path / "all.qfbundle")
    assert [state.state for state in states] == ["observed", "observed"]
    assert all(any(text in str(script.messages) for script in scripts) for text in texts)  # the teacher reads each lesson
    records = engine.store.lessons(version)
    assert {r.lesson.text for r in records} == set(texts) == {p.lesson.text for p in preview.pending}
    assert not {r.rows_digest for r in records} & {digest for _, digest in store.version(1).entries}
    taught, _ = direct.teach_many([r.lesson for r in records])
    direct.apply(taught)
    assert version.content == direct.store.live().content  # as if they had been taught here, to the bit
    for opened in (engine, direct):
        assert opened.verify().ok
        opened.close()


def test_an_import_tells_how_far_it_is_and_can_be_stopped(facts, tmp_path: Path) -> None:  # noqa: ANN001
    giving, taking = scripted_engine(tmp_path / "giving"), scripted_engine(tmp_path / "taking")
    giving.apply(giving.teach_many([check_lesson("The otter is called Momo."), check_lesson("The heron is called Ash.")])[0])
    giving.store.write_bundle(tmp_path / "all.qfbundle")
    taking.apply(taking.teach_many([check_lesson("The newt is called Olm.")])[0])
    bundle, before, cancel, told = taking.read_bundle(tmp_path / "all.qfbundle"), taking.store.live().number, Event(), []
    with pytest.raises(Cancelled, match="Nothing was imported"):
        taking.import_bundle(bundle, on_progress=lambda *_: cancel.set(), cancel=cancel)
    assert taking.store.live().number == before
    version = taking.import_bundle(bundle, on_progress=lambda share, text: told.append((share, text)))
    assert told == [(0.0, "Solving lesson 1 of 2"), (0.5, "Solving lesson 2 of 2")]
    assert len(version.entries) == 3 and taking.verify().ok
    for opened in (giving, taking):
        opened.close()
