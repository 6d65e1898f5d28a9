"""Batches of distributions in other shapes."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from surprax.beliefs import MixtureSameFamily
from surprax.families.base import Distribution
from surprax.families.batches import map_parameters

__all__ = ["expanded", "lifted"]


def lifted[D: Distribution](d: D) -> D:
    """The same batch, whose parameters all have its rank: axes of length 1 are put before those that are missing."""
    rank = len(d.batch_shape)

    def lift(leaf: Any, meta: Any) -> Any:
        missing = rank - (np.ndim(leaf) - meta["event_dim"])
        return leaf.reshape((1,) * missing + np.shape(leaf)) if missing else leaf

    return map_parameters(lift, d)


def expanded[D: Distribution](d: D, shape: tuple[int, ...]) -> D:
    """The distribution repeated to a batch of another shape, as NumPy broadcasts."""
    if isinstance(d, MixtureSameFamily):
        shape = (*shape, d.num_components)
        xp: Any = jnp if isinstance(d.logits, jax.Array) else np
        logits, components = xp.broadcast_to(d.logits, shape), expanded(d.components, shape)
        return type(d)._of(logits=logits, components=components)

    def expand(leaf: Any, meta: Any) -> Any:
        like: Any = jnp if isinstance(leaf, jax.Array) else np
        return like.broadcast_to(leaf, shape + np.shape(leaf)[np.ndim(leaf) - meta["event_dim"] :])

    return map_parameters(expand, d)
