"""What log p(y | y, φ) of all rows comes to, and its derivatives in the extra parameter."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from surprax.numerics.precision import float64_scope
from surprax.regression.grouping import is_one, tabulated
from surprax.regression.responses import Dispersed, Response
from surprax.regression.rows import Rows, Totals, bucket
from surprax.regression.sums import two_slopes

__all__ = ["MANY", "saturated", "totals_of"]

MANY = 1 << 14
"""Rows from which on functions of the responses are computed for distinct ones only."""


def totals_of(response: Response, rows: Rows) -> Totals:
    """Totals of rows as they are."""
    count = float(rows.n if is_one(rows.weights) else np.sum(rows.weights))
    if not isinstance(response, Dispersed):
        return Totals(count, 0.0, np.ones(1), np.array([count]))
    seen = response.precisions(rows.y, rows.precision)
    if np.all(seen == seen[:1]):
        precisions, counts = seen[:1], np.array([count])
    else:
        precisions, place = np.unique(seen, return_inverse=True)
        counts = np.bincount(place, rows.weights, len(precisions))
    y, weights, precision = rows.y, rows.weights, rows.precision
    if len(precisions) == 1 and rows.n > MANY and rows.whole is not None:
        y, weights = tabulated(rows.whole, weights)
        precision = np.full(len(y), precisions[0])
    with float64_scope():
        return Totals(count, float(weights @ response.base(y, precision)), precisions, counts)


@functools.cache
def _saturated(response: Dispersed) -> Any:
    def total(log_extra: Any, log_precisions: Any, counts: Any) -> Any:
        def of(a: Any) -> Any:
            return response.saturated(response.log_dispersion(a) - log_precisions)

        parts = two_slopes(of, jnp.broadcast_to(log_extra, jnp.shape(counts)))
        return [jnp.sum(jnp.where(counts > 0, counts * part, 0.0)) for part in parts]

    return jax.jit(total)


def saturated(response: Dispersed, totals: Totals, log_extra: float) -> tuple[float, float, float]:
    """Σ log p(y | y, φ) but for its base, and its derivatives in log extra."""
    if not response.extra:
        return 0.0, 0.0, 0.0
    size = bucket(len(totals.counts)) if len(totals.counts) > 1 else 1
    counts, log_precisions = np.zeros(size), np.zeros(size)
    with np.errstate(divide="ignore"):  # of what is 0, log p(y | y, φ) is
        counts[: len(totals.counts)], log_precisions[: len(totals.counts)] = totals.counts, np.log(totals.precisions)
    with float64_scope():
        value, first, second = _saturated(response)(
            jnp.asarray(log_extra), jnp.asarray(log_precisions), jnp.asarray(counts)
        )
        return float(value), float(first), float(second)
