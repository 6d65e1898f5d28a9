"""Draws among very many hypotheses."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from surprax.numerics.elementary import argmax, logsumexp

__all__ = ["categorical"]

BRANCHES = 64


@functools.partial(jax.jit, static_argnames=("shape",))
def categorical(key: Array, log_p: Array, shape: tuple[int, ...]) -> Array:
    """Indices along the last axis, drawn by exp(log_p) up to a factor; shape `shape` + batch.

    Down a tree whose branches are weighed by logarithms of sums, so that a draw among n takes O(log n) numbers rather than n. Odds
    of a branch beside another are right to the digits of log_p down to about 1e-13 in float32, and what is below is drawn too
    rarely or not at all (sums of probabilities from the left lose what is below 6e-8).

    >>> log_p = jnp.full(100_000, -jnp.inf).at[77_777].set(-500.0)
    >>> categorical(jax.random.key(0), log_p, (3,))
    Array([77777, 77777, 77777], dtype=int32)
    """
    batch = log_p.shape[:-1]
    if batch:
        keys = jax.random.split(key, int(jnp.size(log_p) // log_p.shape[-1]))
        drawn = jax.vmap(lambda k, row: categorical(k, row, shape))(keys, log_p.reshape(-1, log_p.shape[-1]))
        return jnp.moveaxis(drawn.reshape(*batch, *shape), range(len(batch)), range(-len(batch), 0))
    levels = [log_p]
    while levels[-1].shape[0] > BRANCHES:
        levels[-1] = _padded(levels[-1])
        levels.append(logsumexp(levels[-1].reshape(-1, BRANCHES), axis=-1))
    at = jnp.zeros(shape, jnp.int32)
    for level, k in zip(reversed(levels), jax.random.split(key, len(levels))):
        twigs = level.reshape(-1, min(BRANCHES, level.shape[0]))
        rows = jnp.broadcast_to(twigs[0], (*shape, twigs.shape[-1])) if twigs.shape[0] == 1 else twigs[at]
        at = at * twigs.shape[-1] + _gumbel_max(k, rows)
    return at


def _padded(log_p: Array) -> Array:
    return jnp.pad(log_p, (0, -log_p.shape[0] % BRANCHES), constant_values=-jnp.inf)


def _gumbel_max(key: Array, log_p: Any) -> Array:
    # Made of two uniform numbers each: those made of one, which has 23 bits in float32, end at 16, and odds of exp(−16) with them.
    return argmax(log_p + jax.random.gumbel(key, log_p.shape, log_p.dtype, mode="high"), axis=-1).astype(jnp.int32)
