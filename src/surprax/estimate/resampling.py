"""The bootstrap: fits to rows that are drawn again."""

from typing import TYPE_CHECKING

import jax
import numpy as np
from jax import Array

from surprax.estimate.checks import checked_key, whole_number

if TYPE_CHECKING:
    from surprax.estimate.estimate import Estimate

__all__ = ["bootstrap"]


def bootstrap(estimate: "Estimate", key: Array, resamples: int) -> np.ndarray:
    """`Estimate.bootstrap`: a row that is drawn k times has weight k."""
    problem = estimate.problem
    if problem.each is None:
        raise ValueError(
            "A bootstrap draws rows, which are not known here: fit the observations themselves, not their evidence."
        )
    checked_key(key, "A bootstrap draws rows")
    resamples = whole_number(resamples, 2, "Resamples of a bootstrap are")
    rows = len(problem.scores(estimate._z))
    seeds = np.asarray(jax.random.bits(key, (2,), "uint32"))
    rng = np.random.default_rng(seeds)
    out = np.full((resamples, len(estimate.labels)), np.nan)
    for i in range(resamples):
        weights = np.bincount(rng.integers(0, rows, rows), minlength=rows).astype(np.float64)
        end = problem.polished(estimate._z, weights)
        if end.found:
            out[i] = problem.theta(end.position)[0]
    lost = int(np.isnan(out[:, 0]).sum())
    if lost > 0.02 * resamples:
        raise ValueError(
            f"{lost} of {resamples} resamples have no maximum of the likelihood, so that percentiles of the others mean nothing."
        )
    return out[~np.isnan(out[:, 0])]
