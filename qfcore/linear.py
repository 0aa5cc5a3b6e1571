"""Linear functions of what a model computes, in closed form."""

import numpy as np


def balanced_ridge(one: np.ndarray, other: np.ndarray, ridge: float) -> tuple[np.ndarray, np.ndarray]:
    """(D,) weights along which one side is above 0 and the other below, and the middle (D,) from which that is counted.

    Ridge regression (Hoerl and Kennard 1970) on +1 and -1, both sides weighing the same.

    one, other: (N, D). ridge: ε as a share of the vectors' mean square.
    """
    x = np.concatenate([one, other]).astype(np.float64)
    middle = (one.mean(axis=0) + other.mean(axis=0)) / 2
    x = x - middle
    size = np.sqrt((x**2).mean())
    wanted = np.concatenate([np.ones(len(one)), -np.ones(len(other))])
    weights = len(x) / 2 / np.where(wanted > 0, len(one), len(other))
    x = x / size
    system = x.T @ (x * weights[:, None]) + ridge * len(x) * np.eye(x.shape[1])
    return np.linalg.solve(system, x.T @ (weights * wanted)) / size, middle
