"""The Rayleigh distribution: the length of a normal vector in the plane."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from surprax.families.base import family
from surprax.families.gumbel import log_surprise, log_unlikely
from surprax.families.normal_length import NormalLength
from surprax.families.parameters import parameter, positive
from surprax.numerics.elementary import log_ratio

__all__ = ["Rayleigh"]

_LOG_2 = float(np.log(2.0))


@family
class Rayleigh(NormalLength):
    """Rayleigh distribution: s(x) = x²/(2 scale²) − log(x/scale²) for x ≥ 0.

    Args:
        scale: standard deviation of the two normals whose length this is, positive; also the mode.

    X² is exponential with mean 2 scale². Natural parameter −1/(2 scale²) of T(x) = x², with h(x) = x; log-normaliser
    2 log scale. `fit` gives scale² = ½ mean x². Source: Johnson, Kotz & Balakrishnan (1994), chapter 18.10.

    >>> print(f"{Rayleigh(2.0).log_sf(2.0):.3f}")
    -0.500
    >>> Rayleigh.fit([1.0, 2.0, 3.0, 2.0])
    Rayleigh(scale=1.5)
    """

    scale: Any = parameter(positive, default=1.0)

    degrees = 2

    # Moments.

    def _mean(self) -> Any:
        return float(np.sqrt(0.5 * np.pi)) * self.scale

    def _variance(self) -> Any:
        return (2.0 - 0.5 * np.pi) * self.scale**2

    def _mode(self) -> Any:
        return self.scale

    # Distribution function.

    def _log_cdf(self, x: Array) -> Array:
        return log_unlikely(2.0 * log_ratio(x, self.scale) - _LOG_2)

    def _log_sf(self, x: Array) -> Array:
        z = x / self.scale
        return -0.5 * z * z

    def _quantile(self, log_p: Array, log_q: Array) -> Array:
        return self.scale * jnp.exp(0.5 * (log_surprise(log_p, log_q) + _LOG_2))

    # Information.

    def _entropy(self) -> Any:
        return jnp.log(self.scale) + (1.0 - 0.5 * _LOG_2 + 0.5 * float(np.euler_gamma))

    # Samples.

    def _sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        draw = self.scale * jnp.sqrt(2.0 * jax.random.exponential(key, shape, jnp.result_type(float)))
        return jnp.maximum(draw, jnp.finfo(draw.dtype).tiny)
