"""What may be a lesson, and what rows are refused."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

from app.visible import visible, visible_json
from qfcore.errors import LessonError, StoreCorrupt
from qfcore.lesson import check_lesson
from qfcore.rows import Rows, to_bytewise, to_half
from tests.conftest import make_rows


@pytest.mark.parametrize(
    "text", ["", "   \n ", "x" * 100_000, "bell\x07", "turn\u202earound", "tag\U000e0041", "half\ud800"]
)
def test_a_bad_lesson_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(LessonError, match=r"\w+ \w+ \w+"):
        check_lesson(text)


def test_the_identity_is_the_normalised_content() -> None:
    assert check_lesson(" Cafe\u0301 opens at 9. ").id == check_lesson("Caf\u00e9 opens at 9.").id
    assert check_lesson("A", "B").id != check_lesson("A", "", "B").id
    assert check_lesson("A", source="user").id == check_lesson("A", source="file:x").id


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("field", ["keys", "targets", "weights"])
def test_rows_that_are_not_finite_are_refused(field: str, value: float) -> None:
    parts = {"keys": np.ones((2, 3)), "targets": np.ones((2, 2)), "weights": np.ones(2)}
    parts[field].flat[0] = value
    with pytest.raises(LessonError, match="NaN|infinite"):
        Rows(0, **{name: array.astype(np.float32) for name, array in parts.items()})


def test_rows_of_different_lengths_are_refused() -> None:
    with pytest.raises(LessonError, match="fit together"):
        Rows(0, np.ones((2, 3), np.float32), np.ones((3, 2), np.float32), np.ones(2, np.float32))


def test_rows_come_back_from_their_bytes() -> None:
    rows = make_rows(1)
    again = Rows.from_bytes(rows.to_bytes())
    assert again.layer == rows.layer and again.digest == rows.digest
    assert (again.keys == rows.keys).all() and (again.targets == rows.targets).all()


def test_broken_bytes_are_reported_as_corrupt() -> None:
    with pytest.raises(StoreCorrupt):
        Rows.from_bytes(make_rows(1).to_bytes()[:-9])


@given(
    shape=st.tuples(st.integers(1, 3), st.sampled_from([31, 32, 64])), spread=st.floats(0, 8), scale=st.floats(-9, 9),
    seed=st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_rounded_rows_are_small_near_and_read_back_the_same(
    shape: tuple[int, int], spread: float, scale: float, seed: int
) -> None:
    random = np.random.default_rng(seed)
    keys = (random.normal(size=shape) * random.lognormal(0, spread, shape) * 10**scale).clip(-1e30, 1e30).astype(np.float32)
    rounded = to_bytewise(keys)
    rows = Rows(-1, rounded, rounded, to_half(np.ones(len(keys), np.float32)))
    again = Rows.from_bytes(rows.to_bytes())
    assert (again.keys == rows.keys).all() and (again.targets == rows.targets).all()
    assert again.to_bytes() == rows.to_bytes()
    if shape[1] % 32 == 0:
        kept = keys.clip(-65504, 65504).reshape(-1, 32)
        largest = np.abs(kept).max(axis=1, keepdims=True)
        assert (np.abs(rounded.reshape(-1, 32) - kept) <= largest * 0.006 + 2e-5).all()


def test_rounded_rows_take_little_more_than_a_byte_a_value() -> None:
    random = np.random.default_rng(0)
    keys, targets = (to_bytewise(random.normal(size=(50, width)).astype(np.float32)) for width in (8960, 1536))
    assert len(Rows(0, keys, targets, np.ones(50, np.float32)).to_bytes()) < 1.07 * (keys.size + targets.size)


def test_rows_of_earlier_versions_keep_their_bytes() -> None:
    random = np.random.default_rng(0)
    arrays = {"keys": random.normal(size=(4, 64)), "targets": random.normal(size=(4, 32)), "weights": np.ones(4)}
    half = {name: array.astype(np.float16) for name, array in arrays.items()}
    stored = save(half, metadata={"layer": "27"})
    rows = Rows.from_bytes(stored)
    assert (rows.keys == half["keys"]).all() and rows.to_bytes() == stored


@pytest.mark.parametrize("code", [0x202E, 0x200B, 0x00AD, 0x3164, 0xE0041, 0xE0100, 0xFFF9, 0x0000, 0x001B, 0xD800, 0x0085])
def test_lessons_and_the_screen_share_one_list_of_hidden_characters(code: int) -> None:
    with pytest.raises(LessonError, match=f"U\\+{code:04X}"):
        check_lesson(f"A{chr(code)}B")
    assert visible(f"A{chr(code)}B") == f"A⟨U+{code:04X}⟩B"
    shown = visible_json({"text": f"A{chr(code)}B"})
    assert chr(code) not in shown and json.loads(shown) == {"text": f"A{chr(code)}B"}


def test_line_ends_of_other_systems_are_plain_line_ends() -> None:
    assert check_lesson("A\r\nB") == check_lesson("A\nB")


def test_accents_piled_on_one_letter_are_refused() -> None:
    assert check_lesson("Việt Nam, שָׁלוֹם, ก็")
    with pytest.raises(LessonError, match="accents"):
        check_lesson("z" + "\u0336\u0337" * 8)
