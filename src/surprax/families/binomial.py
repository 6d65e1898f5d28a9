"""The binomial distribution."""

from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from surprax.evidence import Layout, Moments
from surprax.evidence.layout import POSITIVE
from surprax.families.base import family
from surprax.families.discrete import (
    bernoulli_divergence,
    binary_entropy,
    choose_logits,
    factorial_remainder,
    lattice,
    lattice_entropy,
    least_whole,
    log_odds,
    sigmoid,
    smallest_quantile,
    softplus,
    trials_deviance,
)
from surprax.families.exponential import ExponentialFamily
from surprax.families.outcomes import Outcome, Reason
from surprax.families.parameters import count, parameter, probability
from surprax.families.supports import NONNEGATIVE_INTEGERS, Support
from surprax.numerics.elementary import log1p_minus, log_ratio, with_derivatives
from surprax.numerics.gamma_differences import digamma_difference, log_binomial_coefficient, log_minus_digamma_drop
from surprax.numerics.incomplete_beta import log_betainc
from surprax.numerics.precision import is_traced

__all__ = ["Binomial"]


def _score(x: Array, n: Array, logits: Array) -> Array:
    """x − n·probs = n (sigmoid(log x/y) − sigmoid(logits)) for y = n − x, by the difference of the log-odds."""
    y, p, q = n - x, jax.nn.sigmoid(logits), jax.nn.sigmoid(-logits)
    finite = jnp.isfinite(logits)
    gap = jnp.where(finite, logits, 0.0) - log_ratio(x, y)
    close = jnp.where(gap < 0, -x * q * jnp.expm1(gap), y * p * jnp.expm1(-gap))
    return jnp.where(n == 0, 0.0 * p, jnp.where(finite, close, x * q - y * p))


def _slope_in_count(x: Array, n: Array, logits: Array) -> Array:
    """ψ(n + 1) − ψ(y + 1) + log q for y = n − x and q = 1 − probs; where (n + 1) q is near y + 1 their logarithms cancel."""
    ahead = n - x + 1.0
    u = (_score(x, n, logits) - jax.nn.sigmoid(logits)) / ahead
    near = jnp.abs(u) <= 0.5
    close = jnp.log1p(jnp.where(near, u, 0.0)) + log_minus_digamma_drop(ahead, n + 1.0, x)
    return jnp.where(near, close, digamma_difference(n + 1.0, ahead) - softplus(logits))


@with_derivatives(
    lambda x, n, logits: logits + digamma_difference(n - x + 1.0, x + 1.0),
    _slope_in_count,
    _score,
)
def _log_mass(x: Array, n: Array, logits: Array) -> Array:
    """log C(n, x) + x log probs + (n − x) log(1 − probs) in saddle-point form (Loader 2000)."""
    y = n - x
    remainder = factorial_remainder(n) - factorial_remainder(x) - factorial_remainder(y)
    return remainder - trials_deviance(x, y, logits - log_ratio(x, y), softplus(logits), softplus(-logits))


@family
class Binomial(ExponentialFamily):
    """Binomial distribution of the successes in n = `total_count` trials.

    s(x) = −log C(n, x) − x log probs − (n − x) log(1 − probs) for x = 0, …, n.

    Args:
        total_count: number of trials n, a whole number from 0.
        probs: probability of success, in [0, 1]; or else
        logits: log-odds log(probs/(1 − probs)), any number or ±∞. These are what is stored.

    With known total_count it is an exponential family: natural parameter logits of T(x) = x; log-normaliser
    n log(1 + e^logits); log h(x) = log C(n, x). `fit(x, total_count=n)` gives the share of successes; `fit(x)` also the
    total_count at the maximum, which exists when the variance is below the mean (DeRiggi 1983).
    Source: Johnson, Kemp & Kotz (2005), chapter 3.

    >>> print(f"{Binomial(10, 0.5).entropy() - 10 * Binomial(1, 0.5).entropy():.3f}")  # order is forgotten
    -5.056
    >>> Binomial.fit([3, 5, 4], total_count=8).probs.round(3).item()
    0.5
    """

    total_count: Any = parameter(count, default=1)
    logits: Any = parameter(log_odds, default=None)

    dimension = 1
    layout = Layout(POSITIVE)
    gap_matrix = ((),)
    known_parameters = ("total_count",)
    discrete = True
    data_support = NONNEGATIVE_INTEGERS
    sums_by_evidence = (
        False  # Σ log C(n, x) dwarfs the rest at large counts: in float32 the masses keep what would cancel
    )

    def __init__(self, total_count: Any = 1, probs: Any = None, logits: Any = None) -> None:
        object.__setattr__(self, "total_count", total_count)
        object.__setattr__(self, "logits", choose_logits("Binomial", probs, logits, probability))
        self.__post_init__()

    @property
    def probs(self) -> Any:
        """Probability of success; the shape of `logits`."""
        return sigmoid(self.logits)

    @property
    def support(self) -> Support:
        return Support(0.0, self.total_count, discrete=True)

    @classmethod
    def _data_support(cls, known: dict[str, Any]) -> Support:
        n = known.get("total_count", np.inf)
        return cls.data_support if is_traced(n) else Support(0.0, float(np.max(n)), discrete=True)

    # Density.

    def _log_density(self, x: Array) -> Array:
        return _log_mass(x, self.total_count, self.logits)

    # Moments.

    def _mean(self) -> Any:
        return self.total_count * jax.nn.sigmoid(self.logits)

    def _variance(self) -> Any:
        return self.total_count * jax.nn.sigmoid(self.logits) * jax.nn.sigmoid(-self.logits)

    def _mode(self) -> Any:
        return jnp.clip(jnp.ceil((self.total_count + 1.0) * jax.nn.sigmoid(self.logits)) - 1.0, 0.0, self.total_count)

    # Distribution function.

    def _log_cdf(self, x: Array) -> Array:
        return self._log_tail(x, True)

    def _log_sf(self, x: Array) -> Array:
        return self._log_tail(x, False)

    def _log_tail(self, x: Array, lower: Any) -> Array:
        """log P(X ≤ x) = log I_q(n − x, x + 1) where `lower`, else log P(X > x) = log I_p(x + 1, n − x)."""
        p, q = jax.nn.sigmoid(self.logits), jax.nn.sigmoid(-self.logits)
        a, b = jnp.maximum(self.total_count - x, 1.0), x + 1.0  # of no trials, x = 0 is the end already
        excess = _score(x, self.total_count, self.logits) + q
        return log_betainc(
            jnp.where(lower, a, b),
            jnp.where(lower, b, a),
            jnp.where(lower, q, p),
            jnp.where(lower, p, q),
            jnp.where(lower, -excess, excess),
        )

    def _quantile(self, log_p: Array, log_q: Array) -> Array:
        variance = self._variance()
        skewness = (jax.nn.sigmoid(-self.logits) - jax.nn.sigmoid(self.logits)) / jnp.sqrt(jnp.maximum(variance, 0.01))
        return smallest_quantile(self, log_p, log_q, self._mean(), variance, skewness, self.total_count)

    # Information.

    def _entropy(self) -> Any:
        rare = -jnp.abs(self.logits)
        n, logits = jnp.broadcast_arrays(self.total_count, rare)
        mean = n * jax.nn.sigmoid(logits)
        return lattice_entropy(lambda x: _log_mass(x, n, logits), mean, mean * jax.nn.sigmoid(-logits), 1.0, n)

    def _kl(self, q: Self) -> Array:
        """total_count times that of one trial; by summation where the number of trials differs."""
        n, m, logits, others = jnp.broadcast_arrays(self.total_count, q.total_count, self.logits, q.logits)

        def summed() -> Array:
            mean = n * jax.nn.sigmoid(logits)
            x, w = lattice(mean, mean * jax.nn.sigmoid(-logits), jnp.ones_like(mean), n)
            log_p = jax.vmap(lambda x: _log_mass(x, n, logits))(x)
            log_q = jax.vmap(lambda x: _log_mass(jnp.minimum(x, m), m, others))(x)
            some = log_p != -jnp.inf
            log_p, log_q = jnp.where(some, log_p, 0.0), jnp.where(some, log_q, 0.0)
            return jnp.sum(jnp.where(some, w * jnp.exp(log_p) * (log_p - log_q), 0.0), axis=0)

        equal = n == m
        sums = jax.lax.cond(jnp.all(equal), lambda: jnp.zeros_like(logits), summed)
        outside = (n > m) & (logits > -jnp.inf)
        sums = jnp.where(jnp.isnan(n + m), jnp.nan, sums)
        return jnp.where(equal, self._kl_given_known(q), jnp.where(outside, jnp.inf, sums))

    def _kl_given_known(self, q: Self) -> Array:
        return self.total_count * bernoulli_divergence(self.logits, q.logits)

    # Exponential family.

    def _natural(self) -> tuple[Any, ...]:
        return (self.logits,)

    @classmethod
    def _from_natural(cls, natural: tuple[Array, ...], known: dict[str, Any]) -> Self:
        return cls._of(total_count=known["total_count"], logits=natural[0])

    def _expectation(self) -> tuple[Any, ...]:
        return (self._mean(),)

    @classmethod
    def _from_expectation(cls, expectation: tuple[Array, ...], known: dict[str, Any]) -> Self:
        (mean,), n = expectation, known["total_count"]
        return cls._of(total_count=n, logits=log_ratio(mean, n - mean))

    def _log_normalizer(self) -> Any:
        return self.total_count * softplus(self.logits)

    def _sufficient_statistics(self, x: Array) -> tuple[Any, ...]:
        return (x,)

    @classmethod
    def _log_base(cls, x: Array, known: dict[str, Any]) -> Array:
        return log_binomial_coefficient(known["total_count"], x)

    def _fitted_log_likelihood(self) -> Any:
        return -self.total_count * binary_entropy(self.logits)

    def _fisher_information(self) -> tuple[tuple[Any, ...], ...]:
        return ((self._variance(),),)

    # Maximum likelihood.

    @classmethod
    def _fit_moments(cls, e: Moments) -> tuple[Self, Outcome]:
        """probs = mean/total_count."""
        n = e.known["total_count"]
        outcome = Outcome.first(
            (e.count <= 0, Reason.NO_DATA), (e.mean <= 0, Reason.ALL_ZERO), (e.mean >= n, Reason.ALL_AT_UPPER_END)
        )
        return cls._of(total_count=n, logits=log_ratio(e.mean, n - e.mean)), outcome

    @classmethod
    def _fit_sample(
        cls, x: Array, weights: Array | None, known: dict[str, Any], start: Self | None = None
    ) -> tuple[Self, Outcome]:
        """total_count unknown: climb the profile likelihood, probs = mean/n, which has a single peak (DeRiggi 1983)."""
        c = jnp.ones_like(x) if weights is None else weights
        total = jnp.sum(c)
        share = c / jnp.where(total > 0, total, 1.0)
        mean = jnp.sum(share * x)
        variance = jnp.sum(share * (x - mean) ** 2)
        most = jnp.max(jnp.where(c > 0, x, 0.0), initial=0.0)
        spread = (variance > 0) & (variance < mean)
        # Where there is no climb to make, any mean and counts that keep the numbers finite.
        mean_or = jnp.where(spread, mean, 0.5)

        def rest(z: Array) -> Array:
            return -1.0 / z - (z - 1.0) * log1p_minus(-1.0 / z)

        def falls(n: Array) -> Array:
            """Whether n + 1 trials have no greater log-likelihood than n; what cancels is left out."""
            z = n + 1.0
            ratio = log1p_minus(-mean_or / z) - jnp.sum(share * log1p_minus(-jnp.where(c > 0, x, 0.0) / z))
            return ratio + rest(z - mean_or) - rest(z) <= 0

        guess = mean_or**2 / jnp.where(spread, mean - variance, 1.0)
        peak = least_whole(falls, jnp.round(guess), jnp.maximum(most, 1.0), jnp.where(spread, jnp.inf, most))
        n = jnp.where(spread, peak, jnp.where(variance > 0, jnp.inf, most))
        exists = (mean > 0) & (n < jnp.inf)
        logits = jnp.where(exists, log_ratio(mean, jnp.where(exists, n, 1.0) - mean), -jnp.inf)
        outcome = Outcome.first(
            (total <= 0, Reason.NO_DATA),
            (mean <= 0, Reason.ALL_ZERO),
            (variance <= 0, Reason.ALL_AT_UPPER_END),
            (variance >= mean, Reason.OVERDISPERSED),
        )
        return cls._of(total_count=n, logits=logits), outcome

    # Samples.

    def _sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        draws = jax.random.binomial(key, self.total_count, jax.nn.sigmoid(self.logits), shape, jnp.result_type(float))
        return draws.astype(int)
