"""Probabilities of categories for new rows, with confidence intervals by the delta method."""

from typing import TYPE_CHECKING

import numpy as np
import scipy.special

from surprax.estimate.checks import checked_level
from surprax.estimate.covariances import factor
from surprax.regression.design import Design
from surprax.regression.prediction import Prediction

if TYPE_CHECKING:
    from surprax.regression.multinomial_estimate import MultinomialEstimate

__all__ = ["predicted"]


def predicted(
    estimate: "MultinomialEstimate", design: Design, kind: str, interval: str | None, level: float
) -> np.ndarray | Prediction:
    """`MultinomialEstimate.predict`."""
    if kind not in ("mean", "linear"):
        raise ValueError(f'A prediction is of kind "mean" or "linear"; got {kind!r}.')
    if interval not in (None, "mean"):
        raise ValueError(
            f'An interval of a model of categories is "mean", of their probabilities, or None; got {interval!r}. What a new'
            " response may be, the probabilities say."
        )
    level = checked_level(level)
    problem, z = estimate.problem, estimate._z
    p, log_p = problem.probabilities(z, design)
    means = p if kind == "mean" else log_p - log_p[0]
    if interval is None:
        return means.T
    reach = float(estimate.reference.isf(0.5 * (1.0 - level)))
    S = _covariances(estimate, design)
    if kind == "linear":
        errors = np.sqrt(np.maximum(np.concatenate([np.zeros((1, design.n)), np.einsum("jjn->jn", S)]), 0.0))
        return Prediction(
            means.T, (means - reach * errors).T, (means + reach * errors).T, level, interval, estimate.classes
        )
    others = np.stack([np.delete(p, k, axis=0).sum(axis=0) for k in range(len(p))])  # 1 − p, with its digits
    log_odds = log_p - np.log(others)
    errors = np.empty_like(p)
    for k in range(len(p)):
        slopes = -p[1:] / others[k]
        if k > 0:
            slopes[k - 1] = 1.0
        errors[k] = np.sqrt(np.maximum(np.einsum("jn,jln,ln->n", slopes, S, slopes), 0.0))
    low, high = (scipy.special.expit(log_odds + side * reach * errors) for side in (-1.0, 1.0))
    return Prediction(p.T, low.T, high.T, level, interval, estimate.classes)


def _covariances(estimate: "MultinomialEstimate", design: Design) -> np.ndarray:
    """Of the linear predictors of the categories but the first, by row: shape (K − 1, K − 1, n)."""
    half = estimate.problem.linear.as_counted.slopes(estimate._z) @ factor(estimate)
    K, p = len(estimate.classes), design.p
    V = (half @ half.T).reshape(K - 1, p, K - 1, p)
    out = np.empty((K - 1, K - 1, design.n))
    for j in range(K - 1):
        for k in range(j + 1):
            out[j, k] = out[k, j] = design.quadratic(V[j, :, k])
    return out
