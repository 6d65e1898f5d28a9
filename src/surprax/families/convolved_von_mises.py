"""The sum of two von Mises angles, on the circle."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from surprax.families.base import Distribution, family
from surprax.families.parameters import parameter
from surprax.families.von_mises import VonMises, angle, nonnegative
from surprax.numerics.bessel import bessel_ratio, bessel_ratio_complement
from surprax.numerics.bessel_convolution import log_bessel_convolution
from surprax.numerics.circular import LOG_2PI, cosine_complement, wrap

__all__ = ["ConvolvedVonMises"]

NO_FORM = "there is no closed form: average over samples"
"""Why a convolution lacks what it lacks."""


@family
class ConvolvedVonMises(Distribution):
    """Sum of two independent angles, VonMises(loc, κ₁) and VonMises(0, κ₂): density I₀(r)/(2π I₀(κ₁) I₀(κ₂)) for −π ≤ x ≤ π,

        r = √(κ₁² + κ₂² + 2 κ₁ κ₂ cos(x − loc)).

    Args:
        loc: direction of the mean, from −π to π.
        concentration1: κ₁, at least 0.
        concentration2: κ₂, at least 0.

    The law of the next angle from a VonMises of concentration κ₂ whose loc is believed to be VonMises(loc, κ₁). `mean` and
    `variance` are the circular ones, as for VonMises: the mean of (cos X, sin X) has length A(κ₁) A(κ₂), where A = I₁/I₀. The
    distribution function, entropy and divergence have no closed form and are not offered. Source: Mardia & Jupp (2000),
    Directional Statistics, section 3.5.4.

    >>> d = ConvolvedVonMises(0.5, 3.0, 1e7)  # hardly any noise
    >>> print(f"{d.log_prob(1.2):.4f} {VonMises(0.5, 3.0).log_prob(1.2):.4f}")
    -1.1287 -1.1287
    """

    loc: Any = parameter(angle)
    concentration1: Any = parameter(nonnegative)
    concentration2: Any = parameter(nonnegative)

    data_support = VonMises.data_support
    lacks = {
        "cdf": NO_FORM,
        "entropy": NO_FORM,
        "kl": NO_FORM,
        "fit": "the two concentrations are hardly told apart by data; VonMises has a fit of its own",
    }

    # Density.

    def _log_density(self, x: Array) -> Array:
        away = cosine_complement(x - self.loc)
        return log_bessel_convolution(0.0, self.concentration1, self.concentration2, away) - LOG_2PI

    # Moments.

    def _mean(self) -> Any:
        return self.loc

    def _variance(self) -> Any:
        """1 − A(κ₁) A(κ₂)."""
        one, two = self.concentration1, self.concentration2
        return bessel_ratio_complement(0.0, one) + bessel_ratio(0.0, one) * bessel_ratio_complement(0.0, two)

    def _mode(self) -> Any:
        return self.loc

    # Samples.

    def _sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        key_one, key_two = jax.random.split(key)
        centre = VonMises._of(loc=self.loc, concentration=self.concentration1)._sample(key_one, shape)
        off = VonMises._of(loc=np.zeros(()), concentration=self.concentration2)._sample(key_two, shape)
        return jnp.asarray(wrap(centre + off))
