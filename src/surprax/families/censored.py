"""A distribution recorded within limits."""

from typing import Any, Self

import jax.numpy as jnp
import numpy as np
from jax import Array

from surprax.families.base import Distribution, family
from surprax.families.categorical import Categorical
from surprax.families.confined import check_interval, fit_within, interval_probability, limit
from surprax.families.outcomes import Outcome
from surprax.families.parameters import components, parameter
from surprax.families.supports import Support
from surprax.families.truncated import Truncated
from surprax.numerics.elementary import argmax

__all__ = ["Censored"]


@family
class Censored(Distribution):
    """A distribution of which values at or below `low` are recorded as `low`, those at or above `high` as `high`.

    s(low) = −log P(X ≤ low), s(high) = −log P(X ≥ high), and s_base(x) between them. For a continuous base the law is mixed, and
    its density is with respect to length plus one unit of mass at each end: surprises at the ends are those of probabilities.

    Args:
        base: any distribution of numbers, continuous or discrete.
        low: lower limit of what is recorded, or −∞.
        high: upper limit, above `low`, or ∞.

    Mean, variance, entropy and KL are those of the ends and of the base truncated to what lies between (see `Truncated`); KL
    between different limits is ∞, as each has an end that the other lacks. `fit(x, base=Family, low=…, high=…)` fits the base's
    parameters at known limits (Tobin 1958).

    >>> from surprax.families import Normal
    >>> d = Censored(Normal(0.0, 1.0), low=0.0)
    >>> print(jnp.exp(d.log_prob(0.0)).round(3), d.mean.round(4))  # half the mass; 1/√(2π)
    0.5 0.3989
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
        s = self.base.support
        # An end of the base beyond which nothing is recorded keeps its own nature.
        return Support(jnp.maximum(self.low, s.lower), jnp.minimum(self.high, s.upper), s.discrete)

    @property
    def data_support(self) -> Support:  # type: ignore[override]
        return self.support

    # Density.

    @property
    def _ends(self) -> tuple[Array, Array, Array]:
        """Log-probabilities of the lower end, of what lies between, and of the upper end."""
        low, high = jnp.asarray(self.low), jnp.asarray(self.high)
        if self.base.support.discrete:
            low, high = low + 1.0, high - 1.0
        i = interval_probability(self.base, low, high)
        below, above = self.base.log_cdf(jnp.asarray(self.low)), i.log_above
        return below, i.log_inside, above

    def _log_density(self, x: Array) -> Array:
        below, _, above = self._ends
        at_low, at_high = x <= self.low, x >= self.high
        inner = jnp.where(at_low | at_high, self._between._inner_point(), x)
        return jnp.where(at_low, below, jnp.where(at_high, above, self.base._log_density(inner)))

    @property
    def _between(self) -> Truncated:
        return Truncated._of(base=self.base, low=self.low, high=self.high)

    # Moments.

    def _mean(self) -> Array:
        return self._average(lambda x: x, self._between._mean())

    def _variance(self) -> Array:
        mean, inner = self._mean(), self._between
        return self._average(lambda x: (x - mean) ** 2, inner._variance() + (inner._mean() - mean) ** 2)

    def _average(self, function: Any, between: Array) -> Array:
        """E f(X), from its mean between the ends; an end at infinity has no mass."""
        below, inside, above = (jnp.exp(v) for v in self._ends)
        ends = [
            jnp.where(jnp.isinf(end), 0.0, p * function(jnp.where(jnp.isinf(end), 0.0, end)))
            for p, end in ((below, jnp.asarray(self.low)), (above, jnp.asarray(self.high)))
        ]
        return ends[0] + ends[1] + jnp.where(inside == 0, 0.0, inside * between)

    def _mode(self) -> Array:
        """The greater of the density between the ends and the probabilities at them, as if these were comparable."""
        s, inner = self.support, self._between._mode()
        places = jnp.stack(
            jnp.broadcast_arrays(*(jnp.where(jnp.isinf(v), inner, v) for v in (inner, s.lower, s.upper)))
        )
        heights = jnp.stack([self._log_density(place) for place in places])
        return jnp.take_along_axis(places, argmax(heights, axis=0)[None], axis=0)[0]

    # Distribution function.

    def _log_cdf(self, x: Array) -> Array:
        return self.base.log_cdf(x)

    def _log_sf(self, x: Array) -> Array:
        return self.base.log_sf(x)

    def _quantile(self, log_p: Array, log_q: Array) -> Array:
        return jnp.clip(self.base._quantile(log_p, log_q), self.low, self.high)

    # Information.

    def _entropy(self) -> Array:
        """That of which part, and of where between the ends."""
        inside = jnp.exp(self._ends[1])
        return self._part._entropy() + jnp.where(inside == 0, 0.0, inside * self._between._entropy())

    @property
    def _part(self) -> Categorical:
        return Categorical._of(logits=jnp.stack(jnp.broadcast_arrays(*self._ends), axis=-1))

    def _kl(self, q: Self) -> Array:
        inside = jnp.exp(self._ends[1])
        between = jnp.where(inside == 0, 0.0, inside * self._between._kl(q._between))
        value = self._part._kl(q._part) + between
        apart = (self.low != q.low) | (self.high != q.high)
        return jnp.where(apart & ~jnp.isnan(value), jnp.inf, value)

    # Maximum likelihood.

    @classmethod
    def try_fit(
        cls, data: Any, weights: Any = None, *, base: Any = None, low: Any = -np.inf, high: Any = np.inf, **known: Any
    ) -> tuple[Self, Outcome]:
        """Like `fit`: the base's parameters at the maximum, from those of a fit that takes the limits for values.

        Args:
            data, weights: as in `Distribution.fit`.
            base: a family of numbers whose parameters are real or positive.
            low, high: the limits, known.
            known: no others.
        """
        return fit_within(cls, data, weights, base, low, high, known)

    # Samples.

    def _sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        return jnp.clip(self.base._sample(key, shape), self.low, self.high)
