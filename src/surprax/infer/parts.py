"""Parts of a posterior in closed form, which are independent of each other: what each solver hands back."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from surprax.infer.anatomy import Latents
from surprax.infer.closed import Draw, Marginal

__all__ = ["NormalPart", "Part", "flattened", "unflattened"]


@dataclass(frozen=True)
class NormalPart:
    """The values of some latent sites, one after the other as one vector, which is normal.

    Attributes:
        mean: shape (d,).
        factor: L with covariance L Lᵀ, shape (d, d).
    """

    mean: np.ndarray
    factor: np.ndarray


@dataclass(frozen=True)
class Part:
    """The posterior of some latent sites.

    Attributes:
        shapes: of the sites, by name, in the order of the model.
        marginals: what is known of each site.
        draw: `draw(key, n)` gives joint draws, arrays (n, …) by name.
        log_density: of the posterior at values of the sites, in nats.
        center: values that are well inside of the posterior.
        how: a sentence about each site.
        normal: the sites as one normal vector, where they are one.
        transport: how many numbers of [0, 1] make a draw, and the draws (by name) that points of that cube, shape (n, how many),
            make: evenly spread points make evenly spread draws. None where that is not known.
    """

    shapes: Mapping[str, tuple[int, ...]]
    marginals: Mapping[str, Marginal]
    draw: Draw
    log_density: Callable[[Latents], Any]
    center: Mapping[str, np.ndarray]
    how: Mapping[str, str]
    normal: NormalPart | None = None
    transport: tuple[int, Callable[[np.ndarray], Mapping[str, Any]]] | None = None

    def sample(self, key: Array, n: int) -> dict[str, np.ndarray]:
        return {name: np.asarray(value) for name, value in self.draw(key, n).items()}


def flattened(values: Latents, shapes: Mapping[str, tuple[int, ...]]) -> Array:
    """The values of sites as one vector."""
    return jnp.concatenate([jnp.ravel(jnp.asarray(values[name])) for name in shapes])


def unflattened(vector: Any, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """The values of sites from one vector on the last axis; other axes stay in front.

    >>> parts = unflattened(np.arange(4.0), {"a": (), "b": (3,)})
    >>> parts["a"].item(), parts["b"].tolist()
    (0.0, [1.0, 2.0, 3.0])
    """
    found, start = {}, 0
    for name, shape in shapes.items():
        size = int(np.prod(shape, dtype=np.int64))
        found[name] = vector[..., start : start + size].reshape((*vector.shape[:-1], *shape))
        start += size
    return found
