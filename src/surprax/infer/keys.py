"""Random keys as users pass them: typed ones, and the older arrays of two integers."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

__all__ = ["as_key"]


def as_key(key: Any, what: str = "Sampling") -> Array:
    """The key as a typed one.

    Raises:
        ValueError: where there is none, or it is something else; `what` says for what one is needed.
    """
    if key is None:
        raise ValueError(f"{what} needs randomness, which comes only from you: pass key=jax.random.key(0), say.")
    dtype = getattr(key, "dtype", None)
    if dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key):
        if key.shape != ():
            raise ValueError(f"{what} takes a single key; got an array of keys of shape {key.shape}. Pass one of them.")
        return key
    if dtype == jnp.uint32 and getattr(key, "ndim", 0) == 1:
        return jax.random.wrap_key_data(jnp.asarray(key))
    raise ValueError(f"A key is made by jax.random.key(0), or another seed; got {key!r}.")
