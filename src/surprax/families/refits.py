"""Fits to all rows and to all but one fold each: what cross-validation needs of families without evidence."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from surprax.families.outcomes import Outcome
from surprax.families.parameters import positive

__all__ = ["MANY", "fit_with_and_without_each"]

MANY = 1 << 18
"""From this many rows on, one Newton step from the fit to all rows is as good as a fit.

Leaving out a fold moves a maximum by δ ~ 1/√n standard deviations of one row; a Newton step leaves δ², which costs up to some
15 n^(−3/2) nats per row: 1e-7 here, and less with more rows.
"""


def fit_with_and_without_each(family: Any, rows: Array, weights: Array | None) -> tuple[Any, Outcome, Any, Outcome]:
    """Maximum-likelihood fits to a matrix of folds (K, m), and to all of it but one fold each, batch (K,); pure JAX.

    Args:
        family: one with `_fit_sample`.
        rows: observations by fold.
        weights: 0 for padding, same shape; or None.

    Returns:
        fit to all, its outcome, fits without each, their outcomes.
    """
    if rows.size >= MANY and family.smooth:
        fit, outcome = family._fit_sample(rows.ravel(), None if weights is None else weights.ravel(), {})
        fits = _one_step_away(family, fit, rows, weights)
        return fit, outcome, fits, Outcome(jnp.zeros(rows.shape[0], jnp.int32))
    folds = jnp.arange(rows.shape[0])

    def without(k: Array) -> tuple[Any, Outcome]:
        kept = jnp.broadcast_to(jnp.where(folds == k, 0.0, 1.0).astype(rows.dtype)[:, None], rows.shape)
        return family._fit_sample(rows.ravel(), (kept if weights is None else kept * weights).ravel(), {})

    # Leaving out fold −1 leaves all: one loop, and one copy of the fit to compile.
    fits, outcomes = jax.lax.map(without, jnp.arange(-1, rows.shape[0]))
    first, rest = (jax.tree.map(lambda leaf, part=part: leaf[part], (fits, outcomes)) for part in (0, slice(1, None)))
    return *first, *rest


def _one_step_away(family: Any, fit: Any, rows: Array, weights: Array | None) -> Any:
    """θ_k = θ − (H − H_k)⁻¹ (g − g_k), with gradient and Hessian summed fold by fold; positive parameters by their logarithms."""
    logs = [m["constraint"] is positive for m in family.parameters.values()]
    leaves = [jnp.asarray(leaf) for leaf in fit._leaves()]
    place = jnp.stack([jnp.log(leaf) if log else leaf for leaf, log in zip(leaves, logs)])

    def at(theta: Array) -> Any:
        return family._of(
            **{n: jnp.exp(theta[i]) if log else theta[i] for i, (n, log) in enumerate(zip(family.parameters, logs))}
        )

    def of_fold(fold: Any) -> tuple[Array, Array]:
        def total(theta: Array) -> Array:
            log_prob = at(theta)._log_density(fold[0])
            return jnp.sum(log_prob if weights is None else fold[1] * log_prob)

        return jax.grad(total)(place), jax.jacfwd(jax.grad(total))(place)

    gradients, hessians = jax.lax.map(of_fold, (rows, rows if weights is None else weights))
    gradient, hessian = jnp.sum(gradients, axis=0)[None] - gradients, jnp.sum(hessians, axis=0)[None] - hessians
    steps = jnp.linalg.solve(hessian, gradient[..., None])[..., 0]
    return jax.vmap(lambda step: at(place - step))(steps)
