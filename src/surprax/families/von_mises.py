"""The von Mises distribution of angles."""

import math
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from surprax.evidence import Layout, Moments
from surprax.evidence.layout import SQUARED_LENGTH, Carrier
from surprax.families.base import family
from surprax.families.exponential import ExponentialFamily
from surprax.families.outcomes import Outcome, Reason
from surprax.families.parameters import Constraint, parameter
from surprax.families.supports import Support
from surprax.numerics.bessel import (
    bessel_ratio,
    bessel_ratio_complement,
    bessel_ratio_slope,
    inverse_bessel_ratio,
    log_bessel_divergence,
    log_scaled_bessel_i,
)
from surprax.numerics.circular import (
    LOG_2PI,
    cosine_complement,
    draw_cosine,
    log_von_mises_cdf,
    log_von_mises_sf,
    von_mises_quantile,
    wrap,
)

__all__ = ["VonMises", "angle", "nonnegative"]

_PI = float(np.float32(math.pi))
"""π rounded to float32, which is a little more: so that the π of both precisions is on the circle."""

angle = Constraint("an angle from −π to π", lambda v: (v >= -_PI) & (v <= _PI))
nonnegative = Constraint("at least 0 and finite", lambda v: (v >= 0) & (v < float("inf")))
_DIRECTION = Carrier("(cos x, sin x)", lambda x: jnp.stack([jnp.cos(x), jnp.sin(x)], axis=-1), None, rank=1)


@family
class VonMises(ExponentialFamily):
    """Von Mises distribution of an angle: s(x) = κ (1 − cos(x − loc)) + log(2π I₀(κ) e^−κ) for −π ≤ x ≤ π.

    Args:
        loc: direction of the mean, from −π to π.
        concentration: κ, at least 0; 0 is the uniform distribution on the circle, and 1/κ is nearly the variance where κ is large.

    Angles are on the circle cut open at ±π, where the distribution function begins; others are impossible: bring them there by
    `(x + π) % (2π) − π`. `mean` is the direction of the mean of (cos X, sin X), and `variance` is the circular one,
    1 − I₁(κ)/I₀(κ), which is 1
    less the length of that mean. Natural parameters κ (cos loc, sin loc) of T(x) = (cos x, sin x); log-normaliser log 2π I₀(κ).
    Source: Mardia & Jupp (2000), Directional Statistics.

    >>> p, q = VonMises(1.0, 2.0), VonMises(1.5, 3.0)
    >>> print(f"{p.cross_entropy(q) - p.entropy() - p.kl(q):.3f}")
    0.000
    >>> VonMises.fit([3.0, -3.0]).loc.item() == math.pi  # not 0
    True
    """

    loc: Any = parameter(angle)
    concentration: Any = parameter(nonnegative)

    dimension = 2
    layout = Layout(_DIRECTION, (SQUARED_LENGTH,))
    may_be_known = ("concentration",)
    data_support = Support(-_PI, _PI)
    sums_by_evidence = False  # a sine and a cosine per row cost more than the density

    # Density.

    def _log_density(self, x: Array) -> Array:
        return -self.concentration * cosine_complement(x - self.loc) - LOG_2PI - _level(self.concentration)

    # Moments.

    def _mean(self) -> Any:
        return self.loc

    def _variance(self) -> Any:
        return bessel_ratio_complement(0.0, self.concentration)

    def _mode(self) -> Any:
        return self.loc

    # Distribution function.

    def _log_cdf(self, x: Array) -> Array:
        return log_von_mises_cdf(x, self.loc, self.concentration)

    def _log_sf(self, x: Array) -> Array:
        return log_von_mises_sf(x, self.loc, self.concentration)

    def _quantile(self, log_p: Array, log_q: Array) -> Array:
        return von_mises_quantile(log_p, log_q, self.loc, self.concentration)

    # Information.

    def _entropy(self) -> Any:
        k = self.concentration
        return LOG_2PI + _level(k) + k * bessel_ratio_complement(0.0, k)

    def _kl(self, q: Self) -> Array:
        """Two terms ≥ 0: what the concentrations differ by, and the directions."""
        turn = q.concentration * bessel_ratio(0.0, self.concentration) * cosine_complement(self.loc - q.loc)
        return log_bessel_divergence(0.0, self.concentration, q.concentration) + turn

    # Exponential family.

    def _natural(self) -> tuple[Any, ...]:
        return self.concentration * jnp.cos(self.loc), self.concentration * jnp.sin(self.loc)

    @classmethod
    def _from_natural(cls, natural: tuple[Array, ...], known: dict[str, Any]) -> Self:
        loc, concentration = _polar(*natural)
        return cls._of(loc=loc, concentration=concentration)

    def _expectation(self) -> tuple[Any, ...]:
        length = bessel_ratio(0.0, self.concentration)
        return length * jnp.cos(self.loc), length * jnp.sin(self.loc)

    @classmethod
    def _from_expectation(cls, expectation: tuple[Array, ...], known: dict[str, Any]) -> Self:
        loc, length = _polar(*expectation)
        short = (1.0 - length) * (length < 1.0)
        concentration = inverse_bessel_ratio(0.0, length, jnp.where(short > 0, short, jnp.nan))
        return cls._of(loc=loc, concentration=concentration)

    def _log_normalizer(self) -> Any:
        return LOG_2PI + _level(self.concentration) + self.concentration

    def _sufficient_statistics(self, x: Array) -> tuple[Any, ...]:
        return jnp.cos(x), jnp.sin(x)

    @classmethod
    def _gap_statistics(cls, gaps: Array) -> tuple[Any, ...]:
        nothing = jnp.zeros_like(gaps[..., 0])
        return nothing, nothing

    def _fisher_information(self) -> tuple[tuple[Any, ...], ...]:
        """A′ along the mean direction, A/κ across it."""
        c, s = jnp.cos(self.loc), jnp.sin(self.loc)
        along, across = bessel_ratio_slope(0.0, self.concentration), _ratio_over(self.concentration)
        cross = c * s * (along - across)
        return (c * c * along + s * s * across, cross), (cross, s * s * along + c * c * across)

    # Maximum likelihood.

    @classmethod
    def _fit_moments(cls, e: Moments) -> tuple[Self, Outcome]:
        """loc is the direction of the mean of (cos x, sin x), I₁(κ)/I₀(κ) its length R, unless κ is known; the gap is 1 − R²."""
        loc, length = _polar(e.mean[..., 0], e.mean[..., 1])
        if "concentration" in e.known:
            concentration = e.known["concentration"] * jnp.ones_like(loc)
            return cls._of(loc=loc, concentration=concentration), Outcome.first((e.count <= 0, Reason.NO_DATA))
        gap = e.gaps[..., 0]
        outcome = Outcome.first((e.count <= 0, Reason.NO_DATA), (gap <= 0, Reason.ALL_SAME))
        return cls._of(loc=loc, concentration=inverse_bessel_ratio(0.0, length, gap / (1.0 + length))), outcome

    # Samples.

    def _sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        key_cosine, key_side = jax.random.split(key)
        away = 2.0 * jnp.arcsin(jnp.sqrt(0.5 * draw_cosine(key_cosine, 2, self.concentration, shape)))
        return wrap(self.loc + jnp.where(jax.random.bernoulli(key_side, 0.5, shape), away, -away))


def _level(concentration: Any) -> Array:
    """log(I₀(κ) e^−κ)."""
    return log_scaled_bessel_i(0.0, concentration)


def _polar(x: Array, y: Array) -> tuple[Array, Array]:
    """Angle and length of a vector; of none, 0 and 0."""
    some = (x != 0) | (y != 0)
    x, y = jnp.where(some, x, 1.0), jnp.where(some, y, 0.0)
    return jnp.arctan2(y, x), jnp.where(some, jnp.hypot(x, y), 0.0)


def _ratio_over(concentration: Any) -> Array:
    """A(κ)/κ, which is ½ at 0."""
    some = concentration > 0
    k = jnp.where(some, concentration, 1.0)
    return jnp.where(some, bessel_ratio(0.0, k) / k, 0.5)
