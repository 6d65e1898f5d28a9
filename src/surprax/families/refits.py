"""Fits to all rows and to all but one fold each: what cross-validation needs of families without evidence."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from surprax.families.outcomes import Outcome
from surprax.families.parameters import positive
from surprax.families.passes import Landscape, mean_of

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
    """place_k = place − (H − H_k)⁻¹ (g − g_k), with gradient and Hessian summed fold by fold."""
    landscape = family._landscape() or _by_differentiation(family)
    place = landscape.place(fit)

    def of_fold(fold: Any) -> tuple[Array, Array]:
        x, kept = fold[0], None if weights is None else fold[1]
        _, gradient, hessian = landscape.survey(x, kept)(place)
        number = x.shape[0] if kept is None else jnp.sum(kept)
        return number * gradient, number * hessian

    gradients, hessians = jax.lax.map(of_fold, (rows, rows if weights is None else weights))
    gradient, hessian = jnp.sum(gradients, axis=0)[None] - gradients, jnp.sum(hessians, axis=0)[None] - hessians
    steps = -jnp.linalg.solve(hessian, gradient[..., None])[..., 0]
    return family._of(**landscape.parameters(jax.vmap(lambda step: landscape.move(place, step))(steps)))


def _by_differentiation(family: Any) -> Landscape:
    """The likelihood in the parameters themselves; the positive ones by their logarithms."""
    logs = {name: meta["constraint"] is positive for name, meta in family.parameters.items()}

    def parameters(place: Array) -> dict[str, Array]:
        return {n: jnp.exp(place[..., i]) if log else place[..., i] for i, (n, log) in enumerate(logs.items())}

    def place(fit: Any) -> Array:
        return jnp.stack([jnp.log(getattr(fit, n)) if log else jnp.asarray(getattr(fit, n)) for n, log in logs.items()])

    def survey(x: Array, weights: Array | None) -> Any:
        def height(place: Array) -> Array:
            return mean_of(weights)(family._of(**parameters(place))._log_density(x))

        return lambda place: (height(place), jax.grad(height)(place), jax.jacfwd(jax.grad(height))(place))

    return Landscape(survey, lambda place, step: place + step, place, parameters)
