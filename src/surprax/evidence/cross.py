"""Weighted means and scatter of several columns together, of each group of rows: what a linear model needs of its data."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from surprax.numerics.precision import float64_scope

__all__ = ["cross_moments"]

BLOCK = 1 << 16
"""Rows that are taken at a time, so that what is written in between stays in the cache."""


def cross_moments(
    columns: Sequence[Any], weights: Any, codes: Any, groups: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Total weight, means and scatter of columns, by group: shapes (groups,), (groups, k), (groups, k, k), in float64.

    Args:
        columns: k arrays of shape (rows,).
        weights: of the rows, shape (rows,), ≥ 0; None for 1 each.
        codes: numbers of the groups, shape (rows,), from 0 to groups − 1; None for one group.
        groups: how many there are.

    The scatter is Σ w (x − mean)(x − mean)ᵀ, from a second pass over the rows: nothing is subtracted but the mean.
    """
    with float64_scope():
        found = _cross_moments(tuple(columns), weights, codes, groups=groups)
        total, mean, scatter = (np.asarray(v) for v in found)
    return total, mean, scatter


@functools.partial(jax.jit, static_argnames=("groups",))
def _cross_moments(columns: tuple[Array, ...], weights: Any, codes: Any, groups: int) -> tuple[Array, Array, Array]:
    rows, k = columns[0].shape[0], len(columns)
    upper = np.triu_indices(k)
    data = (columns, weights, codes)

    def stacked(columns: tuple[Array, ...]) -> Array:
        return jnp.stack([c.astype(jnp.float64) for c in columns])

    def total(terms: Array, codes: Any) -> Array:
        """Sums over rows, the last axis, by group: (groups, …)."""
        if codes is None:
            return jnp.sum(terms, axis=-1)[None]
        return jax.vmap(lambda t: jax.ops.segment_sum(t, codes, num_segments=groups))(terms).T

    def first(columns: Any, weights: Any, codes: Any) -> Array:
        x = stacked(columns)
        w = jnp.ones(x.shape[-1]) if weights is None else weights.astype(jnp.float64)
        return total(jnp.concatenate([w[None], w[None] * x]), codes)

    def second(mean: Array, columns: Any, weights: Any, codes: Any) -> Array:
        d = stacked(columns) - (mean[0][:, None] if codes is None else mean.T[:, codes])
        w = jnp.ones(d.shape[-1]) if weights is None else weights.astype(jnp.float64)
        if codes is None:
            products = (w[None] * d) @ d.T
            return jnp.concatenate([jnp.sum(w[None] * d, axis=-1), products[upper]])[None]
        products = (w[None] * d)[upper[0]] * d[upper[1]]
        return total(jnp.concatenate([w[None] * d, products]), codes)

    sums = _by_blocks(first, data, rows)
    count = sums[:, 0]
    share = jnp.where(count > 0, 1.0 / jnp.where(count > 0, count, 1.0), 0.0)[:, None]
    mean = share * sums[:, 1:]
    sums = _by_blocks(functools.partial(second, mean), data, rows)
    # The first mean is rounded; what deviations from it still sum to corrects mean and scatter.
    left = share * sums[:, :k]
    half = sums[:, k:] - count[:, None] * left[:, upper[0]] * left[:, upper[1]]
    scatter = jnp.zeros((half.shape[0], k, k)).at[:, upper[0], upper[1]].set(half)
    lower = jnp.swapaxes(scatter, 1, 2) * (1.0 - jnp.eye(k))[None]
    return count, mean + left, scatter + lower


def _by_blocks(step: Any, data: Any, rows: int) -> Array:
    """Sum of step(*data) over blocks of rows."""
    blocks, rest = divmod(rows, BLOCK)
    if blocks <= 1:
        return step(*data)

    def part(start: Any, size: int) -> Any:
        return jax.tree.map(lambda v: jax.lax.dynamic_slice_in_dim(v, start, size), data)

    so_far = step(*part(blocks * BLOCK, rest)) if rest else jnp.zeros_like(step(*part(0, BLOCK)))
    return jax.lax.fori_loop(0, blocks, lambda i, total: total + step(*part(i * BLOCK, BLOCK)), so_far)
