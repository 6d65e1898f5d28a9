"""Mean and gaps of observations whose carrier is a vector: by blocks of rows, so that memory stays bounded."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from surprax.evidence.layout import SCATTER, Gap, Layout
from surprax.numerics.symmetric import half

__all__ = ["reduce_vectors"]

NUMBERS = 1 << 21
"""About so many numbers are written in between: they stay in the cache."""


def reduce_vectors(
    layout: Layout,
    x: Array,
    weights: Array | None,
    codes: Array | None,
    groups: int,
    known: Mapping[str, Any],
    dtype: Any,
    event_dim: int,
) -> tuple[Array, Array, Array]:
    """Count, mean and gaps of observations x (rows, batch, event), accumulated in `dtype`.

    With numbers of groups `codes` (rows,), of each of the groups, on the leading axis.
    """
    carrier = layout.carrier.given(known)
    batch = x.shape[1 : x.ndim - event_dim]
    length = jax.eval_shape(carrier.of, jax.ShapeDtypeStruct(x.shape[x.ndim - event_dim :], dtype)).shape[-1]
    per_row = int(np.prod(batch)) * max(length, *(gap.size(length) for gap in layout.gaps), 1)
    of_group = (lambda v, _: v[None]) if codes is None else (lambda v, c: v[c])

    def total(terms: Array, c: Array | None) -> Array:
        return jnp.sum(terms, axis=0) if c is None else jax.ops.segment_sum(terms, c, num_segments=groups)

    def weighed(v: Array, w: Array | None) -> Array:
        return v if w is None else w.reshape(w.shape + (1,) * (v.ndim - w.ndim)) * v

    def sums(terms: Callable[..., Array]) -> Array:
        """Sum over all rows of terms(carrier, weights, codes)."""

        def step(rows: Array, w: Array | None, c: Array | None) -> Array:
            return terms(carrier.of(rows.astype(dtype)), w, c)

        return _by_blocks(step, max(1, NUMBERS // per_row), x, weights, codes)

    ones = jnp.ones(x.shape[: 1 + len(batch)], dtype) if weights is None else weights
    count = total(ones, codes)
    share = jnp.where(count > 0, 1.0 / jnp.where(count > 0, count, 1.0), 0.0)[..., None]
    rough = share * sums(lambda y, w, c: total(weighed(y, w), c))
    mean = rough + share * sums(lambda y, w, c: total(weighed(y - of_group(rough, c), w), c))
    mean = jnp.where(count[..., None] > 0, mean, carrier.neutral_like(mean))

    def gap_total(gap: Gap, y: Array, w: Array | None, c: Array | None) -> Array:
        if gap is SCATTER and c is None:  # a matrix product
            d = y - mean[None]
            return half(jnp.einsum("n...i,n...j->...ij", weighed(d, w), d))
        return total(weighed(gap.divergence(y, of_group(mean, c)), w), c)

    if not layout.gaps:
        return count, mean, jnp.zeros((*count.shape, 0), mean.dtype)
    gaps = sums(lambda y, w, c: jnp.concatenate([gap_total(gap, y, w, c) for gap in layout.gaps], axis=-1))
    return count, mean, share * gaps


def _by_blocks(step: Callable[..., Array], block: int, x: Array, weights: Array | None, codes: Array | None) -> Array:
    """Sum of step(rows, weights, codes) over blocks of that many rows, and the rest."""
    data = (x, weights, codes)
    blocks, rest = divmod(x.shape[0], block)
    if blocks <= 1 or x.shape[0] <= 2 * block:
        return step(*data)

    def part(start: Any, size: int) -> Any:
        return jax.tree.map(lambda v: jax.lax.dynamic_slice_in_dim(v, start, size), data)

    total = step(*part(blocks * block, rest)) if rest else step(*part(0, block))
    return jax.lax.fori_loop(0 if rest else 1, blocks, lambda i, so_far: so_far + step(*part(i * block, block)), total)
