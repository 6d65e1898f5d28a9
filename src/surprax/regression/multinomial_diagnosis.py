"""Why a model of categories has no maximum: columns that say the same, or categories that a combination of columns foretells."""

import numpy as np
import scipy.optimize

from surprax.regression.diagnosis import ROWS, dependent, listed, margin
from surprax.regression.multinomial_problem import MultinomialProblem

__all__ = ["reason_without_maximum"]


def reason_without_maximum(problem: MultinomialProblem, found: str) -> tuple[str, tuple[str, ...]]:
    """A sentence and the coefficients that it is about; `found` and none where nothing better can be said."""
    X = problem.cells.design
    G = X.gram(np.sum(problem.counts, axis=0))
    size = np.sqrt(np.diagonal(G))
    if problem.linear.B is None and problem.ridge is None:
        zeros = [name for name, s in zip(X.names, size) if s == 0]
        if zeros:
            are = "s are" if len(zeros) > 1 else " is"
            return f"the column{are} 0 in all rows: {listed(zeros)}; leave out what has no effect to be seen", tuple(
                zeros
            )
        mixed = dependent(G, size, X.names, problem.linear.centring)
        if mixed:
            return mixed
    return _separated(problem) or (found, ())


def _separated(problem: MultinomialProblem) -> tuple[str, tuple[str, ...]] | None:
    """Directions d_k with x·(d_k − d_j) ≥ 0 for every category k that occurs at x, and every other j: no row's likelihood falls."""
    X, Y = problem.cells.design, problem.counts
    K, p = len(Y), X.p
    if X.n * p * K**2 > 20 * ROWS:
        return None
    M = X.matrix()
    lines = []
    for k in range(K):
        x = np.unique(M[Y[k] > 0], axis=0)
        for j in range(K):
            if j == k:
                continue
            line = np.zeros((len(x), K, p))
            line[:, k], line[:, j] = x, -x
            lines.append(line[:, 1:].reshape(len(x), -1))
    A = np.concatenate(lines)
    B = problem.linear.B
    if B is not None:
        A = A @ B
    size = np.maximum(np.max(np.abs(A), axis=0), 1e-300)
    A = A / size
    found = scipy.optimize.linprog(
        -np.sum(A, axis=0), A_ub=-A, b_ub=np.zeros(len(A)), bounds=[(-1.0, 1.0)] * A.shape[1], method="highs"
    )
    if found.status != 0 or -found.fun < 1e-7:
        return None
    direction = found.x / size
    direction = direction if B is None else B @ direction
    reach = np.abs(direction) * np.tile(np.maximum(np.max(np.abs(M), axis=0), 1e-300), K - 1)
    used = [name for name, much in zip(problem.linear.names, reach) if much > 1e-6]
    how = "completely" if margin(A) > 1e-9 else "in part"
    return (
        f"there is separation: a combination of {listed(used)} foretells {how} which category occurs, so that the likelihood"
        " rises for ever as these coefficients grow. Leave one out, collect more data, or add a ridge penalty (penalty=l2)",
        tuple(used),
    )
