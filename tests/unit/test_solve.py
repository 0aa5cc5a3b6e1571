"""The closed forms, against their definitions."""

import numpy as np
import pytest

from qfcore import solve
from qfcore.errors import LessonError
from qfcore.rows import Rows, join_rows
from qfcore.solve import prepare_replay, solve_minimum_norm, solve_ridge
from tests.conftest import make_rows


def _product(delta) -> np.ndarray:  # noqa: ANN001
    return delta.b.astype(np.float64) @ delta.a


def test_ridge_equals_the_normal_equations_over_lessons_and_replay() -> None:
    rows, random = make_rows(3), np.random.default_rng(9)
    rows = Rows(rows.layer, rows.keys, rows.targets, np.array([1, 2, 1, 1, 0.3], np.float32))
    replay, weights = random.normal(size=(11, 24)).astype(np.float32), np.linspace(1, 4, 11).astype(np.float32)
    basis = prepare_replay(replay, weights, ridge=0.05)
    keys = np.concatenate([replay, rows.keys]).astype(np.float64)
    w = np.concatenate([weights, rows.weights]).astype(np.float64)
    targets = np.concatenate([np.zeros((11, 8)), rows.targets])
    wanted = (targets.T * w) @ keys @ np.linalg.inv((keys.T * w) @ keys + basis.epsilon * np.eye(24))
    np.testing.assert_allclose(_product(solve_ridge(rows, basis)), wanted, atol=1e-6)


def test_the_minimum_norm_solution_meets_every_target_and_is_the_pseudo_inverse() -> None:
    rows = make_rows(4)
    delta = solve_minimum_norm(rows)
    np.testing.assert_allclose(_product(delta) @ rows.keys.T, rows.targets.T, atol=1e-5)
    np.testing.assert_allclose(_product(delta), rows.targets.T @ np.linalg.pinv(rows.keys.T.astype(np.float64)), atol=1e-5)


def test_a_small_ridge_meets_the_targets_and_leaves_replay_alone() -> None:
    rows = make_rows(5, inputs=64)
    replay = np.random.default_rng(6).normal(size=(20, 64)).astype(np.float32)
    change = _product(solve_ridge(rows, prepare_replay(replay, np.ones(20, np.float32), 1e-7)))
    assert np.abs(change @ rows.keys.T - rows.targets.T).max() < 1e-4
    assert np.abs(change @ replay.T).max() < 1e-4


def test_the_rank_is_that_of_the_taught_rows_and_never_above_the_outputs() -> None:
    basis = prepare_replay(np.eye(24, dtype=np.float32), np.ones(24, np.float32), 0.1)
    assert solve_ridge(make_rows(1, count=5), basis).rank == 4
    assert solve_ridge(make_rows(1, count=20), basis).rank == 8


def test_more_rows_than_outputs_give_the_same_change_as_few_at_a_time() -> None:
    rows = make_rows(2, count=20)
    basis = prepare_replay(np.eye(24, dtype=np.float32), np.ones(24, np.float32), 0.1)
    keys, targets = rows.keys.astype(np.float64), rows.targets
    wanted = targets.T @ keys @ np.linalg.inv(keys.T @ keys + np.eye(24) * (1 + basis.epsilon))
    np.testing.assert_allclose(_product(solve_ridge(rows, basis)), wanted, atol=1e-5)


@pytest.mark.parametrize("fit", [None, 0.1, 0.02])
def test_more_rows_than_inputs_give_the_same_change_by_a_smaller_system(fit: float | None) -> None:
    random = np.random.default_rng(3)
    keys = (random.normal(size=(60, 30)) @ random.normal(size=(30, 40))).astype(np.float32)
    targets = (keys @ random.normal(size=(40, 8)) + 0.05 * random.normal(size=(60, 8))).astype(np.float32)
    targets[::7] = 0
    rows = Rows(1, keys, targets, np.where(targets.any(axis=1), 1.0, 0.3).astype(np.float32))
    replay = random.normal(size=(25, 40)).astype(np.float32)
    basis = prepare_replay(replay, np.full(25, 4, np.float32), 0.003)
    over_inputs, over_rows = solve_ridge(rows, basis, fit=fit), solve._over_rows(rows, basis, fit)
    assert len(rows) > 40 and over_inputs.rank == 8
    assert np.linalg.norm(_product(over_inputs) - _product(over_rows)) < 1e-5 * np.linalg.norm(_product(over_rows))
    assert len({solve_ridge(rows, basis, fit=fit).digest for _ in range(3)}) == 1


def test_the_same_rows_give_the_same_bytes() -> None:
    rows = join_rows([make_rows(1), make_rows(2)])
    basis = prepare_replay(np.eye(24, dtype=np.float32), np.ones(24, np.float32), 0.1)
    assert len({solve_ridge(rows, basis).digest for _ in range(5)}) == 1
    assert len({solve_minimum_norm(rows).digest for _ in range(5)}) == 1


def test_rows_that_teach_nothing_are_refused() -> None:
    rows = make_rows(1)
    empty = Rows(1, rows.keys, np.zeros_like(rows.targets), rows.weights)
    with pytest.raises(LessonError, match="changes nothing"):
        solve_minimum_norm(empty)


def test_the_norm_of_a_change_needs_no_product() -> None:
    delta = solve_minimum_norm(make_rows(8))
    assert delta.norm == pytest.approx(np.linalg.norm(_product(delta)), rel=1e-6)


def test_rows_that_the_replay_would_drown_are_weighted_until_they_fit() -> None:
    rows, random = make_rows(7, count=4), np.random.default_rng(8)
    replay = random.normal(size=(60, 24)).astype(np.float32)  # spans every direction of the keys
    basis = prepare_replay(replay, np.full(60, 4, np.float32), 0.01)

    def missing(fit: float | None) -> float:
        left = rows.targets - rows.keys @ _product(solve_ridge(rows, basis, fit=fit)).T
        return float((np.linalg.norm(left, axis=1) / np.linalg.norm(rows.targets, axis=1).clip(1e-9))[rows.taught].max())

    assert missing(None) > 0.8
    assert missing(0.1) < 0.11
    assert missing(0.02) < 0.03


def test_a_fit_that_is_there_already_changes_nothing() -> None:
    rows = make_rows(7, count=4)
    basis = prepare_replay(np.eye(24, dtype=np.float32) * 1e-3, np.ones(24, np.float32), 0.01)
    assert solve_ridge(rows, basis, fit=0.5).digest == solve_ridge(rows, basis).digest
