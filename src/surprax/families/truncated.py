"""A distribution confined to an interval."""

from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from surprax.families.base import Distribution, family, floating
from surprax.families.confined import (
    Interval,
    at_quantiles,
    check_interval,
    fit_within,
    interval_probability,
    limit,
    log_probability_between,
)
from surprax.families.outcomes import Outcome
from surprax.families.parameters import components, parameter
from surprax.families.supports import Support
from surprax.numerics.elementary import argmax, expm1_minus, log1mexp, logaddexp

__all__ = ["Truncated"]


@family
class Truncated(Distribution):
    """A distribution of numbers given that they lie in [low, high]: s(x) = s_base(x) + log P(low ≤ X ≤ high) there.

    Args:
        base: any distribution of numbers, continuous or discrete.
        low: least value, or −∞.
        high: greatest value, above `low`, or ∞.

    All probabilities are taken from the smaller tail, as logarithms, so that the interval may lie where the base has
    probability 1e-300. Mean, variance, entropy and KL are integrals over quantiles (of continuous bases), with errors of about
    1e-9 for smooth densities (1e-6 in float32) and 1e-4 for those with a kink. `fit(x, base=Family, low=…, high=…)` fits the base's
    parameters at known ends by Newton's method; data narrower than their base may have no maximum.
    Source: Johnson, Kotz & Balakrishnan (1994), chapter 10, section 10.1; Takahasi & Mori (1974) for the quadrature.

    >>> from surprax.families import Exponential, Normal
    >>> d = Truncated(Normal(0.0, 1.0), low=40.0)  # beyond 40 standard deviations
    >>> print(d.mean.round(4), d.log_sf(40.1).round(3))
    40.0249 -4.007
    >>> late, again = Truncated(Exponential(2.0), low=3.0), Exponential(2.0)  # without memory
    >>> print((late.mean - 3.0).round(4), again.mean)
    0.5 0.5
    """

    base: Any = components()
    low: Any = parameter(limit, default=-np.inf)
    high: Any = parameter(limit, default=np.inf)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_interval(self)

    @property
    def discrete(self) -> Any:  # type: ignore[override]
        """Whether the base is."""
        return self.base.discrete

    @property
    def support(self) -> Support:
        s, lower, upper = self.base.support, jnp.asarray(self.low), jnp.asarray(self.high)
        if s.discrete:
            lower, upper = jnp.ceil(lower), jnp.floor(upper)
        lower, upper = jnp.maximum(lower, s.lower), jnp.minimum(upper, s.upper)
        return Support(lower, upper, s.discrete, s.open_lower, s.open_upper)

    @property
    def data_support(self) -> Support:  # type: ignore[override]
        return self.support

    def _inner_point(self) -> Array:
        s = self.support
        if s.discrete:
            return jnp.where(jnp.isfinite(s.lower), s.lower, jnp.where(jnp.isfinite(s.upper), s.upper, 0.0))
        return super()._inner_point()

    # Density.

    @property
    def _interval(self) -> Interval:
        return interval_probability(self.base, self.low, self.high)

    def _log_density(self, x: Array) -> Array:
        return self.base._log_density(x) - self._interval.log_inside

    # Moments.

    def _mean(self) -> Array:
        return self._moment(self._center(*self._nodes()), self.base._mean())

    def _variance(self) -> Array:
        x, w = self._nodes()
        square = jnp.sum(w * (x - self._center(x, w)[None]) ** 2, axis=0)
        return self._moment(square, self.base._variance())

    def _center(self, x: Array, w: Array) -> Array:
        """The mean by way of the median: what rounding leaves of the sum of the weights then counts by the spread only."""
        median = x[x.shape[0] // 2]
        return median + jnp.sum(w * (x - median[None]), axis=0)

    def _moment(self, value: Array, of_base: Any) -> Array:
        """A moment by quadrature; infinite where that of the base is, and the interval has no end."""
        s = self.support
        endless = jnp.isinf(s.lower) | jnp.isinf(s.upper)
        infinite = jnp.where(
            jnp.isinf(s.lower) & jnp.isinf(s.upper), of_base, jnp.where(jnp.isinf(s.upper), 1, -1) * jnp.inf
        )
        return jnp.where(endless & ~jnp.isfinite(of_base), infinite, value)

    def _nodes(self) -> tuple[Array, Array]:
        if self.discrete:
            raise NotImplementedError(
                "Truncated has no mean, variance, entropy or kl for a discrete base: the sum has no bound that is known beforehand."
            )
        return at_quantiles(self._quantile, self._interval.log_inside)

    def _mode(self) -> Array:
        """Of the base's mode, or the end next to it, and both ends: where the density is greatest."""
        s = self.support
        middle = jnp.clip(self.base._mode(), s.lower, s.upper)
        ends = (jnp.where(jnp.isfinite(v), v, middle) for v in (middle, s.lower, s.upper))
        places = jnp.stack(jnp.broadcast_arrays(*ends))
        best = argmax(jax.vmap(self.base._log_density)(places), axis=0)
        return jnp.take_along_axis(places, best[None], axis=0)[0]

    # Distribution function.

    def _log_cdf(self, x: Array) -> Array:
        return self._tails(x)[0]

    def _log_sf(self, x: Array) -> Array:
        return self._tails(x)[1]

    def _tails(self, x: Array) -> tuple[Array, Array]:
        """log P(X ≤ x) and log P(X > x), the greater of which from the other."""
        i = self._interval
        below = log_probability_between(self.base, i.before, x) - i.log_inside
        above = log_probability_between(self.base, x, i.last) - i.log_inside
        low = below < above
        rest = log1mexp(-jnp.minimum(jnp.where(low, below, above), 0.0))
        return jnp.where(low, below, rest), jnp.where(low, rest, above)

    def _quantile(self, log_p: Array, log_q: Array) -> Array:
        i = self._interval
        x = self.base._quantile(
            logaddexp(i.log_below, log_p + i.log_inside), logaddexp(i.log_above, log_q + i.log_inside)
        )
        s = self.support
        return jnp.clip(x, s.lower, s.upper)

    # Information.

    def _entropy(self) -> Array:
        x, w = self._nodes()
        return jnp.sum(w * _finite(-jax.vmap(self._log_density)(x)), axis=0)

    def _kl(self, q: Self) -> Array:
        """E log p/q; where that is small all over, E (r − 1 − log r) + P_q(outside) with r = q/p, whose terms are positive."""
        x, w = self._nodes()
        s, other = self.support, q.support
        outside = (s.lower < other.lower) | (s.upper > other.upper)
        log_r = _finite(jax.vmap(lambda x: q._log_density(x) - self._log_density(x))(x))
        near = jnp.max(jnp.where(w > 1e-9, jnp.abs(log_r), 0.0), axis=0) <= 1.0
        close = jnp.sum(w * expm1_minus(jnp.minimum(log_r, 1.0)), axis=0)
        i = q._interval
        ends = (jnp.maximum(self.low, q.low), jnp.minimum(self.high, q.high))
        same = (self.low == q.low) & (self.high == q.high)
        inside = interval_probability(q.base, *ends).log_inside - i.log_inside
        close = close - jnp.where(same, 0.0, jnp.expm1(jnp.where(same, 0.0, inside)))
        value = jnp.where(near, close, -jnp.sum(w * log_r, axis=0))
        return jnp.where(outside & ~jnp.isnan(value), jnp.inf, value)

    # Maximum likelihood.

    @classmethod
    def try_fit(
        cls, data: Any, weights: Any = None, *, base: Any = None, low: Any = -np.inf, high: Any = np.inf, **known: Any
    ) -> tuple[Self, Outcome]:
        """Like `fit`: the base's parameters at the maximum, from those of a fit without truncation.

        Args:
            data, weights: as in `Distribution.fit`.
            base: a family of numbers whose parameters are real or positive.
            low, high: the ends, known.
            known: no others.
        """
        return fit_within(cls, data, weights, base, low, high, known)

    # Samples.

    def _sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        u = jax.random.uniform(key, shape, jnp.result_type(float), minval=jnp.finfo(jnp.result_type(float)).tiny)
        draws = self._quantile(jnp.log(u), jnp.log1p(-u))
        return draws.astype(int) if self.discrete else floating(draws)


def _finite(values: Array) -> Array:
    """0 where infinite: at the far ends of the nodes, which weigh nothing."""
    return jnp.where(jnp.isinf(values), 0.0, values)
