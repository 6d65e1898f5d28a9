"""The Maxwell distribution: the length of a normal vector in space."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from surprax.families.base import family
from surprax.families.chi import chi_quantile, log_chi_cdf, log_chi_sf
from surprax.families.normal_length import NormalLength
from surprax.families.parameters import parameter, positive

__all__ = ["Maxwell"]


@family
class Maxwell(NormalLength):
    """Maxwell (Maxwell–Boltzmann) distribution of speeds: s(x) = x²/(2 scale²) − log(√(2/π) x²/scale³) for x ≥ 0.

    Args:
        scale: standard deviation of the three normals whose length this is, positive.

    Natural parameter −1/(2 scale²) of T(x) = x², with h(x) = x²; log-normaliser 3 log scale + ½ log(π/2). `fit` gives
    scale² = ⅓ mean x². Source: Johnson, Kotz & Balakrishnan (1994), chapter 18.10.

    >>> print(f"{Maxwell(2.0).mode ** 2 / 2.0**2:.3f}")
    2.000
    >>> Maxwell.fit([1.0, 1.0, 2.0, 2.0])
    Maxwell(scale=0.912870929)
    """

    scale: Any = parameter(positive, default=1.0)

    degrees = 3

    # Moments.

    def _mean(self) -> Any:
        return float(np.sqrt(8.0 / np.pi)) * self.scale

    def _variance(self) -> Any:
        return (3.0 - 8.0 / np.pi) * self.scale**2

    def _mode(self) -> Any:
        return float(np.sqrt(2.0)) * self.scale

    # Distribution function.

    def _log_cdf(self, x: Array) -> Array:
        return log_chi_cdf(x, 3.0, self.scale)

    def _log_sf(self, x: Array) -> Array:
        return log_chi_sf(x, 3.0, self.scale)

    def _quantile(self, log_p: Array, log_q: Array) -> Array:
        return self.scale * chi_quantile(3.0, log_p, log_q)

    # Information.

    def _entropy(self) -> Any:
        return jnp.log(self.scale) + float(0.5 * np.log(2.0 * np.pi) + np.euler_gamma - 0.5)

    # Samples.

    def _sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        draw = jnp.sqrt(2.0 * jax.random.gamma(key, 1.5, shape, jnp.result_type(float))) * self.scale
        return jnp.maximum(draw, jnp.finfo(draw.dtype).tiny)
