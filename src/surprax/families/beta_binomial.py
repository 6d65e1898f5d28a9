"""The beta-binomial distribution."""

from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from surprax.families.base import Distribution, family
from surprax.families.discrete import smallest_quantile
from surprax.families.outcomes import Outcome, Reason
from surprax.families.parameters import count, parameter, positive
from surprax.families.passes import climb
from surprax.families.polya import log_urn
from surprax.families.sums import between, divergence, log_sum, log_tails
from surprax.families.supports import NONNEGATIVE_INTEGERS, Support
from surprax.numerics.elementary import by_dtype, log_ratio
from surprax.numerics.gamma import digamma, trigamma
from surprax.numerics.gamma_differences import integrate
from surprax.numerics.precision import is_traced

__all__ = ["BetaBinomial"]


@family
class BetaBinomial(Distribution):
    """Beta-binomial distribution of the successes in n = `total_count` trials whose probability has a Beta distribution.

    s(x) = −log C(n, x) − log B(a + x, b + n − x) + log B(a, b) for x = 0, …, n; the mean is n a/(a + b), and the variance that of
    the binomial distribution times (a + b + n)/(a + b + 1).

    Args:
        concentration1: a, positive.
        concentration0: b, positive; the larger both, the nearer to binomial.
        total_count: number of trials n, a whole number from 0.

    `fit(x, total_count=n)` climbs the likelihood, which has a maximum where the variance exceeds that of a binomial distribution.
    Distribution function, entropy and KL are sums, over all numbers where these are a few hundred, else over as many places; they
    are good to some 6 digits in float32 (12 in float64) for n up to 1e6. Source: Johnson, Kemp & Kotz (2005), section 6.2.2.

    >>> print(f"{BetaBinomial(1.0, 1.0, 4).log_prob(3) + jnp.log(5.0):.4f}")  # uniform
    0.0000
    >>> print(f"{BetaBinomial(2.0, 3.0, 10).variance:.4f}")
    6.0000
    """

    concentration1: Any = parameter(positive)
    concentration0: Any = parameter(positive)
    total_count: Any = parameter(count, default=1)

    known_parameters = ("total_count",)
    needs_known = True
    discrete = True
    data_support = NONNEGATIVE_INTEGERS

    @property
    def support(self) -> Support:
        return Support(0.0, self.total_count, discrete=True)

    @classmethod
    def _data_support(cls, known: dict[str, Any]) -> Support:
        n = known.get("total_count", np.inf)
        return cls.data_support if is_traced(n) else Support(0.0, float(np.max(n)), discrete=True)

    # Density.

    @property
    def single_peaked(self) -> Any:
        return (self.concentration1 >= 1) | (self.concentration0 >= 1)

    def _log_density(self, x: Array) -> Array:
        return log_urn(x, self.total_count - x, self.concentration1, self.concentration0)

    # Moments.

    def _mean(self) -> Any:
        return self.total_count * (self.concentration1 / (self.concentration1 + self.concentration0))

    def _variance(self) -> Any:
        a, b, n = self.concentration1, self.concentration0, self.total_count
        return n * (a / (a + b)) * (b / (a + b)) * ((a + b + n) / (a + b + 1.0))

    def _mode(self) -> Any:
        """Where masses begin to fall; of two peaks, which are the ends, the higher one."""
        a, b, n = jnp.broadcast_arrays(self.concentration1, self.concentration0, self.total_count)
        rising = (a - 1.0) + (b - 1.0)
        inner = jnp.ceil((n * (a - 1.0) - (b - 1.0)) / jnp.where(rising > 0, rising, 1.0))
        inner = jnp.where(rising > 0, jnp.clip(inner, 0.0, n), 0.0)
        at_end = jnp.where((b < 1) & (b < a), n, 0.0)
        bad = jnp.isnan(a + b + n)
        return jnp.where(bad, jnp.nan, jnp.where((a < 1) | (b < 1), at_end, inner))

    # Distribution function.

    def _log_tails(self, x: Array) -> tuple[Array, Array]:
        a, b, n, x = jnp.broadcast_arrays(self.concentration1, self.concentration0, self.total_count, x)

        def total(lower: Array, upper: Array) -> Array:
            places, _, weights = between(lower, upper)
            return log_sum(log_urn(places, n[None] - places, a[None], b[None]), weights)

        return log_tails(total(jnp.zeros_like(x), x), total(x + 1.0, n), x >= self._mode())

    def _log_cdf(self, x: Array) -> Array:
        return self._log_tails(x)[0]

    def _log_sf(self, x: Array) -> Array:
        return self._log_tails(x)[1]

    def _log_tail(self, x: Array, lower: Array) -> Array:
        return jnp.where(lower, *self._log_tails(x))

    def _quantile(self, log_p: Array, log_q: Array) -> Array:
        mean, variance = self._mean(), self._variance()
        return smallest_quantile(self, log_p, log_q, mean, variance, jnp.zeros_like(mean), self.total_count)

    # Information.

    def _places(self, a: Array, b: Array, n: Array) -> tuple[Array, Array, Array]:
        """x, n − x and weights for sums over all that matters: the lower end is where the tail is below 1e-9 (1e-18 in float64).

        By the gamma variables G, H of a probability p = G/(G + H), whose logarithms have tails like gamma variables of variance
        ψ' and scale 1/a (Boucheron, Lugosi & Massart 2013, section 2.4), and for the trials by the inequality of Bernstein.
        """
        a, b, n = (jax.lax.stop_gradient(v) for v in (a, b, n))
        nats = by_dtype(a, 20.0, 42.0)
        logit = digamma(a) - digamma(b) - jnp.sqrt(2.0 * nats * (trigamma(a) + trigamma(b))) - nats / a
        mean = n * jax.nn.sigmoid(logit)
        lower = mean - jnp.sqrt(2.0 * nats * mean * jax.nn.sigmoid(-logit)) - nats
        return between(jnp.floor(jnp.maximum(lower, 0.0)), n)

    def _entropy(self) -> Any:
        a, b, n = jnp.broadcast_arrays(self.concentration1, self.concentration0, self.total_count)
        x, y, w = self._places(a, b, n)
        log_p = log_urn(x, y, a[None], b[None])
        return -jnp.sum(jnp.where(w == 0, 0.0, w * jnp.exp(log_p) * log_p), axis=0)

    def _kl(self, q: Self) -> Array:
        a, b, n, c, d, m = jnp.broadcast_arrays(
            *(getattr(v, name) for v in (self, q) for name in ("concentration1", "concentration0", "total_count"))
        )
        x, y, w = self._places(a, b, n)
        log_p = log_urn(x, y, a[None], b[None])
        log_q = log_urn(x, jnp.where((m == n)[None], y, jnp.maximum(m[None] - x, 0.0)), c[None], d[None])
        change, other = log_ratio(a, c), log_ratio(b, d)
        near = (jnp.abs(change) <= 0.5) & (jnp.abs(other) <= 0.5) & (n == m)
        change, other = (jnp.where(near, v, 0.0)[None] for v in (change, other))

        def slope(t: Array) -> Array:
            """Of the mass along the way from q to p, whose integral keeps its digits as q → p."""
            at = (c[None] * jnp.exp(t * change), d[None] * jnp.exp(t * other))
            moves = (at[0] * change, at[1] * other)
            return jax.jvp(lambda u, v: log_urn(x, y, u, v), at, moves)[1]

        ratio = jnp.where(near[None], jax.lax.stop_gradient(integrate(slope, a)), log_p - log_q)
        total = divergence(w, log_p, log_q, ratio)
        return jnp.where(n > m, jnp.inf, jnp.where(jnp.isnan(a + b + c + d + n + m), jnp.nan, total))

    # Maximum likelihood.

    @classmethod
    def _fit_sample(
        cls, x: Array, weights: Array | None, known: dict[str, Any], start: Self | None = None
    ) -> tuple[Self, Outcome]:
        """Newton's method in the logit of a/(a + b) and the logarithm of a + b."""
        if "total_count" not in known:
            nan = jnp.full((), jnp.nan, x.dtype)
            code = jnp.full((), Reason.UNKNOWN_TOTAL_COUNT.value, jnp.int32)
            return cls._of(concentration1=nan, concentration0=nan, total_count=nan), Outcome(code)
        n = jnp.asarray(known["total_count"], x.dtype)
        c = jnp.ones_like(x) if weights is None else weights
        total = jnp.sum(c)
        share = c / jnp.where(total > 0, total, 1.0)
        x = jnp.where(c > 0, x, 0.0)
        mean = jnp.sum(share * x)
        variance = jnp.sum(share * (x - mean) ** 2)
        binomial = mean * (1.0 - mean / jnp.where(n > 0, n, 1.0))
        ends = jnp.sum(jnp.where((x > 0) & (x < n), share, 0.0)) <= 0
        good = (n > 1) & (variance > binomial) & ~ends
        # Where there is no climb to make, any numbers that stay finite.
        p = jnp.where(good, mean / n, 0.5)
        correlation = jnp.where(good, (variance / binomial - 1.0) / (n - 1.0), 0.5)
        size = (1.0 - correlation) / correlation
        if start is not None:
            p = start.concentration1 / (start.concentration1 + start.concentration0)
            size = start.concentration1 + start.concentration0

        def concentrations(place: Array) -> tuple[Array, Array]:
            return jnp.exp(place[1]) * jax.nn.sigmoid(place[0]), jnp.exp(place[1]) * jax.nn.sigmoid(-place[0])

        def height(place: Array) -> Array:
            return jnp.sum(share * log_urn(x, jnp.maximum(n - x, 0.0), *concentrations(place)))

        def survey(place: Array) -> tuple[Array, Array, Array]:
            return height(place), jax.grad(height)(place), jax.jacfwd(jax.grad(height))(place)

        place = jnp.stack([jnp.log(p) - jnp.log1p(-p), jnp.log(size)])
        end = climb(survey, lambda place, step: place + step, place, jnp.where(good, 60, 0))
        a, b = concentrations(end.place)
        outcome = Outcome.first(
            (total <= 0, Reason.NO_DATA),
            (mean <= 0, Reason.ALL_ZERO),
            (mean >= n, Reason.ALL_AT_UPPER_END),
            ((n <= 1) | (variance <= binomial), Reason.ONE_PROBABILITY),
            (ends, Reason.ALL_AT_BOTH_ENDS),
            (~end.settled, Reason.NOT_CONVERGED),
        )
        a, b = (jnp.where(good, v, jnp.nan) for v in (a, b))
        return cls._of(concentration1=a, concentration0=b, total_count=n), outcome

    # Samples.

    def _sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        """Binomial draws at probabilities from the Beta distribution."""
        keys, dtype = jax.random.split(key), jnp.result_type(float)
        probs = jax.random.beta(keys[0], self.concentration1, self.concentration0, shape, dtype)
        return jax.random.binomial(keys[1], self.total_count, probs, shape, dtype).astype(int)
