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

SAMPLE = 1 << 12
"""Rows from which the first centre is taken."""

LOST = 1e4
"""How many times larger than the scatter a correction for the centre may be: it costs as many digits, of sixteen."""


def cross_moments(
    columns: Sequence[Any], weights: Any, codes: Any, groups: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Total weight, means and scatter of columns, by group: shapes (groups,), (groups, k), (groups, k, k), in float64.

    Args:
        columns: k arrays of shape (rows,).
        weights: of the rows, shape (rows,), ≥ 0; None for 1 each.
        codes: numbers of the groups, shape (rows,), from 0 to groups − 1; None for one group.
        groups: how many there are.

    The scatter is Σ w (x − m)(x − m)ᵀ about the mean m of the group. One pass over the rows takes it about the mean of a few of
    them, and is corrected by what separates the two; where that would cost digits, a second pass takes it about m.
    """
    centre = _rough_centre(columns)
    for _ in range(3):
        total, first, second = _sums(columns, weights, codes, groups, centre)
        share = np.where(total > 0, 1.0 / np.where(total > 0, total, 1.0), 0.0)[:, None]
        shift = share * first
        scatter = second - total[:, None, None] * shift[:, :, None] * shift[:, None, :]
        centre = centre + shift
        own = np.maximum(np.einsum("gii->gi", scatter), 0.0)
        if np.all(total[:, None] * shift**2 <= LOST * own + np.finfo(float).tiny):
            break
    return total, centre, scatter


def _rough_centre(columns: Sequence[Any]) -> np.ndarray:
    """Means of a few rows, for all groups: (1, k)."""
    step = max(1, columns[0].shape[0] // SAMPLE)
    means = [np.mean(np.asarray(c[::step], np.float64)) for c in columns]
    return np.nan_to_num(np.array(means))[None]


def _sums(columns: Sequence[Any], weights: Any, codes: Any, groups: int, centre: np.ndarray) -> tuple[np.ndarray, ...]:
    """Σ w, Σ w d and Σ w d dᵀ by group, for the deviations d from the centre."""
    k = len(columns)
    upper = np.triu_indices(k)
    with float64_scope():
        sums = np.asarray(_by_blocks(tuple(columns), weights, codes, centre, groups=groups))
    second = np.zeros((groups, k, k))
    second[:, upper[0], upper[1]] = second[:, upper[1], upper[0]] = sums[:, 1 + k :]
    return sums[:, 0], sums[:, 1 : 1 + k], second


@functools.partial(jax.jit, static_argnames=("groups",))
def _by_blocks(columns: tuple[Array, ...], weights: Any, codes: Any, centre: Array, groups: int) -> Array:
    """The sums of a block of rows after the other, (groups, 1 + k + k (k + 1) / 2)."""
    rows, k = columns[0].shape[0], len(columns)
    upper = np.triu_indices(k)

    def block(columns: tuple[Array, ...], weights: Any, codes: Any) -> Array:
        x = jnp.stack([c.astype(jnp.float64) for c in columns])
        d = x - (centre.T if codes is None or len(centre) == 1 else centre.T[:, codes])
        w = jnp.ones(x.shape[1:]) if weights is None else weights.astype(jnp.float64)
        weighed = d if weights is None else w[None] * d
        if codes is None:
            products = (weighed @ d.T)[upper]
            return jnp.concatenate([jnp.sum(w)[None], jnp.sum(weighed, axis=1), products])[None]
        terms = jnp.concatenate([w[None], weighed, weighed[upper[0]] * d[upper[1]]])
        return jax.vmap(lambda t: jax.ops.segment_sum(t, codes, num_segments=groups))(terms).T

    def part(start: Any, size: int) -> Any:
        return jax.tree.map(lambda v: jax.lax.dynamic_slice_in_dim(v, start, size), (columns, weights, codes))

    blocks, rest = divmod(rows, BLOCK)
    if not blocks:
        return block(columns, weights, codes)
    total = block(*part(blocks * BLOCK, rest)) if rest else jnp.zeros((groups, 1 + k + len(upper[0])))
    return jax.lax.fori_loop(0, blocks, lambda i, so_far: so_far + block(*part(i * BLOCK, BLOCK)), total)
