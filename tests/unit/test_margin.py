"""The smallest change that makes a model say a token, against the definition."""

from pathlib import Path

import numpy as np
import pytest

from qfcore.errors import ModelError
from qfcore.margin import SLACK, margins, smallest_changes
from qfcore.models.head import OutputHead
from tests.conftest import write_gguf


class _Head:
    epsilon = 1e-6

    def __init__(self, random: np.random.Generator, vocabulary: int, width: int) -> None:
        self.matrix = random.normal(size=(vocabulary, width)).astype(np.float32)

    def rows(self, tokens: np.ndarray) -> np.ndarray:
        return self.matrix[tokens]

    def logits(self, residuals: np.ndarray) -> np.ndarray:
        rms = np.sqrt(np.mean(residuals.astype(np.float64) ** 2, axis=1, keepdims=True) + self.epsilon)
        return residuals / rms @ self.matrix.T


@pytest.fixture
def head() -> _Head:
    return _Head(np.random.default_rng(1), 300, 48)


def test_the_wanted_token_leads_every_other_by_the_margin(head: _Head) -> None:
    residuals = 7 * np.random.default_rng(2).normal(size=(9, 48)).astype(np.float32)
    wanted = np.arange(9) * 30
    changes = smallest_changes(head, residuals, head.logits(residuals), wanted, np.full(9, 5.0))
    assert (margins(head.logits(residuals + changes), wanted) >= 5 - 2 * SLACK).all()


def test_it_is_smaller_than_going_to_any_other_point_that_would_do(head: _Head) -> None:
    random = np.random.default_rng(3)
    residual = random.normal(size=(1, 48)).astype(np.float32)
    wanted = np.array([17])
    change = smallest_changes(head, residual, head.logits(residual), wanted, np.array([2.0]))
    for _ in range(50):
        other = residual + random.normal(size=(1, 48)) * 3 + head.matrix[17] * random.uniform(0, 3)
        if margins(head.logits(other), wanted)[0] >= 2:
            assert np.linalg.norm(change) < np.linalg.norm(other - residual)


def test_nothing_changes_where_the_margin_is_there_already(head: _Head) -> None:
    residuals = np.random.default_rng(4).normal(size=(3, 48)).astype(np.float32)
    said = head.logits(residuals).argmax(axis=1)
    assert not smallest_changes(head, residuals, head.logits(residuals), said, np.zeros(3)).any()
    assert not smallest_changes(head, residuals, head.logits(residuals), said + 1, np.full(3, -np.inf)).any()


def _write(path: Path, *, bias: bool = False, tied: bool = False) -> dict[str, np.ndarray]:
    random = np.random.default_rng(5)
    tensors = {
        "token_embd.weight": random.normal(size=(64, 32)).astype(np.float32),
        "output_norm.weight": random.uniform(0.5, 2, size=32).astype(np.float32),
    }
    if not tied:
        tensors["output.weight"] = random.normal(size=(64, 32)).astype(np.float32)
    if bias:
        tensors["output_norm.bias"] = np.ones(32, np.float32)
    write_gguf(path, "llama", tensors, lambda writer: writer.add_layer_norm_rms_eps(1e-5))
    return tensors


@pytest.mark.parametrize("tied", [False, True])
def test_the_head_of_a_file_is_read_row_by_row(tmp_path: Path, tied: bool) -> None:
    tensors = _write(tmp_path / "m.gguf", tied=tied)
    head = OutputHead(tmp_path / "m.gguf")
    embedding = tensors["token_embd.weight" if tied else "output.weight"]
    wanted = embedding[[3, 60, 3]] * tensors["output_norm.weight"]
    np.testing.assert_allclose(head.rows(np.array([3, 60, 3])), wanted, atol=0.06)
    assert head.epsilon == pytest.approx(1e-5)


def test_a_model_that_ends_otherwise_has_no_head(tmp_path: Path) -> None:
    _write(tmp_path / "m.gguf", bias=True)
    with pytest.raises(ModelError, match="RMS norm"):
        OutputHead(tmp_path / "m.gguf")
