"""The zeta distribution, of power-law counts."""

import math
from typing import Any, Self

import jax
import jax.numpy as jnp
from jax import Array

from surprax.evidence import Layout, Moments
from surprax.evidence.layout import LOG
from surprax.families.base import family
from surprax.families.discrete import smallest_quantile
from surprax.families.exponential import ExponentialFamily
from surprax.families.outcomes import Outcome, Reason
from surprax.families.parameters import Constraint, parameter
from surprax.families.supports import POSITIVE_INTEGERS
from surprax.numerics.elementary import log1mexp
from surprax.numerics.zeta import (
    inverse_mean_log,
    log_zeta,
    log_zeta_bregman,
    log_zeta_head,
    log_zeta_tail,
    zeta_cumulant,
)

__all__ = ["Zeta"]

_above_one = Constraint("above 1 and finite", lambda v: (v > 1) & (v < float("inf")))


@family
class Zeta(ExponentialFamily):
    """Zeta (Zipf) distribution: surprise grows with the logarithm, s(x) = exponent·log x + log ζ(exponent) for x = 1, 2, …

    Args:
        exponent: of the power law, above 1.

    Natural parameter −exponent of T(x) = log x; log-normaliser log ζ(exponent), with Riemann's zeta function. The mean is infinite
    for an exponent up to 2, the variance up to 3. `fit` matches the mean logarithm; it refuses data that are all 1. Quantiles
    beyond the greatest number are ∞. Source: Johnson, Kemp & Kotz (2005), section 11.2.20.

    >>> print(f"{Zeta(2.0).log_prob(3) - Zeta(2.0).log_prob(1) + 2.0 * jnp.log(3.0):.4f}")
    0.0000
    >>> print(f"{jnp.exp(Zeta(2.0).log_prob(1)) * jnp.pi**2 / 6:.4f}")
    1.0000
    """

    exponent: Any = parameter(_above_one)

    dimension = 1
    layout = Layout(LOG)
    gap_matrix = ((),)
    discrete = True
    data_support = POSITIVE_INTEGERS
    sums_by_evidence = False  # log ζ and Σ log x cancel: in float32 the masses keep their digits

    # Density.

    def _log_density(self, x: Array) -> Array:
        return -self.exponent * jnp.log(x) - log_zeta(self.exponent)

    # Moments.

    def _mean(self) -> Any:
        """ζ(s − 1)/ζ(s)."""
        return 1.0 + (_beyond_one(self.exponent - 1.0) - _beyond_one(self.exponent)) / jnp.exp(log_zeta(self.exponent))

    def _variance(self) -> Any:
        """ζ(s − 2)/ζ(s) − mean², without the ones."""
        one, two, three = (_beyond_one(self.exponent - i) for i in range(3))
        squares = (three - two) - (two - one) + (three * one - two * two)
        finite = self.exponent > 3
        return jnp.where(finite, squares, jnp.inf) * jnp.exp(-2.0 * log_zeta(self.exponent))

    def _mode(self) -> Any:
        return jnp.ones_like(self.exponent)

    # Distribution function.

    def _log_tails(self, x: Array) -> tuple[Array, Array]:
        """log P(X ≤ x) and log P(X > x), each from the smaller one."""
        total = log_zeta(self.exponent)
        head, tail = log_zeta_head(x, self.exponent) - total, log_zeta_tail(x, self.exponent) - total
        by_tail = tail < head
        smaller = jnp.where(by_tail, tail, head)
        larger = log1mexp(jnp.maximum(-smaller, 0.0))
        return jnp.where(by_tail, larger, head), jnp.where(by_tail, tail, larger)

    def _log_cdf(self, x: Array) -> Array:
        return self._log_tails(x)[0]

    def _log_sf(self, x: Array) -> Array:
        return self._log_tails(x)[1]

    def _log_tail(self, x: Array, lower: Array) -> Array:
        return jnp.where(lower, *self._log_tails(x))

    def _quantile(self, log_p: Array, log_q: Array) -> Array:
        """From x where the integral of the power law beyond it is q."""
        rate = self.exponent - 1.0
        start = jnp.floor(jnp.exp(-(log_q + log_zeta(self.exponent) + jnp.log(rate)) / rate))
        return jnp.maximum(
            smallest_quantile(self, log_p, log_q, start, jnp.zeros_like(start), jnp.zeros_like(start)), 1.0
        )

    # Information.

    def _entropy(self) -> Any:
        return self.exponent * zeta_cumulant(1, self.exponent) + log_zeta(self.exponent)

    def _kl(self, q: Self) -> Array:
        return log_zeta_bregman(q.exponent, self.exponent)

    # Exponential family.

    def _natural(self) -> tuple[Any, ...]:
        return (-self.exponent,)

    @classmethod
    def _from_natural(cls, natural: tuple[Array, ...], known: dict[str, Any]) -> Self:
        return cls._of(exponent=jnp.where(natural[0] < -1, -natural[0], jnp.nan))

    def _expectation(self) -> tuple[Any, ...]:
        return (zeta_cumulant(1, self.exponent),)

    @classmethod
    def _from_expectation(cls, expectation: tuple[Array, ...], known: dict[str, Any]) -> Self:
        return cls._of(exponent=inverse_mean_log(expectation[0]))

    def _log_normalizer(self) -> Any:
        return log_zeta(self.exponent)

    def _sufficient_statistics(self, x: Array) -> tuple[Any, ...]:
        return (jnp.log(x),)

    def _fisher_information(self) -> tuple[tuple[Any, ...], ...]:
        return ((zeta_cumulant(2, self.exponent),),)

    # Maximum likelihood.

    @classmethod
    def _fit_moments(cls, e: Moments) -> tuple[Self, Outcome]:
        """−ζ'(s)/ζ(s) = mean log."""
        outcome = Outcome.first((e.count <= 0, Reason.NO_DATA), (e.mean <= 0, Reason.ALL_AT_LOWER_END))
        return cls._of(exponent=inverse_mean_log(e.mean)), outcome

    # Samples.

    def _sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        """By rejection from the whole part of a Pareto variable (Devroye 1986, section X.6.1).

        In floating point: there are draws beyond all integers.
        """
        rate = jnp.broadcast_to(self.exponent - 1.0, shape)
        dtype = rate.dtype

        def draw(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            key, x, done = state
            key, *keys = jax.random.split(key, 3)
            wait = jax.random.exponential(keys[0], shape, dtype)
            proposal = jnp.floor(jnp.minimum(jnp.exp(wait / rate), 1.0 / float(jnp.finfo(dtype).tiny)))
            cover = -proposal * jnp.expm1(-rate * jnp.log1p(1.0 / proposal))
            accept = jax.random.uniform(keys[1], shape, dtype) * cover <= -jnp.expm1(-rate * math.log(2.0))
            return key, jnp.where(done, x, proposal), done | accept

        start = key, jnp.full(shape, jnp.nan, dtype), jnp.isnan(rate)
        return jax.lax.while_loop(lambda state: ~jnp.all(state[2]), draw, start)[1]


def _beyond_one(s: Array) -> Array:
    """ζ(s) − 1; ∞ for s up to 1."""
    proper = s > 1
    return jnp.where(proper, jnp.expm1(log_zeta(jnp.where(proper, s, 2.0))), jnp.where(jnp.isnan(s), jnp.nan, jnp.inf))
