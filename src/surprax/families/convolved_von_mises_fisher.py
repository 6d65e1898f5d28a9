"""The direction that is off a direction that is off its mean."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from surprax.families.base import Distribution, family
from surprax.families.convolved_von_mises import NO_FORM
from surprax.families.parameters import parameter
from surprax.families.supports import SPHERE
from surprax.families.von_mises import nonnegative
from surprax.families.von_mises_fisher import VonMisesFisher, beside, check_direction, log_area, unit_vector
from surprax.numerics.bessel import bessel_ratio
from surprax.numerics.bessel_convolution import log_bessel_convolution

__all__ = ["ConvolvedVonMisesFisher"]


@family
class ConvolvedVonMisesFisher(Distribution):
    """VonMisesFisher(θ, κ₂) about a θ from VonMisesFisher(mean_direction, κ₁): density C(κ₁) C(κ₂)/C(‖κ₁μ + κ₂x‖), x of length 1,

    where C(κ) = κ^v/((2π)^(d/2) I_v(κ)) with v = d/2 − 1.

    Args:
        mean_direction: μ, a vector of length 1 on the last axis, of d ≥ 2 numbers.
        concentration1: κ₁, at least 0.
        concentration2: κ₂, at least 0.

    The law of the next direction from a VonMisesFisher of concentration κ₂ whose mean_direction is believed to be
    VonMisesFisher(μ, κ₁). Its mean is A(κ₁) A(κ₂) μ, where A = I_{v+1}/I_v. Source: Mardia & Jupp (2000), Directional
    Statistics, section 10.2.

    >>> d = ConvolvedVonMisesFisher([0.0, 0.0, 1.0], 3.0, 0.0)  # nothing but noise
    >>> print(f"{d.log_prob([0.0, 1.0, 0.0]) + jnp.log(4 * jnp.pi):.4f}")
    0.0000
    """

    mean_direction: Any = parameter(unit_vector, event_dim=1)
    concentration1: Any = parameter(nonnegative)
    concentration2: Any = parameter(nonnegative)

    data_support = SPHERE
    event_dim = 1
    lacks = {
        "entropy": NO_FORM,
        "kl": NO_FORM,
        "fit": "the two concentrations are hardly told apart by data; VonMisesFisher has a fit of its own",
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        check_direction(self)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """(d,)."""
        return np.shape(self.mean_direction)[-1:]

    @property
    def _order(self) -> float:
        return 0.5 * self.event_shape[0] - 1.0

    # Density.

    def _log_density(self, x: Array) -> Array:
        away = 0.5 * jnp.sum((x - self.mean_direction) ** 2, axis=-1)
        rise = log_bessel_convolution(self._order, self.concentration1, self.concentration2, away)
        return rise - log_area(self.event_shape[0])

    # Moments.

    def _ratios(self) -> Array:
        return bessel_ratio(self._order, self.concentration1) * bessel_ratio(self._order, self.concentration2)

    def _mean(self) -> Array:
        return beside(self._ratios()) * self.mean_direction

    def _variance(self) -> Array:
        """Of θ along its own mean and across, as (E X Xᵀ given θ) is linear in θ θᵀ."""
        inner, outer = (
            VonMisesFisher._of(mean_direction=self.mean_direction, concentration=k)
            for k in (self.concentration1, self.concentration2)
        )
        ratio, (along, across) = beside(bessel_ratio(self._order, self.concentration2)), outer.spreads()
        mean = beside(bessel_ratio(self._order, self.concentration1)) * self.mean_direction
        # Var X = E Var(X | θ) + Var E(X | θ), with Var(X | θ) = across + (along − across) θ².
        square = inner._variance() + mean**2
        return across * (1.0 - square) + along * square + ratio**2 * inner._variance()

    def _mode(self) -> Array:
        return self.mean_direction

    # Samples.

    def _sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        key_one, key_two = jax.random.split(key)
        inner = VonMisesFisher._of(mean_direction=self.mean_direction, concentration=self.concentration1)
        centre = inner._sample(key_one, shape)
        return VonMisesFisher._of(mean_direction=centre, concentration=self.concentration2)._sample(key_two, shape)
