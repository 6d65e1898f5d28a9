"""The inverse gamma distribution."""

from typing import Any, Self

import jax.numpy as jnp
from jax import Array

from surprax.evidence import Layout, Moments
from surprax.evidence.layout import INVERSE, NEGATIVE_LOG
from surprax.families.base import family
from surprax.families.exponential import ExponentialFamily
from surprax.families.gamma import TWO_PI, Gamma
from surprax.families.outcomes import Outcome
from surprax.families.parameters import parameter, positive
from surprax.families.supports import POSITIVE
from surprax.numerics.elementary import log_of_ratio, log_power_minus, log_ratio, product_minus, with_derivatives
from surprax.numerics.gamma import log_minus_digamma, stirling_error
from surprax.numerics.incomplete_gamma import gamma_quantile_from_log, log_gammainc, log_gammaincc

__all__ = ["InverseGamma"]


@family
class InverseGamma(ExponentialFamily):
    """Inverse gamma distribution: 1/X is Gamma(a, rate); s(x) = rate/x + (a + 1) log x − a log rate + log Γ(a) for x > 0.

    Args:
        concentration: shape a, positive.
        rate: rate of the gamma of 1/X, positive; a scale for X, and called scale by others (the name here is NumPyro's).

    Natural parameters (−a − 1, −rate) of T(x) = (log x, 1/x); log-normaliser log Γ(a) − a log rate. The mean is ∞ for a ≤ 1,
    the variance for a ≤ 2. Source: Johnson, Kotz & Balakrishnan (1994), chapter 17.

    >>> x, y = InverseGamma(2.0, 3.0), Gamma(2.0, 3.0)
    >>> print(f"{x.log_cdf(4.0) - y.log_sf(1 / 4.0):.3f}")
    0.000
    >>> print(f"{x.mode * 3.0:.3f}")  # rate/(a + 1)
    3.000
    """

    concentration: Any = parameter(positive)
    rate: Any = parameter(positive, default=1.0)

    dimension = 2
    layout = Layout(INVERSE, (NEGATIVE_LOG,))
    gap_matrix = ((1.0,), (0.0,))
    may_be_known = ("concentration",)
    data_support = POSITIVE

    @property
    def _of_reciprocal(self) -> Gamma:
        return Gamma._of(concentration=self.concentration, rate=self.rate)

    # Density.

    def _log_density(self, x: Array) -> Array:
        return _log_inverse_gamma_density(x, self.concentration, self.rate)

    # Moments.

    def _mean(self) -> Any:
        a = self.concentration
        return jnp.where(a <= 1.0, jnp.inf, self.rate / jnp.where(a <= 1.0, 1.0, a - 1.0))

    def _variance(self) -> Any:
        a = self.concentration
        safe = jnp.where(a <= 2.0, 3.0, a)
        return jnp.where(a <= 2.0, jnp.inf, (self.rate / (safe - 1.0)) ** 2 / (safe - 2.0))

    def _mode(self) -> Any:
        return self.rate / (self.concentration + 1.0)

    # Distribution function.

    def _log_cdf(self, x: Array) -> Array:
        return log_gammaincc(self.concentration, self.rate / x)

    def _log_sf(self, x: Array) -> Array:
        return log_gammainc(self.concentration, self.rate / x)

    def _quantile(self, log_p: Array, log_q: Array) -> Array:
        return self.rate / gamma_quantile_from_log(self.concentration, log_q, log_p)

    # Information.

    def _entropy(self) -> Any:
        """From the saddle-point form below, with E r = 1 and E log r = ψ(a) − log a."""
        a = self.concentration
        return (a + 1.0) * log_minus_digamma(a) - _log_level(a, self.rate)

    def _kl(self, q: Self) -> Array:
        return self._of_reciprocal._kl(q._of_reciprocal)

    # Exponential family.

    def _natural(self) -> tuple[Any, ...]:
        return -self.concentration - 1.0, -self.rate

    @classmethod
    def _from_natural(cls, natural: tuple[Array, ...], known: dict[str, Any]) -> Self:
        a, rate = -natural[0] - 1.0, -natural[1]
        return cls._of(concentration=jnp.where(a > 0, a, jnp.nan), rate=jnp.where(rate > 0, rate, jnp.nan))

    def _expectation(self) -> tuple[Any, ...]:
        mean_log, mean = self._of_reciprocal._expectation()
        return -mean_log, mean

    @classmethod
    def _from_expectation(cls, expectation: tuple[Array, ...], known: dict[str, Any]) -> Self:
        g = Gamma._from_expectation((-expectation[0], expectation[1]), known)
        return cls._of(concentration=g.concentration, rate=g.rate)

    def _log_normalizer(self) -> Any:
        return self._of_reciprocal._log_normalizer()

    def _sufficient_statistics(self, x: Array) -> tuple[Any, ...]:
        return jnp.log(x), 1.0 / x

    def _fisher_information(self) -> tuple[tuple[Any, ...], ...]:
        (log_log, cross), (_, square) = self._of_reciprocal._fisher_information()
        return (log_log, -cross), (-cross, square)

    # Maximum likelihood.

    @classmethod
    def _fit_moments(cls, e: Moments) -> tuple[Self, Outcome]:
        """That of the gamma of 1/x, whose mean and gap these are."""
        g, outcome = Gamma._fit_moments(e)
        return cls._of(concentration=g.concentration, rate=g.rate), outcome

    # Samples.

    def _sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        draw = 1.0 / self._of_reciprocal._sample(key, shape)
        return jnp.clip(draw, jnp.finfo(draw.dtype).tiny, jnp.finfo(draw.dtype).max)


# The saddle-point form of `Gamma` in r = rate/(a x), whose excess u = r − 1 here rests on the product a·x:
#
#     log p = a (log r − (r − 1)) + log r + C,    C = log(a/rate) + ½ log(a/(2π)) − μ(a).


def _relative_excess(x: Array, a: Array, rate: Array) -> Array:
    return -product_minus(a, x, rate) / (a * x)


def _log_level(a: Array, rate: Array) -> Array:
    return log_ratio(a, rate) + (0.5 * jnp.log(a / TWO_PI) - stirling_error(a))


@with_derivatives(
    lambda x, a, rate: (-product_minus(a, x, rate) / x - 1.0) / x,
    lambda x, a, rate: log_of_ratio(_relative_excess(x, a, rate), rate / a, x) + log_minus_digamma(a),
    lambda x, a, rate: product_minus(a, x, rate) / jnp.where(x < 1, rate, x) / jnp.where(x < 1, x, rate),
)
def _log_inverse_gamma_density(x: Array, a: Array, rate: Array) -> Array:
    """log of rate^a x^(−a−1) exp(−rate/x)/Γ(a) for x > 0."""
    u = _relative_excess(x, a, rate)
    return log_power_minus(a + 1.0, u, rate / a, x, rate / x - a, 1.0) + _log_level(a, rate)
