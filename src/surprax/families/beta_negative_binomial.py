"""The beta negative binomial distribution."""

from typing import Any, Self

import jax
import jax.numpy as jnp
from jax import Array

from surprax.families.base import Distribution, family
from surprax.families.discrete import smallest_quantile
from surprax.families.outcomes import Outcome, Reason
from surprax.families.parameters import parameter, positive
from surprax.families.passes import climb
from surprax.families.polya import log_wait
from surprax.families.sums import between, divergence, log_sum, log_tails, step_at_infinity, upward
from surprax.families.supports import NONNEGATIVE_INTEGERS
from surprax.numerics.elementary import by_dtype, log1mexp, log_ratio, scale_divergence
from surprax.numerics.gamma import digamma, trigamma
from surprax.numerics.gamma_differences import integrate
from surprax.numerics.normal import normal_quantile_from_log

__all__ = ["BetaNegativeBinomial"]

_REACH = 1e30
"""From here on masses are a power of x."""


@family
class BetaNegativeBinomial(Distribution):
    """Beta negative binomial distribution: failures before the r-th success, at a probability that has a Beta distribution.

    s(x) = −log Γ(r + x)/(Γ(r) x!) − log B(a + r, b + x) + log B(a, b) for x = 0, 1, 2, …, with r the total_count. The tail is that
    of the power x^(−a − 1): the mean r b/(a − 1) is finite for a > 1, the variance for a > 2.

    Args:
        concentration1: a, of success, positive.
        concentration0: b, of failure, positive; the larger both, the nearer to negative binomial.
        total_count: r, positive, not necessarily whole; 1 is the predictive distribution of geometric counts.

    `fit(x, total_count=r)` climbs the likelihood, which has a maximum where the variance exceeds that of a negative binomial
    distribution. Distribution function, entropy and KL are sums over some hundred places, with the rest of the tail in closed form.
    SciPy's `betanbinom` has the same parameters, total_count first. Source: Johnson, Kemp & Kotz (2005), section 6.2.3.

    >>> print(f"{BetaNegativeBinomial(1.0, 1.0, 1.0).log_sf(8) + jnp.log(10.0):.4f}")  # 1/((x + 1)(x + 2)) telescopes
    0.0000
    >>> print(f"{BetaNegativeBinomial(3.0, 4.0, 2.0).mean:.4f}")
    4.0000
    """

    concentration1: Any = parameter(positive)
    concentration0: Any = parameter(positive)
    total_count: Any = parameter(positive, default=1.0)

    known_parameters = ("total_count",)
    needs_known = True
    discrete = True
    data_support = NONNEGATIVE_INTEGERS

    @property
    def _triple(self) -> tuple[Array, ...]:
        """r, a and b."""
        return tuple(jnp.broadcast_arrays(self.total_count, self.concentration1, self.concentration0))

    # Density.

    def _log_density(self, x: Array) -> Array:
        return log_wait(x, self.total_count, self.concentration1, self.concentration0)

    # Moments.

    def _mean(self) -> Any:
        r, a, b = self._triple
        finite = a > 1
        mean = r * (b / jnp.where(finite, a - 1.0, 1.0))
        return jnp.where(finite, mean, jnp.where(jnp.isnan(r + a + b), jnp.nan, jnp.inf))

    def _variance(self) -> Any:
        r, a, b = self._triple
        finite = a > 2
        one, two = jnp.where(finite, a - 1.0, 2.0), jnp.where(finite, a - 2.0, 1.0)
        variance = r * b * ((r + one) / one) * ((b + one) / one) / two
        return jnp.where(finite, variance, jnp.where(jnp.isnan(r + a + b), jnp.nan, jnp.inf))

    def _mode(self) -> Any:
        """Where masses begin to fall."""
        r, a, b = self._triple
        return jnp.maximum(jnp.ceil((r - 1.0) * (b - 1.0) / (a + 1.0) - 1.0), 0.0)

    # Distribution function.

    def _log_tails(self, x: Array) -> tuple[Array, Array]:
        r, a, b, x = jnp.broadcast_arrays(*self._triple, x)
        low, _, low_weights = between(jnp.zeros_like(x), x)
        high, high_weights = upward(x + 1.0, _REACH)
        masses = log_wait(high, r[None], a[None], b[None])
        rest = masses[-1] + jnp.log(high_weights[-1]) + _log_rest(a)
        above = jnp.logaddexp(log_sum(masses, high_weights), rest)
        below = log_sum(log_wait(low, r[None], a[None], b[None]), low_weights)
        return log_tails(below, above, x >= self._mode())

    def _log_cdf(self, x: Array) -> Array:
        return self._log_tails(x)[0]

    def _log_sf(self, x: Array) -> Array:
        return self._log_tails(x)[1]

    def _log_tail(self, x: Array, lower: Array) -> Array:
        return jnp.where(lower, *self._log_tails(x))

    def _quantile(self, log_p: Array, log_q: Array) -> Array:
        """From that of a log-normal rate; far up in the tail from that of a power."""
        centre, spread = self._log_rate()
        bell = centre + spread * normal_quantile_from_log(log_p, log_q)
        start = jnp.floor(jnp.exp(jnp.where(log_q < -3.0, centre - log_q / self.concentration1, bell)))
        still = jnp.zeros_like(start)
        return smallest_quantile(self, log_p, log_q, start, still, still)

    def _log_rate(self) -> tuple[Array, Array]:
        """Mean and standard deviation of log R G/H, gamma variables of shapes r, b and a: the rate of the Poisson count."""
        r, a, b = self._triple
        return digamma(r) + digamma(b) - digamma(a), jnp.sqrt(trigamma(r) + trigamma(a) + trigamma(b))

    # Information.

    def _places(self) -> tuple[Array, Array]:
        """x and weights for sums over all that matters: the lower end is where the tail is below 1e-9 (1e-18 in float64).

        The logarithm of the rate has tails like a gamma variable of its variance (Boucheron, Lugosi & Massart 2013, section 2.4).
        """
        r, _, b = self._triple
        nats = by_dtype(b, 20.0, 42.0)
        centre, spread = self._log_rate()
        rate = jnp.exp(centre - jnp.sqrt(2.0 * nats) * spread - nats / jnp.minimum(r, b))
        return upward(jnp.floor(jnp.maximum(rate - jnp.sqrt(2.0 * nats * rate), 0.0)), _REACH)

    def _entropy(self) -> Any:
        r, a, b = self._triple
        x, w = self._places()
        log_p = log_wait(x, r[None], a[None], b[None])
        # Beyond the last place log p goes on falling by (a + 1) h from place to place.
        step = step_at_infinity(a)
        mean_fall = (a + 1.0) * step / -jnp.expm1(-a * step)
        rest = jnp.exp(log_p[-1] + jnp.log(w[-1]) + _log_rest(a)) * (mean_fall - log_p[-1])
        return rest - jnp.sum(w * jnp.exp(log_p) * log_p, axis=0)

    def _kl(self, q: Self) -> Array:
        values = jnp.broadcast_arrays(*self._triple, *q._triple)
        own, other = values[:3], values[3:]
        p = type(self)._of(total_count=own[0], concentration1=own[1], concentration0=own[2])
        x, w = p._places()
        log_p, log_q = (log_wait(x, *(v[None] for v in triple)) for triple in (own, other))
        changes = [log_ratio(u, v) for u, v in zip(own, other)]
        near = (jnp.abs(changes[0]) <= 0.5) & (jnp.abs(changes[1]) <= 0.5) & (jnp.abs(changes[2]) <= 0.5)
        changes = [jnp.where(near, v, 0.0)[None] for v in changes]

        def slope(t: Array) -> Array:
            """Of the mass along the way from q to p, whose integral keeps its digits as q → p."""
            at = tuple(v[None] * jnp.exp(t * change) for v, change in zip(other, changes))
            moves = tuple(v * change for v, change in zip(at, changes))
            return jax.jvp(lambda *triple: log_wait(x, *triple), at, moves)[1]

        ratio = jnp.where(near[None], jax.lax.stop_gradient(integrate(slope, own[0])), log_p - log_q)
        # What is beyond the last place is one more, and within it the divergence is that of powers.
        a, c = own[1], other[1]
        step = step_at_infinity(a)
        log_tail, log_tail_q = (log[-1] + jnp.log(w[-1]) + _log_rest(shape) for log, shape in ((log_p, a), (log_q, c)))
        tail_ratio = ratio[-1] - (a - c) * step + jnp.log1p(-jnp.expm1((a - c) * step) / jnp.expm1(a * step))
        total = divergence(
            jnp.concatenate([w, jnp.ones_like(w[:1])]),
            *(jnp.concatenate([v, u[None]]) for v, u in ((log_p, log_tail), (log_q, log_tail_q), (ratio, tail_ratio))),
        )
        return total + jnp.exp(log_tail) * scale_divergence(c, a)

    # Maximum likelihood.

    @classmethod
    def _fit_sample(
        cls, x: Array, weights: Array | None, known: dict[str, Any], start: Self | None = None
    ) -> tuple[Self, Outcome]:
        """Newton's method in the logarithms of b/a and of a."""
        if "total_count" not in known:
            nan = jnp.full((), jnp.nan, x.dtype)
            code = jnp.full((), Reason.UNKNOWN_TOTAL_COUNT.value, jnp.int32)
            return cls._of(concentration1=nan, concentration0=nan, total_count=nan), Outcome(code)
        r = jnp.asarray(known["total_count"], x.dtype)
        c = jnp.ones_like(x) if weights is None else weights
        total = jnp.sum(c)
        share = c / jnp.where(total > 0, total, 1.0)
        mean = jnp.sum(share * x)
        variance = jnp.sum(share * (x - mean) ** 2)
        single = mean * (1.0 + mean / r)
        good = variance > single
        m = jnp.where(good, mean, 1.0)
        # By moments a = 2 + (1 + m/r)(m + r)/(…): at least 2; a heavier tail is found from there.
        excess = jnp.where(good, variance / single - 1.0, 1.0)
        a = 2.0 + (1.0 + 1.0 / r) / excess
        b = (a - 1.0) * m / r
        if start is not None:
            a, b = start.concentration1, start.concentration0

        def concentrations(place: Array) -> tuple[Array, Array]:
            return jnp.exp(place[1]), jnp.exp(place[0] + place[1])

        def height(place: Array) -> Array:
            return jnp.sum(share * log_wait(x, r, *concentrations(place)))

        def survey(place: Array) -> tuple[Array, Array, Array]:
            return height(place), jax.grad(height)(place), jax.jacfwd(jax.grad(height))(place)

        place = jnp.stack([jnp.log(b / a), jnp.log(a)])
        end = climb(survey, lambda place, step: place + step, place, jnp.where(good, 60, 0))
        outcome = Outcome.first(
            (total <= 0, Reason.NO_DATA),
            (mean <= 0, Reason.ALL_ZERO),
            (~good, Reason.ONE_PROBABILITY),
            (~end.settled, Reason.NOT_CONVERGED),
        )
        a, b = (jnp.where(good, v, jnp.nan) for v in concentrations(end.place))
        return cls._of(concentration1=a, concentration0=b, total_count=r), outcome

    # Samples.

    def _sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        """Poisson draws at a rate that is a ratio of gamma variables. In floating point: there are draws beyond all integers."""
        (*keys, count_key, noise_key), dtype = jax.random.split(key, 5), jnp.result_type(float)
        success, failure, wait = (
            jax.random.loggamma(k, shape_, shape, dtype)
            for k, shape_ in zip(keys, (self.concentration1, self.concentration0, self.total_count))
        )
        rate = jnp.minimum(jnp.exp(wait + failure - success), 0.1 * float(jnp.finfo(dtype).max))
        few = rate < 1e6
        counts = jax.random.poisson(count_key, jnp.where(few, rate, 1.0), shape).astype(dtype)
        # Of greater rates a normal approximation of the noise, which is a thousandth of the rate.
        many = jnp.round(rate + jnp.sqrt(rate) * jax.random.normal(noise_key, shape, dtype))
        return jnp.where(few, counts, many)


def _log_rest(a: Array) -> Array:
    """The logarithm of what all places beyond the last one add, over what that one does."""
    fall = a * step_at_infinity(a)
    return -fall - log1mexp(fall)
