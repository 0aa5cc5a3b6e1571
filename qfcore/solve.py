"""From rows to a change of one weight, in closed form.

`solve_ridge` minimises  Σ w_i ‖ΔW u_i − d_i‖² + ε ‖ΔW‖²  over a set of lessons' rows and the replay rows (target 0).
`solve_minimum_norm` is the paper's formula ΔW = D (UᵀU)⁻¹ Uᵀ (arXiv 2507.04300, written there with W, X, Y, B).

Letters: I inputs, O outputs, R replay rows, K lesson rows, T taught rows (target not zero).
Both are pure: the same rows in the same order give the same bytes on the same machine, since the number of threads
is fixed while solving.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from qfcore.delta import Delta
from qfcore.errors import LessonError
from qfcore.rows import Rows

_THREADS = 2
_LARGEST_RESIDUAL = 1e-6
_FIT_ROUNDS, _FIT_STEP = 6, 0.1
_SMALLEST = 1e-12
_PART = 1024
"""Rows that are brought to double precision at once."""


@dataclass(frozen=True)
class ReplayBasis:
    """Replay rows prepared for solving; computed once per model and recipe.

    keys: (R, I) float32, already scaled by the square root of their weights.
    cholesky: (R, R) float64, lower factor of keys keysᵀ + ε 1.
    epsilon: ε, in squared units of the keys.
    """

    keys: torch.Tensor
    cholesky: torch.Tensor
    epsilon: float


@contextmanager
def fixed_threads() -> Iterator[None]:
    """Fix torch's thread count, so that sums are split, and therefore rounded, in the same way every time."""
    before = torch.get_num_threads()
    torch.set_num_threads(_THREADS)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def prepare_replay(keys: np.ndarray, weights: np.ndarray, ridge: float) -> ReplayBasis:
    """Factor the replay part of the normal equations once.

    keys: (R, I) float32; weights: (R,) float32; ridge: ε relative to the mean squared norm of the keys.
    """
    with fixed_threads():
        epsilon = ridge * float(np.square(keys, dtype=np.float64).sum(axis=1).mean())
        scaled = torch.from_numpy(keys * np.sqrt(weights)[:, None])
        gram = scaled.double() @ scaled.double().T
        gram.diagonal().add_(epsilon)
        return ReplayBasis(scaled, torch.linalg.cholesky(gram), epsilon)


def solve_ridge(rows: Rows, replay: ReplayBasis, *, fit: float | None = None) -> Delta:
    """Joint ridge regression of lessons and replay.

    fit: largest share of a taught target that may be missing at its own key. Where the ridge and the replay leave more, the
    row's weight is raised and the system solved again (iteratively reweighted least squares).

    The system has as many unknowns as there are lesson rows, or inputs where those are fewer: the same minimum either way.

    Raises:
        LessonError: the rows teach nothing, or the system is too close to singular.
    """
    _check_teaches(rows)
    with fixed_threads():
        return (_over_inputs if len(rows) > rows.keys.shape[1] else _over_rows)(rows, replay, fit)


def _over_rows(rows: Rows, replay: ReplayBasis, fit: float | None) -> Delta:
    """By block elimination of the replay rows; the system is (K, K).

    With the lessons' keys U_k, weights w and the weighted replay keys Ũ_r: A = Ũ_r Ũ_rᵀ + ε1, B = Ũ_r U_kᵀ,
    G = U_k U_kᵀ − Bᵀ A⁻¹ B, M = G + ε diag(1/w), then ΔW = Dᵀ M⁻¹ (U_k − Bᵀ A⁻¹ Ũ_r). Rows with target 0 drop out of the
    left factor, so the rank is at most T.
    """
    keys, targets = torch.from_numpy(rows.keys).double(), torch.from_numpy(rows.targets).double()  # (K, I), (K, O)
    replay_keys = replay.keys.double()  # (R, I)
    cross = replay_keys @ keys.T  # (R, K)
    eliminated = torch.cholesky_solve(cross, replay.cholesky)  # (R, K)
    gram = keys @ keys.T - cross.T @ eliminated  # (K, K)
    reduced = keys - eliminated.T @ replay_keys  # (K, I)
    slack = replay.epsilon / torch.from_numpy(rows.weights).double()  # (K,)
    if fit is not None:
        slack = _reweighted(gram, slack, targets, torch.from_numpy(rows.taught), fit)
    return _factors(rows, _solve_checked(gram + torch.diag(slack), reduced), targets)


def _over_inputs(rows: Rows, replay: ReplayBasis, fit: float | None) -> Delta:
    """By the normal equations H ΔWᵀ = U_kᵀ diag(w) D with H = U_kᵀ diag(w) U_k + Ũ_rᵀ Ũ_r + ε1, which are (I, I).

    A thousand lessons have more rows than inputs, and a (K, K) system of them would fill the memory.
    """
    replay_keys = replay.keys.double()  # (R, I)
    rest = replay_keys.T @ replay_keys  # (I, I)
    rest.diagonal().add_(replay.epsilon)
    taught, weights = torch.from_numpy(rows.taught), torch.from_numpy(rows.weights).double()  # (K,), (K,)
    parts = [slice(begin, begin + _PART) for begin in range(0, len(rows), _PART)]
    for round_ in range(_FIT_ROUNDS + 1):
        matrix, right = rest.clone(), torch.zeros(rows.keys.shape[1], rows.targets.shape[1], dtype=torch.float64)
        for part in parts:
            keys, targets = (torch.from_numpy(values[part]).double() for values in (rows.keys, rows.targets))
            weighted = keys * weights[part, None]
            matrix += weighted.T @ keys
            right += weighted.T @ targets
        change = _solve_checked(matrix, right)  # (I, O), ΔWᵀ
        if fit is None or round_ == _FIT_ROUNDS:
            break
        lower = _lower(torch.cat([_missing(rows, change, part) for part in parts]), taught, fit)
        if lower is None:
            break
        weights = weights / lower
    return _delta(rows.layer, change.T, torch.eye(change.shape[1], dtype=torch.float64))


def _missing(rows: Rows, change: torch.Tensor, part: slice) -> torch.Tensor:
    """What a change (I, O) leaves of the targets of some rows, as shares of these."""
    keys, targets = (torch.from_numpy(values[part]).double() for values in (rows.keys, rows.targets))
    return (targets - keys @ change).norm(dim=1) / targets.norm(dim=1).clamp_min(_SMALLEST)


def _reweighted(
    gram: torch.Tensor, slack: torch.Tensor, targets: torch.Tensor, taught: torch.Tensor, fit: float
) -> torch.Tensor:
    """(K,) ε/w, the weights raised until no taught row misses more than `fit` of its target.

    What is missing after a solve is D − G M⁻¹ D = (ε/w) M⁻¹ D.
    """
    norms = targets.norm(dim=1).clamp_min(_SMALLEST)
    for _ in range(_FIT_ROUNDS):
        missing = (slack[:, None] * _solve_checked(gram + torch.diag(slack), targets)).norm(dim=1) / norms
        lower = _lower(missing, taught, fit)
        if lower is None:
            break
        slack = slack * lower
    return slack


def _lower(missing: torch.Tensor, taught: torch.Tensor, fit: float) -> torch.Tensor | None:
    """(K,) by what each row's ε/w is multiplied next; None when no taught row misses more than `fit` of its target."""
    short = taught & (missing > fit)
    return torch.where(short, (fit / missing).clamp_min(_FIT_STEP), torch.ones_like(missing)) if short.any() else None


def solve_minimum_norm(rows: Rows) -> Delta:
    """The paper's bare formula: the smallest ΔW with ΔW u_k = d_k for all rows (pseudo-inverse when they depend).

    Raises:
        LessonError: the rows teach nothing.
    """
    _check_teaches(rows)
    with fixed_threads():
        keys = torch.from_numpy(rows.keys).double()
        inverse = torch.linalg.pinv(keys @ keys.T, hermitian=True)
        return _factors(rows, inverse @ keys, torch.from_numpy(rows.targets).double())


def _check_teaches(rows: Rows) -> None:
    if not rows.taught.any():
        raise LessonError(
            "The lesson changes nothing: the model already answers this way, with and without it. Nothing was taught."
        )


def _solve_checked(matrix: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    factor, failed = torch.linalg.cholesky_ex(matrix)
    if int(failed):
        raise LessonError("The lessons' rows are degenerate (equal keys with different targets); refused.")
    solution = torch.cholesky_solve(right, factor)
    residual = float((matrix @ solution - right).norm() / right.norm())
    if not residual < _LARGEST_RESIDUAL:
        raise LessonError(f"The solve lost too much precision (relative residual {residual:.1e}); refused.")
    return solution


def _factors(rows: Rows, solution: torch.Tensor, targets: torch.Tensor) -> Delta:
    taught = torch.from_numpy(rows.taught)
    a, b = solution[taught], targets[taught].T  # (T, I), (O, T)
    if a.shape[0] > b.shape[0]:  # more rows than outputs: the product itself is the smaller form
        a, b = b @ a, torch.eye(b.shape[0], dtype=torch.float64)
    return _delta(rows.layer, a, b)


def _delta(layer: int, a: torch.Tensor, b: torch.Tensor) -> Delta:
    delta = Delta(layer, a.float().contiguous().numpy(), b.float().contiguous().numpy())
    if not (np.isfinite(delta.a).all() and np.isfinite(delta.b).all()):
        raise LessonError("The solve gave NaN or infinite weights, so the lesson was refused.")
    return delta
