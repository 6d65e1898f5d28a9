"""The von Mises–Fisher distribution of directions."""

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
from surprax.families.supports import SPHERE
from surprax.families.von_mises import nonnegative
from surprax.numerics.bessel import (
    bessel_ratio,
    bessel_ratio_complement,
    bessel_ratio_slope,
    inverse_bessel_ratio,
    log_bessel_divergence,
    log_scaled_bessel_i,
)
from surprax.numerics.circular import draw_cosine

__all__ = ["VonMisesFisher", "beside", "check_direction", "log_area", "unit_vector"]


def _is_direction(v: Any) -> Any:
    """Whether vectors on the last axis have length 1, up to the rounding of float32."""
    good = abs((v * v).sum(axis=-1, keepdims=True) - 1.0) <= 1e-5 if v.ndim else v != v
    return good & (v == v)


unit_vector = Constraint("a vector of length 1, on the last axis", _is_direction, event_dim=1)
_UNIT_VECTOR = Carrier("x", lambda x: x, None, rank=1)


@family
class VonMisesFisher(ExponentialFamily):
    """Von Mises–Fisher distribution of a direction: s(x) = κ (1 − μ·x) + log(∫ exp(κ (μ·x − 1)) dx), x of length 1.

    Args:
        mean_direction: μ, a vector of length 1 on the last axis, of d ≥ 2 numbers.
        concentration: κ, at least 0; 0 is the uniform distribution on the sphere.

    The density is with respect to the area of the sphere. 1 − μ·x is computed as ½ ‖x − μ‖², which keeps its digits where the
    two are close. Natural parameters κμ of T(x) = x; log-normaliser log[(2π)^(d/2) I_v(κ)/κ^v] with v = d/2 − 1. For d = 2 it is
    `VonMises` in other coordinates. Source: Mardia & Jupp (2000), Directional Statistics, section 9.3.

    >>> d = VonMisesFisher([0.0, 0.0, 1.0], 2.0)
    >>> area = 2 * math.pi * (1 - math.exp(-4.0)) / 2  # of exp(κ (μ·x − 1)), for d = 3
    >>> print(f"{d.log_prob([0.0, 0.0, 1.0]) + math.log(area):.4f}")
    0.0000
    """

    mean_direction: Any = parameter(unit_vector, event_dim=1)
    concentration: Any = parameter(nonnegative)

    dimension = None
    layout = Layout(_UNIT_VECTOR, (SQUARED_LENGTH,))
    may_be_known = ("concentration",)
    data_support = SPHERE
    event_dim = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_direction(self)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """(d,)."""
        return np.shape(self.mean_direction)[-1:]

    @classmethod
    def free_parameters(cls, fit: Self) -> int:
        """d: d − 1 of the direction, and the concentration."""
        return fit.event_shape[0]

    @property
    def _order(self) -> float:
        return 0.5 * self.event_shape[0] - 1.0

    # Density.

    def _log_density(self, x: Array) -> Array:
        k = self.concentration
        away = 0.5 * jnp.sum((x - self.mean_direction) ** 2, axis=-1)
        return -k * away - log_area(self.event_shape[0]) - log_scaled_bessel_i(self._order, k)

    # Moments.

    def _mean(self) -> Array:
        return beside(bessel_ratio(self._order, self.concentration)) * self.mean_direction

    def _variance(self) -> Array:
        along, across = self.spreads()
        square = jnp.asarray(self.mean_direction) ** 2
        return square * along + (1.0 - square) * across

    def _mode(self) -> Array:
        return self.mean_direction

    def spreads(self) -> tuple[Array, Array]:
        """Variances along the mean direction, A′, and across it, A/κ; with an axis for the components."""
        k = jnp.asarray(self.concentration)
        some = k > 0
        ratio = bessel_ratio(self._order, jnp.where(some, k, 1.0)) / jnp.where(some, k, 1.0)
        across = jnp.where(some, ratio, 1.0 / self.event_shape[0])
        return beside(bessel_ratio_slope(self._order, k)), beside(across)

    # Information.

    def _entropy(self) -> Any:
        k = self.concentration
        level = log_area(self.event_shape[0]) + log_scaled_bessel_i(self._order, k)
        return level + k * bessel_ratio_complement(self._order, k)

    def _kl(self, q: Self) -> Array:
        """Two terms ≥ 0: what the concentrations differ by, and the directions."""
        away = 0.5 * jnp.sum((self.mean_direction - q.mean_direction) ** 2, axis=-1)
        turn = q.concentration * bessel_ratio(self._order, self.concentration) * away
        return log_bessel_divergence(self._order, self.concentration, q.concentration) + turn

    # Exponential family.

    def _natural(self) -> Array:
        return beside(self.concentration) * self.mean_direction

    @classmethod
    def _from_natural(cls, natural: Array, known: dict[str, Any]) -> Self:
        direction, length = _polar(natural)
        return cls._of(mean_direction=direction, concentration=length)

    def _expectation(self) -> Array:
        return self._mean()

    @classmethod
    def _from_expectation(cls, expectation: Array, known: dict[str, Any]) -> Self:
        direction, length = _polar(expectation)
        short = jnp.where(length < 1.0, 1.0 - length, jnp.nan)
        return cls._of(mean_direction=direction, concentration=_concentration(expectation, length, short))

    def _log_normalizer(self) -> Any:
        return log_area(self.event_shape[0]) + log_scaled_bessel_i(self._order, self.concentration) + self.concentration

    def _sufficient_statistics(self, x: Array) -> Array:
        return x

    @classmethod
    def _gap_statistics(cls, gaps: Array) -> Array:
        return jnp.zeros_like(gaps)

    def _fisher_information(self) -> Array:
        along, across = (beside(v) for v in self.spreads())
        m = jnp.asarray(self.mean_direction)
        square = m[..., :, None] * m[..., None, :]
        whole = jnp.eye(m.shape[-1], dtype=m.dtype).reshape((1,) * (m.ndim - 1) + (m.shape[-1],) * 2)
        return along * square + across * (whole - square)

    def _fisher_solve(self, v: Array) -> Array:
        along, across = self.spreads()
        part = jnp.sum(v * self.mean_direction, axis=-1, keepdims=True) * self.mean_direction
        return part / along + (v - part) / across

    # Maximum likelihood.

    @classmethod
    def _fit_moments(cls, e: Moments) -> tuple[Self, Outcome]:
        """The direction of the mean, and A(κ) = its length R, unless κ is known; the gap is 1 − R²."""
        direction, length = _polar(e.mean)
        if "concentration" in e.known:
            concentration = e.known["concentration"] * jnp.ones_like(length)
            outcome = Outcome.first((e.count <= 0, Reason.NO_DATA))
            return cls._of(mean_direction=direction, concentration=concentration), outcome
        gap = e.gaps[..., 0]
        outcome = Outcome.first((e.count <= 0, Reason.NO_DATA), (gap <= 0, Reason.ALL_SAME))
        concentration = _concentration(e.mean, length, gap / (1.0 + length))
        return cls._of(mean_direction=direction, concentration=concentration), outcome

    # Samples.

    def _sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        """A cosine about the mean direction, and a direction across it."""
        key_cosine, key_across = jax.random.split(key)
        (d,) = self.event_shape
        away = draw_cosine(key_cosine, d, self.concentration, shape)
        m = jnp.asarray(self.mean_direction, away.dtype)
        across = jax.random.normal(key_across, (*shape, d), away.dtype)
        for _ in range(2):  # once more for what rounding leaves
            across = across - jnp.sum(across * m, axis=-1, keepdims=True) * m
        across = across / jnp.linalg.norm(across, axis=-1, keepdims=True)
        x = beside(1.0 - away) * m + beside(jnp.sqrt(away * (2.0 - away))) * across
        return x / jnp.linalg.norm(x, axis=-1, keepdims=True)


def check_direction(d: Any) -> None:
    """Raise `ValueError` unless there are directions in its space to tell apart."""
    if d.event_shape[0] < 2:
        raise ValueError(
            f"{type(d).__name__}: mean_direction must have at least two numbers on its last axis; got an array of shape"
            f" {np.shape(d.mean_direction)}."
        )


def log_area(dimension: int) -> float:
    """log of the area of the unit sphere in that many dimensions, 2 π^(d/2)/Γ(d/2)."""
    half = 0.5 * dimension
    return math.log(2.0) + half * math.log(math.pi) - math.lgamma(half)


def beside(v: Any) -> Array:
    return jnp.asarray(v)[..., None]


def _concentration(mean: Array, length: Array, short: Array) -> Array:
    return inverse_bessel_ratio(0.5 * mean.shape[-1] - 1.0, length, short)


def _polar(v: Array) -> tuple[Array, Array]:
    """Direction and length of a vector; of none, the first axis and 0."""
    size = jnp.sum(v * v, axis=-1, keepdims=True)
    none = size == 0
    first = jnp.zeros(v.shape[-1], v.dtype).at[0].set(1.0).reshape((1,) * (v.ndim - 1) + v.shape[-1:])
    length = jnp.sqrt(jnp.where(none, 1.0, size))
    return jnp.where(none, first, v / length), jnp.where(none, 0.0, length)[..., 0]
