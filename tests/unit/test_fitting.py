"""A bundle whose rows or replay have another shape than the model is refused before anything is stored."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from qfcore import fitting
from qfcore.errors import BundleError
from qfcore.fitting import check_fit, check_layer
from qfcore.models.gguf_check import TensorPlace
from qfcore.store.bundle import Bundle
from qfcore.store.records import PendingLesson
from tests.conftest import IDENTITY, make_pending, make_rows
from tests.scripted_engine import INPUTS, OUTPUTS, ScriptedRuntime


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
