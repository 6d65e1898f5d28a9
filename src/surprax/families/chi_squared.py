"""The chi-squared distribution."""

import math
from typing import Any, Self

import jax.numpy as jnp
from jax import Array

from surprax.evidence import Layout, Moments
from surprax.evidence.layout import LOG
from surprax.families.base import family
from surprax.families.exponential import ExponentialFamily
from surprax.families.gamma import Gamma
from surprax.families.outcomes import Outcome, Reason
from surprax.families.parameters import parameter, positive
from surprax.families.supports import NONNEGATIVE, POSITIVE, Support
from surprax.numerics.gamma import inverse_digamma, log_gamma, log_minus_digamma, trigamma
from surprax.numerics.gamma_differences import log_gamma_bregman

__all__ = ["ChiSquared"]

_LOG_2 = math.log(2.0)


@family
class ChiSquared(ExponentialFamily):
    """Chi-squared distribution, Gamma(df/2, 1/2): s(x) = x/2 − (df/2 − 1) log x + (df/2) log 2 + log Γ(df/2) for x ≥ 0.

    Args:
        df: degrees of freedom, positive; also the mean.

    Natural parameter df/2 − 1 of T(x) = log x, with h(x) = exp(−x/2); log-normaliser log Γ(df/2) + (df/2) log 2. `fit` solves
    ψ(df/2) = mean log(x/2). Source: Johnson, Kotz & Balakrishnan (1994), chapter 18.

    >>> print(f"{ChiSquared(2.0).log_sf(3.0):.3f}")  # with two degrees of freedom it is exponential
    -1.500
    >>> print(f"{ChiSquared(5.0).kl(ChiSquared(7.0)) - Gamma(2.5, 0.5).kl(Gamma(3.5, 0.5)):.3f}")
    0.000
    """

    df: Any = parameter(positive)

    dimension = 1
    layout = Layout(LOG)
    gap_matrix = ((),)
    data_support = POSITIVE

    @property
    def support(self) -> Support:
        return NONNEGATIVE

    @property
    def _gamma(self) -> Gamma:
        return Gamma._of(concentration=0.5 * self.df, rate=0.5)

    # Density.

    def _log_density(self, x: Array) -> Array:
        return self._gamma._log_density(x)

    # Moments.

    def _mean(self) -> Any:
        return self.df

    def _variance(self) -> Any:
        return 2.0 * self.df

    def _mode(self) -> Any:
        return jnp.maximum(self.df - 2.0, 0.0)

    # Distribution function.

    def _log_cdf(self, x: Array) -> Array:
        return self._gamma._log_cdf(x)

    def _log_sf(self, x: Array) -> Array:
        return self._gamma._log_sf(x)

    def _quantile(self, log_p: Array, log_q: Array) -> Array:
        return self._gamma._quantile(log_p, log_q)

    # Information.

    def _entropy(self) -> Any:
        return self._gamma._entropy()

    def _kl(self, q: Self) -> Array:
        return log_gamma_bregman(0.5 * q.df, 0.5 * self.df)

    # Exponential family.

    def _natural(self) -> tuple[Any, ...]:
        return (0.5 * self.df - 1.0,)

    @classmethod
    def _from_natural(cls, natural: tuple[Array, ...], known: dict[str, Any]) -> Self:
        df = 2.0 * (natural[0] + 1.0)
        return cls._of(df=jnp.where(df > 0, df, jnp.nan))

    def _expectation(self) -> tuple[Any, ...]:
        return (jnp.log(self.df) - log_minus_digamma(0.5 * self.df),)

    @classmethod
    def _from_expectation(cls, expectation: tuple[Array, ...], known: dict[str, Any]) -> Self:
        (mean_log,) = expectation
        return cls._of(df=2.0 * inverse_digamma(mean_log - _LOG_2))

    def _log_normalizer(self) -> Any:
        half = 0.5 * self.df
        return log_gamma(half) + half * _LOG_2

    def _sufficient_statistics(self, x: Array) -> tuple[Any, ...]:
        return (jnp.log(x),)

    @classmethod
    def _log_base(cls, x: Array, known: dict[str, Any]) -> Array:
        return -0.5 * x

    def _fisher_information(self) -> tuple[tuple[Any, ...], ...]:
        return ((trigamma(0.5 * self.df),),)

    def _fitted_log_likelihood(self) -> Any:
        return 0.5 * self.df - self._entropy()

    # Maximum likelihood.

    @classmethod
    def _fit_moments(cls, e: Moments) -> tuple[Self, Outcome]:
        """ψ(df/2) = mean log x − log 2."""
        return cls._from_expectation((e.mean,), {}), Outcome.first((e.count <= 0, Reason.NO_DATA))

    # Samples.

    def _sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        return self._gamma._sample(key, shape)
