"""The normal-gamma distribution: of the mean and the precision of a normal variable, both unknown."""

from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from surprax.evidence import Layout, Moments
from surprax.evidence.layout import Carrier
from surprax.families.base import family
from surprax.families.exponential import ExponentialFamily
from surprax.families.gamma import Gamma
from surprax.families.normal_inverse_gamma import (
    FIRST_LOG,
    WEIGHTED_SQUARE,
    NormalInverseGamma,
    fit_mean_and_precision,
    mean_given_scale_kl,
    pair,
)
from surprax.families.outcomes import Outcome
from surprax.families.parameters import parameter, positive, real
from surprax.families.student_t import StudentT
from surprax.families.supports import Region
from surprax.numerics.normal import HALF_LOG_2PI

__all__ = ["NormalGamma"]

_SIGNS = np.array([1.0, 1.0, 1.0, -1.0], np.float32)
"""T(m, w) = (m w, m² w, w, log w) is that of `NormalInverseGamma` but for the sign of the logarithm."""


@family
class NormalGamma(ExponentialFamily):
    """Normal-gamma distribution of a pair (m, w): w is Gamma(a, rate), and m given w is normal about loc with precision κ w.

        s(m, w) = (rate + κ (m − loc)²/2) w − (a − ½) log w − a log rate + log Γ(a) − ½ log κ + ½ log 2π,  w > 0

    Args:
        loc: centre of the mean, finite.
        mean_precision: κ, positive: the precision of the mean in units of that of an observation.
        concentration: shape a of the precision, positive.
        rate: of the gamma, positive.

    An observation is (m, w) on the last axis. Natural parameters (κ loc, −κ/2, −rate − κ loc²/2, a − ½) of
    T(m, w) = (m w, m² w, w, log w); log-normaliser log Γ(a) − a log rate − ½ log κ + ½ log 2π. (m, 1/w) is
    `NormalInverseGamma` of the same parameters. Source: Bernardo & Smith (1994), section 3.2.5.

    >>> belief = NormalGamma(1.0, 2.0, 3.0, 4.0)
    >>> twin = belief.to_normal_inverse_gamma()
    >>> print(f"{belief.log_prob([2.0, 4.0]) - twin.log_prob([2.0, 0.25]) + 2 * jnp.log(4.0):.3f}")  # dv = dw/w²
    0.000
    """

    loc: Any = parameter(real)
    mean_precision: Any = parameter(positive)
    concentration: Any = parameter(positive)
    rate: Any = parameter(positive)

    dimension = 4
    layout = Layout(
        Carrier(
            "(w, m w)",
            lambda x: jnp.stack([x[..., 1], x[..., 0] * x[..., 1]], axis=-1),
            lambda y: jnp.stack([y[..., 1] / y[..., 0], y[..., 0]], axis=-1),
            rank=1,
            inside=lambda y: y[..., 0] > 0,
        ),
        (FIRST_LOG, WEIGHTED_SQUARE),
    )
    gap_matrix = ((0.0, 0.0), (0.0, 1.0), (0.0, 0.0), (-1.0, 0.0))
    data_support = Region(
        "pairs of a finite mean and a precision above 0",
        lambda x: jnp.all(jnp.isfinite(x), axis=-1) & (x[..., 1] > 0),
        1,
        lambda shape: np.array([0.0, 1.0]),
    )
    event_dim = 1

    @property
    def event_shape(self) -> tuple[int, ...]:
        """(2,): mean and precision."""
        return (2,)

    # Parts, and the twin.

    @property
    def marginal_precision(self) -> Gamma:
        """The distribution of w."""
        return Gamma._of(concentration=self.concentration, rate=self.rate)

    @property
    def marginal_mean(self) -> StudentT:
        """The distribution of m: Student's t with 2a degrees of freedom and scale √(rate/(a κ))."""
        return self._twin.marginal_mean

    def to_normal_inverse_gamma(self) -> NormalInverseGamma:
        """The same belief about the mean and the variance 1/w."""
        return self._twin

    @property
    def _twin(self) -> NormalInverseGamma:
        return NormalInverseGamma._of(**{name: getattr(self, name) for name in self.parameters})

    # Density.

    def _log_density(self, x: Array) -> Array:
        m, w = x[..., 0], x[..., 1]
        precision = self.mean_precision * w
        z = (m - self.loc) * jnp.sqrt(precision)
        return self.marginal_precision._log_density(w) - 0.5 * z * z + 0.5 * jnp.log(precision) - HALF_LOG_2PI

    # Moments.

    def _mean(self) -> Any:
        return pair(jnp.where(self.concentration > 0.5, self.loc, jnp.nan), self.marginal_precision._mean())

    def _variance(self) -> Any:
        return pair(self._twin._variance()[..., 0], self.marginal_precision._variance())

    @property
    def covariance(self) -> Array:
        """Cov(m, w), shape batch + (2, 2): they are uncorrelated."""
        return self.variance[..., None] * jnp.eye(2).reshape((1,) * len(self.batch_shape) + (2, 2))

    def _mode(self) -> Any:
        return pair(self.loc, jnp.maximum(self.concentration - 0.5, 0.0) / self.rate)

    # Information.

    def _entropy(self) -> Any:
        """That of w, and the mean of ½ (1 + log 2π − log κ w)."""
        g = self.marginal_precision
        return g._entropy() + HALF_LOG_2PI + 0.5 * (1.0 - g._expectation()[0] - jnp.log(self.mean_precision))

    def _kl(self, q: Self) -> Array:
        """That of the precisions, and the mean of what the means have at a given precision."""
        return self.marginal_precision._kl(q.marginal_precision) + mean_given_scale_kl(self, q)

    # Exponential family.

    def _natural(self) -> tuple[Any, ...]:
        return *self._twin._natural()[:3], self.concentration - 0.5

    @classmethod
    def _from_natural(cls, natural: tuple[Array, ...], known: dict[str, Any]) -> Self:
        twin = NormalInverseGamma._from_natural((*natural[:3], -natural[3] - 2.0), known)
        return cls._of(**{name: getattr(twin, name) for name in cls.parameters})

    def _expectation(self) -> tuple[Any, ...]:
        *others, log = self._twin._expectation()
        return *others, -log

    @classmethod
    def _from_expectation(cls, expectation: tuple[Array, ...], known: dict[str, Any]) -> Self:
        twin = NormalInverseGamma._from_expectation((*expectation[:3], -expectation[3]), known)
        return cls._of(**{name: getattr(twin, name) for name in cls.parameters})

    def _log_normalizer(self) -> Any:
        return self._twin._log_normalizer()

    def _sufficient_statistics(self, x: Array) -> tuple[Any, ...]:
        m, w = x[..., 0], x[..., 1]
        return m * w, m * w * m, w, jnp.log(w)

    def _fisher_information(self) -> tuple[tuple[Any, ...], ...]:
        rows = self._twin._fisher_information()
        return tuple(tuple(s * t * v for t, v in zip(_SIGNS, row)) for s, row in zip(_SIGNS, rows))

    def _fisher_solve(self, v: Array) -> Array:
        signs = _SIGNS.reshape((1,) * (v.ndim - 1) + (4,))
        return self._twin._fisher_solve(v * signs) * signs

    # Maximum likelihood.

    @classmethod
    def _fit_moments(cls, e: Moments) -> tuple[Self, Outcome]:
        """That of the gamma of w; loc is the mean weighted by precision, and 1/κ its weighted variance."""
        fit, outcome = fit_mean_and_precision(e)
        return cls._of(**fit), outcome

    # Samples.

    def _sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        of_precision, of_mean = jax.random.split(key)
        w = self.marginal_precision._sample(of_precision, shape)
        z = jax.random.normal(of_mean, shape, w.dtype)
        return pair(self.loc + z * jax.lax.rsqrt(self.mean_precision * w), w)
